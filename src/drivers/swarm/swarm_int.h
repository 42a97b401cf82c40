/* The swarm driver's parts and the state they share.
 *
 *   swarm_poll.c    asks: services, tasks, nodes; then each known task that is not wanted any more
 *   swarm_read.c    what the answers say
 *   swarm_tasks.c   tasks and instances: which is which, and what the core is told of it
 *   swarm_scale.c   replicas
 *   swarm_probe.c   whether an instance answers
 *   swarm_usage.c   CPU and memory of those on this node
 *
 * Swarm's tasks are the truth: each that it wants to run is an instance, whoever asked for it. A
 * start is only a number that waits for a task. */
#pragma once

#include <jansson.h>

#include "base/list.h"
#include "drivers/probe.h"
#include "drivers/swarm/swarm.h"

#define SWARM_ID_MAX 40
#define SWARM_NAME_MAX 128
#define SWARM_LOOKS_MAX 64

enum swarm_stage {
    SWARM_COMING, /* new ... starting */
    SWARM_RUNNING,
    SWARM_OVER, /* complete, failed, rejected, orphaned, ... */
};

/* A task as the API describes it. Texts are the JSON's. */
struct swarm_task {
    const char *id, *service, *node, *container;
    enum swarm_stage stage;
    bool wanted;     /* Swarm wants it to run, or will */
    bool stuck;      /* no node takes it */
    bool shut_down;  /* it ended because Swarm wanted it to; else by itself */
    const char *why; /* Swarm's words: why it ended, or does not run */
    int64_t exit_code;
    const json_t *json;
};

/* A service as the API describes it. */
struct swarm_facts {
    const char *id, *name;
    const char *created; /* RFC 3339, in UTC */
    int64_t version;
    int64_t replicas;        /* -1 = it has none: global, or a job */
    const char *update;      /* UpdateStatus.State; "" = none was */
    const char *update_text; /* Swarm's words on it */
    const json_t *spec;
};

struct swarm_driver;

struct swarm_service {
    bool used; /* in the array by slot */
    struct swarm_driver *driver;
    struct driver_service service;
    char name[SWARM_NAME_MAX]; /* Swarm's */
    char id[SWARM_ID_MAX];     /* "" = there is no such service */
    int64_t version, replicas;
    json_t *spec; /* owned */
    bool updating;
    char update[200];
    bool setting; /* replicas are being set */
    bool fewer;   /* a start was taken back that may be among the replicas already */
    bool fewer_sent;
    bool list_wanted;    /* FOUND_ALL is to be said */
    bool stirred;        /* the core has just been told that one is gone: its answer comes first */
    uint64_t blamed[16]; /* hashes of tasks that ended too soon to be seen, and were told */
    size_t blamed_next;
    char trouble[300], trouble_next[300];
    bool failed; /* setting the replicas did, for `failure` */
    char failure[200];
};

struct swarm_instance {
    struct list link;
    struct swarm_driver *driver;
    uint32_t slot, number;
    char ref[SWARM_ID_MAX]; /* the task's id; "" = waits for one */
    uint64_t ref_hash;
    bool told; /* the core knows that it runs, or comes without having been asked for */
    bool running;
    bool placeless; /* its task runs, and its address is not known yet */
    bool asked;     /* for one fewer, in its name */
    bool sent;      /* and replicas say so */
    bool leaving;
    bool seen;
    int64_t since_us; /* it waits since */
    char address[DRIVER_ADDRESS_MAX];
    char node[SWARM_ID_MAX], container[72];
    /* swarm_probe.c */
    uv_timer_t timer;
    struct probe *probe;
    int64_t gap_us;
    bool ready_once;
    char failure[160];
    int64_t failure_us, probing_us; /* the last one told; since when it is looked at */
    /* swarm_usage.c */
    struct engine_call *usage_call;
    int64_t usage_us;                        /* asked */
    double cpu_s, read_s, cpu, memory_bytes; /* -1 = unknown */
};

struct swarm_driver {
    struct driver_env env;
    const struct swarm_engine_conf *conf; /* the controller's, until the next */
    uint64_t conf_hash;
    struct engine *engine; /* NULL = nobody needs it */
    bool up;
    char down[160]; /* why it is not */
    struct prober *prober;
    struct list instances; /* struct swarm_instance */
    struct swarm_service services[MODEL_SERVICES_MAX];
    char node[SWARM_ID_MAX]; /* this engine's */
    uv_timer_t *timer;       /* the next look */
    struct engine_call *call, *events;
    struct swarm_look {
        struct swarm_driver *driver;
        struct engine_call *call;
        char ref[SWARM_ID_MAX];
    } looks[SWARM_LOOKS_MAX];
    size_t looking;
    bool again;                                   /* something happened while we looked */
    json_t *service_list, *task_list, *node_list; /* the newest answers */
    uint64_t discovered;                          /* hash of what the labels say */
    struct arena discovery;
    char mistakes[400]; /* labels that mean nothing */
    char refused[300];  /* it answers, but not what it was asked */
    char trouble[400];  /* what has been told of the Swarm as a whole; "" = nothing is wrong */
};

/* provision_swarm.c */
struct swarm_instance *swarm_add(struct swarm_driver *d, uint32_t slot, uint32_t number);
void swarm_drop(struct swarm_instance *i);
/* Whose task it is; "" = nobody's yet. */
void swarm_set_ref(struct swarm_instance *i, const char *ref);
struct swarm_instance *swarm_find_ref(const struct swarm_driver *d, const char *ref);
void swarm_emit(struct swarm_instance *i,
                const struct event *e); /* service, number are filled in */
bool swarm_may_act(const struct swarm_driver *d);
/* What is wrong with the Swarm as a whole, or that it is over, when that is news. */
void swarm_tell_trouble(struct swarm_driver *d);
/* Of what is wrong with the service now; the first of a look is kept. */
void swarm_trouble(struct swarm_service *s, const char *format, ...) _printf_(2, 3);
const struct swarm_conf *swarm_conf_of(const struct swarm_service *s); /* NULL = leaving */
enum swarm_reach swarm_reach_of(const struct swarm_service *s);

/* swarm_read.c */
void swarm_read_task(const json_t *json, struct swarm_task *ret);
/* Why the last of these tasks that failed did so, in Swarm's words; "" = none did. */
const char *swarm_read_last_failure(const json_t *tasks);
void swarm_read_service(const json_t *json, struct swarm_facts *ret);
const json_t *swarm_find_service(const json_t *list, const char *name);
/* The first port of its tasks that the service publishes on their nodes; 0 = none. */
int64_t swarm_published(const json_t *spec);
/* Does the service publish this port of its tasks on their nodes, past Swarm's balancing? */
bool swarm_publishes(const json_t *spec, int64_t port);
/* Where the task is reached; false = nowhere yet, and why (a text for people). */
bool swarm_read_address(const struct swarm_task *task, const struct swarm_conf *conf,
                        enum swarm_reach reach, const json_t *nodes, char *buf, size_t cap,
                        const char **ret_why);
/* The labels of a service, as many as fit; their texts are the JSON's. */
size_t swarm_read_labels(const json_t *service, struct swarm_label *labels, size_t cap);

/* swarm_poll.c */
void swarm_look_soon(struct swarm_driver *d);
void swarm_look_end(struct swarm_driver *d);

/* swarm_tasks.c */
/* What is known of an instance's task now. */
void swarm_note_task(struct swarm_service *s, struct swarm_instance *i,
                     const struct swarm_task *task);
void swarm_note_gone(struct swarm_service *s, struct swarm_instance *i, const char *why);
/* Tasks that are nobody's: whose start waits for one, or a new number. */
void swarm_match(struct swarm_driver *d, struct swarm_service *s);
void swarm_tell_list(struct swarm_driver *d, struct swarm_service *s);

/* swarm_scale.c */
/* How many replicas there should be, or -1 = as many as there are. */
int64_t swarm_wanted(const struct swarm_driver *d, const struct swarm_service *s);
void swarm_scale(struct swarm_driver *d, struct swarm_service *s);

/* swarm_probe.c */
void swarm_probe_begin(struct swarm_instance *i);
void swarm_probe_now(struct swarm_instance *i);
void swarm_probe_end(struct swarm_instance *i);

/* swarm_usage.c */
void swarm_usage_sample(struct swarm_driver *d, const struct source_service *service,
                        int64_t now_us, struct source_sink *sink);
