/* plimsoll simulate: what would this load have looked like with this policy, and with another? */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "cli/score_json.h"
#include "cli/show.h"
#include "cli/simulation.h"
#include "sim/page/page.h"
#include "sys/mem.h"

#define RUNS_MAX 24
#define POINTS 1200

struct simulated {
    const struct policy_ops *policy;
    struct run_options options;
    struct run_result result;
};

struct work {
    struct simulation sim;
    struct simulated runs[RUNS_MAX];
    size_t count;
};

/* -- who takes part -- */

static int add_policy(struct work *w, const struct policy_ops *policy)
{
    for (size_t n = 0; n < w->count; n++) {
        if (w->runs[n].policy == policy)
            return 0;
    }
    if (w->count == RUNS_MAX)
        return command_fail(COMMAND_USAGE, "--against: too many");
    w->runs[w->count++].policy = policy;
    return 0;
}

static int add_all(struct work *w)
{
    int rc = 0;
    for (size_t n = 0; rc == 0 && policy_all[n]; n++)
        rc = add_policy(w, policy_all[n]);
    return rc;
}

static int add_run(struct work *w, struct slice name)
{
    const char *names[64] = { 0 };
    size_t known = 0;
    for (; policy_all[known]; known++) {
        names[known] = policy_all[known]->name;
        if (slice_eq(name, slice_of(names[known])))
            return add_policy(w, policy_all[known]);
    }
    if (slice_eq(name, slice_of("all")))
        return add_all(w);
    char text[64];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_put_n(&s, name.p, name.n);
    const char *near = options_nearest(text, names, known);
    if (near)
        return command_fail(COMMAND_USAGE, "no policy \"%s\"; did you mean \"%s\"?", text, near);
    return command_fail(COMMAND_USAGE, "no policy \"%s\"; --against help lists them", text);
}

static int choose_runs(const struct options *o, struct work *w)
{
    const char *list = options_text(o, "against");
    w->runs[w->count++].policy = &policy_plimsoll;
    while (list && *list) {
        size_t n = strcspn(list, ",");
        int rc = add_run(w, slice_trim((struct slice){ list, n }));
        if (rc != 0)
            return rc;
        list += n + (list[n] == ',');
    }
    return 0;
}

static int list_policies(void)
{
    for (size_t n = 0; policy_all[n]; n++)
        printf("%-12s %s\n", policy_all[n]->name, policy_all[n]->help);
    return COMMAND_OK;
}

/* It plans in the fluid world, with instances that do as they are told. Elsewhere its plan is no
 * bound. */
static bool is_bound(const struct run_options *r)
{
    const struct fleet_conf *f = &r->fleet;
    return r->fidelity == RUN_TICK && f->boot_spread <= 0 && f->start_failures <= 0 &&
           f->crashes_per_day <= 0 && f->noisy_share <= 0;
}

static void leave_oracle_out(struct work *w)
{
    size_t kept = 0;
    for (size_t n = 0; n < w->count; n++) {
        if (strcmp(w->runs[n].policy->name, "oracle") != 0)
            w->runs[kept++].policy = w->runs[n].policy;
    }
    if (kept < w->count)
        simulation_note(&w->sim, "the oracle is left out: it plans for --fidelity tick, and "
                                 "without failures");
    w->count = kept;
}

/* The oracle is held to what plimsoll, who comes first, let wait. */
static int run_all(const struct options *o, struct work *w)
{
    struct err err = { 0 };
    bool page = options_text(o, "html") != NULL;
    if (!is_bound(&w->sim.run))
        leave_oracle_out(w);
    for (size_t n = 0; n < w->count; n++) {
        struct simulated *s = &w->runs[n];
        s->options = w->sim.run;
        s->options.policy = s->policy;
        s->options.allowed_violations = w->runs[0].result.score.violations;
        s->options.decisions = page || options_flag(o, "decisions");
        s->options.points_max = page || options_flag(o, "points") ? POINTS : 0;
        int rc = run_simulate(&s->options, &s->result, &err);
        if (rc < 0)
            return command_fail_err(rc == -EINVAL ? COMMAND_USAGE : COMMAND_FAILED, &err);
    }
    return 0;
}

/* -- for people -- */

static void add_number(struct show_table *t, double value, int decimals)
{
    char buf[64];
    fmt_double(buf, sizeof(buf), value, decimals);
    show_table_add(t, buf);
}

/* One digit; but a little is not none. */
static void add_percent(struct show_table *t, double share)
{
    char buf[64];
    snprintf(buf, sizeof(buf), share > 0 && share < 0.0005 ? "<0.1%%" : "%.1f%%", 100 * share);
    show_table_add(t, buf);
}

struct column {
    const char *head;
    bool percent;
    int decimals;
    size_t offset; /* of a double in struct score */
};

#define COLUMN(head, decimals, field)                        \
    {                                                        \
        head, false, decimals, offsetof(struct score, field) \
    }
static const struct column columns[] = {
    { ">VIOLATIONS", true, 0, offsetof(struct score, violations) },
    COLUMN(">HOURS", 1, instance_hours),
    COLUMN(">COST", 2, cost),
    COLUMN(">CO2 g", 0, co2_g),
    { ">UTIL", true, 0, offsetof(struct score, mean_utilisation) },
    COLUMN(">p99 s", 3, latency_p99_s),
    COLUMN(">theta_U", 2, theta_u),
    COLUMN(">theta_O", 2, theta_o),
    COLUMN(">tau_U", 2, tau_u),
    COLUMN(">tau_O", 2, tau_o),
    COLUMN(">upsilon", 2, upsilon),
    COLUMN(">acc_U", 2, bungee_u),
    COLUMN(">acc_O", 2, bungee_o),
    COLUMN(">jitter", 2, jitter),
};

static double column_value(const struct column *c, const struct simulated *s)
{
    double value;
    memcpy(&value, (const char *)&s->result.score + c->offset, sizeof(value));
    return value;
}

/* A column without anything in it says nothing. */
static bool is_empty(const struct column *c, const struct work *w)
{
    bool optional = c->offset == offsetof(struct score, cost) ||
                    c->offset == offsetof(struct score, co2_g) ||
                    c->offset == offsetof(struct score, latency_p99_s);
    for (size_t n = 0; n < w->count; n++)
        optional &= column_value(c, &w->runs[n]) == 0;
    return optional;
}

/* The fleet that never changes and that others are compared with; NULL = none takes part. */
static const struct score *fixed_of(const struct work *w)
{
    static const char *const names[] = { "static_mean", "static_peak" };
    for (size_t k = 0; k < ARRAY_LEN(names); k++) {
        for (size_t n = 0; n < w->count; n++) {
            if (strcmp(w->runs[n].policy->name, names[k]) == 0)
                return &w->runs[n].result.score;
        }
    }
    return NULL;
}

static void print_table(const struct work *w)
{
    const struct score *fixed = fixed_of(w);
    double ratios[4];
    const char *heads[ARRAY_LEN(columns) + 4] = { "POLICY", ">MOVES" };
    const struct column *shown[ARRAY_LEN(columns)];
    size_t count = 0;
    for (size_t n = 0; n < ARRAY_LEN(columns); n++) {
        if (is_empty(&columns[n], w))
            continue;
        heads[2 + count] = columns[n].head;
        shown[count++] = &columns[n];
    }
    if (fixed)
        heads[2 + count] = ">speedup";
    struct show_table t;
    show_table_init(&t, heads);
    for (size_t n = 0; n < w->count; n++) {
        show_table_add(&t, w->runs[n].policy->name);
        show_table_add_i64(&t, (int64_t)w->runs[n].result.score.moves);
        for (size_t k = 0; k < count; k++) {
            double value = column_value(shown[k], &w->runs[n]);
            if (shown[k]->percent)
                add_percent(&t, value);
            else
                add_number(&t, value, shown[k]->decimals);
        }
        if (fixed)
            add_number(&t, score_speedup(fixed, &w->runs[n].result.score, ratios), 2);
    }
    show_table_print(&t, "");
    show_table_done(&t);
}

static void print_head(const struct work *w)
{
    char length[64], step[64], boot[64], mean[64], peak[64], capacity[64], service[64];
    const struct trace *t = &w->sim.trace;
    const struct run_options *r = &w->sim.run;
    num_format_duration(length, sizeof(length), trace_length_us(t));
    num_format_duration(step, sizeof(step), t->step_us);
    num_format_duration(boot, sizeof(boot), r->fleet.boot_us);
    simulation_format_time(service, sizeof(service), r->slots / r->capacity);
    fmt_double(mean, sizeof(mean), trace_mean(t), 1);
    fmt_double(peak, sizeof(peak), trace_peak(t), 1);
    fmt_double(capacity, sizeof(capacity), r->capacity, r->capacity < 1 ? 3 : 1);
    printf("%s: %s in steps of %s, mean %s/s, highest %s/s; an instance does %s/s, %g at a time, "
           "so a request takes %s, and starts in %s\n\n",
           t->name, length, step, mean, peak, capacity, r->slots, service, boot);
}

/* plimsoll's own reasons begin with the move, which has been printed; those of others do not. */
static const char *reason_alone(const struct run_decision *d)
{
    char move[32];
    snprintf(move, sizeof(move), "%d -> %d: ", d->before, d->after);
    return strncmp(d->why, move, strlen(move)) == 0 ? d->why + strlen(move) : d->why;
}

static void print_decisions(const struct work *w)
{
    for (size_t n = 0; n < w->count; n++) {
        const struct run_result *r = &w->runs[n].result;
        printf("\n%s:\n", w->runs[n].policy->name);
        for (uint32_t k = 0; k < r->decision_count; k++) {
            char when[64];
            num_format_duration(when, sizeof(when), r->decisions[k].at_us);
            printf("  %-12s %4d -> %-4d %s\n", when, r->decisions[k].before, r->decisions[k].after,
                   reason_alone(&r->decisions[k]));
        }
    }
}

/* -- for programs -- */

static json_t *points_json(const struct run_result *r)
{
    json_t *list = json_array();
    for (uint32_t n = 0; n < r->point_count; n++) {
        const struct run_point *p = &r->points[n];
        json_array_append_new(list, json_pack("{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}", "at_s",
                                              (double)p->at_us * 1e-6, "load", p->load, "capacity",
                                              p->capacity, "in_flight", p->in_flight, "queued",
                                              p->queued, "latency_p99_s", p->latency_p99_s, "ready",
                                              p->ready, "starting", p->starting, "desired",
                                              p->desired, "instance_seconds", p->paid_s));
    }
    return list;
}

static json_t *decisions_json(const struct run_result *r)
{
    json_t *list = json_array();
    for (uint32_t n = 0; n < r->decision_count; n++) {
        const struct run_decision *d = &r->decisions[n];
        json_array_append_new(list,
                              json_pack("{s:f,s:i,s:i,s:s}", "at_s", (double)d->at_us * 1e-6,
                                        "before", d->before, "after", d->after, "why", d->why));
    }
    return list;
}

static json_t *speedup_json(const struct score *fixed, const struct score *s)
{
    double r[4], speedup = score_speedup(fixed, s, r);
    return json_pack("{s:f,s:f,s:f,s:f,s:f}", "speedup", speedup, "theta_u", r[0], "theta_o", r[1],
                     "tau_u", r[2], "tau_o", r[3]);
}

static json_t *run_json(const struct options *o, const struct simulated *s,
                        const struct score *fixed)
{
    char hash[32];
    snprintf(hash, sizeof(hash), "%016llx", (unsigned long long)s->result.hash);
    json_t *run = json_pack("{s:s,s:s,s:s,s:o}", "policy", s->policy->name, "about",
                            s->policy->help, "hash", hash, "score", score_json(&s->result.score));
    if (fixed)
        json_object_set_new(run, "against_fixed", speedup_json(fixed, &s->result.score));
    if (options_flag(o, "decisions"))
        json_object_set_new(run, "decisions", decisions_json(&s->result));
    if (options_flag(o, "points"))
        json_object_set_new(run, "points", points_json(&s->result));
    return run;
}

static int print_json(const struct options *o, const struct work *w)
{
    const struct trace *t = &w->sim.trace;
    const struct run_options *r = &w->sim.run;
    json_t *runs = json_array();
    for (size_t n = 0; n < w->count; n++)
        json_array_append_new(runs, run_json(o, &w->runs[n], fixed_of(w)));
    _cleanup_json_ json_t *root = json_pack(
        "{s:{s:s,s:s,s:f,s:f,s:I,s:f,s:f,s:I},s:{s:s,s:f,s:f,s:f,s:f,s:I},s:o,s:o}", "load", "name",
        t->name, "note", t->note, "start_s", (double)t->start_wall_us * 1e-6, "step_s",
        (double)t->step_us * 1e-6, "steps", (json_int_t)t->count, "mean", trace_mean(t), "peak",
        trace_peak(t), "bad_rows", (json_int_t)w->sim.bad_rows, "world", "fidelity",
        r->fidelity == RUN_TICK ? "tick" : "request", "boot_s", (double)r->fleet.boot_us * 1e-6,
        "capacity", r->capacity, "slots", r->slots, "slo_wait_s", r->slo_wait_s, "seed",
        (json_int_t)r->seed, "notes", simulation_notes_json(&w->sim), "runs", runs);
    if (!root)
        return command_fail(COMMAND_FAILED, "the result cannot be written as JSON");
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    putchar('\n');
    return COMMAND_OK;
}

static int write_page(const char *path, const struct work *w)
{
    struct page_run runs[RUNS_MAX];
    struct page page = {
        .title = w->sim.trace.name,
        .run_count = (uint32_t)w->count,
        .runs = runs,
    };
    for (size_t n = 0; n < w->count; n++)
        runs[n] = (struct page_run){
            .name = w->runs[n].policy->name,
            .help = w->runs[n].policy->help,
            .options = &w->runs[n].options,
            .result = &w->runs[n].result,
        };
    return simulation_write_page(path, &page);
}

static int report(const struct options *o, const struct work *w)
{
    const char *page = options_text(o, "html");
    int rc = COMMAND_OK;
    if (options_flag(o, "json")) {
        rc = print_json(o, w);
    } else if (!simulation_page_is_output(o)) {
        print_head(w);
        print_table(w);
        if (options_flag(o, "decisions"))
            print_decisions(w);
        printf("\n%s", options_flag(o, "legend") ? score_help() : score_help_short());
    }
    return page && rc == COMMAND_OK ? write_page(page, w) : rc;
}

static int run(const struct options *o)
{
    const char *against = options_text(o, "against");
    if (against && strcmp(against, "help") == 0)
        return list_policies();
    static const struct simulation_need needs[] = { { "points", "json", "" }, { 0 } };
    struct err err = { 0 };
    if (simulation_need(o, needs, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return command_fail(COMMAND_FAILED, "out of memory");
    int rc = choose_runs(o, w);
    if (rc == 0)
        rc = simulation_read(o, &w->sim);
    if (rc == 0) {
        rc = run_all(o, w);
        if (rc == 0)
            rc = report(o, w);
        simulation_done(&w->sim);
    }
    for (size_t n = 0; n < w->count; n++)
        run_result_done(&w->runs[n].result);
    free(w);
    return rc;
}

static const struct option_spec own_options[] = {
    { "against", 0, "NAMES", "other policies, with commas between; all; help lists them" },
    { "decisions", 0, NULL, "every decision with its reason" },
    { "points", 0, NULL, "with --json: the course of each run" },
    { "html", 0, "FILE",
      "write a page with the course of each run; - is standard output, without the table" },
    { "legend", 0, NULL, "below the table: every score at length" },
    SIMULATION_OPTIONS,
    { 0 },
};

const struct command command_simulate = {
    .name = "simulate",
    .summary = "rehearse a policy on a recorded load, beside other autoscalers",
    .arguments = "",
    .details =
        "The real core decides, in virtual time, on a load from a file or from plimsoll's own "
        "store.\nWithout --config it is the default policy. The same seed gives the same "
        "output anywhere.\n",
    .examples =
        "  plimsoll simulate --trace load.csv --against hpa,knative,oracle\n"
        "  plimsoll simulate --trace access.log --boot 5m --config plimsoll.yaml\n"
        "  plimsoll simulate --recorded 7d --service shop -f plimsoll.yaml --html week.html\n"
        "  curl -s 'http://prometheus:9090/api/v1/query_range?...' | plimsoll simulate "
        "--trace -\n",
    .options = own_options,
    .run = run,
};
