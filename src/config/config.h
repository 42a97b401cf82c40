/* A configuration: YAML text in, plain data out, or the first errors with line and column.
 * Everything it holds lies in one arena and goes with it. Pure but for reading the time zone files.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "config/schema.h"
#include "core/model.h"

#define CONFIG_TEXT_MAX ((size_t)4 * 1024 * 1024)

enum config_protocol { CONFIG_HTTP, CONFIG_TCP };
enum config_probe { CONFIG_PROBE_NONE, CONFIG_PROBE_HTTP, CONFIG_PROBE_TCP };

/* The sections that others bring, by where they stand. Each list is NULL-terminated, or NULL. */
struct config_sections {
    const struct schema_section *const *provisioners; /* services.NAME: one of them */
    const struct schema_section *const *sources;      /* services.NAME.sources.NAME: one of them */
    const struct schema_section *const *tops;         /* at the top of the file: any of them */
    bool recorded; /* the text is a journal's: it was taken once, perhaps on another machine */
};

struct config_timeouts {
    int64_t header_us;        /* default 10 s */
    int64_t body_us;          /* 30 s */
    int64_t idle_us;          /* 60 s */
    int64_t connect_us;       /* 2 s */
    int64_t response_us;      /* 60 s */
    int64_t upstream_idle_us; /* 4 s */
};

struct config_limits {
    int64_t header_bytes; /* default 32 KiB */
    int64_t header_count; /* 100 */
    int64_t uri_bytes;    /* 8 KiB */
};

/* `health` of a service as written; goes into service_conf.health. */
struct config_health {
    bool tcp;
    int64_t fail_after;       /* default 3 */
    int64_t pass_after;       /* 2 */
    int64_t replace_after_us; /* 30 s; US_NEVER = never */
};

/* One direction of `scale.behavior`; `rates` is what follows from both vocabularies. */
struct config_direction {
    struct behavior_direction rates;
    bool stabilize_given;
    int64_t stabilization_window_s; /* HPA's words for two of the keys */
    int select_policy;
    const struct schema_node *at_most, *policies; /* read by check */
};

/* Where a metric of a service's own comes from: an entry of `sources`. A value is held until the
 * next poll is overdue: stale after every_us + timeout_us, and after 5 s at the soonest. */
struct config_source {
    const char *name;
    uint32_t line, column;               /* where it is written */
    const struct schema_section *driver; /* which of the sources' sections was used */
    void *driver_conf;                   /* of driver->size_bytes */
    int64_t every_us;                    /* default 10 s; pushed ones are to come as often */
    int64_t timeout_us;                  /* default 5 s, at most every_us */
    bool global;                         /* METRIC_GLOBAL: it is not a sum over the instances */
    uint32_t metric; /* METRIC_CUSTOM + n; service_conf.metrics[n] has its name */
};

/* `scale` of a service as written; goes into service_conf. */
struct config_scale {
    int mode;          /* enum service_mode */
    int64_t min;       /* default 1 */
    int64_t max;       /* the number of cores, at least min */
    int64_t initial;   /* -1 = not written */
    int64_t surge;     /* 1 */
    int64_t window_us; /* 60 s */
    struct config_direction up, down;
    const char *headroom;   /* "2" or "20%" */
    int64_t change_cost_us; /* 0 = none */
    double cost, watts;     /* 0 = unknown */
    const struct schema_node *budget, *rules;
    struct schema_list after;
};

struct config_service {
    const char *name;
    uint32_t line, column;     /* where it is written */
    struct schema_list listen; /* as written; see `listeners`. None: a worker, and the proxy never
                                  hears of it */
    uint32_t listener_count;   /* canonical: "tcp:*:8080", "tcp:127.0.0.1:80", "tcp:[::1]:80",
                                  "unix:/path" */
    const char *listeners[8];
    struct schema_list host;   /* route.host, lower case */
    const char *path;          /* route.path */
    int protocol;              /* enum config_protocol */
    const char *balance;       /* default least-conn */
    int64_t weight;            /* of its instances, 1..1000 */
    int64_t max_concurrency;   /* 0 = no limit */
    int64_t queue_length;      /* default 1000 */
    int64_t queue_deadline_us; /* 10 s */
    int64_t retry_attempts;    /* 2 */
    struct config_timeouts timeouts;
    struct config_limits limits;
    int64_t eject_failures; /* 5 */
    int64_t eject_us;       /* 10 s */
    int64_t slow_start_us;  /* 0 */
    int64_t drain_us;       /* 30 s */
    int probe;              /* health: enum config_probe; default: the driver's readiness */
    const char *probe_path;
    struct config_health health;
    int64_t probe_interval_us;           /* 1 s */
    int64_t probe_timeout_us;            /* 1 s */
    const struct schema_section *driver; /* which of the sections handed in was used: "run", ... */
    struct config_scale scale_written;
    void *driver_conf; /* of driver->size_bytes, zeroed when no section was written */
    const struct schema_node *sources_node; /* as written */
    uint32_t source_count;
    struct config_source *sources;
    struct service_conf *scale; /* = &config.model.services[i]; template is filled by the caller */
    bool scale_defaulted;       /* no rule given: `check` says which defaults apply */
};

struct config {
    struct arena *arena;
    const char *path;             /* for messages; "-" = standard input */
    const char *text;             /* as read */
    uint64_t hash;                /* of text */
    int64_t now_wall_us;          /* as config_parse() was given it */
    const char *admin;            /* "127.0.0.1:7575", "off" */
    const char *admin_token_file; /* NULL = none: looking only */
    const char *state;            /* directory; NULL = not given */
    int log_level;                /* enum log_level's order: error, warning, info, debug */
    int64_t proxy_loops;          /* 0 = one per core */
    const char *proxy_user;  /* default: plimsoll if there is such a user, else nobody; root only */
    int64_t connections_max; /* default 16000 */
    const char *access_log;  /* path, default <state>/log/access.log; "off" */
    int64_t access_log_bytes; /* rotated at this size, default 100 MiB, one kept */
    struct schema_list trust; /* networks, CIDR */
    const struct schema_node *services_node, *budgets_node; /* as written */
    uint32_t top_count;
    const struct schema_section *const *tops; /* as handed in */
    void **top_confs;                         /* of each of them */
    const struct schema_node **top_nodes;     /* as written; NULL = not */
    double carbon; /* g CO2 per kWh when no window is open; 0 = unknown */
    const struct schema_node *carbon_windows;
    uint32_t service_count;
    struct config_service *services;
    struct model_conf model;
};

/* Parses `text`. On error returns -EINVAL and fills
 * up to `errors_cap` errors with place "path:line:column" and a text; *ret_error_count says how
 * many. `now_wall_us` is where the time zones' coming transitions start from. */
int config_parse(struct arena *arena, const char *path, const char *text, size_t bytes,
                 const struct config_sections *sections, int64_t now_wall_us, struct config **ret,
                 struct err *errors, size_t errors_cap, size_t *ret_error_count);

/* What was written in one of `sections.tops`, or its defaults; NULL = there is no such section. */
const void *config_top(const struct config *config, const struct schema_section *section);

/* Does a section at the top bring services, by a key `discover` that is on? */
bool config_discovers(const struct config *config);

/* The offending line and a caret under the column, for terminals. */
void config_show_error(const char *text, const struct err *error, struct str *out);

/* The reference of all keys as Markdown. */
void config_print_reference(const struct config_sections *sections, struct str *out);

/* The same from nodes that are there already (config/read.h), with no driver asked for: `config` is
 * zeroed but for its arena and path. Reports; -EINVAL or -ENOMEM. */
int config_read_policies(struct schema_context *ctx, const struct schema_node *root,
                         struct config *config);
/* A metric by its name: a built-in one or one of the service's own. -EINVAL with a text, placed at
 * the node. */
int config_find_metric(struct schema_context *ctx, const struct service_conf *service,
                       const struct schema_node *node, const char *name, enum metric *ret,
                       struct err *err);
/* "60%", "250ms", "64MiB", "12": in the metric's own unit, with a sign where one makes sense.
 * -EINVAL with a text but no place. */
int config_parse_metric_value(enum metric metric, const char *text, double *ret, struct err *err);
/* "p99 below 250ms", "p99<250ms" (also p50 and p95). -EINVAL with a text but no place. */
int config_parse_slo(const char *text, struct rule_slo_conf *ret, struct err *err);

/* What a reload would change, a line each: "services.shop.scale.max: 4 -> 8 (takes effect at
 * once)", "services.shop.run.command: ... (replaces 3 instances one by one)". Returns how many
 * lines. */
size_t config_diff(const struct config *before, const struct config *after, struct str *out);
