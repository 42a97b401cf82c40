/* What the engine says runs, against what is known. One request for all: labels, states and
 * addresses are in the list. What is known and not listed is gone, what is listed and not known is
 * adopted, and what nobody wants is ended. */
#include <curl/curl.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "sys/log.h"

#define EVERY_US (60 * US_PER_S) /* though the events tell all */
#define AGAIN_US (1 * US_PER_S)
#define LATE_US \
    (5 * US_PER_S)    /* what was given up, or asked for by an earlier life, may come yet */
#define SPREAD_MS 500 /* over which those that are found are looked at */

static void on_listed(void *ctx, int status, json_t *json, const char *error);

bool docker_may_act(const struct docker *d)
{
    return !d->env.may_act || d->env.may_act(d->env.ctx);
}

/* --- asking --- */

static void on_timer(uv_timer_t *timer)
{
    struct docker *d = timer->data;
    if (!d->events)
        docker_events_begin(d);
    else
        docker_list_begin(d);
}

void docker_list_in(struct docker *d, int64_t us)
{
    uv_timer_start(&d->list_timer, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

void docker_list_late(struct docker *d)
{
    uint64_t late_ms = LATE_US / US_PER_MS;
    if (!uv_is_active((uv_handle_t *)&d->list_timer) ||
        uv_timer_get_due_in(&d->list_timer) > late_ms)
        docker_list_in(d, LATE_US);
}

void docker_list_begin(struct docker *d)
{
    char filter[128], path[DOCKER_PATH_MAX];
    if (!d->active || !d->engine)
        return;
    if (!docker_may_act(d)) {
        docker_list_in(d, AGAIN_US);
        return;
    }
    fmt(filter, sizeof(filter), "{\"label\":[\"plimsoll.owner=%s\"]}", d->env.owner);
    char *escaped = curl_easy_escape(NULL, filter, 0);
    fmt(path, sizeof(path), "/containers/json?all=1&filters=%s", escaped ? escaped : "");
    curl_free(escaped);
    engine_cancel(d->list);
    d->list = engine_ask(d->engine, &(struct engine_request){ .path = path }, on_listed, d);
    d->list_seq++;
    docker_list_in(d, d->list ? EVERY_US : AGAIN_US);
}

/* --- those that are known --- */

static void tell_found(struct container *c, bool ready)
{
    struct event e = { .type = EVENT_FOUND,
                       .pid = c->pid,
                       .template = c->template,
                       .shape = c->shape,
                       .flag = ready };
    docker_emit(c, &e);
}

static void meet(struct container *c, const struct docker_seen *seen)
{
    enum docker_phase phase = step_phase(c);
    c->list_seq = c->docker->list_seq;
    if (phase == PHASE_ENDED)
        return;
    if (phase == PHASE_RUNS && seen->status == DOCKER_EXITED) {
        step_died(c, seen->exit_code);
        return;
    }
    if (phase == PHASE_RUNS && strcmp(c->health, seen->health) != 0)
        docker_probe_health(c, seen->health);
    if (c->docker->list_wanted && phase != PHASE_MADE)
        tell_found(c, c->ready_once);
}

/* --- those that are not --- */

static void on_unknown_drained(uv_timer_t *timer)
{
    struct container *c = CONTAINER_OF(timer, struct container, look);
    step_stop(c);
}

/* The proxy may have outlived whoever knew its service, and still be waiting for its answers. */
static void end_unknown(struct container *c)
{
    log_info("%s belongs to no service any more: ending it", c->name);
    uv_timer_start(&c->look, on_unknown_drained, (uint64_t)(c->drain_us / US_PER_MS), 0);
}

static void bury(struct container *c, const struct docker_seen *seen)
{
    c->exit_code = seen->exit_code;
    step_go(c, STEP_AUTOPSY);
}

/* By somebody who died before it was started: while the controller asks what there is, that is
 * taken over, too. Later the controller has given it up. */
static bool is_being_made(const struct container *c)
{
    const struct driver_service *s = docker_service(c);
    return c->docker->list_wanted && s && s->template == c->template;
}

static void adopt(struct docker *d, const struct docker_seen *seen)
{
    struct container *c = docker_add(d, seen->service, seen->number);
    if (!c)
        return;
    str_copy(c->id, sizeof(c->id), seen->id);
    str_copy(c->address, sizeof(c->address), seen->address);
    str_copy(c->health, sizeof(c->health), seen->health);
    c->template = seen->template;
    c->shape = seen->shape;
    c->drain_us = seen->drain_us;
    c->list_seq = d->list_seq;
    bool created = seen->status == DOCKER_CREATED, goes_on = created && is_being_made(c);
    c->started_told = !created;
    c->end_told = created && !goes_on; /* it never was */
    c->step = STEP_RUN;
    if (created)
        step_go(c, goes_on ? STEP_START : STEP_REMOVE);
    else if (seen->status == DOCKER_EXITED)
        bury(c, seen);
    else if (c->nameless)
        end_unknown(c);
    else {
        tell_found(c, !seen->health[0] || strcmp(seen->health, "healthy") == 0);
        docker_probe_begin(c, seen->number % SPREAD_MS * US_PER_MS);
    }
}

/* --- the list --- */

static void take(struct docker *d, const json_t *entry)
{
    struct docker_seen seen;
    char name[DOCKER_NAME_MAX];
    if (!docker_see_listed(entry, d->env.owner, d->host, &seen))
        return;
    docker_name(name, sizeof(name), d->env.owner, seen.service, seen.number);
    struct container *c = docker_find_name(d, name);
    if (c)
        meet(c, &seen);
    else
        adopt(d, &seen);
}

/* On their way: they are there as soon as the engine says so. */
static void tell_made(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (step_phase(c) == PHASE_MADE)
            tell_found(c, false);
    }
}

static void end_missing(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (step_phase(c) == PHASE_RUNS && c->list_seq < d->list_seq)
            step_vanished(c, "is gone: somebody removed it");
    }
}

/* Until it says so, nothing is known of what runs. */
static void tell_refused(struct docker *d, bool refused, const char *why)
{
    char text[200];
    if (!refused && !d->list_refused)
        return;
    d->list_refused = refused;
    fmt(text, sizeof(text), "the engine does not say what runs: %s", why);
    for (size_t i = 0; i < d->service_count; i++)
        d->env.note(d->env.ctx, d->services[i].slot, refused,
                    refused ? text : "the engine says again what runs");
}

static void tell_all_found(struct docker *d)
{
    tell_made(d);
    for (size_t i = 0; i < d->service_count; i++) {
        struct event e = { .type = EVENT_FOUND_ALL, .service = (int32_t)d->services[i].slot };
        d->env.emit(d->env.ctx, &e);
    }
    d->list_wanted = false;
    docker_list_in(d, LATE_US);
}

static void on_listed(void *ctx, int status, json_t *json, const char *error)
{
    struct docker *d = ctx;
    size_t i;
    json_t *entry;
    d->list = NULL;
    if (status != 200 || !json_is_array(json)) {
        if (status != 0)
            tell_refused(d, true, error[0] ? error : "no list");
        docker_list_in(d, AGAIN_US);
        return;
    }
    tell_refused(d, false, "");
    json_array_foreach(json, i, entry) take(d, entry);
    end_missing(d);
    if (d->list_wanted)
        tell_all_found(d);
    docker_trouble_settle(d);
    docker_usage_wake(d);
}
