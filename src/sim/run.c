/* The door to both worlds: checks the options, and what the worlds have in common. */
#include "sim/run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "base/us.h"
#include "base/util.h"
#include "sim/run_int.h"

static int32_t initial(const struct run_options *o, int32_t min, int32_t max)
{
    double needed = ceil(trace_at(o->trace, 0) / o->capacity / RUN_INITIAL_LOAD);
    return (int32_t)CLAMP(o->initial > 0 ? o->initial : needed, min, max);
}

/* The service's limits are everybody's; none of the others goes to zero. */
struct policy_setup run_setup(const struct run_options *o)
{
    const struct service_conf *s = o->model ? &o->model->services[0] : NULL;
    int32_t min = s ? MAX(s->min, 1) : 1, max = s ? MAX(s->max, 1) : MODEL_COUNT_MAX;
    return (struct policy_setup){
        .capacity = o->capacity,
        .slots = o->slots,
        .initial = initial(o, min, max),
        .min = min,
        .max = max,
        .boot_us = o->fleet.boot_us,
        .start_wall_us = o->trace->start_wall_us,
        .seed = o->seed,
        .model = o->model,
        .future = o->trace,
        .allowed_violations = o->allowed_violations,
        .slo_wait_s = o->slo_wait_s,
        .queue_s = o->queue_s,
    };
}

static bool is_positive(double x)
{
    return isfinite(x) && x > 0;
}

static bool is_share(double x)
{
    return x >= 0 && x <= 1;
}

static int check(const struct run_options *o, struct err *err)
{
    if (!o->trace || o->trace->count == 0 || o->trace->step_us <= 0)
        return err_set(err, -EINVAL, "the trace is empty");
    if (trace_length_us(o->trace) < US_PER_S)
        return err_set(err, -EINVAL, "the trace is shorter than a second");
    for (size_t n = 0; n < o->trace->count; n++) {
        if (!isfinite(o->trace->rates[n]) || o->trace->rates[n] < 0)
            return err_set(err, -EINVAL, "step %zu of the trace is no rate", n);
    }
    if (!is_positive(o->capacity) || !is_positive(o->slots))
        return err_set(err, -EINVAL, "capacity and slots of an instance must be more than 0");
    if (o->fidelity == RUN_REQUEST && o->slots != floor(o->slots))
        return err_set(err, -EINVAL, "slots must be a whole number where each request is one");
    if (o->fleet.boot_us < 0 || o->fleet.boot_us > US_PER_DAY)
        return err_set(err, -EINVAL, "an instance must start within a day");
    if (!is_share(o->fleet.boot_spread) || !is_share(o->fleet.start_failures) ||
        !is_share(o->fleet.noisy_share))
        return err_set(err, -EINVAL, "spread, failures and noisy are shares of 0 to 1");
    if (o->fleet.noisy_share > 0 && !is_positive(o->fleet.noisy_slowdown))
        return err_set(err, -EINVAL, "the slowdown of noisy instances must be more than 0");
    if (o->initial < 0 || o->initial > MODEL_COUNT_MAX)
        return err_set(err, -EINVAL, "initial must be 0 to %d", MODEL_COUNT_MAX);
    return 0;
}

int run_simulate(const struct run_options *o, struct run_result *ret, struct err *err)
{
    int rc = check(o, err);
    if (rc < 0)
        return rc;
    struct run_options options = *o;
    if (options.slo_wait_s <= 0)
        options.slo_wait_s = 0.5;
    if (options.queue_s <= 0)
        options.queue_s = 10;
    rc =
        o->fidelity == RUN_REQUEST ? run_request(&options, ret, err) : run_tick(&options, ret, err);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}

void run_result_done(struct run_result *r)
{
    free(r->points);
    free(r->decisions);
    *r = (struct run_result){ 0 };
}
