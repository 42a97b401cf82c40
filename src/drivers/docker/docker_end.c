/* The end of a container: it is stopped, or has ended by itself; why is looked up, its last words
 * are kept, and it is removed, all of which somebody else may have done before. */
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_step.h"
#include "sys/clock.h"

#define STOP_SLACK_US (30 * US_PER_S) /* the engine's own time beyond the grace */
#define OOM_KILLS_US (2 * US_PER_S)   /* who lives so long after it was not killed by it */
#define STOP_US_MAX (25 * US_PER_HOUR)

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

void end_tell(struct container *c)
{
    char text[160] = "was not started";
    if (c->started_told)
        docker_describe_exit(c->exit_code, c->out_of_memory, text, sizeof(text));
    tell_end(c, c->exit_code, text);
}

void step_vanished(struct container *c, const char *why)
{
    tell_end(c, -1, why);
    docker_drop(c);
}

/* --- stop --- */

void end_ask_stop(struct container *c)
{
    const struct docker_conf *conf = step_conf(c);
    char path[DOCKER_PATH_MAX], rest[32] = "/stop"; /* the grace it was created with */
    int64_t timeout_us = STOP_US_MAX;
    if (conf) {
        int64_t grace_s = (conf->stop.grace_us + US_PER_S - 1) / US_PER_S;
        fmt(rest, sizeof(rest), "/stop?t=%lld", (long long)grace_s);
        timeout_us = conf->stop.grace_us + STOP_SLACK_US;
    }
    step_path(c, rest, path);
    step_ask(c, &(struct engine_request){ .method = ENGINE_POST,
                                          .lane = ENGINE_ENDS,
                                          .path = path,
                                          .acts = true,
                                          .timeout_us = timeout_us });
}

void end_on_stopped(struct container *c, int status, json_t *json, const char *error)
{
    if (status == 404) {
        step_vanished(c, "was not there any more");
    } else if (status < 400) {
        step_go(c, STEP_AUTOPSY);
    } else {
        docker_trouble(c, "cannot be stopped: ", error);
        step_ask_later(c);
    }
}

/* While nobody has said what it is, what has its name may be somebody else's. */
void end_what_was_made(struct container *c)
{
    step_go(c, c->id[0] ? STEP_STOP : STEP_AUTOPSY);
}

void step_stop(struct container *c)
{
    bool unsaid = !c->call || (c->step == STEP_START && engine_is_waiting(c->call));
    c->stop_wanted = true;
    docker_probe_end(c);
    docker_usage_end(c);
    if (c->step == STEP_PULL) /* nothing has been made */
        step_vanished(c, "was not started");
    else if (step_phase(c) == PHASE_RUNS)
        step_go(c, STEP_STOP);
    else if (step_phase(c) == PHASE_MADE && unsaid)
        end_what_was_made(c);
}

/* --- the end --- */

void step_died(struct container *c, int32_t exit_code)
{
    if (step_phase(c) == PHASE_ENDED)
        return;
    c->exit_code = exit_code;
    c->oom_survived = c->oom_us != 0 && clock_now_us() - c->oom_us > OOM_KILLS_US;
    if (step_phase(c) == PHASE_MADE && !c->started_told)
        return; /* its look tells */
    docker_probe_end(c);
    docker_usage_end(c);
    step_go(c, STEP_AUTOPSY);
}

/* An engine that has once seen a process in it out of memory says so of its end, whatever that was.
 */
static void note_exit(struct container *c, const struct docker_seen *seen)
{
    str_copy(c->id, sizeof(c->id), seen->id);
    c->exit_code = seen->exit_code;
    c->out_of_memory = seen->out_of_memory && !c->oom_survived;
    if (seen->status == DOCKER_CREATED)
        c->started_told = false;
}

/* One that was never seen may be made only now: then the list finds it. */
static void forget(struct container *c)
{
    if (!c->id[0])
        docker_list_late(c->docker);
    docker_drop(c);
}

/* Who ended by itself is told of at once. Who was to end has ended when nothing is left of it. */
void end_on_opened(struct container *c, int status, json_t *json, const char *error)
{
    struct docker_seen seen;
    bool ours =
        status < 300 && docker_see_inspected(json, c->docker->env.owner, c->docker->host, &seen);
    bool gone = status == 404 || (status < 300 && json && !ours);
    if (ours)
        note_exit(c, &seen);
    if (!c->stop_wanted || gone)
        end_tell(c);
    if (ours)
        step_go(c, seen.status == DOCKER_CREATED ? STEP_REMOVE : STEP_LOG);
    else if (gone)
        forget(c);
    else
        step_ask_later(c);
}

void end_ask_autopsy(struct container *c)
{
    make_ask_look(c);
}

void step_log_kept(struct container *c, bool kept)
{
    if (c->step == STEP_LOG && kept)
        step_go(c, STEP_REMOVE);
    else if (c->step == STEP_LOG)
        step_ask_later(c);
}

void end_ask_remove(struct container *c)
{
    char path[DOCKER_PATH_MAX];
    step_path(c, "?force=1&v=1", path);
    step_ask(c, &(struct engine_request){
                    .method = ENGINE_DELETE, .lane = ENGINE_ENDS, .path = path, .acts = true });
}

void end_on_removed(struct container *c, int status, json_t *json, const char *error)
{
    if (status >= 500) {
        step_ask_later(c);
        return;
    }
    end_tell(c);
    docker_drop(c);
}
