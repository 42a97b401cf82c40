/* The exec driver's parts: services and instances on one side, plugins on the other. Private to
 * exec_*.c and provision_exec.c. */
#pragma once

#include "base/list.h"
#include "base/us.h"
#include "core/model.h"
#include "drivers/driver.h"
#include "drivers/plugin/plugin.h"
#include "drivers/probe.h"

/* The section `exec`. */
struct exec_conf {
    struct schema_list command;
    struct schema_map env;
    const char *directory;
    struct schema_map config; /* what an instance is made of, in the plugin's own words */
    struct schema_map size;   /* and what can be changed while it runs */
    int64_t timeout_us;       /* of each request */
    struct exec_ready {
        const char *http;
        bool tcp;
        bool plugin;
        int64_t within_us;
        int64_t interval_us;
    } ready;
    struct exec_stop {
        int64_t grace_us;
    } stop;
};

enum exec_state {
    EXEC_ASKED,    /* to be started */
    EXEC_RUNNING,  /* it is, says the plugin; probes go on */
    EXEC_STOPPING, /* to be ended */
    EXEC_GONE,     /* ended; remembered until a list that was asked for since agrees */
    EXEC_STATE_MAX,
};

struct exec_driver {
    struct driver_env env;
    char prefix[64]; /* of our instances' names: "plimsoll-OWNER-" */
    struct prober *prober;
    struct list plugins;   /* struct exec_plugin */
    struct list instances; /* struct exec_instance */
    size_t service_count;
    struct driver_service services[MODEL_SERVICES_MAX];
    bool finding; /* somebody waits for FOUND_ALL of services that are leaving */
};

/* One for each distinct command, environment and directory. */
struct exec_plugin {
    struct list link;
    struct exec_driver *driver;
    struct plugin *plugin;
    uint64_t key;
    bool wanted;  /* a service is configured with it */
    bool listing; /* a list is open */
    bool again;   /* and another is wanted after it */
    bool down;    /* its services have been told so */
    bool finding; /* somebody waits for FOUND and FOUND_ALL */
    uint32_t asked_lists;
    int64_t timeout_us; /* of lists */
    int64_t odd_us, noted_us;
    char down_text[PLUGIN_TEXT_MAX];
    char odd_text[PLUGIN_TEXT_MAX]; /* the newest oddity; "" = none of late */
    uv_timer_t timer;
};

struct exec_instance {
    struct list link;
    struct exec_driver *driver;
    struct exec_plugin *plugin;
    enum exec_state state;
    uint32_t number;
    bool nameless;                /* nobody wants it: it is ended, and nobody is told */
    bool open;                    /* a request of it is not answered yet */
    bool stop_wanted;             /* while it is being started */
    bool listed;                  /* in the list that is being read */
    uint32_t since;               /* lists asked for before its state changed */
    char service[MODEL_NAME_MAX]; /* slots are given to others; names stay */
    char name[PLUGIN_NAME_MAX];
    char address[PLUGIN_ADDRESS_MAX];
    uint64_t template, shape;
    uint64_t asked_shape; /* of the newest resize */
    int64_t pid, grace_us, drain_us;
    /* exec_probe.c */
    bool ready_once;
    struct probe *probe;
    int64_t gap_us, emitted_us;
    char failure[PLUGIN_TEXT_MAX];
    uv_timer_t timer; /* next probe; the end of a nameless one's drain; of patience with its stop */
};

/* exec_conf.c */
extern const struct schema_section exec_section;
uint64_t exec_template(const void *conf, bool serves);
uint64_t exec_shape(const void *conf);
int64_t exec_start_within_us(const void *conf);
uint64_t exec_plugin_key(const struct exec_conf *conf);

/* exec_instance.c: one instance and what is asked for it. */
const struct driver_service *exec_service_of(const struct exec_instance *i); /* NULL = leaving */
const struct driver_service *exec_service_by_name(const struct exec_driver *d, const char *name);
/* What the core knows under that number. */
struct exec_instance *exec_find(const struct exec_driver *d, const char *service, uint32_t number);
struct exec_instance *exec_find_name(const struct exec_driver *d, const char *name);
struct exec_instance *exec_add(struct exec_plugin *p, const char *service, uint32_t number);
void exec_drop(struct exec_instance *i);
void exec_emit(struct exec_instance *i, const struct event *e); /* service, number are filled in */
void exec_move(struct exec_instance *i, enum exec_state state);
void exec_found(struct exec_instance *i);
/* Requests. Where the plugin is away they wait for its next list, which settles what is open. */
void exec_ask_start(struct exec_instance *i, const struct driver_service *s);
void exec_ask_stop(struct exec_instance *i);
void exec_ask_resize(struct exec_instance *i, const struct driver_service *s);
void exec_begin_stop(struct exec_instance *i);
/* Of one that is being started: its plugin may never say what became of that. */
void exec_stop_later(struct exec_instance *i);
void exec_started(struct exec_instance *i, const struct plugin_instance *what);
void exec_start_failed(struct exec_instance *i, const char *text);
/* It may run, and is of no use: the start has failed, and it is ended. */
void exec_start_spoilt(struct exec_instance *i, const char *text);
void exec_ended(struct exec_instance *i, const struct plugin_said *event, const char *text);
bool exec_may_act(const struct exec_driver *d);

/* exec_plugin.c: plugins as services see them, and their lists. */
struct exec_plugin *exec_plugin_of(struct exec_driver *d, const struct exec_conf *conf);
void exec_plugin_free(struct exec_plugin *p);
/* Those that nobody wants and that have no instance are ended. */
void exec_plugin_sweep(struct exec_driver *d);
void exec_plugin_list(struct exec_plugin *p);
/* Another controller decides now. */
void exec_plugin_rest(struct exec_plugin *p);
/* It may have been lost: noted, and a list settles it. */
void exec_plugin_odd(struct exec_plugin *p, const char *text);
/* Says to a service's core that the plugin is down, if it is. */
void exec_plugin_tell(struct exec_plugin *p, const struct driver_service *s);
const struct exec_conf *exec_conf_of(const struct driver_service *s); /* NULL = leaving */

/* exec_list.c: what the plugin says runs, against what is known. */
void exec_list_take(struct exec_plugin *p, const struct plugin_said *said, uint32_t list);
void exec_list_found_all(struct exec_driver *d);
void exec_list_event(struct exec_plugin *p, const struct plugin_said *said);

/* exec_probe.c: looks at it until it is ready, and from then on at the interval. */
void exec_probe_begin(struct exec_instance *i);
void exec_probe_now(struct exec_instance *i);
void exec_probe_end(struct exec_instance *i);
void exec_probe_told(struct exec_instance *i, bool passed, const char *text);
