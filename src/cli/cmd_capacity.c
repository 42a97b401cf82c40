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

/* Four digits that count, or all of a whole number. */
static void format_number(char *buf, size_t cap, double value)
{
    static const double bounds[] = { 100, 10, 1, 0.1, 0.01, 0.001, 0.0001 };
    int decimals = 1;
    for (size_t i = 0; i < ARRAY_LEN(bounds) && fabs(value) < bounds[i]; i++)
        decimals++;
    fmt_double(buf, cap, value, fabs(value) >= 1000 ? 0 : decimals);
}

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
    format_number(number, sizeof(number), seconds / units[i].seconds);
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
        format_number(number, sizeof(number), s->value < 1e-9 ? 0 : s->value * 100);
        fmt(buf, cap, "%s%%", number);
        return;
    case CAPACITY_MONEY:
        fmt_double(buf, cap, s->value, 2);
        return;
    default:
        format_number(number, sizeof(number), s->value);
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

static void print_answer(const struct capacity_conf *c, const struct capacity_result *r)
{
    char peak[40], fitting[40], share[40];
    format_number(peak, sizeof(peak), r->peak_per_s);
    format_number(fitting, sizeof(fitting), r->fitting_per_s);
    fmt_double(share, sizeof(share), 100 * r->fitting_per_s / r->peak_per_s, 1);
    if (r->fits)
        printf("\n%lld instances carry the peak of %s/s.\n", (long long)r->instances, peak);
    else
        printf("\nIt does not fit: the peak of %s/s takes %lld instances, and at most %lld are "
               "allowed;\nwithin the target these carry %s/s, %s%% of it.\n",
               peak, (long long)r->instances, (long long)c->instances_max, fitting, share);
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

static void print_json(const struct capacity_result *r, const struct points *points)
{
    _cleanup_json_ json_t *root =
        json_pack("{s:f, s:f, s:f, s:I, s:I, s:f, s:b, s:f, s:f, s:f, s:f, s:i, s:o}", "mean_per_s",
                  r->mean_per_s, "peak_per_s", r->peak_per_s, "service_s", r->service_s, "working",
                  (json_int_t)r->working, "instances", (json_int_t)r->instances, "utilisation",
                  r->utilisation, "fits", (int)r->fits, "fitting_per_s", r->fitting_per_s,
                  "cost_month", r->cost_month, "kwh_month", r->kwh_month, "co2_kg_month",
                  r->co2_kg_month, "bad_rows", (int)points->bad_count, "steps", steps_json(r));
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

static int run(const struct options *o)
{
    static struct points points;
    struct capacity_conf conf;
    struct capacity_result result;
    struct err err = { 0 };
    int rc = capacity_read(o, &conf, &points, &err);
    if (options_text(o, "usl"))
        complain_of_rows(options_text(o, "usl"), &points);
    if (rc == 0)
        rc = capacity_compute(&conf, &result, &err);
    if (rc < 0)
        return command_fail_err(rc == -EINVAL ? COMMAND_USAGE : COMMAND_FAILED, &err);
    if (options_flag(o, "json")) {
        print_json(&result, &points);
    } else {
        print_table(&result);
        print_answer(&conf, &result);
    }
    return result.fits ? COMMAND_OK : COMMAND_FAILED;
}

const struct command command_capacity = {
    .name = "capacity",
    .summary = "how many instances a load needs, on paper, with each step and its law",
    .arguments = "",
    .details =
        "Loads are averages and are added up; --peak-to-mean makes the peak of them. Without\n"
        "--slo the answer is the least number whose queue stays finite. A month is 730 hours.\n"
        "Exit status 1 when it does not fit in --max-instances, or in any number. --json is\n"
        "one object: mean_per_s, peak_per_s, service_s, working (instances for the load),\n"
        "instances (with spare ones and zones), utilisation (of the working ones at the peak),\n"
        "fits, fitting_per_s (the load within --max-instances), cost_month, kwh_month,\n"
        "co2_kg_month, bad_rows (of --usl), and steps: a list of {step, value, unit, how}.\n"
        "docs/capacity.md has the laws and worked examples.\n",
    .examples = "  plimsoll capacity --rate 1000/s --service 50ms --slo 'wait-p99<50ms'\n"
                "  plimsoll capacity --users 90k --think 10s --service 5ms --concurrency 8 --slo "
                "'p99<100ms'\n"
                "  plimsoll capacity --class read:100B/month:2ms --class write:1B/month:20ms \\\n"
                "      --peak-to-mean 3 --concurrency 16 --slo 'p99<250ms' --zones 3 --cost 0.12\n",
    .options = capacity_options,
    .run = run,
};
