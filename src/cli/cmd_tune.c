/* plimsoll tune: looks for a policy's numbers on one part of a load, shows what they are worth on
 * the rest, and prints what to paste. The search is sim's. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/simulation.h"
#include "config/config.h"
#include "controller/controller.h"
#include "sim/page/page.h"
#include "sim/tune/tune.h"
#include "sim/tune/tune_chart.h"
#include "sim/tune/tune_slo.h"
#include "sys/mem.h"

#define RUNS_DEFAULT 200
#define TRAIN_DEFAULT 0.6
#define POINTS 2000
#define FAMILY_BYTES 2048
#define CHART_BYTES 8192
#define ROWS_MAX 15u /* of the front, in the table */
#define ROW_NAME_BYTES 160

/* Where the search begins without a configuration: the default policy, with a forecast that may be
 * switched on; and Knative's two windows. */
#define FAMILY(rules)             \
    "services:\n"                 \
    "  service:\n"                \
    "    listen: [\":8080\"]\n"   \
    "    run: {command: [app]}\n" \
    "    scale:\n"                \
    "      min: 1\n"              \
    "      max: 1000\n"           \
    "      rules:\n" rules "      behavior: {down: {stabilize: 0s}}\n"
static const char *const family_rules[] = {
    FAMILY("        - target: {metric: concurrency, value: %s, headroom: auto}\n"
           "        - predictive: {metric: concurrency, value: %s, mode: forecast-only}\n"),
    FAMILY("        - concurrency: {value: %s}\n"),
};

/* What they are called, in their order; a configuration's policy is the service's own. */
static const char *const family_names[] = { "default policy", "Knative's windows" };

struct work {
    struct simulation sim;
    struct tune_slo slo;
    int64_t row;       /* whose YAML is wanted, from 1; 0 = the best's */
    bool wait_assumed; /* nobody said how long a request takes without waiting */
    struct tune_options options;
    struct tune_result result;
    char families[ARRAY_LEN(family_rules)][FAMILY_BYTES];
};

/* -- what the search needs ----------------------------------------------------------------------
 */

/* As `plimsoll check` reads it; what it says is not for the screen, and what is left out has been
 * said of the policy as given. How long a start may take is no matter here: the world says how long
 * it does. */
static int read_candidate(void *context, struct arena *arena, const char *text, size_t bytes,
                          struct model_conf *ret)
{
    const struct work *w = context;
    struct config *config;
    struct err errors[4];
    size_t count;
    struct subset *policy = ARENA_NEW(arena, struct subset);
    int rc = policy ? controller_parse_config(arena, "candidate", text, bytes, &config, errors,
                                              ARRAY_LEN(errors), &count)
                    : -ENOMEM;
    for (uint32_t n = 0; rc == 0 && n < config->service_count; n++) {
        if (strcmp(config->services[n].name, w->options.service) != 0)
            continue;
        rc = subset_take(&config->model, n, policy, &errors[0]);
        struct service_conf *service = &policy->service;
        service->start_within_us = MAX(service->start_within_us, 2 * w->sim.run.fleet.boot_us);
        service->cost = w->sim.run.cost;
        *ret = policy->model;
        return rc;
    }
    return -EINVAL;
}

static void choose_families(struct work *w)
{
    struct tune_options *t = &w->options;
    char slots[32];
    if (w->sim.config) {
        t->families[t->family_count++] = w->sim.config->text;
        t->service = w->sim.policy.service.name;
        return;
    }
    fmt_double(slots, sizeof(slots), w->sim.run.slots, 3);
    for (size_t n = 0; n < ARRAY_LEN(family_rules); n++) {
        fmt(w->families[n], FAMILY_BYTES, family_rules[n], slots, slots);
        t->families[t->family_count++] = w->families[n];
    }
    t->service = "service";
}

static void show_progress(uint32_t done, uint32_t of)
{
    fprintf(stderr, "\r%u of %u candidates", done, of);
}

static int read_options(const struct options *o, struct work *w, struct err *err)
{
    struct tune_options *t = &w->options;
    const char *slo = options_text(o, "slo");
    int64_t runs = RUNS_DEFAULT;
    if (!slo)
        return err_set(err, -EINVAL, "say what to hold: --slo 'p99<250ms'");
    if (options_text(o, "slo-wait") || options_text(o, "slo-latency"))
        return err_set(err, -EINVAL, "--slo says what to hold; leave --slo-wait and --slo-latency");
    t->train_share = TRAIN_DEFAULT;
    int rc = options_int(o, "row", 1, TUNE_RUNS_MAX, &w->row, err);
    if (rc == 0 && w->row > 0 && options_flag(o, "json"))
        rc = err_set(err, -EINVAL, "--row chooses what is printed as YAML; --json has it for all");
    if (rc == 0)
        rc = tune_slo_parse(slo, &w->slo, err);
    w->wait_assumed = !w->slo.wait && !options_text(o, "slots");
    w->slo.wait |= w->wait_assumed;
    if (rc == 0)
        rc = tune_slo_set(&w->slo, &w->sim.run, err);
    if (rc == 0)
        rc = simulation_number(o, "train", 0.01, 0.99, &t->train_share, err);
    if (rc == 0)
        rc = options_int(o, "budget-runs", 1, TUNE_RUNS_MAX, &runs, err);
    t->run = w->sim.run;
    t->allowed = w->slo.share;
    t->runs = (uint32_t)runs;
    t->seed = w->sim.run.seed;
    t->threads = (uint32_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);
    t->read = read_candidate;
    t->progress = isatty(STDERR_FILENO) ? show_progress : NULL;
    choose_families(w);
    t->context = w;
    return rc;
}

/* -- what to show -------------------------------------------------------------------------------
 */

static const char *family_name(const struct work *w, const struct tune_candidate *c)
{
    return w->sim.config ? w->options.service : family_names[c->family];
}

/* The best in training, or what comes nearest to keeping the SLO. */
static uint32_t first_choice(const struct work *w)
{
    return w->result.best >= 0 ? (uint32_t)w->result.best : w->result.front_count - 1;
}

static bool kept(const struct work *w, const struct tune_outcome *x)
{
    return x->violations <= w->options.allowed;
}

static double hours_in_all(const struct tune_candidate *c)
{
    return c->train.instance_hours + c->test.instance_hours;
}

/* The cheapest on the whole load of those that keep the SLO in both of its parts; -1 = none does.
 */
static int64_t keeps_both(const struct work *w)
{
    int64_t cheapest = -1;
    for (uint32_t n = 0; n < w->result.count; n++) {
        const struct tune_candidate *c = &w->result.candidates[n];
        if (!c->tested || !kept(w, &c->train) || !kept(w, &c->test))
            continue;
        if (cheapest < 0 || hours_in_all(c) < hours_in_all(&w->result.candidates[cheapest]))
            cheapest = n;
    }
    return cheapest;
}

/* Whose YAML is worth having: the row that was asked for, or else the best, and beside it the one
 * that held in the test when the best did not. -1 = none. */
struct choice {
    int64_t first, second;
    bool missed; /* the first one misses the SLO in the test, and nobody asked for it by number */
};

static struct choice choose(const struct work *w)
{
    if (w->row > 0)
        return (struct choice){ w->row - 1, -1, false };
    uint32_t first = first_choice(w);
    bool missed = !kept(w, &w->result.candidates[first].test);
    return (struct choice){ first, missed ? keeps_both(w) : -1, missed };
}

/* "7 best", "8 as given: default policy". */
static void name_row(const struct work *w, uint32_t n, char *buf, size_t cap)
{
    const struct tune_candidate *c = &w->result.candidates[n];
    bool best = w->result.best == n;
    snprintf(buf, cap, "%u%s%s%s%s", n + 1, best ? " best" : "", best && c->base ? "," : "",
             c->base ? " as given: " : "", c->base ? family_name(w, c) : "");
}

/* Rows are what has been tested: the front, and then the policies as given. */
static int check_row(const struct work *w)
{
    uint32_t rows = 0;
    while (rows < w->result.count && w->result.candidates[rows].tested)
        rows++;
    if (w->row <= rows)
        return COMMAND_OK;
    return command_fail(COMMAND_USAGE, "--row %lld: there is no such row, but 1 to %u",
                        (long long)w->row, rows);
}

/* -- for people ---------------------------------------------------------------------------------
 */

static void add_outcome(struct show_table *t, const struct tune_outcome *x)
{
    char text[64];
    fmt_double(text, sizeof(text), x->instance_hours, 1);
    show_table_add(t, text);
    snprintf(text, sizeof(text), "%.3g%%", 100 * x->violations);
    show_table_add(t, text);
}

static void add_row(struct show_table *t, const struct work *w, uint32_t n)
{
    const struct tune_candidate *c = &w->result.candidates[n];
    char name[ROW_NAME_BYTES];
    name_row(w, n, name, sizeof(name));
    show_table_add(t, name);
    add_outcome(t, &c->train);
    add_outcome(t, &c->test);
    show_table_add_i64(t, (int64_t)c->test.moves);
    show_table_add(t, kept(w, &c->test) ? "kept" : "missed");
}

/* The part of the front around the best. */
static void print_table(const struct work *w)
{
    static const char *const heads[] = { "CANDIDATE",       ">TRAIN HOURS",
                                         ">OVER",           ">TEST HOURS",
                                         ">OVER",           ">TEST MOVES",
                                         "SLO IN THE TEST", NULL };
    const struct tune_result *r = &w->result;
    uint32_t centre = first_choice(w);
    uint32_t first = centre > ROWS_MAX / 2 ? centre - ROWS_MAX / 2 : 0;
    uint32_t last = MIN(first + ROWS_MAX, r->front_count);
    struct show_table t;
    show_table_init(&t, heads);
    for (uint32_t n = first; n < last; n++)
        add_row(&t, w, n);
    for (uint32_t n = 0; n < r->count; n++) {
        if (r->candidates[n].base && (n < first || n >= last))
            add_row(&t, w, n);
    }
    show_table_print(&t, "");
    show_table_done(&t);
    if (last - first < r->front_count)
        printf("%u of the %u candidates that nothing beats; --json has all\n", last - first,
               r->front_count);
}

static void print_chart(const struct work *w)
{
    char text[CHART_BYTES];
    struct str out;
    str_init(&out, text, sizeof(text));
    tune_chart_write(&w->result, w->options.allowed, &out);
    printf("\nOver the limit in training, against instance-hours:\n%s", text);
}

static void print_head(const struct work *w)
{
    char train[64], test[64], limit[64];
    num_format_duration(train, sizeof(train), (int64_t)w->result.train_s * US_PER_S);
    num_format_duration(test, sizeof(test), (int64_t)w->result.test_s * US_PER_S);
    num_format_duration(limit, sizeof(limit), (int64_t)(w->slo.limit_s * 1e6 + 0.5));
    printf("%s: trained on the first %s, tested on the other %s, which the search has not seen.\n"
           "At most %.4g%% of the requests may %s more than %s (OVER is the share that does). "
           "%u candidates.\n",
           w->sim.trace.name, train, test, 100 * w->slo.share, w->slo.wait ? "wait" : "take", limit,
           w->result.count);
    if (w->wait_assumed)
        puts("Without --slots nothing is known of the service time, so the limit is for what comes "
             "on top of it.");
}

static void print_scale(const struct work *w, int64_t n)
{
    printf("\nscale:\n%s", w->result.candidates[n].yaml);
}

/* What the best of the training is worth. */
static const char *verdict(const struct work *w)
{
    const struct tune_candidate *best = &w->result.candidates[first_choice(w)];
    if (w->result.best < 0)
        return "None keeps the SLO in training. The last of the front comes nearest:";
    if (!kept(w, &best->test))
        return "The best in training misses the SLO in the test: the rest of the load has what the "
               "first\npart had not. Take a row that keeps both, or train on more (--train). The "
               "best:";
    if (best->train.violations > w->options.allowed * (1 - TUNE_RESERVE))
        return "The cheapest that keeps the SLO in training, with less than half of it in reserve; "
               "it keeps\nit in the test too:";
    return "The cheapest that keeps the SLO in training with half of it in reserve; it keeps it in "
           "the test too:";
}

static void print_best(const struct work *w)
{
    struct choice c = choose(w);
    char name[ROW_NAME_BYTES];
    name_row(w, (uint32_t)c.first, name, sizeof(name));
    if (w->row > 0)
        printf("\nRow %s:\n", name);
    else
        printf("\n%s\n", verdict(w));
    print_scale(w, c.first);
    if (c.second >= 0) {
        name_row(w, (uint32_t)c.second, name, sizeof(name));
        printf("\nThe cheapest row that keeps the SLO in both parts is %s.\n"
               "It was picked by its test, which so is no proof for it:\n",
               name);
        print_scale(w, c.second);
    } else if (c.missed) {
        puts("\nNo row keeps the SLO in both parts.");
    }
}

/* -- for programs -------------------------------------------------------------------------------
 */

static json_t *outcome_json(const struct tune_outcome *x)
{
    return json_pack("{s:f,s:f,s:f,s:f,s:f,s:f}", "requests", x->requests, "violations",
                     x->violations, "instance_hours", x->instance_hours, "cost", x->cost, "co2_g",
                     x->co2_g, "moves", x->moves);
}

static json_t *candidate_json(const struct work *w, const struct tune_candidate *c)
{
    return json_pack("{s:s,s:b,s:b,s:o,s:o,s:b,s:b,s:s}", "family", family_name(w, c), "as_given",
                     c->base, "front", c->front, "train", outcome_json(&c->train), "test",
                     outcome_json(&c->test), "slo_train", kept(w, &c->train), "slo_test",
                     kept(w, &c->test), "scale", c->yaml);
}

static json_t *index_json(int64_t at)
{
    return at >= 0 ? json_integer(at) : json_null();
}

static int print_json(const struct work *w)
{
    const struct tune_result *r = &w->result;
    json_t *list = json_array();
    int64_t both = keeps_both(w), both_at = -1;
    for (uint32_t n = 0; n < r->count; n++) {
        if (n == both)
            both_at = (int64_t)json_array_size(list);
        if (r->candidates[n].tested)
            json_array_append_new(list, candidate_json(w, &r->candidates[n]));
    }
    _cleanup_json_ json_t *root = json_pack(
        "{s:s,s:o,s:f,s:f,s:{s:f,s:f,s:b},s:i,s:i,s:o,s:o,s:o}", "load", w->sim.trace.name, "notes",
        simulation_notes_json(&w->sim), "train_s", r->train_s, "test_s", r->test_s, "slo", "share",
        w->slo.share, "limit_s", w->slo.limit_s, "wait", w->slo.wait, "simulated", (int)r->count,
        "refused", (int)r->invalid, "best", index_json(r->best), "keeps_both", index_json(both_at),
        "candidates", list);
    if (!root)
        return command_fail(COMMAND_FAILED, "the result cannot be written as JSON");
    json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(15));
    putchar('\n');
    return COMMAND_OK;
}

/* -- the page -----------------------------------------------------------------------------------
 */

#define LABEL_BYTES 160

struct shown { /* a candidate on the whole load, with its course */
    struct arena arena;
    struct model_conf model;
    struct run_options options;
    struct run_result result;
    char name[ROW_NAME_BYTES];
};

/* What a candidate is shown as; NULL = it is not. */
static const char *role(const struct work *w, struct choice c, uint32_t n)
{
    if (w->result.best == n)
        return "best";
    if (c.first == n)
        return w->row > 0 ? "asked for" : "nearest";
    return c.second == n ? "keeps both" : NULL;
}

static void name_shown(const struct work *w, struct choice c, uint32_t n, char *buf, size_t cap)
{
    const struct tune_candidate *x = &w->result.candidates[n];
    const char *what = role(w, c, n);
    snprintf(buf, cap, "%s%s%s%s", what ? what : "", what && x->base ? ", " : "",
             x->base ? "as given: " : "", x->base ? family_name(w, x) : "");
}

static int run_again(const struct work *w, uint32_t n, struct shown *s, struct err *err)
{
    const struct tune_candidate *c = &w->result.candidates[n];
    mem_arena_init(&s->arena, LOAD_ARENA_BYTES);
    name_shown(w, choose(w), n, s->name, sizeof(s->name));
    int rc = read_candidate((void *)w, &s->arena, c->text, strlen(c->text), &s->model);
    if (rc < 0)
        return err_set(err, rc, "the candidate cannot be read again");
    s->options = w->options.run;
    s->options.policy = &policy_plimsoll;
    s->options.model = &s->model;
    s->options.points_max = POINTS;
    s->options.decisions = true;
    return run_simulate(&s->options, &s->result, err);
}

static uint32_t put_dots(const struct work *w, struct page_dot *dots, char (*labels)[LABEL_BYTES])
{
    for (uint32_t n = 0; n < w->result.count; n++) {
        const struct tune_candidate *c = &w->result.candidates[n];
        snprintf(labels[n], sizeof(labels[n]), "candidate %u%s%s", n + 1,
                 c->base ? ", as given: " : "", c->base ? family_name(w, c) : "");
        dots[n] =
            (struct page_dot){ c->train.violations, c->train.instance_hours, c->front, labels[n] };
    }
    return w->result.count;
}

/* What is printed, and what was given, over the whole load. */
static int write_page(const char *path, const struct work *w)
{
    const struct tune_result *r = &w->result;
    struct shown shown[3 + TUNE_FAMILIES_MAX] = { 0 };
    struct page_run runs[ARRAY_LEN(shown)] = { 0 };
    _cleanup_free_ struct page_dot *dots = calloc(r->count, sizeof(*dots));
    _cleanup_free_ char(*labels)[LABEL_BYTES] = calloc(r->count, sizeof(*labels));
    struct page page = { .title = w->sim.trace.name, .runs = runs, .dots = dots };
    struct choice choice = choose(w);
    struct err err = { 0 };
    int rc = dots && labels ? 0 : err_set(&err, -ENOMEM, "out of memory");
    for (uint32_t n = 0; n < r->count && rc == 0; n++) {
        if ((!role(w, choice, n) && !r->candidates[n].base) || page.run_count == ARRAY_LEN(shown))
            continue;
        struct shown *s = &shown[page.run_count];
        rc = run_again(w, n, s, &err);
        runs[page.run_count++] =
            (struct page_run){ s->name, r->candidates[n].yaml, &s->options, &s->result };
    }
    page.dot_count = rc == 0 ? put_dots(w, dots, labels) : 0;
    rc = rc < 0 ? command_fail_err(COMMAND_FAILED, &err) : simulation_write_page(path, &page);
    for (uint32_t n = 0; n < page.run_count; n++) {
        run_result_done(&shown[n].result);
        arena_done(&shown[n].arena);
    }
    return rc;
}

/* -- all of it ----------------------------------------------------------------------------------
 */

static int report(const struct options *o, const struct work *w)
{
    int rc = check_row(w);
    if (rc != COMMAND_OK)
        return rc;
    if (options_flag(o, "json")) {
        rc = print_json(w);
    } else if (!simulation_page_is_output(o)) {
        print_head(w);
        putchar('\n');
        print_table(w);
        print_chart(w);
        print_best(w);
    }
    const char *page = options_text(o, "html");
    return page && rc == COMMAND_OK ? write_page(page, w) : rc;
}

static int search(const struct options *o, struct work *w)
{
    struct err err = { 0 };
    int rc = tune_run(&w->options, &w->result, &err);
    if (w->options.progress)
        fprintf(stderr, "\r%40s\r", "");
    return rc < 0 ? command_fail_err(COMMAND_FAILED, &err) : report(o, w);
}

static int run(const struct options *o)
{
    struct err err = { 0 };
    struct work *w = calloc(1, sizeof(*w));
    if (!w)
        return command_fail(COMMAND_FAILED, "out of memory");
    int rc = simulation_read(o, &w->sim);
    if (rc == 0) {
        if (read_options(o, w, &err) < 0)
            rc = command_fail_err(COMMAND_USAGE, &err);
        else
            rc = search(o, w);
        tune_result_done(&w->result);
        simulation_done(&w->sim);
    }
    free(w);
    return rc;
}

static const struct option_spec own_options[] = {
    { "slo", 0, "GOAL", "what to hold: 'p99<250ms' (latency), 'wait-p95<100ms'" },
    { "train", 0, "SHARE", "of the load to search on; the rest is the test (default 60%)" },
    { "budget-runs", 0, "N", "simulations to spend (default 200)" },
    { "row", 0, "N", "print the YAML of this row of the table, not of the best" },
    { "html", 0, "FILE",
      "write a page with the candidates and the course of the best; - is standard output, "
      "without the table" },
    SIMULATION_OPTIONS,
    { 0 },
};

const struct command command_tune = {
    .name = "tune",
    .summary = "search a policy's numbers on a recorded load, and print what to paste",
    .arguments = "",
    .details =
        "Moves the numbers of the target, concurrency, queue and predictive rules in the "
        "service's\n"
        "scale section, its headroom, cost of change and stabilization; other rules stay as they\n"
        "are written. Simulates each candidate on the first part of the load.\n"
        "Those that no other beats in both violations and instance-hours are then shown with\n"
        "their result on the rest. Without --config it starts from a target with a forecast,\n"
        "and from Knative's windows. The same seed gives the same answer on any machine.\n",
    .examples = "  plimsoll tune --trace load.csv --slo 'p99<250ms' --boot 60s\n"
                "  plimsoll tune --trace load.csv --slo 'wait-p95<100ms' -f plimsoll.yaml "
                "--service shop\n"
                "  plimsoll tune --recorded 14d --slo 'p99<1s' -f plimsoll.yaml --service shop "
                "--html tune.html\n",
    .options = own_options,
    .run = run,
};
