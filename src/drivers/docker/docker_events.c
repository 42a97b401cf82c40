/* What the engine tells by itself: containers that end, run out of memory, change their health.
 * What was missed while nobody listened, the list that follows each opening of the stream makes
 * good. */
#include <curl/curl.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "sys/clock.h"

#define AGAIN_US (500 * US_PER_MS)

static const char *attribute(const json_t *json, const char *name)
{
    const json_t *attributes = json_object_get(json_object_get(json, "Actor"), "Attributes");
    const char *text = json_string_value(json_object_get(attributes, name));
    return text ? text : "";
}

static void on_die(struct container *c, const json_t *json, const char *detail)
{
    int64_t code = -1;
    num_parse_i64(slice_of(attribute(json, "exitCode")), &code);
    step_died(c, (int32_t)CLAMP(code, -1, 255));
}

/* A process in it; whether the container ends with it is said otherwise. */
static void on_oom(struct container *c, const json_t *json, const char *detail)
{
    c->oom_us = clock_now_us();
    if (step_phase(c) != PHASE_ENDED)
        docker_trouble(c, "a process in it was killed, out of memory", "");
}

static void on_destroy(struct container *c, const json_t *json, const char *detail)
{
    if (step_phase(c) == PHASE_RUNS)
        step_vanished(c, "was removed by somebody");
}

static void on_health(struct container *c, const json_t *json, const char *detail)
{
    docker_probe_health(c, detail);
}

static const struct {
    const char *action;
    void (*hear)(struct container *c, const json_t *json, const char *detail);
} heard[] = {
    { "die", on_die },
    { "oom", on_oom },
    { "destroy", on_destroy },
    { "health_status", on_health },
};

/* "health_status: healthy" */
static void hear(struct container *c, const json_t *json, const char *action)
{
    size_t n = strcspn(action, ":");
    const char *detail = action[n] ? action + n + 1 + strspn(action + n + 1, " ") : "";
    for (size_t i = 0; i < ARRAY_LEN(heard); i++)
        if (slice_eq((struct slice){ action, n }, slice_of(heard[i].action))) {
            heard[i].hear(c, json, detail);
            return;
        }
}

static void on_heard(void *ctx, json_t *json, const char *error)
{
    struct docker *d = ctx;
    if (!json) {
        d->events = NULL;
        docker_list_in(d, AGAIN_US);
        return;
    }
    const char *action = json_string_value(json_object_get(json, "Action"));
    if (!action) { /* it is open: now for all that was before */
        docker_list_begin(d);
        return;
    }
    const char *id = json_string_value(json_object_get(json_object_get(json, "Actor"), "ID"));
    struct container *c = docker_find_name(d, attribute(json, "name"));
    if (!docker_may_act(d))
        docker_list_in(d, AGAIN_US); /* for another to hear, but perhaps not for long */
    else if (c && (!c->id[0] || (id && strcmp(c->id, id) == 0)))
        hear(c, json, action);
}

void docker_events_begin(struct docker *d)
{
    char filter[256], path[DOCKER_PATH_MAX];
    if (d->events || !d->active || !d->engine || !engine_is_up(d->engine))
        return;
    fmt(filter, sizeof(filter),
        "{\"type\":[\"container\"],\"event\":[\"die\",\"oom\",\"destroy\",\"health_status\"],"
        "\"label\":[\"plimsoll.owner=%s\"]}",
        d->env.owner);
    char *escaped = curl_easy_escape(NULL, filter, 0);
    fmt(path, sizeof(path), "/events?filters=%s", escaped ? escaped : "");
    curl_free(escaped);
    d->events = engine_listen(d->engine, path, on_heard, d);
    if (!d->events)
        docker_list_in(d, AGAIN_US);
}
