/* The words of the model: the names under which states, events, operator commands and limits appear
 * in journals, explanations and the admin API. They are part of the interface: never renamed. */
#include "core/model.h"

#include "base/util.h"
#include "core/decision.h"
#include "core/event.h"

static const char *name_of(const char *const *names, unsigned count, unsigned n)
{
    return n < count && names[n] ? names[n] : "unknown";
}

const char *instance_state_name(enum instance_state s)
{
    static const char *const names[INSTANCE_STATE_MAX] = {
        [INSTANCE_PENDING] = "pending",   [INSTANCE_STARTING] = "starting",
        [INSTANCE_WARMING] = "warming",   [INSTANCE_READY] = "ready",
        [INSTANCE_FAILING] = "failing",   [INSTANCE_STANDBY] = "standby",
        [INSTANCE_DRAINING] = "draining", [INSTANCE_STOPPING] = "stopping",
        [INSTANCE_GONE] = "gone",
    };
    return name_of(names, ARRAY_LEN(names), s);
}

const char *event_type_name(enum event_type t)
{
    static const char *const names[EVENT_TYPE_MAX] = {
        [EVENT_TICK] = "tick",
        [EVENT_SAMPLES] = "samples",
        [EVENT_DOORBELL] = "doorbell",
        [EVENT_STARTED] = "started",
        [EVENT_START_FAILED] = "start-failed",
        [EVENT_PROBE] = "probe",
        [EVENT_EXITED] = "exited",
        [EVENT_DRAINED] = "drained",
        [EVENT_FOUND] = "found",
        [EVENT_FOUND_ALL] = "found-all",
        [EVENT_DRIVER] = "driver",
        [EVENT_CONFIG] = "config",
        [EVENT_OPERATOR] = "operator",
        [EVENT_LEASE] = "lease",
        [EVENT_RESTART] = "restart",
        [EVENT_HISTORY] = "history",
        [EVENT_LEAVING] = "leaving",
        [EVENT_RESIZED] = "resized",
    };
    return name_of(names, ARRAY_LEN(names), t);
}

const char *operator_op_name(enum operator_op op)
{
    static const char *const names[OPERATOR_MAX] = {
        [OPERATOR_SCALE] = "scale",     [OPERATOR_AUTO] = "auto",   [OPERATOR_PAUSE] = "pause",
        [OPERATOR_RESUME] = "resume",   [OPERATOR_DRAIN] = "drain", [OPERATOR_PROTECT] = "protect",
        [OPERATOR_RESTART] = "restart", [OPERATOR_STOP] = "stop",
    };
    return name_of(names, ARRAY_LEN(names), op);
}

const char *limit_kind_name(enum limit_kind k)
{
    static const char *const names[LIMIT_KIND_MAX] = {
        [LIMIT_INITIAL] = "initial",
        [LIMIT_RULES] = "rules",
        [LIMIT_PROJECTION] = "projection",
        [LIMIT_STABILIZE] = "stabilize",
        [LIMIT_RATE] = "rate",
        [LIMIT_HEADROOM] = "headroom",
        [LIMIT_CHANGE] = "change-cost",
        [LIMIT_ORDER] = "order",
        [LIMIT_MIN] = "min",
        [LIMIT_MAX] = "max",
        [LIMIT_SCHEDULE] = "schedule",
        [LIMIT_BUDGET] = "budget",
        [LIMIT_OPERATOR] = "operator",
        [LIMIT_PAUSED] = "paused",
        [LIMIT_LEASE] = "lease",
        [LIMIT_BACKOFF] = "backoff",
    };
    return name_of(names, ARRAY_LEN(names), k);
}
