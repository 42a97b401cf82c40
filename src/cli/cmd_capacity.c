/* plimsoll capacity: from users and activity to instances and money, on paper, each step with its
 * law. It asks nothing that runs. */
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

#include "base/fmt.h"
#include "cli/capacity_read.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/show.h"

#define REASON_BYTES 160

static void format_time(char *buf, size_t cap, double seconds)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = { { "s", 1 }, { "ms", 1e-3 }, { "us", 1e-6 } };
    size_t i = 0;
    char number[40];
    while (i + 1 < ARRAY_LEN(units) && seconds < units[i].seconds && seconds > 0)
        i++;
    capacity_format(number, sizeof(number), seconds / units[i].seconds);
    fmt(buf, cap, "%s%s", number, seconds < 1e-9 ? "s" : units[i].unit);
}

static void format_value(char *buf, size_t cap, const struct capacity_step *s)
{
    char number[40];
    switch (s->unit) {
    case CAPACITY_SECONDS:
        format_time(buf, cap, s->value < 1e-9 ? 0 : s->value);
        return;
    case CAPACITY_RATIO:
        capacity_format(number, sizeof(number), s->value < 1e-9 ? 0 : s->value * 100);
        fmt(buf, cap, "%s%%", number);
        return;
    case CAPACITY_MONEY:
        fmt_double(buf, cap, s->value, 2);
        return;
    default:
        capacity_format(number, sizeof(number), s->value);
        fmt(buf, cap, "%s%s", number, capacity_unit_name(s->unit));
    }
}

static void print_table(const struct capacity_result *r)
{
    static const char *const heads[] = { "STEP", ">VALUE", "HOW", NULL };
    struct show_table t;
    show_table_init(&t, heads);
    for (uint32_t i = 0; i < r->step_count; i++) {
        char value[64];
        format_value(value, sizeof(value), &r->steps[i]);
        show_table_add(&t, r->steps[i].name);
        show_table_add(&t, value);
        show_table_add(&t, r->steps[i].how);
    }
    show_table_print(&t, "");
    show_table_done(&t);
}

/* Why it does not fit in --max-instances. */
static void format_reason(char *buf, size_t cap, const struct capacity_conf *c,
                          const struct capacity_result *r)
{
    char peak[40];
    capacity_format(peak, sizeof(peak), r->peak_per_s);
    fmt(buf, cap, "the peak of %s/s takes %lld instances, and at most %lld %s allowed", peak,
        (long long)r->instances, (long long)c->instances_max, c->instances_max == 1 ? "is" : "are");
}

static void print_answer(const struct capacity_conf *c, const struct capacity_result *r)
{
    char reason[REASON_BYTES], number[40], share[40];
    capacity_format(number, sizeof(number), r->fits ? r->peak_per_s : r->fitting_per_s);
    fmt_double(share, sizeof(share), 100 * r->fitting_per_s / r->peak_per_s, 1);
    if (r->fits) {
        printf("\n%lld %s the peak of %s/s.\n", (long long)r->instances,
               r->instances == 1 ? "instance carries" : "instances carry", number);
        return;
    }
    format_reason(reason, sizeof(reason), c, r);
    printf("\nIt does not fit: %s;\nwithin the target %s %s/s, %s%% of it.\n", reason,
           c->instances_max == 1 ? "it carries" : "these carry", number, share);
}

static json_t *steps_json(const struct capacity_result *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->step_count; i++) {
        const struct capacity_step *s = &r->steps[i];
        json_t *value = isfinite(s->value) ? json_real(s->value) : json_null();
        json_array_append_new(list,
                              json_pack("{s:s, s:o, s:s, s:s}", "step", s->name, "value", value,
                                        "unit", capacity_unit_name(s->unit), "how", s->how));
    }
    return list;
}

static json_t *warnings_json(const struct capacity_result *r)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < r->warning_count; i++)
        json_array_append_new(list, json_string(r->warnings[i].text));
    return list;
}

/* What follows from a number of instances; `none`: there is no such number, so each is null. */
static void set_answer(json_t *root, const struct capacity_result *r, bool none)
{
    const struct {
        const char *name;
        json_t *value;
    } fields[] = {
        { "working", json_integer(r->working) },
        { "instances", json_integer(r->instances) },
        { "utilisation", json_real(r->utilisation) },
        { "fitting_per_s", json_real(r->fitting_per_s) },
        { "cost_month", json_real(r->cost_month) },
        { "kwh_month", json_real(r->kwh_month) },
        { "co2_kg_month", json_real(r->co2_kg_month) },
    };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        json_object_set(root, fields[i].name, none ? json_null() : fields[i].value);
        json_decref(fields[i].value);
    }
}

/* `reason` is NULL when it fits. */
static void print_json(const struct capacity_result *r, const struct points *points, bool none,
                       const char *reason)
{
    _cleanup_json_ json_t *root = json_pack("{s:b, s:s?, s:f, s:f, s:f}", "fits", (int)r->fits,
                                            "reason", reason, "mean_per_s", r->mean_per_s,
                                            "peak_per_s", r->peak_per_s, "service_s", r->service_s);
    set_answer(root, r, none);
    json_object_set_new(root, "bad_rows", json_integer(points->bad_count));
    json_object_set_new(root, "warnings", warnings_json(r));
    json_object_set_new(root, "steps", steps_json(r));
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(12));
    putchar('\n');
}

static void complain_of_rows(const char *path, const struct points *points)
{
    for (uint32_t i = 0; i < MIN(points->bad_count, POINTS_BAD_MAX); i++)
        fprintf(stderr, "%s:%u: %s\n", path, points->bad[i].line, points->bad[i].reason);
    if (points->bad_count > 0)
        fprintf(stderr, "%s: %u rows not taken, %u taken\n", path, points->bad_count,
                points->count);
}

/* Behind the answer, where it is read last. */
static void print_warnings(const struct capacity_result *r)
{
    fflush(stdout);
    for (uint32_t i = 0; i < r->warning_count; i++)
        fprintf(stderr, "warning: %s\n", r->warnings[i].text);
}

static int run(const struct options *o)
{
    static struct points points;
    struct capacity_conf conf;
    struct capacity_result result;
    struct err err = { 0 };
    char reason[REASON_BYTES];
    bool json = options_flag(o, "json");
    int rc = capacity_read(o, &conf, &points, &err);
    if (options_text(o, "usl"))
        complain_of_rows(options_text(o, "usl"), &points);
    if (rc == 0)
        rc = capacity_compute(&conf, &result, &err);
    if (rc < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    bool none = rc == CAPACITY_NONE;
    format_reason(reason, sizeof(reason), &conf, &result);
    if (json)
        print_json(&result, &points, none, none ? err.text : result.fits ? NULL : reason);
    if (none)
        command_fail_err(COMMAND_FAILED, &err);
    if (!json && !none) {
        print_table(&result);
        print_answer(&conf, &result);
    }
    print_warnings(&result);
    return result.fits ? COMMAND_OK : COMMAND_FAILED;
}

const struct command command_capacity = {
    .name = "capacity",
    .summary = "how many instances a load needs, on paper, with each step and its law",
    .arguments = "",
    .details =
        "Loads are averages and are added up, --rate and --class given more than once as well;\n"
        "--peak-to-mean makes the peak of them. Shares are 20% or 0.2. Without\n"
        "--slo the answer is the least number whose queue stays finite. A month is 730 hours.\n"
        "Exit status 1 when it does not fit in --max-instances, or in any number. --json is\n"
        "one object: fits, reason (why not; null when it fits), mean_per_s, peak_per_s,\n"
        "service_s, working (instances for the load), instances (with spare ones and zones),\n"
        "utilisation (of the working ones at the peak), fitting_per_s (the load within\n"
        "--max-instances), cost_month, kwh_month, co2_kg_month, bad_rows (of --usl), warnings\n"
        "(a list of texts), and steps: a list of {step, value, unit, how}. When no number of\n"
        "instances keeps the target, working and all up to co2_kg_month are null.\n"
        "docs/capacity.md has the laws and worked examples.\n",
    .examples = "  plimsoll capacity --rate 1000/s --service 50ms --slo 'wait-p99<50ms'\n"
                "  plimsoll capacity --users 90k --think 10s --service 5ms --concurrency 8 --slo "
                "'p99<100ms'\n"
                "  plimsoll capacity --class read:100B/month:2ms --class write:1B/month:20ms \\\n"
                "      --peak-to-mean 3 --concurrency 16 --slo 'p99<250ms' --zones 3 --cost 0.12\n",
    .options = capacity_options,
    .run = run,
};
