/* Reads the options of a simulation. What happens with them is sim's. */
#include "cli/simulation.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/num.h"
#include "base/us.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/state_dir.h"
#include "cli/trace_file.h"
#include "config/config.h"
#include "sim/page/page.h"
#include "store/recorded.h"
#include "sys/mem.h"

#define CAPACITY_SHARE 15 /* the mean load is that of so many instances, unless told otherwise */
#define SLOTS 20
#define SERVICE_S_MUCH 10.0 /* nobody waits so long for a request that nothing holds up */

/* -- notes -- */

void simulation_note(struct simulation *s, const char *format, ...)
{
    char text[sizeof(s->notes[0])];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    fprintf(stderr, "note: %s\n", text);
    if (s->note_count < SIMULATION_NOTES_MAX)
        memcpy(s->notes[s->note_count++], text, sizeof(text));
}

json_t *simulation_notes_json(const struct simulation *s)
{
    json_t *list = json_array();
    for (uint32_t n = 0; n < s->note_count; n++)
        json_array_append_new(list, json_string(s->notes[n]));
    return list;
}

/* -- options that need another -- */

int simulation_need(const struct options *o, const struct simulation_need *needs, struct err *err)
{
    for (size_t n = 0; needs[n].name; n++) {
        if (options_flag(o, needs[n].name) && !options_flag(o, needs[n].other))
            return err_set(err, -EINVAL, "--%s does nothing without --%s%s", needs[n].name,
                           needs[n].other, needs[n].why);
    }
    return 0;
}

/* -- times -- */

/* Of a model: three digits are plenty. */
void simulation_format_time(char *buf, size_t cap, double s)
{
    int64_t us = (int64_t)(MIN(s, 1e9) * 1e6 + 0.5), unit = 1;
    while (us / unit >= 10000)
        unit *= 10;
    unit = us >= 10 * US_PER_S ? US_PER_S : unit;
    num_format_duration(buf, cap, us / unit * unit);
}

/* -- single options -- */

int simulation_number(const struct options *o, const char *name, double min, double max,
                      double *ret, struct err *err)
{
    const char *text = options_text(o, name);
    double value;
    if (!text)
        return 0;
    if (num_parse_percent(slice_of(text), &value) < 0 &&
        num_parse_double(slice_of(text), &value) < 0)
        return err_set(err, -EINVAL, "--%s is \"%s\", and must be a number", name, text);
    if (value < min && min > 0 && min < 1e-5)
        return err_set(err, -EINVAL, "--%s is %s, and must be more than 0", name, text);
    if (value < min || value > max)
        return err_set(err, -EINVAL, "--%s is %s, and must be %g to %g", name, text, min, max);
    *ret = value;
    return 0;
}

int simulation_duration(const struct options *o, const char *name, int64_t *ret_us, struct err *err)
{
    const char *text = options_text(o, name);
    if (!text)
        return 0;
    if (num_parse_duration(slice_of(text), ret_us) < 0)
        return err_set(err, -EINVAL, "--%s is \"%s\", and must be a time such as 90s or 7d", name,
                       text);
    return 0;
}

/* A time that may not be 0. */
static int read_span(const struct options *o, const char *name, int64_t *ret_us, struct err *err)
{
    int rc = simulation_duration(o, name, ret_us, err);
    if (rc == 0 && options_text(o, name) && *ret_us <= 0)
        return err_set(err, -EINVAL, "--%s must be more than 0", name);
    return rc;
}

/* One word of a list, NULL at its end; -1 = absent. */
static int take_word(const struct options *o, const char *name, const char *const *words, int *ret,
                     struct err *err)
{
    const char *text = options_text(o, name);
    if (!text)
        return 0;
    char all[200];
    struct str s;
    str_init(&s, all, sizeof(all));
    for (int n = 0; words[n]; n++) {
        if (strcmp(words[n], text) == 0) {
            *ret = n;
            return 0;
        }
        str_putf(&s, "%s%s", n > 0 ? ", " : "", words[n]);
    }
    return err_set(err, -EINVAL, "--%s is \"%s\", and must be one of %s", name, text, all);
}

/* -- the load -- */

static int read_recorded(const struct options *o, const char *service, struct simulation *s,
                         struct err *err)
{
    char dir[4096];
    struct recorded r = { 0 };
    int64_t length_us = 0;
    int rc = simulation_duration(o, "recorded", &length_us, err);
    if (rc == 0 && options_text(o, "state"))
        (void)str_copy(dir, sizeof(dir), options_text(o, "state"));
    else if (rc == 0)
        rc = state_dir_default(dir, sizeof(dir), err);
    if (rc < 0)
        return rc;
    int64_t now_us = (int64_t)time(NULL) * US_PER_S;
    struct err why = { 0 };
    rc = recorded_read(dir, service, us_sub(now_us, length_us), now_us, &r, &why);
    if (rc == -EINVAL)
        return err_set(err, rc, "--recorded %s: %s", options_text(o, "recorded"), why.text);
    if (rc < 0)
        return err_at(err, rc, why.place, "%s", why.text);
    s->trace = (struct trace){
        .start_wall_us = r.wall_us,
        .step_us = RECORDED_STEP_S * US_PER_S,
        .count = r.count,
        .rates = r.arrivals,
    };
    r.arrivals = NULL;
    if (!s->config)
        simulation_note(s, "without --config the policy is the default one, not that of %s",
                        service);
    (void)str_copy(s->trace.name, sizeof(s->trace.name), "recorded");
    recorded_done(&r);
    s->bad_rows = trace_fill_gaps(&s->trace);
    if (s->bad_rows > 0)
        simulation_note(s,
                        "%llu of %zu minutes are not recorded: their load is taken from the line "
                        "between their neighbours",
                        (unsigned long long)s->bad_rows, s->trace.count);
    return 0;
}

/* "30m", of a load. */
static const char *span_text(char buf[64], int64_t us)
{
    num_format_duration(buf, 64, us);
    return buf;
}

/* What is simulated is not what was asked for, to the second. */
static void tell_rounding(struct simulation *s, int64_t from_us, int64_t to_us)
{
    int64_t step_us = s->trace.step_us;
    char step[64], from[64], to[64];
    if (from_us % step_us == 0 && to_us % step_us == 0)
        return;
    simulation_note(s,
                    "--from and --for are rounded down to the load's steps of %s: what is "
                    "simulated lasts from %s to %s",
                    span_text(step, step_us), span_text(from, from_us / step_us * step_us),
                    span_text(to, to_us / step_us * step_us));
}

static int cut(struct simulation *s, int64_t from_us, int64_t for_us, struct err *err)
{
    struct trace *t = &s->trace, part;
    char length[64], step[64];
    int64_t length_us = trace_length_us(t);
    if (from_us == 0 && for_us == US_NEVER)
        return 0;
    int64_t to_us = MIN(us_add(from_us, for_us), length_us);
    int rc = trace_slice(t, from_us, to_us, &part);
    if (rc < 0)
        return err_set(err, rc, "out of memory");
    if (part.count == 0)
        rc = err_set(err, -EINVAL,
                     "--from, --for: nothing of the load is left: it lasts %s, in steps of %s",
                     span_text(length, length_us), span_text(step, t->step_us));
    else
        tell_rounding(s, from_us, to_us);
    trace_done(t);
    *t = part;
    return rc;
}

static int resample(struct simulation *s, int64_t step_us, struct err *err)
{
    struct trace *t = &s->trace, other;
    char step[64], length[64];
    int64_t length_us = trace_length_us(t);
    if (step_us == 0)
        return 0;
    int rc = trace_resample(t, step_us, &other);
    if (rc == -ERANGE)
        return err_set(err, rc, "--resample is %s, longer than the whole load, which lasts %s",
                       span_text(step, step_us), span_text(length, length_us));
    if (rc < 0)
        return err_set(err, rc,
                       rc == -ENOMEM ? "out of memory"
                                     : "--resample: steps that short would be too many");
    if (length_us % step_us != 0)
        simulation_note(s, "--resample: the last %s of the load is no whole step, and left out",
                        span_text(length, length_us % step_us));
    trace_done(t);
    *t = other;
    return 0;
}

static int change_load(const struct options *o, struct simulation *s, struct err *err)
{
    struct trace *t = &s->trace;
    double scale = 1, speed = 1;
    int64_t from_us = 0, for_us = US_NEVER, step_us = 0;
    int rc = simulation_number(o, "scale", 1e-9, 1e9, &scale, err);
    if (rc == 0)
        rc = simulation_number(o, "time-scale", 1e-6, 1e6, &speed, err);
    if (rc == 0)
        rc = simulation_duration(o, "from", &from_us, err);
    if (rc == 0)
        rc = simulation_duration(o, "for", &for_us, err);
    if (rc == 0)
        rc = read_span(o, "resample", &step_us, err);
    if (rc == 0)
        rc = cut(s, from_us, for_us, err);
    bool quiet = options_flag(o, "denoise");
    if (rc == 0 && quiet && trace_grow(t, scale) < 0)
        rc = err_set(err, -ENOMEM, "out of memory");
    if (rc < 0)
        return rc;
    if (!quiet)
        trace_scale(t, scale);
    trace_scale_time(t, speed);
    if (trace_length_us(t) > TRACE_LENGTH_US_MAX)
        return err_set(err, -EINVAL, "--time-scale: the load would last longer than %d years",
                       TRACE_YEARS_MAX);
    return resample(s, step_us, err);
}

static int read_load(const struct options *o, struct simulation *s, struct err *err)
{
    const char *path = options_text(o, "trace");
    bool recorded = options_text(o, "recorded") != NULL;
    if (!path && !recorded)
        return err_set(err, -EINVAL, "give a load: --trace FILE, or --recorded TIME");
    if (path && recorded)
        return err_set(err, -EINVAL,
                       "give a load with either --trace or --recorded, not with both");
    if (!recorded && !s->config && options_text(o, "service"))
        return err_set(err, -EINVAL,
                       "--service is one of a configuration, and --config is missing: without it "
                       "the default policy would be simulated");
    if (recorded && !s->config && !options_text(o, "service"))
        return err_set(err, -EINVAL, "--recorded needs --service or --config");
    const char *service = s->config ? s->policy.service.name : options_text(o, "service");
    int rc = path ? trace_file_read(path, &s->trace, &s->bad_rows, err)
                  : read_recorded(o, service, s, err);
    return rc < 0 ? rc : change_load(o, s, err);
}

/* -- the policy -- */

static int find_service(const struct options *o, const struct config *c, uint32_t *ret,
                        struct err *err)
{
    const char *wanted = options_text(o, "service");
    if (!wanted && c->service_count != 1)
        return err_set(err, -EINVAL, "%s has %u services: say which with --service", c->path,
                       c->service_count);
    for (uint32_t n = 0; n < c->service_count; n++) {
        if (!wanted || strcmp(c->services[n].name, wanted) == 0) {
            *ret = n;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "%s has no service \"%s\"", c->path, wanted);
}

static int read_config(const struct options *o, struct simulation *s, const char *path,
                       struct err *err)
{
    uint32_t at = 0;
    if (load_config(&s->arena, path, &s->config) < 0)
        return err_set(err, -EINVAL, "%s cannot be used", path);
    int rc = find_service(o, s->config, &at, err);
    if (rc < 0)
        return rc;
    if (!options_text(o, "slots") && s->config->services[at].max_concurrency > 0)
        s->run.slots = (double)s->config->services[at].max_concurrency;
    rc = subset_take(&s->config->model, at, &s->policy, err);
    for (uint32_t n = 0; rc == 0 && n < s->policy.note_count; n++)
        simulation_note(s, "%s", s->policy.notes[n]);
    return rc;
}

static int read_policy(const struct options *o, struct simulation *s, struct err *err)
{
    const char *path = options_text(o, "config");
    s->run.slots = SLOTS;
    int rc = simulation_number(o, "slots", 1, 1e6, &s->run.slots, err);
    if (rc < 0)
        return rc;
    if (path)
        return read_config(o, s, path, err);
    default_policy_init(&s->fallback, s->run.slots);
    return subset_take(&s->fallback.model, 0, &s->policy, err);
}

/* -- the world -- */

static int read_histogram(const char *path, struct run_histogram *ret, struct err *err)
{
    char line[256];
    bool begun = false;
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    for (unsigned row = 1; fgets(line, sizeof(line), f); row++) {
        const char *comma = strchr(line, ',');
        double below, share;
        const char *text = line + strspn(line, " \t\r\n");
        bool header = !begun && (*text < '0' || *text > '9');
        if (*text == '#' || *text == '\0')
            continue;
        begun = true;
        if (header)
            continue;
        if (ret->count == ARRAY_LEN(ret->bucket))
            return err_set(err, -E2BIG, "%s: more than %zu rows", path, ARRAY_LEN(ret->bucket));
        struct slice first = { line, comma ? (size_t)(comma - line) : 0 };
        struct slice second = { comma ? comma + 1 : line, comma ? strcspn(comma + 1, "\r\n") : 0 };
        if (num_parse_double(slice_trim(first), &below) < 0 ||
            num_parse_double(slice_trim(second), &share) < 0 || below <= 0 || share < 0)
            return err_set(err, -EINVAL, "%s:%u: not a row of below_s,share", path, row);
        if (ret->count > 0 && below <= ret->bucket[ret->count - 1].below_s)
            return err_set(err, -EINVAL,
                           "%s:%u: below_s is %g, and must be more than %g, that of "
                           "the row before",
                           path, row, below, ret->bucket[ret->count - 1].below_s);
        ret->bucket[ret->count].below_s = below;
        ret->bucket[ret->count++].share = share;
    }
    return ret->count > 0 ? 0 : err_set(err, -EINVAL, "%s: no row in it", path);
}

static int read_service_time(const struct options *o, struct simulation *s, struct err *err)
{
    const char *text = options_text(o, "service-time");
    struct run_options *r = &s->run;
    if (!text || strcmp(text, "fixed") == 0)
        return 0;
    if (strcmp(text, "exponential") == 0) {
        r->service = RUN_EXPONENTIAL;
        return 0;
    }
    if (strncmp(text, "lognormal:", 10) == 0 &&
        num_parse_double(slice_of(text + 10), &r->service_cv) == 0 && r->service_cv > 0) {
        r->service = RUN_LOGNORMAL;
        return 0;
    }
    if (strncmp(text, "histogram:", 10) == 0) {
        r->service = RUN_HISTOGRAM;
        r->histogram = &s->histogram;
        return read_histogram(text + 10, &s->histogram, err);
    }
    return err_set(err, -EINVAL,
                   "--service-time is \"%s\", and must be fixed, exponential, "
                   "lognormal:CV or histogram:FILE",
                   text);
}

static int read_noisy(const struct options *o, struct fleet_conf *f, struct err *err)
{
    const char *text = options_text(o, "noisy");
    if (!text)
        return 0;
    size_t n = strcspn(text, ":");
    struct slice share = { text, n };
    f->noisy_slowdown = 2;
    if (num_parse_percent(share, &f->noisy_share) < 0 &&
        num_parse_double(share, &f->noisy_share) < 0)
        n = 0;
    if (text[n] == ':' && num_parse_double(slice_of(text + n + 1), &f->noisy_slowdown) < 0)
        n = 0;
    return n > 0 ? 0 : err_set(err, -EINVAL, "--noisy is \"%s\", and must be as 10%%:2", text);
}

static int read_times(const struct options *o, struct run_options *r, struct err *err)
{
    int64_t wait_us = 500 * US_PER_MS, latency_us = 0, seed = 1;
    r->fleet.boot_us = 60 * US_PER_S;
    int rc = simulation_duration(o, "boot", &r->fleet.boot_us, err);
    if (rc == 0)
        rc = read_span(o, "slo-wait", &wait_us, err);
    if (rc == 0)
        rc = read_span(o, "slo-latency", &latency_us, err);
    if (rc == 0)
        rc = options_int(o, "seed", 0, INT64_MAX, &seed, err);
    r->slo_wait_s = (double)wait_us * 1e-6;
    r->slo_latency_s = (double)latency_us * 1e-6;
    r->seed = (uint64_t)seed;
    return rc;
}

static int read_words(const struct options *o, struct run_options *r, struct err *err)
{
    static const char *const fidelities[] = { "tick", "request", NULL };
    static const char *const disciplines[] = { "ps", "fcfs", NULL };
    int fidelity = RUN_TICK, discipline = RUN_SHARED;
    int rc = take_word(o, "fidelity", fidelities, &fidelity, err);
    if (rc == 0)
        rc = take_word(o, "discipline", disciplines, &discipline, err);
    r->fidelity = (enum run_fidelity)fidelity;
    r->discipline = (enum run_discipline)discipline;
    r->balance = options_text(o, "balance");
    return rc;
}

static int read_world(const struct options *o, struct simulation *s, struct err *err)
{
    struct run_options *r = &s->run;
    struct service_conf *service = &s->policy.service;
    s->carbon = s->policy.model.carbon;
    r->watts = service->watts;
    const struct {
        const char *name;
        double min, max, *to;
    } numbers[] = {
        { "boot-spread", 0, 1, &r->fleet.boot_spread },
        { "start-failures", 0, 1, &r->fleet.start_failures },
        { "crashes", 0, 1e5, &r->fleet.crashes_per_day },
        { "cost", 0, 1e9, &service->cost }, /* a budget counts it too */
        { "watts", 0, 1e9, &r->watts },
        { "carbon", 0, 1e6, &s->carbon.grams },
        { "capacity", 1e-9, 1e12, &r->capacity },
    };
    int rc = read_times(o, r, err);
    for (size_t n = 0; rc == 0 && n < ARRAY_LEN(numbers); n++)
        rc = simulation_number(o, numbers[n].name, numbers[n].min, numbers[n].max, numbers[n].to,
                               err);
    if (rc == 0)
        rc = read_words(o, r, err);
    if (rc == 0)
        rc = read_noisy(o, &r->fleet, err);
    if (rc == 0)
        rc = read_service_time(o, s, err);
    r->cost = service->cost;
    if (s->carbon.grams > 0 || s->carbon.window_count > 0)
        r->carbon = &s->carbon;
    return rc;
}

/* In a fluid all requests take the same time, and wait: a limit on the whole is one on the wait. */
static int fit_tick(const struct options *o, struct run_options *r, struct err *err)
{
    static const char *const single[] = { "service-time", "discipline", "balance" };
    if (r->fidelity != RUN_TICK)
        return 0;
    for (size_t n = 0; n < ARRAY_LEN(single); n++) {
        if (options_text(o, single[n]))
            return err_set(err, -EINVAL, "--%s needs --fidelity request", single[n]);
    }
    if (r->slo_latency_s <= 0)
        return 0;
    double wait_s = r->slo_latency_s - r->slots / r->capacity;
    if (wait_s <= 0)
        return err_set(err, -EINVAL,
                       "a request takes %g s when nothing is in its way (--slots / --capacity): "
                       "--slo-latency must be longer",
                       r->slots / r->capacity);
    r->slo_wait_s = MIN(r->slo_wait_s, wait_s);
    r->slo_latency_s = 0;
    return 0;
}

/* A start that takes longer than the configuration waits for one would always fail. */
static void allow_boot(struct simulation *s)
{
    const struct fleet_conf *f = &s->run.fleet;
    int64_t longest_us = (int64_t)((double)f->boot_us * (1 + f->boot_spread)) + 10 * US_PER_S;
    if (s->policy.service.start_within_us >= longest_us)
        return;
    if (s->config)
        simulation_note(s, "starts are waited for longer than the configuration says, since "
                           "--boot is longer");
    s->policy.service.start_within_us = longest_us;
}

/* Where the load is a trickle, so is the capacity that nobody gave. */
static void warn_of_slowness(struct simulation *s)
{
    char text[64];
    double service_s = s->run.slots / s->run.capacity;
    double slo_s = s->run.slo_latency_s > 0 ? s->run.slo_latency_s : SERVICE_S_MUCH;
    if (service_s <= slo_s)
        return;
    simulation_format_time(text, sizeof(text), service_s);
    simulation_note(s,
                    "a request takes %s (--slots / --capacity): give them as measured, or "
                    "--scale the load",
                    text);
}

/* -- the page -- */

/* Standard output can only be one thing. */
static int check_page(const struct options *o, struct err *err)
{
    if (simulation_page_is_output(o) && options_flag(o, "json"))
        return err_set(err, -EINVAL, "--json and --html - both want standard output");
    return 0;
}

bool simulation_page_is_output(const struct options *o)
{
    const char *path = options_text(o, "html");
    return path && strcmp(path, "-") == 0;
}

int simulation_write_page(const char *path, const struct page *page)
{
    bool standard = strcmp(path, "-") == 0;
    _cleanup_fclose_ FILE *opened = standard ? NULL : fopen(path, "we");
    FILE *f = standard ? stdout : opened;
    if (!f)
        return command_fail(COMMAND_FAILED, "%s: %s", path, strerror(errno));
    if (page_write(page, f) < 0)
        return command_fail(COMMAND_FAILED, "%s: cannot be written",
                            standard ? "standard output" : path);
    return COMMAND_OK;
}

/* -- all of it -- */

static int read_all(const struct options *o, struct simulation *s, struct err *err)
{
    static const struct simulation_need needs[] = {
        { "state", "recorded", ": it is where a record lies" },
        { "denoise", "scale", "" },
        { 0 },
    };
    int rc = simulation_need(o, needs, err);
    if (rc == 0)
        rc = check_page(o, err);
    if (rc == 0)
        rc = read_policy(o, s, err);
    if (rc == 0)
        rc = read_load(o, s, err);
    if (rc == 0)
        rc = read_world(o, s, err);
    if (rc < 0)
        return rc;
    allow_boot(s);
    double mean = trace_mean(&s->trace);
    if (s->run.capacity == 0)
        s->run.capacity = mean / CAPACITY_SHARE;
    if (s->run.capacity <= 0)
        return err_set(err, -EINVAL, "the load is 0 throughout: say --capacity");
    warn_of_slowness(s);
    rc = fit_tick(o, &s->run, err);
    s->run.trace = &s->trace;
    s->run.model = &s->policy.model;
    return rc;
}

int simulation_read(const struct options *o, struct simulation *ret)
{
    struct err err = { 0 };
    *ret = (struct simulation){ 0 };
    mem_arena_init(&ret->arena, LOAD_ARENA_BYTES);
    if (read_all(o, ret, &err) == 0)
        return 0;
    simulation_done(ret);
    return command_fail_err(COMMAND_USAGE, &err);
}

void simulation_done(struct simulation *s)
{
    trace_done(&s->trace);
    arena_done(&s->arena);
}
