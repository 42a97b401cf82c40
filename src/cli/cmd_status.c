/* plimsoll status: what runs, and how much is on it; once, or on the whole screen. */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/watch.h"

/* Who leads, where there is more than one controller. */
static void print_group(const json_t *group)
{
    const json_t *members = json_object_get(group, "members"), *member;
    const char *leader = show_text(group, "leader");
    size_t i;
    char text[512];
    if (json_array_size(members) == 0)
        return;
    printf("leader %s%s", leader[0] ? leader : "unknown",
           json_is_true(json_object_get(group, "held")) ? " (this one)" : "");
    if (json_is_integer(json_object_get(group, "token")))
        printf(", token %lld", (long long)show_i64(group, "token"));
    printf("\n");
    json_array_foreach(members, i, member)
    {
        show_member(text, sizeof(text), member);
        printf("member %s\n", text);
    }
}

static void print_engines(const json_t *engines)
{
    const json_t *engine;
    size_t i;
    json_array_foreach(engines, i, engine)
    {
        char text[512];
        show_engine(text, sizeof(text), engine);
        if (!json_is_true(json_object_get(engine, "up")))
            printf("%s\n", text);
    }
}

static void print_alerts(const json_t *root)
{
    const json_t *alert, *target;
    size_t i;
    char text[512];
    json_array_foreach(json_object_get(root, "alerts"), i, alert)
    {
        show_alert(text, sizeof(text), alert);
        if (strcmp(show_text(alert, "state"), "firing") == 0)
            printf("alert: %s\n", text);
    }
    json_array_foreach(json_object_get(root, "alert_targets"), i, target)
    {
        const char *trouble = show_text(target, "trouble");
        if (trouble[0])
            printf("alerts cannot be told to %s, tried %lld time%s: %s\n",
                   show_text(target, "name"), (long long)show_i64(target, "failures"),
                   show_i64(target, "failures") == 1 ? "" : "s", trouble);
    }
}

static void print_head(const json_t *root)
{
    char age[64];
    show_age(age, sizeof(age), show_text(root, "since"));
    const json_t *proxy = json_object_get(root, "proxy");
    printf("plimsoll %s, up %s, state %s\n", show_text(root, "version"), age,
           show_text(root, "state"));
    printf("config %s, keeper %lld, controller %lld, proxy %lld with %lld connections\n",
           show_text(root, "config"), (long long)show_i64(json_object_get(root, "keeper"), "pid"),
           (long long)show_i64(json_object_get(root, "controller"), "pid"),
           (long long)show_i64(proxy, "pid"), (long long)show_i64(proxy, "connections"));
    json_t *trouble;
    size_t i;
    if (strcmp(show_text(root, "mode"), "stopping") == 0)
        printf("stopping: everything is being drained and stopped\n");
    json_array_foreach(json_object_get(root, "troubles"), i, trouble)
        printf("trouble: %s\n", show_string(trouble));
    print_group(json_object_get(root, "group"));
    print_engines(json_object_get(root, "engines"));
    print_alerts(root);
}

static void print_services(const json_t *services)
{
    static const char *const heads[] = { "SERVICE",    ">DESIRED", ">READY", ">STARTING",
                                         ">DRAINING",  ">FAILING", ">MIN",   ">MAX",
                                         ">IN-FLIGHT", ">QUEUED",  ">RPS",   ">P99-MS",
                                         "NOTE",       NULL };
    static const char *const counts[] = { "desired", "ready", "starting",  "draining", "failing",
                                          "min",     "max",   "in_flight", "queued" };
    struct show_table t;
    show_table_init(&t, heads);
    const json_t *service;
    size_t i;
    json_array_foreach(services, i, service)
    {
        char buf[SHOW_CELL_BYTES];
        show_table_add(&t, show_text(service, "name"));
        for (size_t k = 0; k < ARRAY_LEN(counts); k++) {
            show_number(buf, sizeof(buf), json_object_get(service, counts[k]), 0);
            show_table_add(&t, buf);
        }
        show_number(buf, sizeof(buf), json_object_get(service, "rps"), 1);
        show_table_add(&t, buf);
        show_number(buf, sizeof(buf), json_object_get(service, "p99_ms"), 1);
        show_table_add(&t, buf);
        show_note(buf, sizeof(buf), service);
        show_table_add(&t, buf);
    }
    show_table_print(&t, "");
    show_table_done(&t);
}

static void add_instance(struct show_table *t, const json_t *instance)
{
    char buf[SHOW_CELL_BYTES];
    show_table_add(t, show_text(instance, "id"));
    show_table_add(t, show_text(instance, "state"));
    bool runs = show_i64(instance, "pid") > 0;
    show_number(buf, sizeof(buf), runs ? json_object_get(instance, "pid") : NULL, 0);
    show_table_add(t, buf);
    show_table_add(t, show_text(instance, "address"));
    show_age(buf, sizeof(buf), show_text(instance, "since"));
    show_table_add(t, buf);
    show_number(buf, sizeof(buf), json_object_get(instance, "in_flight"), 0);
    show_table_add(t, buf);
    double cpu = show_double(instance, "cpu", -1);
    if (cpu >= 0)
        fmt(buf, sizeof(buf), "%d%%", (int)(cpu * 100 + 0.5));
    show_table_add(t, cpu >= 0 ? buf : "-");
    double memory = show_double(instance, "memory_bytes", -1);
    show_bytes(buf, sizeof(buf), (int64_t)memory);
    show_table_add(t, memory >= 0 ? buf : "-");
    show_table_add(t, json_is_true(json_object_get(instance, "protected")) ? "protected" : "");
}

static size_t print_instances(const json_t *services)
{
    static const char *const heads[] = { "INSTANCE",   "STATE", ">PID",    "ADDRESS", ">FOR",
                                         ">IN-FLIGHT", ">CPU",  ">MEMORY", "NOTE",    NULL };
    struct show_table t;
    show_table_init(&t, heads);
    size_t rows = 0, i, k;
    const json_t *service, *instance;
    json_array_foreach(services, i, service)
    {
        json_array_foreach(json_object_get(service, "instances"), k, instance)
        {
            add_instance(&t, instance);
            rows++;
        }
    }
    if (rows > 0) {
        printf("\n");
        show_table_print(&t, "");
    }
    show_table_done(&t);
    return rows;
}

/* "0.12 an hour, 1.84 today, 96 W, 1.2 kWh and 420 g CO2 today": what is known of it. */
static void print_cost(const char *name, const json_t *cost)
{
    static const struct {
        const char *key, *unit;
        int decimals;
    } parts[] = { { "per_hour", "an hour", 2 },
                  { "today", "today", 2 },
                  { "watts", "W", 0 },
                  { "kwh_today", "kWh today", 2 },
                  { "co2_grams_today", "g CO2 today", 0 } };
    const char *before = ": ";
    printf("%s costs", name);
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        char number[64];
        const json_t *value = json_object_get(cost, parts[i].key);
        if (!json_is_number(value))
            continue;
        show_number(number, sizeof(number), value, parts[i].decimals);
        printf("%s%s %s", before, number, parts[i].unit);
        before = ", ";
    }
    printf("\n");
}

static void print_sources(const char *name, const json_t *sources)
{
    const json_t *source;
    size_t i;
    json_array_foreach(sources, i, source)
    {
        char text[512];
        show_source(text, sizeof(text), source);
        printf("%s: %s\n", name, text);
    }
}

/* What a column has no room for: money, energy, and metrics from elsewhere. */
static void print_extras(const json_t *services)
{
    const json_t *service;
    size_t i;
    json_array_foreach(services, i, service)
    {
        const json_t *cost = json_object_get(service, "cost");
        if (json_is_object(cost))
            print_cost(show_text(service, "name"), cost);
        print_sources(show_text(service, "name"), json_object_get(service, "sources"));
    }
}

static void print_period(const json_t *budget, const char *key, const char *word)
{
    const json_t *period = json_object_get(budget, key);
    if (json_is_object(period))
        printf("; %.2f of %.2f %s", show_double(period, "spent", 0),
               show_double(period, "ceiling", 0), word);
}

/* An hour's ceiling bounds what runs, so that is what it is held against. */
static void print_running(const json_t *budget)
{
    const json_t *hour = json_object_get(budget, "hour"), *count;
    json_t *yields = json_object_get(budget, "yields");
    const char *service, *before = " (";
    printf("budget %s: %.2f", show_text(budget, "name"), show_double(budget, "per_hour", 0));
    if (json_is_object(hour))
        printf(" of %.2f", show_double(hour, "ceiling", 0));
    printf(" %s an hour running", show_text(budget, "currency"));
    json_object_foreach(yields, service, count)
    {
        printf("%s%s yields %lld", before, service, (long long)json_integer_value(count));
        before = ", ";
    }
    printf("%s", json_object_size(yields) > 0 ? ")" : "");
}

static void print_budgets(const json_t *budgets)
{
    const json_t *budget;
    size_t i;
    json_array_foreach(budgets, i, budget)
    {
        print_running(budget);
        print_period(budget, "day", "today");
        print_period(budget, "month", "this month");
        printf("\n");
    }
}

static int run(const struct options *o)
{
    _cleanup_json_ json_t *root = NULL;
    if (options_flag(o, "watch"))
        return watch(o);
    int rc = remote_simple(o, "GET", "/v1/status", NULL, &root);
    if (rc != 0 || !root)
        return rc;
    print_head(root);
    printf("\n");
    print_services(json_object_get(root, "services"));
    print_extras(json_object_get(root, "services"));
    print_budgets(json_object_get(root, "budgets"));
    print_instances(json_object_get(root, "services"));
    return COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "watch", 'w', NULL, "on the whole screen, until q" },
    { 0 },
};

const struct command command_status = {
    .name = "status",
    .summary = "what runs, and how much is on it",
    .arguments = "",
    .examples = "  plimsoll status\n"
                "  plimsoll status --watch\n"
                "  plimsoll status --json\n"
                "  plimsoll status --state /srv/shop/state\n",
    .details =
        "With --watch: arrows select a service, w shows why it runs as many as it does, i its\n"
        "instances, m the members and engines, e what happened; q ends.\n",
    .options = own_options,
    .remote = true,
    .run = run,
};
