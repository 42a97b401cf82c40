/* The process driver's instances and what its files say to each other. Private to process_*.c and
 * provision_process.c. */
#pragma once

#include "base/list.h"
#include "core/model.h"
#include "drivers/driver.h"
#include "drivers/probe.h"
#include "drivers/process/process.h"
#include "drivers/proctree.h"

struct rotation;

enum process_state {
    PROCESS_ASKED,    /* the keeper has been told to start it */
    PROCESS_RUNNING,  /* it has; probes go on */
    PROCESS_STOPPING, /* it has been told to end */
};

struct process_driver {
    struct driver_env env;
    struct prober *prober;
    struct proctree *tree;
    struct list processes; /* struct process */
    size_t service_count;
    struct driver_service services[MODEL_SERVICES_MAX];
    int64_t next_port;
    uv_timer_t *log_timer;
    struct rotation *rotation; /* under way on another thread; NULL = none */
};

struct process {
    struct list link;
    struct process_driver *driver;
    enum process_state state;
    uint32_t slot, number;
    bool nameless;    /* of a service that nobody knows: it is ended, and nobody is told */
    bool stop_wanted; /* while it was only asked for */
    char service[MODEL_NAME_MAX];
    char name[PROCESS_NAME_MAX];
    char address[PROCESS_ADDRESS_MAX];
    uint64_t template;
    int64_t pid;
    int signal;
    int64_t grace_us, drain_us;
    /* process_ready.c */
    bool ready_once;
    bool exec_running;
    struct probe *probe;
    int64_t gap_us;     /* until the next look, while it is starting */
    int64_t emitted_us; /* the last failure told */
    char failure[160];
    uv_timer_t timer; /* next probe, or KILL */
};

/* provision_process.c */
/* NULL = not configured, or not any more */
const struct driver_service *process_service(const struct process *p);
void process_emit(struct process *p, const struct event *e); /* service and number are filled in */
int process_tell_keeper(struct process_driver *d, const struct link_msg *m);

/* process_ready.c: looks at it until it is ready, and from then on at the interval. */
void process_probe_begin(struct process *p);
void process_probe_now(struct process *p);
void process_probe_end(struct process *p);
/* The keeper says that the exec probe is over. */
void process_probe_exec_done(struct process *p, bool passed, const char *text);
#define PROCESS_EXEC_SUFFIX ".ready" /* of the exec probe's name; no instance's name ends so */

/* process_rotate.c */
int process_rotate_begin(struct process_driver *d, struct err *err);
void process_rotate_end(struct process_driver *d);
