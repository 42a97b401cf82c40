/* The admin API: HTTP and JSON on a Unix socket (who may open it may do everything) and, if the
 * configuration says so, on a TCP address where looking is free and changing needs a token. It
 * shows what the backend tells and passes commands on to it; it holds no state of the system and
 * decides nothing. It runs on the caller's loop: watch admin_fd() for reading and call admin_run()
 * when it is ready or admin_timeout_ms() has passed. Not thread-safe: one owner. */
#pragma once

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/util.h"
#include "core/control.h"
#include "store/store.h"

struct admin;
struct journal_chunk;

/* Another controller, or this one, in a group that shares a lease. */
struct admin_member_facts {
    const char *name, *url;
    bool self, leads;
    int64_t age_us;      /* since it was last heard by us, who lead; -1 = never */
    bool silent;         /* ...which is too long */
    const char *trouble; /* "" = it answers */
};
#define ADMIN_MEMBERS_MAX 64

/* The lease, and who may hold it. */
struct admin_group_facts {
    const char *driver; /* "file", "etcd" */
    const char *owner;  /* whose the instances are: the cluster, or this state directory's name */
    bool held;
    uint64_t token;                                       /* 0 = the lease has none */
    const char *leader;                                   /* "" = nobody, as far as is known */
    struct admin_member_facts members[ADMIN_MEMBERS_MAX]; /* none on one machine */
    size_t member_count;
};

/* An engine that services are run by. */
struct admin_engine_facts {
    const char *name;    /* the driver's */
    bool up;             /* it answers, as far as is known */
    const char *trouble; /* "" = none */
};
#define ADMIN_ENGINES_MAX 8

/* What there is to know beside the core's views. Texts stay the backend's and are read at once;
 * NULL counts as "". */
struct admin_facts {
    const char *state_dir;
    const char *config_path;
    const char *lease;                             /* "held", "not held" */
    int64_t now_us;                                /* the core's, at this moment */
    bool stopping;                                 /* everything is being drained and stopped */
    int64_t since_wall_us;                         /* when the controller started */
    int64_t keeper_pid, controller_pid, proxy_pid; /* 0 = away */
    uint32_t proxy_connections;
    uint64_t connections_accepted, connections_refused, log_dropped; /* over all proxy lives */
    uint64_t events_total;                                           /* events the core was given */
    uint64_t config_reloads, config_reload_failures;
    uint64_t proxy_starts;
    uint64_t journal_dropped;
    const char *troubles[64]; /* a sentence each; the store's is added by admin itself */
    size_t trouble_count;
    struct admin_group_facts group;
    struct admin_engine_facts engines[ADMIN_ENGINES_MAX];
    size_t engine_count;
};

#define ADMIN_LATENCY_BUCKETS 16
/* Upper bounds in seconds, ascending; the last is +Inf. */
extern const double admin_latency_le_s[ADMIN_LATENCY_BUCKETS];
/* The first bucket whose bound is at least `us`. */
unsigned admin_latency_bucket(uint64_t us);

enum admin_error_kind { /* as gauges_error in link/gauges.h, which admin may not include */
                        ADMIN_ERROR_BAD_REQUEST,
                        ADMIN_ERROR_NO_ROUTE,
                        ADMIN_ERROR_CONNECT,
                        ADMIN_ERROR_UPSTREAM,
                        ADMIN_ERROR_TIMEOUT,
                        ADMIN_ERROR_QUEUE_FULL,
                        ADMIN_ERROR_DEADLINE,
                        ADMIN_ERROR_SHED,
                        ADMIN_ERROR_CLIENT,
                        ADMIN_ERROR_MAX,
};

/* A source that a service configures. */
struct admin_source_facts {
    const char *name, *kind;
    double value;        /* NaN = unknown */
    const char *trouble; /* "" = it answers */
    int64_t trouble_us;  /* for how long */
};
#define ADMIN_SOURCES_MAX METRIC_CUSTOM_MAX

/* What a service's instances cost and draw; NaN = it is not said what one does. Today began at
 * local midnight. */
struct admin_cost_facts {
    double per_hour, today; /* money */
    double watts, kwh_today;
    double grams_per_hour, grams_today; /* CO2 */
};

#define ADMIN_COST_UNKNOWN                                                           \
    {                                                                                \
        (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN, (double)NAN \
    }

/* Of one service. Counters are those of this machine's proxy, over all its lives: they never go
 * back, and those of several machines add up. */
struct admin_service_facts {
    const char *const *listen;
    size_t listen_count;
    uint32_t in_flight, queued, tunnels; /* in all proxies, as far as this controller knows */
    uint32_t own_in_flight, own_queued, own_tunnels; /* in this machine's proxy, as what follows */
    double rps, p50_ms, p95_ms, p99_ms;              /* NaN = unknown */
    uint64_t requests_total;
    uint64_t responses[6]; /* by class: [1] 1xx .. [5] 5xx */
    uint64_t errors[ADMIN_ERROR_MAX];
    uint64_t retries, bytes_in, bytes_out;
    uint64_t latency[ADMIN_LATENCY_BUCKETS]; /* each bucket alone, not cumulated */
    uint64_t latency_sum_us;
    uint64_t decisions, starts, start_failures, exits;
    struct admin_source_facts sources[ADMIN_SOURCES_MAX];
    size_t source_count;
    struct admin_cost_facts cost;
};

/* Of one instance. */
struct admin_instance_facts {
    int64_t pid; /* 0 = unknown */
    const char *address;
    uint32_t in_flight, own_in_flight; /* as of a service */
    double cpu, memory_bytes;          /* NaN = unknown */
};

enum admin_command_type {
    ADMIN_SCALE,   /* service, count; flag = force */
    ADMIN_AUTO,    /* service */
    ADMIN_PAUSE,   /* service */
    ADMIN_RESUME,  /* service */
    ADMIN_RESTART, /* service */
    ADMIN_DRAIN,   /* service, number */
    ADMIN_PROTECT, /* service, number; flag = on */
    ADMIN_PUSH,    /* service, metrics */
    ADMIN_BELL,    /* member, service, in_flight, queued: that member's proxy rang, or
                      it leads and its journal has something new */
    ADMIN_RELOAD,
    ADMIN_DIFF,
    ADMIN_STOP, /* flag = detach */
};

/* Service and instance exist: admin has looked them up. */
struct admin_command {
    enum admin_command_type type;
    uint32_t slot;
    const char *service;
    uint32_t number;
    int32_t count;
    bool flag;
    const json_t *metrics; /* an object: values by their sources' names, of any type */
    const char *member;
    uint32_t in_flight, queued;
};

struct admin_reply {
    unsigned status; /* 0 counts as 200 */
    json_t *body;    /* owned by the reply, so admin frees it; NULL counts as {} */
};
/* Set status and {"error": text}. */
void admin_reply_error(struct admin_reply *r, unsigned status, const char *format, ...)
    _printf_(3, 4);

/* The controller's side. All functions are set; they answer at once and never block for long. */
struct admin_backend {
    void *ctx;
    const struct control *(*control)(void *ctx);
    struct store *(*store)(void *ctx); /* may give NULL */
    void (*facts)(void *ctx, struct admin_facts *ret);
    void (*service_facts)(void *ctx, uint32_t slot, struct admin_service_facts *ret);
    void (*instance_facts)(void *ctx, uint32_t slot, uint32_t number,
                           struct admin_instance_facts *ret);
    /* Path of the instance's log, running or not; -ENOENT. -EAGAIN: what there is is not all in it
     * yet. -ENOTSUP: it is kept elsewhere, and `err` says where. Anything else: `err` says why it
     * cannot be read. */
    int (*log_path)(void *ctx, const char *service, uint32_t number, char *buf, size_t cap,
                    struct err *err);
    void (*command)(void *ctx, const struct admin_command *c, struct admin_reply *reply);
    /* What this member's proxy counts, for the one who leads; new, NULL = no memory. */
    json_t *(*gauges)(void *ctx);
    /* As journal_tail(). */
    int (*journal)(void *ctx, uint64_t segment, uint64_t offset, struct journal_chunk *ret);
    json_t *(*alerts)(void *ctx); /* {"alerts": [...], "targets": [...]}; new */
};

struct admin_options {
    const char *socket_path; /* <state>/admin.sock */
    const char *address;     /* "127.0.0.1:7575", "[::1]:7575"; NULL, "" or "off" = none */
    const char *token;       /* NULL or "" = none: TCP is for looking only */
    int64_t retry_us;        /* for a socket that the disk does not take; 0 = 5 s */
};

/* Binds both. A state directory that takes no socket (read-only, full, gone) is no failure: it is
 * tried again, and the status tells. -EADDRINUSE when somebody answers on the socket or has the
 * port, -EPERM when the address is not loopback and there is no token; always with a text. The
 * backend is copied. */
int admin_open(const struct admin_options *options, const struct admin_backend *backend,
               struct admin **ret, struct err *err);
void admin_close(struct admin *a); /* removes the socket file; NULL is fine */
/* Change the TCP side on reload; the Unix socket stays. On failure the old one goes on. */
int admin_set_address(struct admin *a, const char *address, const char *token, struct err *err);

/* One epoll descriptor, the same for the admin's whole life: readable when there is work. */
int admin_fd(const struct admin *a);
void admin_run(struct admin *a);
/* Milliseconds until admin_run() should be called at the latest; -1 = only when the fd is ready. */
int admin_timeout_ms(const struct admin *a);
