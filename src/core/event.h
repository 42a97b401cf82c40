/* Everything the core is ever told. An event is plain data; what it points at belongs to the caller
 * and is read during control_step() only. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/model.h"

enum event_type {
    EVENT_TICK,         /* time passes */
    EVENT_SAMPLES,      /* of one service, one moment, all sources; a built-in metric that is not in
                           it is a gap, as is a value that is none (NaN, negative). One of the
                           service's own comes when its source has it, and lasts as long as its
                           stale_us. Decides nothing: the tick after it does */
    EVENT_DOORBELL,     /* the proxy: demand changed at this very moment */
    EVENT_STARTED,      /* the engine says that it runs: number, pid */
    EVENT_START_FAILED, /* text */
    EVENT_PROBE,        /* flag = passed; text when not */
    EVENT_EXITED,       /* it is not there any more: status, flag = status unknown, text */
    EVENT_DRAINED,      /* nothing in flight on it any more */
    EVENT_FOUND,     /* it runs, says the engine after a (re)start: number, template, flag = it was
                        ready as far as the proxy knows */
    EVENT_FOUND_ALL, /* service's list is complete: what was not found is gone */
    EVENT_DRIVER,    /* flag = the engine answers again; else text */
    EVENT_CONFIG,    /* conf; flag = what runs of services that are new will be listed: FOUND and
                        FOUND_ALL of each follow */
    EVENT_OPERATOR,  /* op, service, number, count */
    EVENT_LEASE,     /* flag = held; token */
    EVENT_RESTART,   /* the controller was away: an unknown interval ends now. Comes first, before a
                        CONFIG even: nothing is started or stopped until FOUND_ALL (30 s at most).
                        A clock that has begun anew (another boot) is recognised. flag = a person
                        started it again: a stop that was asked for is over */
    EVENT_HISTORY,   /* what the store remembers of one metric of a service: history */
    EVENT_LEAVING,   /* the engine ends this instance, by a choice of its own (one fewer was asked
                        for, or a machine is cleared): out of the pool, and EXITED follows. FOUND
                        of one that is about to go is followed by it */
    EVENT_RESIZED,   /* flag = it has the shape that was asked for: shape; else text */
    EVENT_TYPE_MAX,
};

enum operator_op {
    OPERATOR_SCALE, /* count; flag = force over max */
    OPERATOR_AUTO,  /* take SCALE back */
    OPERATOR_PAUSE, /* keep the count as it is */
    OPERATOR_RESUME,
    OPERATOR_DRAIN,   /* one instance: drained and stopped; rules decide whether another comes */
    OPERATOR_PROTECT, /* one instance; flag = on */
    OPERATOR_RESTART, /* replace all instances, ready before the old one drains */
    OPERATOR_STOP,    /* everything (service -1): drain and stop, start nothing */
    OPERATOR_MAX,
};

struct sample {
    enum metric metric;
    uint32_t number; /* instance, or 0 for the service as a whole */
    double value;    /* finite; anything else counts as unknown */
};

/* Values of the past at equal distances, oldest first. NaN = unknown. */
struct history {
    enum metric metric;
    int64_t wall_us; /* of the first value: the begin of its step */
    int64_t step_us;
    uint32_t count;
    const double *values;
};

struct event {
    enum event_type type;
    int64_t now_us;  /* monotonic, never less than the event before */
    int64_t wall_us; /* since 1970 */
    int32_t service; /* slot; -1 = none. Names are resolved by the caller: control_find() */
    uint32_t number; /* instance; 0 = none */
    bool flag;
    int32_t count;
    int32_t status;
    int64_t pid;
    uint64_t template;
    uint64_t shape;             /* of STARTED, FOUND and RESIZED; 0 = the engine does not say */
    uint64_t token;             /* EVENT_LEASE: the fencing token; 0 = the lease has none */
    uint32_t in_flight, queued; /* EVENT_DOORBELL */
    enum operator_op op;
    char text[160];
    uint32_t sample_count;
    const struct sample *samples;
    const struct model_conf *conf;
    const struct history *history;
    /* STARTED, FOUND: where it is reached and what the engine calls it; NULL = nothing. Carried
     * along for those who keep events; nothing is decided by them. */
    const char *address, *ref;
};

const char *event_type_name(enum event_type t);
const char *operator_op_name(enum operator_op op);
