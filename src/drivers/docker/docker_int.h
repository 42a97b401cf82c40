/* The docker driver's inside: the driver, a container, and who does what with it.
 *
 * A container's life is a row of steps, each one request to the engine (docker_step.c has the
 * table). A step that gets no answer is asked again for as long as it takes; every one of them may
 * be asked twice. */
#pragma once

#include "base/list.h"
#include "base/table.h"
#include "core/model.h"
#include "drivers/docker/docker.h"
#include "drivers/docker/engine.h"
#include "drivers/driver.h"
#include "drivers/probe.h"

#define DOCKER_PATH_MAX 512
#define DOCKER_SLOTS 16384 /* of the table of names */

enum docker_step {
    STEP_PULL,
    STEP_CREATE,
    STEP_START,
    STEP_LOOK, /* where it is reached */
    STEP_RUN,  /* nothing is asked */
    STEP_RESIZE,
    STEP_STOP,
    STEP_AUTOPSY, /* why it ended */
    STEP_LOG,     /* its last words are kept */
    STEP_REMOVE,
    STEP_MAX,
};

enum docker_phase { PHASE_MADE, PHASE_RUNS, PHASE_STOPS, PHASE_ENDED };

struct docker_log;

struct container {
    struct list link;
    struct docker *docker;
    uint32_t slot, number;
    bool nameless; /* of a service that nobody knows: it is ended, and nobody is told */
    char service[MODEL_NAME_MAX];
    char name[DOCKER_NAME_MAX]; /* in the engine */
    char id[80];                /* "" = not known yet */
    char address[DRIVER_ADDRESS_MAX];
    uint64_t template, shape;
    int64_t pid, drain_us;
    uint16_t port;

    enum docker_step step;
    struct engine_call *call; /* of the step; NULL = to be asked again */
    uv_timer_t again;
    int64_t pause_us;
    bool stop_wanted;   /* while it is being made */
    bool resize_wanted; /* while it is being resized */
    uint64_t shape_asked;
    bool started_told, end_told;
    int32_t exit_code;                   /* as an event said; -1 = not known */
    int64_t trouble_us, trouble_told_us; /* docker_trouble.c: the last of it; 0 = none */
    bool out_of_memory;
    int64_t oom_us;    /* the last time that a process in it was; 0 = never heard of one */
    bool oom_survived; /* that was not its end */
    uint64_t list_seq; /* lists up to this one need not have it */

    /* docker_ready.c */
    bool ready_once;
    struct probe *probe;
    int64_t gap_us;     /* until the next look, while it is starting */
    int64_t emitted_us; /* the last failure told */
    char failure[160];
    char health[16]; /* the engine's word */
    uv_timer_t look;

    struct docker_log *log;    /* docker_log.c; NULL = nobody reads */
    int64_t log_until_wall_us; /* what was written before is in the file; 0 = nothing is */
    char log_error[160];       /* why the last attempt brought nothing */

    struct docker_usage { /* docker_stats.c */
        struct engine_call *call;
        struct list link; /* in usage_due */
        bool due;
        int64_t asked_us, at_us; /* of the last look, of the newest values; 0 = never */
        int64_t told_us;         /* the newest values that were */
        int64_t read_us;         /* of the last reading; the engine's clock */
        double cpu_ns;
        double cpu, memory_bytes; /* < 0 = not known */
    } usage;
};

struct docker {
    struct driver_env env;
    struct engine_conf conf; /* of the engine, as configured */
    struct engine *engine;   /* NULL = nobody needs it yet */
    struct prober *prober;
    struct list containers; /* struct container */
    struct table names;     /* the same, by container.name */
    struct table_slot slots[DOCKER_SLOTS];
    size_t service_count;
    struct driver_service services[MODEL_SERVICES_MAX];
    char host[256]; /* where the engine's own ports are reached */
    unsigned handles;
    bool closing;

    /* docker_list.c */
    bool active;      /* it was asked what runs: until then nothing is looked at */
    bool list_wanted; /* by the controller, which waits for FOUND_ALL */
    bool list_refused;
    uint64_t list_seq;
    struct engine_call *list;
    struct engine_call *events;
    uv_timer_t list_timer;

    uv_timer_t engine_timer; /* provision_docker.c: it could not be opened */
    char open_error[160];    /* why not, as the log has it; "" = it could */
    int64_t next_port;       /* docker_step.c */

    struct docker_login { /* docker_pull.c: credentials for an image's registry */
        struct engine_auth *asked;
        char image[256];
        char *auth;      /* NULL = none */
        char error[160]; /* why there are none; "" = none are kept */
        int64_t at_us;   /* when they were looked up; 0 = never */
    } login;

    struct list usage_due; /* docker_stats.c: to be looked at, in this order */
    int64_t usage_scan_us;
    unsigned usage_calls;
    uv_timer_t usage_timer;
};

/* provision_docker.c: what is known */
const struct driver_service *docker_service(const struct container *c); /* NULL = leaving */
const struct driver_service *docker_service_by_name(const struct docker *d, const char *name);
struct container *docker_find(const struct docker *d, uint32_t slot, uint32_t number);
struct container *docker_find_name(const struct docker *d, const char *name);
/* NULL = no memory, or there are too many, or it is there. */
struct container *docker_add(struct docker *d, const char *service, uint32_t number);
void docker_drop(struct container *c);
/* Service, number, address and ref are filled in; nobody is told of a nameless one. */
void docker_emit(struct container *c, const struct event *e);

/* docker_step.c; the others of docker_make.c, docker_resize.c, docker_end.c */
void step_go(struct container *c, enum docker_step step);
enum docker_phase step_phase(const struct container *c);
/* The engine answers again. */
void step_retry_all(struct docker *d);
/* The engine is another one: what was asked is to be asked again. */
void step_forget_calls(struct docker *d);
void step_stop(struct container *c);
void step_resize(struct container *c);
/* It does not run any more, and where it is is known. */
void step_died(struct container *c, int32_t exit_code);
/* It is not there any more. */
void step_vanished(struct container *c, const char *why);
/* Its log is kept, as far as it can be; false = try again later. */
void step_log_kept(struct container *c, bool kept);

/* docker_ready.c: looks at it until it is ready, and from then on at the interval. */
void docker_probe_begin(struct container *c, int64_t delay_us);
void docker_probe_now(struct container *c);
void docker_probe_end(struct container *c);
void docker_probe_health(struct container *c, const char *health);

/* docker_list.c: what runs, in full, whenever something may have been missed, and now and then. */
void docker_list_begin(struct docker *d);
void docker_list_in(struct docker *d, int64_t us);
void docker_list_late(struct docker *d); /* for what may be made after all */
/* docker_events.c: opens the stream, which lists as soon as it is open. */
void docker_events_begin(struct docker *d);
bool docker_may_act(const struct docker *d);

/* docker_trouble.c: what is wrong with it as long as it lasts. */
void docker_trouble(struct container *c, const char *what, const char *why);
void docker_trouble_over(struct container *c);
void docker_trouble_settle(struct docker *d); /* now and then */

/* docker_pull.c: nobody needs credentials any more. */
void docker_login_end(struct docker *d);

/* docker_log.c */
int docker_log_follow(struct container *c, struct err *err); /* as provision_ops.follow_log */
void docker_log_keep(struct container *c); /* step_log_kept() follows, not at once */
void docker_log_end(struct container *c);

/* docker_stats.c */
void docker_usage_end(struct container *c);
void docker_usage_wake(struct docker *d);
void docker_sample(void *self, const struct source_service *service, int64_t now_us,
                   struct source_sink *sink);
