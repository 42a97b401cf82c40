/* The controller's parts and the state they share. Everything here runs on one libuv loop, on one
 * thread; the order of things is: something happens -> an event is queued -> controller_pump()
 * writes it to the journal, steps the core and carries the actions out. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "admin/admin.h"
#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "config/config.h"
#include "controller/controller.h"
#include "core/control.h"
#include "drivers/lease/lease.h"
#include "drivers/source/feed.h"
#include "link/gauges.h"
#include "link/msg.h"
#include "store/journal.h"
#include "store/store.h"

#define CONTROLLER_EVENTS_MAX 4096
#define CONTROLLER_SOURCES_MAX 8
#define CONTROLLER_PROVISIONERS_MAX 8
#define CONTROLLER_FEEDS_MAX 16
/* What the rules of all services may remember beyond their few words each: 16 MiB. A forecast keeps
 * two weeks of minutes; what is not used is never touched, and so never there. */
#define CONTROLLER_WORDS (16u * 1024 * 1024 / 8)
#define CONTROLLER_SAMPLES_MAX 8192
#define CONTROLLER_ACTIONS_MAX 1024

/* What is known of an instance beyond the core: the engine's and the proxy's side of it. */
struct fleet_instance {
    uint32_t service; /* slot */
    uint32_t number;  /* 0 = free */
    int64_t pid;
    uint32_t gauge; /* slot in the gauges; UINT32_MAX = none left */
    char address[DRIVER_ADDRESS_MAX];
    char ref[DRIVER_REF_MAX]; /* what the engine calls it; "" = as we do */
    double cpu; /* newest samples, for people; -1 = unknown */
    double memory_bytes;
};

struct fleet {
    struct fleet_instance *items;
    size_t cap;
    uint64_t gauge_used[GAUGES_INSTANCES_MAX / 64];
    uint32_t gauge_next; /* slots are given out in a circle, so that none is used again soon */
    struct fleet_retired {
        uint64_t generation; /* free again when the proxy has applied this snapshot */
        uint32_t gauge;
    } retired[GAUGES_INSTANCES_MAX];
    size_t retired_count;
};

struct queued_event {
    struct event event; /* its texts lie beside it */
    char address[DRIVER_ADDRESS_MAX];
    char ref[DRIVER_REF_MAX];
};

/* Where a start-up is: nothing is decided before the engine has said what runs. */
enum controller_phase {
    PHASE_FINDING, /* asked what runs */
    PHASE_LIVE,
    PHASE_FINISHING, /* a stop was asked for: the proxy finishes what it has */
    PHASE_STOPPING,  /* the core drains and stops the instances */
    PHASE_DONE,
};

struct link_peer {
    int fd; /* -1 = not there */
    uv_poll_t *watch;
    int64_t pid;
};

/* What the gauges of proxies that are gone counted: metrics never go back. */
struct totals_service {
    uint64_t requests, responses[6], errors[GAUGES_ERROR_MAX], retries, bytes_in, bytes_out;
    uint64_t latency[GAUGES_BUCKETS], latency_sum_us;
    uint64_t decisions, starts, start_failures, exits;
    double rps, p50_ms, p95_ms, p99_ms; /* newest samples; NaN = unknown */
};

struct totals {
    struct totals_service service[MODEL_SERVICES_MAX];
    uint64_t accepted, refused, log_dropped;
    uint64_t events, reloads, reload_failures, proxy_starts;
};

/* What the instances of each service cost and draw, and have cost and drawn today. */
struct spending {
    int64_t at_us;         /* until when it is summed; 0 = not begun */
    int64_t began_wall_us; /* what was before is the store's to tell */
    int64_t day_wall_us;   /* local midnight */
    uint32_t restored;     /* services whose sums before that have been read */
    struct spending_service {
        bool known[3]; /* of the kinds of rates: money, watts, grams of CO2 */
        double rate[3];
        double today[3];
    } service[MODEL_SERVICES_MAX];
};

struct controller {
    const struct controller_options *options;
    uv_loop_t loop;
    enum controller_phase phase;
    int exit_status;
    char identity[64];
    bool first_start; /* of the keeper: the configuration file is read afresh */

    struct link_peer keeper, proxy;
    struct gauges *gauges; /* mapped; NULL = none */
    int doorbell_fd;
    uv_poll_t *doorbell_watch;
    uint64_t generation;                     /* of the newest snapshot sent */
    int64_t answered_us[MODEL_SERVICES_MAX]; /* the newest doorbell of each service */
    bool publish;                            /* the pool changed since then */
    bool proxy_idle;
    int access_log_fd;

    struct config *config;
    struct arena config_arena;
    struct control *control;
    void *control_memory;
    struct queued_event *events; /* a ring */
    size_t event_head, event_count;
    struct action *actions;
    bool pumping;

    void *provisioners[CONTROLLER_PROVISIONERS_MAX]; /* as provision_all */
    void *sources[CONTROLLER_SOURCES_MAX];
    struct feeds *feeds;
    struct driver_env env;
    size_t finding; /* services not yet listed */
    struct fleet fleet;
    struct sample *samples;
    uint32_t history_next; /* slot whose past the rules have not been told; none = SERVICES_MAX */

    struct store *store;
    struct journal *journal;
    struct admin *admin;
    uv_poll_t *admin_watch;
    uv_timer_t admin_timer, tick_timer, wake_timer, finish_timer, stop_timer, bell_timer;
    bool detach; /* the stop that was asked for leaves proxy and instances running */
    uv_prepare_t prepare;
    int64_t started_wall_us;
    bool recovered;
    bool all_stopped;
    /* Numbers of each service as last configured, by slot: what leaves keeps them until it has
     * gone. Texts and lists in here may be dangling; only numbers are read. */
    struct config_service limits[MODEL_SERVICES_MAX];
    const struct config *core_config; /* what the core has been given; NULL = none yet */
    uint32_t stop_asked;              /* by a signal, not yet acted on while FINDING */
    bool reload_asked;
    char listen_error[256];   /* of the newest LISTEN that failed */
    char admin_trouble[256];  /* the admin address cannot be had; "" = it can, or is off */
    char config_trouble[256]; /* the newest reload that failed; "" = none */
    struct totals totals;
    struct spending spending;
    struct members *members; /* members.c's; NULL = not open yet */
};

/* watch.c: descriptors on the loop. */
uv_poll_t *watch_open(struct controller *c, int fd, uv_poll_cb ready);
void watch_close(uv_poll_t **watch); /* *watch may be NULL; the descriptor stays the caller's */

/* step.c: events in, actions out. */
void controller_emit(struct controller *c, const struct event *e);
void controller_pump(struct controller *c);
/* Into the store's events, and the log. `service` and `instance` may be "". */
void controller_note(struct controller *c, enum store_event_kind kind, const char *service,
                     const char *instance, const char *format, ...) _printf_(5, 6);
/* A trouble of a service, or that it is over. `ctx` is the controller. */
void controller_note_trouble(void *ctx, uint32_t slot, bool trouble, const char *text);

/* actions.c */
void controller_act(struct controller *c, const struct action *a);
int controller_provisioner(const struct controller *c, uint32_t slot); /* index or -1 */
const struct config_service *controller_service(const struct controller *c, uint32_t slot);

/* recover.c: the core's state and the running configuration from the journal. Returns 1 when there
 * was one, 0 when not. */
int controller_recover(struct controller *c);
void controller_rotate_journal(struct controller *c);
/* The config as the journal keeps it; `templates` has room for MODEL_SERVICES_MAX. */
struct journal_config controller_journal_config(const struct config *config, uint64_t *templates);

/* totals.c */
void totals_fold(struct totals *t, const struct gauges *g);
/* The slot belongs to another service from now on: its counters begin at 0. `g` may be NULL. */
void totals_forget(struct totals *t, const struct gauges *g, uint32_t slot);
/* Folded + what the living proxy counted (`g` may be NULL). */
void totals_read(const struct totals *t, const struct gauges *g, uint32_t slot,
                 struct totals_service *ret);

/* apply.c: a configuration becomes the one that runs. */
int controller_reload(struct controller *c, struct str *changes, struct err *errors, size_t cap,
                      size_t *ret_error_count);
int controller_diff(struct controller *c, struct str *changes, struct err *errors, size_t cap,
                    size_t *ret_error_count);
/* Takes over `arena` and `config` on success. -EADDRINUSE and the like: nothing has changed. */
int controller_apply(struct controller *c, struct arena *arena, struct config *config,
                     struct err *err);
/* The admin API's TCP side as the configuration says; a failure is a trouble that status shows. */
int controller_set_admin(struct controller *c, struct err *err);
/* What only the controller knows of a configuration: templates and limits that drivers compute. */
void controller_complete_config(struct config *config);
/* Its instances must be reached from outside: by the proxy, or by a probe. */
bool controller_serves(const struct config_service *s);
bool controller_listens(const struct config *config, const char *address); /* config may be NULL */
/* Drivers learn which services are theirs. */
void controller_tell_drivers(struct controller *c);

/* keeper_link.c */
int keeper_link_open(struct controller *c, struct err *err);
int keeper_link_send(void *ctx, const struct link_msg *m);
/* Asks for a listening address and waits for the answer (the keeper answers at once). */
int keeper_link_listen(struct controller *c, const char *address, struct err *err);
/* One loop per core unless configured, as a user without rights. */
int keeper_link_start_proxy(struct controller *c, struct err *err);
void keeper_link_exit(struct controller *c, int status, bool detach, const char *reason);

/* proxy_link.c */
void proxy_link_attach(struct controller *c, int fd, int64_t pid);
void proxy_link_publish(struct controller *c);
void proxy_link_send_log(struct controller *c);
/* Answers the doorbells whose bits are set; also those that rang while nobody was there. */
void proxy_link_answer(struct controller *c);
void proxy_link_set_mark(struct controller *c, uint32_t slot);

/* publish.c: config + core + fleet -> snapshot, as a sealed memfd. -1 on failure. */
int publish_snapshot(struct controller *c, uint64_t generation);

/* fleet.c */
struct fleet_instance *fleet_find(struct fleet *f, uint32_t service, uint32_t number);
struct fleet_instance *fleet_add(struct fleet *f, uint32_t service, uint32_t number);
void fleet_remove(struct fleet *f, struct fleet_instance *i, uint64_t generation);
void fleet_applied(struct fleet *f, uint64_t generation);
/* A proxy that was there before us knows the instances by these slots. */
void fleet_take_gauges(struct fleet *f, const struct gauges *g);

/* spending.c */
void spending_tick(struct controller *c);
void spending_view(const struct spending *s, uint32_t slot, struct admin_cost_facts *ret);

/* sampling.c */
void sampling_tick(struct controller *c);

/* sources.c: the sources that services configure. */
void controller_tell_feeds(struct controller *c);
int controller_push_metrics(struct controller *c, uint32_t slot, const json_t *values,
                            struct err *err);

/* history.c: rules that learn are told what the store remembers, after each new configuration. */
void history_begin(struct controller *c);
void history_tick(struct controller *c);

/* access_log.c */
void controller_open_access_log(struct controller *c);
void controller_rotate_access_log(struct controller *c);

/* A service as its driver sees it; without conf when it has left the configuration and only ends
 * what it has. False when the core does not know it. */
bool controller_driver_service(struct controller *c, uint32_t slot, struct driver_service *ret);

/* phase.c: from asking what runs to having stopped everything. */
void controller_phase_found(struct controller *c); /* one more service is listed */
void controller_signals(struct controller *c);     /* what a signal asked for, once live */
void controller_stop(struct controller *c);
void controller_stop_next(struct controller *c);
void controller_detach(struct controller *c);

/* backend.c: what admin may see and do. */
const struct admin_backend *controller_backend(struct controller *c);

/* members.c: the other controllers of the group, each with a proxy in front of the same pool. All
 * of it also does when we are alone, and then costs nothing. */
int members_open(struct controller *c, struct err *err);
void members_close(struct controller *c);
/* Who is there and who leads, whenever the lease driver says so; `leader` NULL = nobody. */
void members_set(struct controller *c, const struct lease_member *leader,
                 const struct lease_member *items, size_t count);
/* Once a second: whoever leads asks the others what their proxies count. */
void members_tick(struct controller *c);
/* Adds what the others have of a service at the moment, as far as it is known. */
void members_demand(struct controller *c, uint32_t slot, uint32_t *in_flight, uint32_t *queued);
/* ...and of one instance. */
uint32_t members_instance_demand(struct controller *c, uint32_t slot, uint32_t number);
/* When our own proxy is to ring, so that together all notice when demand passes the core's mark. */
uint32_t members_mark(struct controller *c, uint32_t slot, uint32_t mark);
/* Our proxy rang, and another one decides: it is told. */
void members_ring(struct controller *c, uint32_t slot);
/* Our proxy has nothing in flight on the instance any more. True: nobody else's has either, and it
 * is for us to say so; false: EVENT_DRAINED follows when they have, or another one sends it. */
bool members_drained(struct controller *c, uint32_t slot, uint32_t number);
/* What our proxy counts, for the one who leads; what another member's rang with. */
json_t *members_report(struct controller *c);
void members_rung(struct controller *c, const struct admin_command *bell,
                  struct admin_reply *reply);
/* For status. */
void members_facts(struct controller *c, struct admin_facts *f);

/* usage.c: does a rule of the service look at its instances' CPU or memory? */
bool controller_wants_usage(const struct service_conf *conf);
