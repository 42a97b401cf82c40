/* The tables: every key of a configuration but the rules' and the drivers', with its default, its
 * range and its line of help. What is written here is also the reference that users read. */
#include "config/tables.h"

static const char *const protocols[] = { "http", "tcp", NULL };
static const char *const balances[] = { "round-robin", "weighted-round-robin",
                                        "least-conn",  "random-two",
                                        "ip-hash",     NULL };
static const char *const modes[] = { "auto", "advise", NULL };
static const char *const unlimited[] = { "unlimited", NULL };
static const char *const automatic[] = { "auto", NULL };
static const char *const log_levels[] = { "error", "warning", "info", "debug", NULL };
static const char *const never[] = { "never", NULL };

#define AT(member) offsetof(struct config_service, member)

static const struct schema_key route_keys[] = {
    { .name = "host",
      .type = SCHEMA_LIST,
      .offset = AT(host),
      .help = "host names, without port; \"*.x\" is any subdomain; absent = any" },
    { .name = "path",
      .type = SCHEMA_TEXT,
      .offset = AT(path),
      .help = "prefix of the path, on whole segments; absent = any" },
    { 0 },
};
static const struct schema_section route_section = {
    .name = "route",
    .help = "Which requests are for this service, when several share a listener.",
    .keys = route_keys,
};

static const struct schema_key queue_keys[] = {
    { .name = "length",
      .type = SCHEMA_INT,
      .offset = AT(queue_length),
      .fallback = "1000",
      .min = 0,
      .max = 1000000,
      .help = "requests that may wait; 0 = none" },
    { .name = "deadline",
      .type = SCHEMA_DURATION,
      .offset = AT(queue_deadline_us),
      .fallback = "10s",
      .min = 0.001,
      .max = 3600,
      .help = "how long one may wait until it is answered 503" },
    { 0 },
};
static const struct schema_section queue_section = {
    .name = "queue",
    .help = "Requests wait here while every instance is at max-concurrency, and while the first "
            "one starts.",
    .keys = queue_keys,
};

static const struct schema_key retry_keys[] = {
    { .name = "attempts",
      .type = SCHEMA_INT,
      .offset = AT(retry_attempts),
      .fallback = "2",
      .min = 0,
      .max = 10,
      .help = "other instances tried after the first" },
    { 0 },
};
static const struct schema_section retry_section = {
    .name = "retry",
    .help = "A request that no instance can have seen, or an idempotent one, goes to another "
            "instance.",
    .keys = retry_keys,
};

#define TIMEOUT(name_, member_, fallback_, help_)                               \
    {                                                                           \
        .name = name_, .type = SCHEMA_DURATION, .offset = AT(timeouts.member_), \
        .fallback = fallback_, .min = 0.001, .max = 86400, .help = help_        \
    }
static const struct schema_key timeout_keys[] = {
    TIMEOUT("header", header_us, "10s", "for a whole request header, from its first byte"),
    TIMEOUT("body", body_us, "30s", "between two reads of a request body"),
    TIMEOUT("idle", idle_us, "60s", "of a client's connection between requests, and of tunnels"),
    TIMEOUT("connect", connect_us, "2s", "to an instance"),
    TIMEOUT("response", response_us, "60s", "from the request to the response's first byte"),
    TIMEOUT("upstream-idle", upstream_idle_us, "4s",
            "of a connection to an instance; less than the app's own"),
    { 0 },
};
static const struct schema_section timeouts_section = {
    .name = "timeouts",
    .help = "Timeouts of the proxy.",
    .keys = timeout_keys,
};

static const struct schema_key limit_keys[] = {
    { .name = "header-size",
      .type = SCHEMA_SIZE,
      .offset = AT(limits.header_bytes),
      .fallback = "32KiB",
      .min = 512,
      .max = 1048576,
      .help = "of a request's header; 431" },
    { .name = "header-count",
      .type = SCHEMA_INT,
      .offset = AT(limits.header_count),
      .fallback = "100",
      .min = 1,
      .max = 1000,
      .help = "fields in it; 431" },
    { .name = "uri-length",
      .type = SCHEMA_SIZE,
      .offset = AT(limits.uri_bytes),
      .fallback = "8KiB",
      .min = 64,
      .max = 1048576,
      .help = "of the request target; 414" },
    { 0 },
};
static const struct schema_section limits_section = {
    .name = "limits",
    .help = "Limits on requests.",
    .keys = limit_keys,
};

static int check_health(struct schema_context *ctx, void *section, struct err *err)
{
    struct config_service *s = section;
    if (s->probe_path && s->health.tcp)
        return schema_error(ctx, "tcp", err, "http is given too; give one of them");
    if (s->probe_path && s->probe_path[0] != '/')
        return schema_fail_value(ctx, "http", err, "\"%.60s\" is not a path; begin it with /",
                                 s->probe_path);
    s->probe = s->probe_path   ? CONFIG_PROBE_HTTP
               : s->health.tcp ? CONFIG_PROBE_TCP
                               : CONFIG_PROBE_NONE;
    return 0;
}

static const struct schema_key health_keys[] = {
    { .name = "http",
      .type = SCHEMA_TEXT,
      .offset = AT(probe_path),
      .help = "a GET of this path answers 200..399; absent = as readiness is checked" },
    { .name = "tcp",
      .type = SCHEMA_BOOL,
      .offset = AT(health.tcp),
      .fallback = "false",
      .help = "a connection can be made" },
    { .name = "interval",
      .type = SCHEMA_DURATION,
      .offset = AT(probe_interval_us),
      .fallback = "1s",
      .min = 0.05,
      .max = 3600,
      .help = "between two probes" },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      .offset = AT(probe_timeout_us),
      .fallback = "1s",
      .min = 0.01,
      .max = 600,
      .help = "of one probe" },
    { .name = "fail-after",
      .type = SCHEMA_INT,
      .offset = AT(health.fail_after),
      .fallback = "3",
      .min = 1,
      .max = 100,
      .help = "failed probes in a row until it gets no more requests" },
    { .name = "pass-after",
      .type = SCHEMA_INT,
      .offset = AT(health.pass_after),
      .fallback = "2",
      .min = 1,
      .max = 100,
      .help = "passed probes in a row until it gets requests again" },
    { .name = "replace-after",
      .type = SCHEMA_DURATION,
      .offset = AT(health.replace_after_us),
      .fallback = "30s",
      .min = 0,
      .max = 86400,
      .names = never,
      .help = "failing for so long, it is stopped and replaced" },
    { 0 },
};
static const struct schema_section health_section = {
    .name = "health",
    .help = "Active probes of running instances.",
    .keys = health_keys,
    .check = check_health,
};

static const struct schema_key eject_keys[] = {
    { .name = "failures",
      .type = SCHEMA_INT,
      .offset = AT(eject_failures),
      .fallback = "5",
      .min = 0,
      .max = 1000,
      .help = "failed requests in a row; 0 = never" },
    { .name = "for",
      .type = SCHEMA_DURATION,
      .offset = AT(eject_us),
      .fallback = "10s",
      .min = 0.1,
      .max = 3600,
      .help = "how long it then gets no requests" },
    { 0 },
};
static const struct schema_section eject_section = {
    .name = "eject",
    .help = "An instance that fails requests is passed over at once, before a probe notices.",
    .keys = eject_keys,
};

#undef AT
#define AT(member) offsetof(struct config_scale, member)

static const struct schema_key behavior_keys[] = {
    { .name = "up",
      .type = SCHEMA_SECTION,
      .offset = AT(up),
      .section = &config_section_direction_up },
    { .name = "down",
      .type = SCHEMA_SECTION,
      .offset = AT(down),
      .section = &config_section_direction_down },
    { 0 },
};
static const struct schema_section behavior_section = {
    .name = "behavior",
    .help = "How fast the count may move, per direction.",
    .keys = behavior_keys,
};

static const struct schema_key scale_keys[] = {
    { .name = "mode",
      .type = SCHEMA_ENUM,
      .offset = AT(mode),
      .fallback = "auto",
      .names = modes,
      .help = "advise: decide and explain, act on nothing" },
    { .name = "min",
      .type = SCHEMA_INT,
      .offset = AT(min),
      .fallback = "1",
      .min = 0,
      .max = MODEL_COUNT_MAX,
      .help = "instances at least; 0 = none while there is no demand" },
    { .name = "max",
      .type = SCHEMA_INT,
      .offset = AT(max),
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "instances at most; default: the number of cores" },
    { .name = "initial",
      .type = SCHEMA_INT,
      .offset = AT(initial),
      .min = 0,
      .max = MODEL_COUNT_MAX,
      .help = "instances at the first start; default: min" },
    { .name = "surge",
      .type = SCHEMA_INT,
      .offset = AT(surge),
      .fallback = "1",
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "how many more may exist while instances are replaced" },
    { .name = "window",
      .type = SCHEMA_DURATION,
      .offset = AT(window_us),
      .fallback = "60s",
      .min = 0,
      .max = 3600,
      .help = "scale-in looks at this window; scale-out looks at now" },
    { .name = "headroom",
      .type = SCHEMA_TEXT,
      .offset = AT(headroom),
      .help = "kept free beyond what rules that measure load need: 2 (instances) or 20%" },
    { .name = "change-cost",
      .type = SCHEMA_DURATION,
      .offset = AT(change_cost_us),
      .fallback = "0",
      .min = 0,
      .max = 86400,
      .help = "instance-time that a scale-in must save before it is made, so that it pays for "
              "itself" },
    { .name = "cost",
      .type = SCHEMA_NUMBER,
      .offset = AT(cost),
      .fallback = "0",
      .min = 0,
      .max = 1e9,
      .help = "of one instance for an hour; 0 = unknown" },
    { .name = "watts",
      .type = SCHEMA_NUMBER,
      .offset = AT(watts),
      .fallback = "0",
      .min = 0,
      .max = 1e6,
      .help = "that one instance draws; 0 = unknown" },
    { .name = "budget",
      .type = SCHEMA_CUSTOM,
      .offset = AT(budget),
      .parse = schema_keep_node,
      .section = &config_section_share },
    { .name = "after",
      .type = SCHEMA_LIST,
      .offset = AT(after),
      .help = "services that go first: out only when these have all they want, in before they do" },
    { .name = "rules",
      .type = SCHEMA_CUSTOM,
      .offset = AT(rules),
      .parse = schema_keep_node,
      .section = &config_section_rules,
      .help = "default: target concurrency 70 and cpu 70 %; required without `listen`" },
    { .name = "behavior", .type = SCHEMA_SECTION, .section = &behavior_section },
    { 0 },
};
const struct schema_section config_section_scale = {
    .name = "scale",
    .help = "How many instances there are to be.",
    .size_bytes = sizeof(struct config_scale),
    .keys = scale_keys,
};

#undef AT
#define AT(member) offsetof(struct config_service, member)

static const struct schema_key service_keys[] = {
    { .name = "listen",
      .type = SCHEMA_LIST,
      .offset = AT(listen),
      .help =
          "an address, \":8080\", \"127.0.0.1:8080\", \"[::1]:8080\", \"unix:/path\", or a list "
          "of them. Absent: a worker, which gets no requests" },
    { .name = "route", .type = SCHEMA_SECTION, .section = &route_section },
    { .name = "protocol",
      .type = SCHEMA_ENUM,
      .offset = AT(protocol),
      .fallback = "http",
      .names = protocols,
      .help = "tcp: connections are passed through as they are" },
    { .name = "balance",
      .type = SCHEMA_TEXT,
      .offset = AT(balance),
      .names = balances,
      .fallback = "least-conn",
      .help = "which instance gets a request" },
    { .name = "weight",
      .type = SCHEMA_INT,
      .offset = AT(weight),
      .fallback = "1",
      .min = 1,
      .max = 1000,
      .help = "of each instance, for weighted balancing" },
    { .name = "max-concurrency",
      .type = SCHEMA_INT,
      .offset = AT(max_concurrency),
      .fallback = "unlimited",
      .names = unlimited,
      .min = 1,
      .max = 1000000,
      .help = "requests at the same time per instance; more wait in the queue" },
    { .name = "queue", .type = SCHEMA_SECTION, .section = &queue_section },
    { .name = "retry", .type = SCHEMA_SECTION, .section = &retry_section },
    { .name = "timeouts", .type = SCHEMA_SECTION, .section = &timeouts_section },
    { .name = "limits", .type = SCHEMA_SECTION, .section = &limits_section },
    { .name = "health", .type = SCHEMA_SECTION, .section = &health_section },
    { .name = "eject", .type = SCHEMA_SECTION, .section = &eject_section },
    { .name = "slow-start",
      .type = SCHEMA_DURATION,
      .offset = AT(slow_start_us),
      .fallback = "0",
      .min = 0,
      .max = 3600,
      .help = "a new instance's share grows over this time" },
    { .name = "drain",
      .type = SCHEMA_DURATION,
      .offset = AT(drain_us),
      .fallback = "30s",
      .min = 0,
      .max = 86400,
      .help = "what a leaving instance has to finish is cut after this" },
    { .name = "sources",
      .type = SCHEMA_CUSTOM,
      .offset = AT(sources_node),
      .parse = schema_keep_node,
      .section = &config_section_source },
    { .name = "scale",
      .type = SCHEMA_SECTION,
      .offset = AT(scale_written),
      .section = &config_section_scale },
    { 0 },
};

const struct schema_section config_section_service = {
    .name = "services",
    .named = true,
    .help = "One service: a listener or route, its instances and its policy. The name consists of "
            "a-z, 0-9 and \"-\". Beside these keys there is exactly one driver section.",
    .size_bytes = sizeof(struct config_service),
    .keys = service_keys,
};

#undef AT
#define AT(member) offsetof(struct config, member)

static const struct schema_key proxy_keys[] = {
    { .name = "loops",
      .type = SCHEMA_INT,
      .offset = AT(proxy_loops),
      .fallback = "auto",
      .names = automatic,
      .min = 1,
      .max = 16,
      .help = "event loops; auto = one per core, at most 16. Each listener takes a socket of every "
              "loop, and there are 64 sockets in all" },
    { .name = "user",
      .type = SCHEMA_TEXT,
      .offset = AT(proxy_user),
      .help = "whom the proxy runs as when plimsoll is started by root; default: plimsoll if there "
              "is such a user, else nobody" },
    { .name = "max-connections",
      .type = SCHEMA_INT,
      .offset = AT(connections_max),
      .fallback = "16000",
      .min = 1,
      .max = 1000000,
      .help = "of clients, over all services" },
    { .name = "access-log",
      .type = SCHEMA_TEXT,
      .offset = AT(access_log),
      .help = "absolute path, or off; default: log/access.log in the state directory" },
    { .name = "access-log-size",
      .type = SCHEMA_SIZE,
      .offset = AT(access_log_bytes),
      .fallback = "100MiB",
      .min = 65536,
      .max = 1099511627776.0,
      .help = "it is rotated at; one is kept" },
    { 0 },
};
static const struct schema_section proxy_section = {
    .name = "proxy",
    .help = "The process that carries the traffic.",
    .keys = proxy_keys,
};

static const struct schema_key energy_keys[] = {
    { .name = "carbon",
      .type = SCHEMA_NUMBER,
      .offset = AT(carbon),
      .fallback = "0",
      .min = 0,
      .max = 5000,
      .help = "grams of CO2 per kWh; 0 = unknown" },
    { .name = "windows",
      .type = SCHEMA_CUSTOM,
      .offset = AT(carbon_windows),
      .parse = schema_keep_node,
      .section = &config_section_carbon_window },
    { 0 },
};
static const struct schema_section energy_section = {
    .name = "energy",
    .help = "What the electricity stands for; with scale.watts, reports say how much CO2.",
    .keys = energy_keys,
};

static const struct schema_key top_keys[] = {
    { .name = "admin",
      .type = SCHEMA_TEXT,
      .offset = AT(admin),
      .fallback = "127.0.0.1:7575",
      .help = "address of the API over TCP, or off; looking needs no token on it, changing does" },
    { .name = "admin-token-file",
      .type = SCHEMA_TEXT,
      .offset = AT(admin_token_file),
      .help = "whoever sends this file's first line may change things; needed beyond loopback" },
    { .name = "state",
      .type = SCHEMA_TEXT,
      .offset = AT(state),
      .help = "directory for the database, logs and sockets" },
    { .name = "log",
      .type = SCHEMA_ENUM,
      .offset = AT(log_level),
      .fallback = "info",
      .names = log_levels,
      .help = "how much plimsoll says about itself" },
    { .name = "proxy", .type = SCHEMA_SECTION, .section = &proxy_section },
    { .name = "trust",
      .type = SCHEMA_LIST,
      .offset = AT(trust),
      .help = "networks whose X-Forwarded-For and Forwarded are believed: 10.0.0.0/8" },
    { .name = "budgets",
      .type = SCHEMA_CUSTOM,
      .offset = AT(budgets_node),
      .parse = schema_keep_node,
      .section = &config_section_budget },
    { .name = "energy", .type = SCHEMA_SECTION, .section = &energy_section },
    { .name = "services",
      .type = SCHEMA_CUSTOM,
      .offset = AT(services_node),
      .parse = schema_keep_node,
      .section = &config_section_service,
      .help = "a map of at least one service; of none when they are discovered" },
    { 0 },
};
const struct schema_section config_section_top = {
    .name = "",
    .help = "What holds for all services.",
    .size_bytes = sizeof(struct config),
    .keys = top_keys,
};
