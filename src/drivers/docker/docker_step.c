/* The steps of a container's life: a table of what is asked at each and who takes the answer. A
 * step that gets no answer is asked again with a growing pause, and at once when the engine is
 * back. What is held back because the lease is not ours is dropped: another controller decides. */
#include "drivers/docker/docker_step.h"

#include <string.h>

#include "base/fmt.h"
#include "base/us.h"

#define PAUSE_US_MIN (100 * US_PER_MS)
#define PAUSE_US_MAX (5 * US_PER_S)

static void on_answer(void *ctx, int status, json_t *json, const char *error);

const struct docker_conf *step_conf(const struct container *c)
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

void step_ask_later(struct container *c)
{
    uv_timer_start(&c->again, on_again, (uint64_t)(c->pause_us / US_PER_MS), 0);
    c->pause_us = MIN(2 * c->pause_us, PAUSE_US_MAX);
}

void step_ask(struct container *c, const struct engine_request *r)
{
    c->call = c->docker->engine ? engine_ask(c->docker->engine, r, on_answer, c) : NULL;
    if (!c->call)
        step_ask_later(c);
}

void step_path(const struct container *c, const char *rest, char path[DOCKER_PATH_MAX])
{
    fmt(path, DOCKER_PATH_MAX, "/containers/%s%s", c->id[0] ? c->id : c->name, rest);
}

/* --- the table --- */

static const struct {
    enum docker_phase phase;
    void (*ask)(struct container *c); /* NULL = nothing */
    void (*answer)(struct container *c, int status, json_t *json, const char *error);
} steps[STEP_MAX] = {
    [STEP_PULL] = { PHASE_MADE, pull_ask, pull_on_done },
    [STEP_CREATE] = { PHASE_MADE, make_ask_create, make_on_created },
    [STEP_START] = { PHASE_MADE, make_ask_start, make_on_started },
    [STEP_LOOK] = { PHASE_MADE, make_ask_look, make_on_looked },
    [STEP_RUN] = { PHASE_RUNS, NULL, NULL },
    [STEP_RESIZE] = { PHASE_RUNS, resize_ask, resize_on_done },
    [STEP_STOP] = { PHASE_STOPS, end_ask_stop, end_on_stopped },
    [STEP_AUTOPSY] = { PHASE_ENDED, end_ask_autopsy, end_on_opened },
    [STEP_LOG] = { PHASE_ENDED, docker_log_keep, NULL },
    [STEP_REMOVE] = { PHASE_ENDED, end_ask_remove, end_on_removed },
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

static void on_no_answer(struct container *c, const char *error)
{
    if (c->step == STEP_STOP && engine_is_up(c->docker->engine))
        docker_trouble(c, "cannot be stopped: ", error);
    if (c->step == STEP_AUTOPSY && !c->stop_wanted)
        end_tell(c);
    if (step_phase(c) == PHASE_MADE && c->stop_wanted)
        end_what_was_made(c);
    else
        step_ask_later(c);
}

static void on_answer(void *ctx, int status, json_t *json, const char *error)
{
    struct container *c = ctx;
    c->call = NULL;
    if (status == 0 && !error[0])
        on_held(c);
    else if (status == 0)
        on_no_answer(c, error);
    else if (step_phase(c) == PHASE_MADE && c->stop_wanted)
        end_what_was_made(c);
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
            step_ask_later(c);
    }
}
