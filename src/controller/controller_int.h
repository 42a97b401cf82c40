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
#include "controller/members.h"
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
    char ref[DRIVER_REF_MAX];           /* what the engine calls it; "" = as we do */
    const struct provision_ops *driver; /* whose it is; NULL = not known */
    double cpu;                         /* newest samples, for people; -1 = unknown */
    double memory_bytes;
};

struct fleet {
    struct fleet_instance *items;
    size_t cap;
    uint64_t keys[GAUGES_INSTANCES_MAX]; /* of items: service and number; 0 = free */
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

/* Where a controller is. Nothing is decided before it leads, and before the engine has said what
 * runs. */
enum controller_phase {
    PHASE_STANDBY, /* without the lease: serves what is known and follows whoever leads */
    PHASE_FINDING, /* leads; asked what runs */
    PHASE_LIVE,
    PHASE_FINISHING, /* a stop was asked for: the proxy finishes what it has */
    PHASE_STOPPING,  /* the core drains and stops the instances */
    PHASE_DONE,
    PHASE_MAX,
};

/* The lease, and the group as it shows it. */
struct leadership {
    const struct lease_ops *ops;
    void *self;              /* NULL = not yet open */
    struct lease_conf *conf; /* a copy: the lease outlives configurations */
    struct arena arena;      /* conf's */
    char owner[41], member[LEASE_NAME_MAX], url[LEASE_URL_MAX];
    bool held;
    uint64_t token;
    char why[160];              /* the lease was lost for; "" = it was not */
    char trouble[256];          /* of the lease; "" = all is well */
    struct lease_member leader; /* name "" = nobody, as far as is known */
    struct lease_member members[LEASE_MEMBERS_MAX];
    size_t member_count;
    bool leaving, resigned; /* a stop: the lease is given back, or was */
};

struct follow;

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
    int64_t clock_offset_us; /* the core's time is the monotonic clock plus this */
    struct leadership lead;
    struct follow *follow;
    struct alerts *alerts;
    int64_t recovered_us, recovered_wall_us; /* of the newest event in the journal that was found */
    char admin_token[512];                   /* "" = none */
    bool knows_pool;  /* as it is, or was a moment ago: fit to be published */
    bool followed;    /* the core is what the leader's journal says */
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
    uint32_t number_top[MODEL_SERVICES_MAX]; /* the highest that number_of() has given */
    struct queued_event *events;             /* a ring */
    size_t event_head, event_count;
    struct action *actions;
    bool pumping;

    void *provisioners[CONTROLLER_PROVISIONERS_MAX]; /* as provision_all */
    void *sources[CONTROLLER_SOURCES_MAX];
    struct feeds *feeds;
    struct driver_env env, feed_env;   /* feed_env: of the sources that services configure */
    bool unlisted[MODEL_SERVICES_MAX]; /* while FINDING: not yet said what runs of it */
    struct fleet fleet;
    struct sample *samples;
    uint32_t history_next; /* slot whose past the rules have not been told; none = SERVICES_MAX */

    struct store *store;
    struct journal *journal;
    struct admin *admin;
    uv_poll_t *admin_watch;
    uv_timer_t admin_timer, tick_timer, wake_timer, finish_timer, stop_timer, bell_timer,
        finding_timer;
    bool detach; /* the stop that was asked for leaves proxy and instances running */
    uv_prepare_t prepare;
    int64_t started_wall_us;
    bool recovered;
    bool all_stopped;
    /* Numbers of each service as last configured, by slot: what leaves keeps them until it has
     * gone. Texts and lists in here may be dangling; only numbers are read. */
    struct config_service limits[MODEL_SERVICES_MAX];
    /* What the core has been given; NULL = none yet. Of a standby it is the leader's, and lies in
     * an arena of its own (or the player's). */
    const struct config *core_config;
    struct arena core_arena;
    uint32_t stop_asked; /* by a signal, not yet acted on while FINDING */
    bool reload_asked;
    char listen_error[256];     /* of the newest LISTEN that failed */
    char admin_trouble[256];    /* the admin address cannot be had; "" = it can, or is off */
    char config_trouble[256];   /* the newest reload that failed; "" = none */
    char own_file_trouble[320]; /* of a standby: it is not what the leader has; "" = it is */
    struct totals totals;
    struct spending spending;
    struct discovery *discovery; /* discovery.c's; NULL = nothing was discovered yet */
    struct members *members;     /* members.c's; NULL = not open yet */
    /* What drivers have said is wrong, of each service, and the last of none of them; "" = nothing.
     */
    char driver_trouble[MODEL_SERVICES_MAX + 1][200];
};

/* watch.c: descriptors on the loop. */
uv_poll_t *watch_open(struct controller *c, int fd, uv_poll_cb ready);
void watch_close(uv_poll_t **watch); /* *watch may be NULL; the descriptor stays the caller's */

/* step.c: events in, actions out. */
void controller_emit(struct controller *c, const struct event *e);
void controller_pump(struct controller *c);

/* core_time.c: the core's time is monotonic over reboots and other machines' journals. */
int64_t controller_now(const struct controller *c);
/* From now on it goes on from `now_us`, which was the time when the wall clock showed `wall_us`, in
 * the boot that `clock` names. */
void core_time_resume(struct controller *c, const struct journal_clock *clock, int64_t now_us,
                      int64_t wall_us);
/* It is `now_us` at this moment. */
void core_time_set(struct controller *c, int64_t now_us);

/* notes.c: what people are told of events. Into the store's events, and the log. `service` and
 * `instance` may be "". */
void controller_note(struct controller *c, enum store_event_kind kind, const char *service,
                     const char *instance, const char *format, ...) _printf_(5, 6);
/* A trouble of a service, or that it is over. `ctx` is the controller. */
void controller_note_trouble(void *ctx, uint32_t slot, bool trouble, const char *text);
/* The same, kept for the status (driver_notes.c). */
void controller_note_driver(void *ctx, uint32_t slot, bool trouble, const char *text);
/* Before the core has taken the event; of an instance's probe after it, when it was in `before`. */
void controller_note_event(struct controller *c, const struct event *e);
void controller_note_health(struct controller *c, const struct event *e,
                            enum instance_state before);
void controller_note_draining(struct controller *c, uint32_t slot, uint32_t number);
enum instance_state controller_state_of(const struct controller *c, const struct event *e);

/* actions.c */
void controller_keep_decision(struct controller *c, const struct decision *d); /* in the store */
void controller_act(struct controller *c, const struct action *a);
int controller_provisioner(const struct controller *c, uint32_t slot); /* index or -1 */
const struct config_service *controller_service(const struct controller *c, uint32_t slot);

/* leader.c: the lease, and what follows from having it. */
/* Before drivers are opened: which lease, who this machine is, who owns what is started. */
int leader_configure(struct controller *c, const struct config *config, struct err *err);
int leader_open(struct controller *c, struct err *err);
void leader_close(struct controller *c);
bool leader_may_act(void *ctx);
int64_t leader_left_us(void *ctx);
uint64_t leader_token(void *ctx);
/* Gives the lease back, and goes on with controller_stop_next(). */
void leader_resign(struct controller *c);
/* The lease is one that others may hold. */
bool leader_in_group(const struct controller *c);
/* 0, or -EINVAL: a reload would change the lease. */
int leader_check_reload(const struct controller *c, const struct config *config, struct err *err);
/* Who leads, as far as can be known; "" = nobody, or nobody can know. */
const char *leader_name(const struct controller *c);
/* A member has refused our admin token: what to look at. */
void leader_explain_refusal(const struct controller *c, char *ret, size_t cap);
/* Commands that change something are the leader's. 0, or -EAGAIN with a text that says who leads.
 */
int controller_may_change(const struct controller *c, struct err *err);

/* owner.c: `cluster`, or else the name in <state>/owner, which is made when there is none. */
int owner_choose(const struct controller *c, const char *cluster, char *ret, size_t cap,
                 struct err *err);

/* numbers.c: driver_env.number_of */
uint32_t controller_number_of(void *ctx, uint32_t slot, const char *ref);

/* follow.c: a standby's core, store and proxy become what the leader's journal says. */
void follow_leader(struct controller *c); /* whoever that is now; nobody is fine */
/* `leader` says that it has something new. False: that is not who is followed. */
bool follow_now(struct controller *c, const char *leader);
void follow_end(struct controller *c); /* what was learnt is the controller's own */
void follow_close(struct controller *c);
/* The core is at a moment of the past, with the pool of then. */
bool follow_is_catching_up(const struct controller *c);
/* A sentence for status while the leader cannot be followed, else "". */
const char *follow_trouble(const struct controller *c);
/* The one who is followed has lost the lease, as its journal says. */
bool follow_is_in_vain(const struct controller *c);
/* Of the one who was followed last: "NAME, which ...". "" = there was none. */
void follow_say_last(const struct controller *c, char *ret, size_t cap);

/* own_file.c: this machine's file beside what the core has been given. */
bool own_file_is_cores(const struct controller *c);
/* Of a standby: tells, once, when they have come to differ or agree. */
void own_file_compare(struct controller *c);

/* recover.c: the core's state and the running configuration from the journal. Returns 1 when there
 * was one, 0 when not. */
int controller_recover(struct controller *c);
void controller_rotate_journal(struct controller *c, bool afresh);
/* The config as the journal keeps it. */
struct config_hashes {
    uint64_t templates[MODEL_SERVICES_MAX], shapes[MODEL_SERVICES_MAX];
};
struct journal_config controller_journal_config(const struct config *config,
                                                struct config_hashes *hashes);

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
void controller_drop_arena(struct arena *a); /* if there is one */
/* Fit for a group, if the lease is one that machines share: 0 or -EINVAL. */
int controller_check_group(const struct config *config, struct err *err);
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
/* Where an instance is: found or added. NULL = no room. */
struct fleet_instance *fleet_place(struct fleet *f, const struct journal_place *p);
/* What an event says of it; true = there is such an instance. */
bool fleet_take_event(struct fleet *f, const struct event *e);
/* These and no others. */
void fleet_take_places(struct fleet *f, const struct journal_place *places, size_t count,
                       uint64_t generation);
/* malloc'd; the texts are the fleet's. NULL = none, or no memory. */
struct journal_place *fleet_places(const struct fleet *f, size_t *ret_count);
/* What the core has given up leaves the fleet, and its place in the gauges becomes free. */
void fleet_drop_gone(struct fleet *f, const struct control *control, uint32_t slot,
                     uint64_t generation);
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

/* phase.c: from standing by to having stopped everything. */
bool controller_leads(const struct controller *c); /* events reach the core */
bool controller_may_publish(const struct controller *c);
void controller_take_lead(struct controller *c);
void controller_lose_lead(struct controller *c);
/* A service is listed, or its engine cannot say: -1 = all of them. */
void controller_phase_found(struct controller *c, int32_t slot);
void controller_signals(struct controller *c); /* what a signal asked for, once live */
void controller_stop(struct controller *c);
void controller_stop_next(struct controller *c);
void controller_detach(struct controller *c);

/* facts.c: as admin_backend's; `ctx` is the controller. */
void controller_facts(void *ctx, struct admin_facts *f);
void controller_service_facts(void *ctx, uint32_t slot, struct admin_service_facts *f);
void controller_instance_facts(void *ctx, uint32_t slot, uint32_t number,
                               struct admin_instance_facts *f);

/* backend.c: what admin may see and do. */
const struct admin_backend *controller_backend(struct controller *c);

/* Samples that became an event: into the store, and remembered for people. */
void sampling_keep(struct controller *c, const struct event *e);
/* Does a rule of the service look at its instances' CPU or memory? */
bool controller_wants_usage(const struct service_conf *conf);
