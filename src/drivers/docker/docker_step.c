/* The steps of a container's life: what is asked of the engine at each, and where its answer leads.
 * A step that gets no answer is asked again with a growing pause, and at once when the engine is
 * back. What is held back because the lease is not ours is dropped: another controller decides. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "drivers/process/process.h"
#include "sys/log.h"
#include "sys/mem.h"

#define PAUSE_US_MIN (100 * US_PER_MS)
#define PAUSE_US_MAX (5 * US_PER_S)
#define STOP_SLACK_US (30 * US_PER_S) /* the engine's own time beyond the grace */
#define STOP_US_MAX (25 * US_PER_HOUR)
#define HOST_PORT_MIN 21000 /* as run.ports */
#define HOST_PORT_MAX 28999

static void on_answer(void *ctx, int status, json_t *json, const char *error);

static const struct docker_conf *conf_of(const struct container *c)
{
    const struct driver_service *s = docker_service(c);
    return s ? s->conf : NULL;
}

/* --- asking --- */

static void on_again(uv_timer_t *timer)
{
    struct container *c = CONTAINER_OF(timer, struct container, again);
    step_go(c, c->step);
}

static void ask_later(struct container *c)
{
    uv_timer_start(&c->again, on_again, (uint64_t)(c->pause_us / US_PER_MS), 0);
    c->pause_us = MIN(2 * c->pause_us, PAUSE_US_MAX);
}

static void ask(struct container *c, const struct engine_request *r)
{
    c->call = c->docker->engine ? engine_ask(c->docker->engine, r, on_answer, c) : NULL;
    if (!c->call)
        ask_later(c);
}

/* "/containers/ID" and what follows; by its name while the ID is not known. */
static void path_of(const struct container *c, const char *rest, char path[DOCKER_PATH_MAX])
{
    fmt(path, DOCKER_PATH_MAX, "/containers/%s%s", c->id[0] ? c->id : c->name, rest);
}

/* --- telling --- */

static void tell_end(struct container *c, int32_t exit_code, const char *text)
{
    struct event e = { .type = EVENT_EXITED, .flag = exit_code < 0 };
    if (c->end_told)
        return;
    c->end_told = true;
    e.status = exit_code < 0 ? 0 : (exit_code & 255) << 8; /* as wait() has it */
    fmt(e.text, sizeof(e.text), "%.150s", text);
    docker_emit(c, &e);
}

static void tell_end_as_known(struct container *c)
{
    char text[160] = "was not started";
    if (c->started_told)
        docker_describe_exit(c->exit_code, c->out_of_memory, text, sizeof(text));
    tell_end(c, c->exit_code, text);
}

/* The engine's runtime tells a long story; its end is what matters. */
static struct slice heart_of(const char *error)
{
    static const struct slice begin = SLICE("container process: "), end = SLICE(": unknown");
    const char *found = strstr(error, begin.p);
    struct slice s = slice_of(found ? found + begin.n : error);
    if (s.n > end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0)
        s.n -= end.n;
    return s;
}

static void fail_start(struct container *c, const char *prefix, const char *error)
{
    struct event e = { .type = EVENT_START_FAILED };
    struct slice heart = heart_of(error);
    fmt(e.text, sizeof(e.text), "%s%.*s", prefix, (int)heart.n, heart.p);
    if (!c->end_told)
        docker_emit(c, &e);
    c->end_told = true;
    if (c->id[0])
        step_go(c, STEP_REMOVE);
    else
        docker_drop(c);
}

void step_vanished(struct container *c, const char *why)
{
    tell_end(c, -1, why);
    docker_drop(c);
}

/* --- pull --- */

/* Without a tag the engine would fetch all there are. */
static bool has_tag(const char *image)
{
    const char *slash = strrchr(image, '/');
    return strchr(image, '@') || strchr(slash ? slash : image, ':');
}

static void ask_pull(struct container *c)
{
    const struct docker_conf *conf = conf_of(c);
    char path[DOCKER_PATH_MAX];
    if (!conf) {
        fail_start(c, "", "its service is not configured any more");
        return;
    }
    char *image = curl_easy_escape(NULL, conf->image, 0);
    _cleanup_free_ char *auth = engine_auth(conf->image);
    fmt(path, sizeof(path), "/images/create?fromImage=%s%s", image ? image : "",
        has_tag(conf->image) ? "" : "&tag=latest");
    curl_free(image);
    ask(c, &(struct engine_request){ .method = ENGINE_POST,
                                     .path = path,
                                     .auth = auth,
                                     .acts = true,
                                     .timeout_us = US_NEVER });
}

static void on_pulled(struct container *c, int status, json_t *json, const char *error)
{
    const struct docker_conf *conf = conf_of(c);
    const char *said = json_string_value(json_object_get(json, "error"));
    const char *image = conf ? conf->image : "the image";
    char prefix[160], why[200];
    if (status < 300 && !said) {
        step_go(c, STEP_CREATE);
        return;
    }
    fmt(prefix, sizeof(prefix), "cannot pull %.100s: ", image);
    said = said ? said : error;
    if (engine_auth_unsupported(image, why, sizeof(why))) {
        log_warn("%s%s", prefix, said);
        said = why;
    }
    fail_start(c, prefix, said);
}

/* --- create --- */

static bool port_taken(void *ctx, uint16_t port)
{
    const struct docker *d = ctx;
    LIST_FOR_EACH (it, &d->containers)
        if (LIST_ENTRY(it, struct container, link)->port == port)
            return true;
    return false;
}

/* In the host's network two containers cannot have the same port. */
static uint16_t choose_port(struct docker *d, const struct docker_conf *conf, bool serves)
{
    uint16_t port = docker_port(conf, serves);
    if (port == 0 || !docker_is_on_host(conf))
        return port;
    return process_choose_port(HOST_PORT_MIN, HOST_PORT_MAX, &d->next_port, port_taken, d);
}

static json_t *make_body(struct container *c, const struct driver_service *s, struct err *err)
{
    struct docker *d = c->docker;
    if (c->port == 0)
        c->port = choose_port(d, s->conf, s->serves);
    c->shape = docker_shape(s->conf);
    c->drain_us = s->drain_us;
    const struct docker_identity who = {
        .owner = d->env.owner,
        .service = c->service,
        .number = c->number,
        .template = c->template,
        .shape = c->shape,
        .token = d->env.token ? d->env.token(d->env.ctx) : 0,
        .drain_us = c->drain_us,
        .port = c->port,
    };
    return docker_create_body(s->conf, &who, err);
}

static void ask_create(struct container *c)
{
    const struct driver_service *s = docker_service(c);
    char path[DOCKER_PATH_MAX];
    struct err err = { 0 };
    if (!s || s->template != c->template) {
        fail_start(c, "", "the configuration changed before it could be started");
        return;
    }
    json_t *body = make_body(c, s, &err);
    if (!body) {
        fail_start(c, "", err.text);
        return;
    }
    fmt(path, sizeof(path), "/containers/create?name=%s", c->name);
    ask(c, &(struct engine_request){
               .method = ENGINE_POST, .path = path, .body = body, .acts = true });
    json_decref(body);
}

static void on_no_image(struct container *c, const char *error)
{
    const struct docker_conf *conf = conf_of(c);
    if (conf && conf->pull == DOCKER_PULL_MISSING)
        step_go(c, STEP_PULL);
    else
        fail_start(c, "", error);
}

static void on_created(struct container *c, int status, json_t *json, const char *error)
{
    const char *id = json_string_value(json_object_get(json, "Id"));
    if (status == 409) /* by an earlier life, or by a request whose answer was lost */
        step_go(c, STEP_LOOK);
    else if (status == 404 && strstr(error, "o such image"))
        on_no_image(c, error);
    else if (status >= 300)
        fail_start(c, "", error);
    else if (!id || !str_copy(c->id, sizeof(c->id), id))
        fail_start(c, "", "the engine does not say what it has created");
    else
        step_go(c, STEP_START);
}

/* --- start, look --- */

static void ask_start(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    path_of(c, "/start", path);
    ask(c, &(struct engine_request){ .method = ENGINE_POST, .path = path, .acts = true });
}

static void on_started(struct container *c, int status, json_t *json, const char *error)
{
    if (status >= 400)
        fail_start(c, "", error);
    else
        step_go(c, STEP_LOOK);
}

static void ask_look(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    path_of(c, "/json", path);
    ask(c, &(struct engine_request){ .path = path });
}

static void tell_started(struct container *c)
{
    struct event e = {
        .type = EVENT_STARTED, .pid = c->pid, .template = c->template, .shape = c->shape
    };
    docker_emit(c, &e);
    c->started_told = true;
}

static void take_seen(struct container *c, const struct docker_seen *seen)
{
    str_copy(c->id, sizeof(c->id), seen->id);
    str_copy(c->address, sizeof(c->address), seen->address);
    str_copy(c->health, sizeof(c->health), seen->health);
    c->pid = seen->pid;
    c->shape = seen->shape;
}

static void on_runs(struct container *c)
{
    if (c->port && !c->address[0]) {
        fail_start(c, "", "it has no address in its network that could be reached");
        return;
    }
    c->list_seq = c->docker->list_seq;
    tell_started(c);
    step_go(c, STEP_RUN);
    docker_probe_begin(c);
    docker_usage_wake(c->docker);
    if (c->resize_wanted)
        step_resize(c);
}

static void on_looked(struct container *c, int status, json_t *json, const char *error)
{
    struct docker_seen seen;
    char prefix[160];
    if (status >= 500) {
        ask_later(c);
        return;
    }
    if (status >= 400) {
        fail_start(c, "", error);
        return;
    }
    if (!docker_see_inspected(json, c->docker->env.owner, c->docker->host, &seen) ||
        seen.number != c->number || strcmp(seen.service, c->service) != 0 ||
        seen.template != c->template) {
        c->id[0] = '\0'; /* it is not ours to remove */
        fmt(prefix, sizeof(prefix), "the name %.100s is taken ", c->name);
        fail_start(c, prefix, "by another container");
        return;
    }
    take_seen(c, &seen);
    if (seen.status == DOCKER_CREATED) {
        step_go(c, STEP_START);
    } else if (seen.status == DOCKER_EXITED) {
        tell_started(c);
        step_died(c, seen.exit_code);
    } else {
        on_runs(c);
    }
}

/* --- resize --- */

static void ask_resize(struct container *c)
{
    const struct docker_conf *conf = conf_of(c);
    char path[DOCKER_PATH_MAX];
    json_t *body = conf ? docker_update_body(conf) : NULL;
    if (!body) {
        step_go(c, STEP_RUN);
        return;
    }
    c->shape_asked = docker_shape(conf);
    path_of(c, "/update", path);
    ask(c, &(struct engine_request){
               .method = ENGINE_POST, .path = path, .body = body, .acts = true });
    json_decref(body);
}

static void on_resized(struct container *c, int status, json_t *json, const char *error)
{
    struct event e = { .type = EVENT_RESIZED, .flag = status < 300, .shape = c->shape_asked };
    if (e.flag)
        c->shape = c->shape_asked;
    else
        fmt(e.text, sizeof(e.text), "%.150s", error);
    docker_emit(c, &e);
    step_go(c, STEP_RUN);
    if (c->resize_wanted)
        step_resize(c);
}

void step_resize(struct container *c)
{
    c->resize_wanted = c->step != STEP_RUN;
    if (c->step == STEP_RUN)
        step_go(c, STEP_RESIZE);
}

/* --- stop --- */

static void ask_stop(struct container *c)
{
    const struct docker_conf *conf = conf_of(c);
    char path[DOCKER_PATH_MAX], rest[32] = "/stop"; /* the grace it was created with */
    int64_t timeout_us = STOP_US_MAX;
    if (conf) {
        int64_t grace_s = (conf->stop.grace_us + US_PER_S - 1) / US_PER_S;
        fmt(rest, sizeof(rest), "/stop?t=%lld", (long long)grace_s);
        timeout_us = conf->stop.grace_us + STOP_SLACK_US;
    }
    path_of(c, rest, path);
    ask(c, &(struct engine_request){
               .method = ENGINE_POST, .path = path, .acts = true, .timeout_us = timeout_us });
}

static void on_stopped(struct container *c, int status, json_t *json, const char *error)
{
    if (status == 404) {
        step_vanished(c, "was not there any more");
    } else if (status < 400) {
        step_go(c, STEP_AUTOPSY);
    } else {
        log_warn("%s cannot be stopped: %s", c->name, error);
        ask_later(c);
    }
}

/* While nobody has said what it is, what has its name may be somebody else's. */
static void stop_what_was_made(struct container *c)
{
    step_go(c, c->id[0] ? STEP_STOP : STEP_AUTOPSY);
}

void step_stop(struct container *c)
{
    c->stop_wanted = true;
    docker_probe_end(c);
    docker_usage_end(c);
    if (c->step == STEP_PULL) /* nothing has been made */
        step_vanished(c, "was not started");
    else if (step_phase(c) == PHASE_RUNS)
        step_go(c, STEP_STOP);
    else if (step_phase(c) == PHASE_MADE && !c->call)
        stop_what_was_made(c);
}

/* --- the end --- */

void step_died(struct container *c, int32_t exit_code)
{
    if (step_phase(c) == PHASE_ENDED)
        return;
    c->exit_code = exit_code;
    if (step_phase(c) == PHASE_MADE && !c->started_told)
        return; /* its look tells */
    docker_probe_end(c);
    docker_usage_end(c);
    step_go(c, STEP_AUTOPSY);
}

/* Of a process in it that ran out of memory the container need not have ended. */
static void note_exit(struct container *c, const struct docker_seen *seen)
{
    bool killed = seen->exit_code == 137;
    str_copy(c->id, sizeof(c->id), seen->id);
    c->exit_code = seen->exit_code;
    c->out_of_memory = seen->out_of_memory || (c->out_of_memory && killed);
    if (seen->status == DOCKER_CREATED)
        c->started_told = false;
}

/* Who ended by itself is told of at once. Who was to end has ended when nothing is left of it. */
static void on_opened(struct container *c, int status, json_t *json, const char *error)
{
    struct docker_seen seen;
    bool ours =
        status < 300 && docker_see_inspected(json, c->docker->env.owner, c->docker->host, &seen);
    bool gone = status == 404 || (status < 300 && json && !ours);
    if (ours)
        note_exit(c, &seen);
    if (!c->stop_wanted || gone)
        tell_end_as_known(c);
    if (ours)
        step_go(c, seen.status == DOCKER_CREATED ? STEP_REMOVE : STEP_LOG);
    else if (gone)
        docker_drop(c);
    else
        ask_later(c);
}

void step_log_kept(struct container *c, bool kept)
{
    if (c->step == STEP_LOG && kept)
        step_go(c, STEP_REMOVE);
    else if (c->step == STEP_LOG)
        ask_later(c);
}

static void ask_remove(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    path_of(c, "?force=1&v=1", path);
    ask(c, &(struct engine_request){ .method = ENGINE_DELETE, .path = path, .acts = true });
}

static void on_removed(struct container *c, int status, json_t *json, const char *error)
{
    if (status >= 500) {
        ask_later(c);
        return;
    }
    tell_end_as_known(c);
    docker_drop(c);
}

/* --- the table --- */

static const struct {
    enum docker_phase phase;
    void (*ask)(struct container *c); /* NULL = nothing */
    void (*answer)(struct container *c, int status, json_t *json, const char *error);
} steps[STEP_MAX] = {
    [STEP_PULL] = { PHASE_MADE, ask_pull, on_pulled },
    [STEP_CREATE] = { PHASE_MADE, ask_create, on_created },
    [STEP_START] = { PHASE_MADE, ask_start, on_started },
    [STEP_LOOK] = { PHASE_MADE, ask_look, on_looked },
    [STEP_RUN] = { PHASE_RUNS, NULL, NULL },
    [STEP_RESIZE] = { PHASE_RUNS, ask_resize, on_resized },
    [STEP_STOP] = { PHASE_STOPS, ask_stop, on_stopped },
    [STEP_AUTOPSY] = { PHASE_ENDED, ask_look, on_opened },
    [STEP_LOG] = { PHASE_ENDED, docker_log_keep, NULL },
    [STEP_REMOVE] = { PHASE_ENDED, ask_remove, on_removed },
};

enum docker_phase step_phase(const struct container *c)
{
    return steps[c->step].phase;
}

void step_go(struct container *c, enum docker_step step)
{
    bool same = c->step == step;
    engine_cancel(c->call);
    c->call = NULL;
    uv_timer_stop(&c->again);
    c->step = step;
    if (!same || c->pause_us == 0)
        c->pause_us = PAUSE_US_MIN;
    if (steps[step].ask)
        steps[step].ask(c);
}

static void on_held(struct container *c)
{
    if (step_phase(c) == PHASE_RUNS || step_phase(c) == PHASE_STOPS)
        step_go(c, STEP_RUN);
    else
        docker_drop(c);
}

static void on_no_answer(struct container *c)
{
    if (c->step == STEP_AUTOPSY && !c->stop_wanted)
        tell_end_as_known(c);
    if (step_phase(c) == PHASE_MADE && c->stop_wanted)
        stop_what_was_made(c);
    else
        ask_later(c);
}

static void on_answer(void *ctx, int status, json_t *json, const char *error)
{
    struct container *c = ctx;
    c->call = NULL;
    if (status == 0 && !error[0])
        on_held(c);
    else if (status == 0)
        on_no_answer(c);
    else if (step_phase(c) == PHASE_MADE && c->stop_wanted)
        stop_what_was_made(c);
    else
        steps[c->step].answer(c, status, json, error);
}

void step_retry_all(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (uv_is_active((uv_handle_t *)&c->again))
            step_go(c, c->step);
    }
}

void step_forget_calls(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        bool asked = c->call || (c->log && c->step == STEP_LOG);
        docker_log_end(c);
        docker_usage_end(c);
        engine_cancel(c->call);
        c->call = NULL;
        if (asked)
            ask_later(c);
    }
}
