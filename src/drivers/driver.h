/* Drivers: the code that talks to one outside thing. A provisioner starts and stops instances, a
 * source collects samples of every service, a feed is a source that a service configures (feed.h).
 * Each is a const table; drivers.c lists them. All of it runs on the controller's loop and never
 * blocks; answers arrive as events through driver_env.emit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "config/schema.h"
#include "core/event.h"
#include "link/gauges.h"
#include "link/msg.h"

#define DRIVER_ADDRESS_MAX 128 /* as snapshot_instance.address */
#define DRIVER_REF_MAX 80      /* what an engine calls an instance */

/* What the controller offers to drivers. */
struct driver_env {
    uv_loop_t *loop;
    const char *state_dir;
    const char *identity; /* of the state directory: prefix of tokens */
    /* Who the things in an engine belong to: the name of the cluster, or one of the state
     * directory's own. 1 to 40 of a-z, 0-9 and "-"; the same for every controller that may lead. It
     * goes into names and labels there, and what has another one is somebody else's. */
    const char *owner;
    void *ctx;
    /* A completion or a finding. Times are filled in by the controller. Never calls back into the
     * driver. Of an instance (STARTED, FOUND) `address` and `ref` go along. */
    void (*emit)(void *ctx, const struct event *e);
    /* Is the lease proven to be ours at this very moment? To be asked last before anything is
     * changed in an engine, at the point from which the request can no longer be held back. False:
     * it is dropped without a word, for another controller decides now. */
    bool (*may_act)(void *ctx);
    /* Where may_act() says yes: for how long that is proven already, US_NEVER = for ever. For what
     * can lie in a queue after it was sent. NULL = for ever. */
    int64_t (*left_us)(void *ctx);
    /* The lease's fencing token: larger for each leader. Goes along with what is changed, where an
     * engine can keep it. */
    uint64_t (*token)(void *ctx);
    /* For engines that name instances themselves: the number under which the one with this `ref` is
     * known, or a new one that nobody has or had. Remembered with its FOUND or STARTED. */
    uint32_t (*number_of)(void *ctx, uint32_t slot, const char *ref);
    /* What `discover` would say has changed. */
    void (*discovered)(void *ctx);
    /* To the keeper: 0 or -errno. */
    int (*keeper)(void *ctx, const struct link_msg *m);
    /* Something a person should know of a service: a trouble, or that it is over. */
    void (*note)(void *ctx, uint32_t slot, bool trouble, const char *text);
};

/* Active probe: how a service's instances are asked whether they are well. */
struct driver_probe {
    int kind; /* enum config_probe; CONFIG_PROBE_NONE = the driver's own readiness */
    const char *path;
    int64_t interval_us, timeout_us;
};

/* One service of a provisioner. Lives until the next set_services().
 *
 * Without `conf` it is leaving: the configuration does not know it any more, but the core still
 * drains what is left of it. Its instances are found and probed like others', nothing is started,
 * and a stop is done as the instance was promised when it was started. */
struct driver_service {
    uint32_t slot;
    const char *name;
    const void *conf; /* of the driver's section; NULL = leaving */
    uint64_t template;
    bool serves;      /* its instances must be reached: it has a listener, or a probe */
    int64_t drain_us; /* what its requests get to end in */
    bool wants_usage; /* a rule looks at cpu or memory; else they are for people, now and then */
    struct driver_probe probe;
};

struct source_service;
struct source_sink;

/* A service that an engine describes, as it would stand under `services` in the file. What is wrong
 * with it is told with the place that the driver gives each line, and the rest goes on without it.
 */
struct driver_discovery {
    const char *name;
    const char *text; /* YAML, indented by two: "  shop:\n    listen: ..." */
    /* Where the n-th line of `text` comes from, for people: "label plimsoll.min of service shop";
     * the lines' number is line_count. */
    const char *const *places;
    size_t line_count;
};

enum provision_caps {
    PROVISION_CAN_DRAIN = BIT(0),
    PROVISION_CAN_RESIZE = BIT(1),
    PROVISION_CAN_CHOOSE_VICTIM = BIT(2),
};

struct provision_ops {
    const char *name; /* "process" */
    unsigned caps;
    const struct schema_section *section; /* "run" */
    /* At the top of the file: how the engine is reached. NULL = nothing to say. It is told before
     * the services, at first and whenever it has changed; `conf` lives until the next. */
    const struct schema_section *engine;
    void (*set_engine)(void *self, const void *conf);
    /* Hash of everything in the section that an instance is made of. */
    uint64_t (*template)(const void *conf, bool serves);
    /* Hash of what can be changed while it runs (PROVISION_CAN_RESIZE), which is not in the
     * template; NULL = nothing can. */
    uint64_t (*shape)(const void *conf);
    /* Most time from START to ready, and other facts that core wants from the section. */
    int64_t (*start_within_us)(const void *conf);
    /* Most time from START to STARTED where that is the engine's own: it pulls images, and others
     * wait there before it. 0 = it is a part of the other. */
    int64_t launch_within_us;
    int (*open)(const struct driver_env *env, void **ret, struct err *err);
    /* The services it is responsible for from now on (after each config, and after one is
     * forgotten): those of the configuration, and those that are leaving. Instances of services
     * that are gone stay known until they have exited. */
    void (*set_services)(void *self, const struct driver_service *services, size_t count);
    /* Start an instance: STARTED (with address) or START_FAILED follows, then PROBE events for as
     * long as it lives: quick ones until the first passes, then every interval. EXITED ends it. */
    void (*start)(void *self, const struct driver_service *service, uint32_t number);
    /* End it: TERM, grace, KILL. EXITED follows. Twice is harmless. Without
     * PROVISION_CAN_CHOOSE_VICTIM it means: one fewer; the engine's choice is told with LEAVING as
     * soon as it is known, and with EXITED. */
    void (*stop)(void *self, uint32_t slot, uint32_t number);
    /* Give it the shape of the service as configured now: RESIZED follows. NULL as in `caps`. */
    void (*resize)(void *self, const struct driver_service *service, uint32_t number);
    /* Say what runs: FOUND for each instance, then FOUND_ALL for each service, leaving ones too.
     * What belongs to none of them is ended after the drain it was started with. */
    void (*list)(void *self);
    /* Probe it now (the proxy complained). */
    void (*probe)(void *self, uint32_t slot, uint32_t number);
    /* CPU and memory of instances, as the engine knows them. NULL = they have a pid here, and /proc
     * says it. */
    void (*sample)(void *self, const struct source_service *service, int64_t now_us,
                   struct source_sink *sink);
    /* Somebody reads STATE/log/NAME.log: what the engine keeps of the instance's output goes there,
     * and goes on for some minutes. 0 = what there is is there; -EAGAIN = it is on its way: ask
     * again soon; else `err` says why none of it comes. NULL = it is written there anyway. */
    int (*follow_log)(void *self, uint32_t slot, uint32_t number, struct err *err);
    /* The services that the engine itself describes (labels), as they stand. NULL = none. */
    size_t (*discover)(void *self, struct driver_discovery *items, size_t cap);
    /* The keeper said something; true = it was for this driver. NULL = not interested. */
    bool (*keeper_msg)(void *self, const struct link_msg *m);
    void (*close)(void *self);
};

/* An instance as sources see it. */
struct source_instance {
    uint32_t number;
    int64_t pid;    /* 0 = unknown */
    uint32_t gauge; /* slot in gauges.instance; UINT32_MAX = none */
    bool ready;
};

struct source_service {
    uint32_t slot;
    const struct source_instance *instances;
    size_t instance_count;
};

struct source_sink {
    struct sample *samples;
    size_t cap, count;
};

struct source_ops {
    const char *name;
    int (*open)(const struct driver_env *env, void **ret, struct err *err);
    /* The proxy's gauges; NULL = the proxy is away. A new pointer is a new proxy life. */
    void (*set_gauges)(void *self, struct gauges *g);
    /* Add what is known of the service at `now_us`; add nothing where a value is unknown (law 1).
     */
    void (*sample)(void *self, const struct source_service *service, int64_t now_us,
                   struct source_sink *sink);
    void (*close)(void *self);
};

struct feed_ops; /* feed.h */

extern const struct provision_ops *const provision_all[]; /* NULL-terminated */
extern const struct source_ops *const source_all[];
extern const struct feed_ops *const feed_all[];
extern const struct provision_ops provision_process, provision_docker, provision_swarm,
    provision_exec;
extern const struct source_ops source_proxy, source_proc;
extern const struct feed_ops source_prometheus, source_http, source_redis, source_postgres,
    source_exec, source_push;

static inline void source_add(struct source_sink *s, enum metric m, uint32_t number, double value)
{
    if (s->count < s->cap)
        s->samples[s->count++] = (struct sample){ .metric = m, .number = number, .value = value };
}
