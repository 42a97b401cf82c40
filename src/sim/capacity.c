/* The arithmetic of capacity, step by step. Each step leaves a line that names its law. It must
 * never round in between: only counts of instances are whole. */
#include "sim/capacity.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>

#include "base/fmt.h"
#include "base/math.h"
#include "base/str.h"
#include "base/util.h"

#define DAY_S 86400.0
#define MONTH_HOURS 730.0
#define HALVINGS 60

/* A fit below these is no base to build on. */
#define R2_LEAST 0.95
#define MISS_RATIO_MOST 0.2

struct work {
    const struct capacity_conf *conf;
    struct capacity_result *result;
    struct queueing_load load; /* at the peak; service alone on an instance */
    struct queueing_slo slo;   /* of one call of a fan-out */
    struct err *err;
};

const char *capacity_unit_name(enum capacity_unit u)
{
    static const char *const names[CAPACITY_UNIT_MAX] = {
        [CAPACITY_NUMBER] = "",   [CAPACITY_COUNT] = "", [CAPACITY_PER_S] = "/s",
        [CAPACITY_SECONDS] = "s", [CAPACITY_RATIO] = "", [CAPACITY_MONEY] = "",
        [CAPACITY_KWH] = "kWh",   [CAPACITY_KG] = "kg",
    };
    return (unsigned)u < CAPACITY_UNIT_MAX ? names[u] : "";
}

/* For four digits that count. */
static int decimals_of(double value)
{
    static const double bounds[] = { 100, 10, 1, 0.1, 0.01, 0.001, 0.0001 };
    int decimals = 1;
    for (size_t i = 0; i < ARRAY_LEN(bounds) && fabs(value) < bounds[i]; i++)
        decimals++;
    return decimals;
}

void capacity_format(char *buf, size_t cap, double value)
{
    fmt_double(buf, cap, value, fabs(value) >= 1000 ? 0 : decimals_of(value));
}

/* A number as it stands in a text. It lives as long as the call that it is an argument of. */
struct number {
    char text[40];
};

static struct number number(double value)
{
    struct number n;
    capacity_format(n.text, sizeof(n.text), value);
    return n;
}

/* A term of a law: with what it takes to check the law, however small the term is. */
static struct number term(double value)
{
    struct number n;
    fmt_double(n.text, sizeof(n.text), value, MAX(4, decimals_of(value)));
    return n;
}

static void step(struct work *w, const char *name, enum capacity_unit unit, double value,
                 const char *how, ...) _printf_(5, 6);

static void step(struct work *w, const char *name, enum capacity_unit unit, double value,
                 const char *how, ...)
{
    assert(w->result->step_count < CAPACITY_STEPS_MAX);
    struct capacity_step *s = &w->result->steps[w->result->step_count++];
    va_list args;
    *s = (struct capacity_step){ .unit = unit, .value = value };
    str_copy(s->name, sizeof(s->name), name);
    va_start(args, how);
    fmt_v(s->how, sizeof(s->how), how, args);
    va_end(args);
}

/* -- what comes --------------------------------------------------------------------------------
 */

/* A response time that is not given is the service time; without that, none at all. */
static double response_of(const struct capacity_conf *c)
{
    return c->response_s >= 0 ? c->response_s : c->service_s;
}

static void add_activity(struct work *w, double *ret_plain_per_s)
{
    const struct capacity_conf *c = w->conf;
    double sum = 0;
    if (c->rate_per_s > 0) {
        sum += c->rate_per_s;
        step(w, "requests", CAPACITY_PER_S, c->rate_per_s, "as given");
    }
    if (c->users > 0) {
        double x = c->users / (c->think_s + response_of(c));
        sum += x;
        step(w, "of users at a time", CAPACITY_PER_S, x,
             "interactive law, X = N / (Z + R) = %s / (%s + %s)", term(c->users).text,
             term(c->think_s).text, term(response_of(c)).text);
    }
    if (c->daily_users > 0) {
        double x = c->daily_users * c->requests_a_day / DAY_S;
        sum += x;
        step(w, "of users a day", CAPACITY_PER_S, x, "%s users * %s requests / 86400 s",
             term(c->daily_users).text, term(c->requests_a_day).text);
    }
    *ret_plain_per_s = sum;
}

/* The mix of all requests has one mean and one variance: E[S^2] = sum of p S^2 (1 + cv2). Of
 * requests that are all the same it may come out a hair below none. */
static void mix(struct work *w, double plain_per_s)
{
    const struct capacity_conf *c = w->conf;
    double rate = plain_per_s, busy = plain_per_s * c->service_s;
    double squares = plain_per_s * c->service_s * c->service_s * (1 + c->service_cv2);
    for (uint32_t i = 0; i < c->class_count; i++) {
        const struct capacity_class *k = &c->classes[i];
        char name[48];
        fmt(name, sizeof(name), "class %s", k->name);
        step(w, name, CAPACITY_PER_S, k->rate_per_s, "%s s each, %s busy (Little)",
             term(k->service_s).text, term(k->rate_per_s * k->service_s).text);
        rate += k->rate_per_s;
        busy += k->rate_per_s * k->service_s;
        squares += k->rate_per_s * k->service_s * k->service_s * (1 + k->service_cv2);
    }
    double mean_s = rate > 0 ? busy / rate : 0;
    w->result->mean_per_s = rate;
    w->load = (struct queueing_load){
        .arrivals_per_s = rate * c->peak_to_mean,
        .service_s = mean_s,
        .arrival_cv2 = c->arrival_cv2,
        .service_cv2 = mean_s > 0 ? MAX(0, squares / rate / (mean_s * mean_s) - 1) : 0,
    };
}

/* Measurements say how long an instance works on a request; classes only how unlike they are. */
static int take_measured_service(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    double measured_s = (double)c->concurrency / c->usl.gamma;
    if (c->service_s > 0 && c->class_count == 0)
        return err_set(w->err, -EINVAL,
                       "--service says that an instance works %s s on a request, and --usl "
                       "measured %s s: leave --service out",
                       number(c->service_s).text, number(measured_s).text);
    w->load.service_s = measured_s;
    if (c->class_count == 0)
        w->load.service_cv2 = c->service_cv2;
    return 0;
}

static int take_load(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    struct capacity_result *r = w->result;
    double plain_per_s;
    add_activity(w, &plain_per_s);
    mix(w, plain_per_s);
    if (!(r->mean_per_s > 0))
        return err_set(w->err, -EINVAL, "no load: give --rate, --users, --daily-users or --class");
    int rc = c->has_usl ? take_measured_service(w) : 0;
    if (rc < 0)
        return rc;
    if (!(w->load.service_s > 0))
        return err_set(w->err, -EINVAL,
                       "no service time: give --service, the time an instance works on one "
                       "request (or --usl with measurements)");
    r->peak_per_s = w->load.arrivals_per_s;
    r->service_s = w->load.service_s;
    step(w, "mean load", CAPACITY_PER_S, r->mean_per_s, "the sum");
    step(w, "peak load", CAPACITY_PER_S, r->peak_per_s, "mean * %.3g, peak to mean",
         c->peak_to_mean);
    if (c->headroom > 0) {
        w->load.arrivals_per_s /= 1 - c->headroom;
        step(w, "sized for", CAPACITY_PER_S, w->load.arrivals_per_s, "peak / (1 - %s), headroom",
             term(c->headroom).text);
    }
    step(w, "service time", CAPACITY_SECONDS, r->service_s,
         c->has_usl ? "concurrency / gamma of the USL, cv2 %.3g" : "mean of all requests, cv2 %.3g",
         w->load.service_cv2);
    step(w, "busy at a time", CAPACITY_NUMBER, queueing_offered(&w->load),
         "Little, L = lambda * S = %s/s * %s s", term(w->load.arrivals_per_s).text,
         term(r->service_s).text);
    return 0;
}

/* -- instances for a target --------------------------------------------------------------------
 */

/* The load as each of n instances would serve it. */
static struct queueing_load load_with(const struct work *w, int64_t n)
{
    struct queueing_load load = w->load;
    if (w->conf->has_usl)
        load.service_s *= MAX(1, usl_stretch(&w->conf->usl, (double)n));
    return load;
}

static struct queueing with(const struct work *w, int64_t n, double rate_per_s)
{
    struct queueing_load load = load_with(w, n);
    load.arrivals_per_s = rate_per_s;
    return queueing_of(&load, n * w->conf->concurrency);
}

/* More than so many are of no use: the USL's peak, or what can be computed. N + 1 carry more than
 * N as long as N (N + 1) < N*^2. */
static int64_t useful_max(const struct work *w)
{
    int64_t most = CAPACITY_SERVERS_MAX / w->conf->concurrency;
    double peak = w->conf->has_usl ? usl_peak(&w->conf->usl) : INFINITY;
    if (!(peak < (double)most))
        return most;
    int64_t n = MAX(1, (int64_t)peak);
    return n + ((double)n * ((double)n + 1) < peak * peak);
}

/* With nobody before it; its wait is none, however many there are. */
static struct queueing alone(const struct work *w, int64_t n)
{
    struct queueing_load load = load_with(w, n);
    load.arrivals_per_s = 0;
    return queueing_of(&load, 1);
}

/* Whether n instances that get in each other's way carry the load at all. */
static bool carries(const struct work *w, int64_t n, double rate_per_s)
{
    return rate_per_s * load_with(w, n).service_s < (double)(n * w->conf->concurrency);
}

/* One by one while they are few; beyond, no nearer than a hundredth, for each costs as much time as
 * it is large. */
static int64_t next_count(const struct work *w, int64_t n)
{
    int64_t most = useful_max(w), next = n + MAX(n / 128, 1);
    return n < most ? MIN(next, most) : most + 1;
}

static bool keeps(const struct work *w, int64_t n, double rate_per_s)
{
    struct queueing q = with(w, n, rate_per_s);
    return queueing_meets(&q, &w->slo);
}

/* Of those above `fewer`, which do not keep the target, up to `n`, which do. */
static int64_t least_between(const struct work *w, double rate_per_s, int64_t fewer, int64_t n)
{
    while (n - fewer > 1) {
        int64_t middle = fewer + (n - fewer) / 2;
        if (carries(w, middle, rate_per_s) && keeps(w, middle, rate_per_s))
            n = middle;
        else
            fewer = middle;
    }
    return n;
}

/* With coherence delay each count is another service time, so each is tried. None is left when even
 * a request that never waits takes too long, for the next ones only make it longer. */
static int least_of_usl(const struct work *w, double rate_per_s, int64_t *ret)
{
    int64_t fewer = 0; /* do not */
    for (int64_t n = 1; n <= useful_max(w); fewer = n, n = next_count(w, n)) {
        if (!carries(w, n, rate_per_s))
            continue;
        if (keeps(w, n, rate_per_s)) {
            *ret = least_between(w, rate_per_s, fewer, n);
            return 0;
        }
        struct queueing idle = alone(w, n);
        if (!queueing_meets(&idle, &w->slo))
            break;
    }
    return -ERANGE;
}

/* The least number that keeps the target; without the USL one walk finds it. */
static int least(const struct work *w, double rate_per_s, int64_t *ret)
{
    struct queueing q;
    struct queueing_load load = w->load;
    load.arrivals_per_s = rate_per_s;
    int64_t each = w->conf->concurrency;
    if (w->conf->has_usl)
        return least_of_usl(w, rate_per_s, ret);
    int rc = queueing_least(&load, &w->slo, each, CAPACITY_SERVERS_MAX, &q);
    if (rc == 0)
        *ret = q.servers / each;
    return rc;
}

/* -- targets out of reach ----------------------------------------------------------------------
 */

/* What the target is about, as it would come out. */
static double goal_s(const struct work *w, const struct queueing *q)
{
    switch (w->slo.goal) {
    case QUEUEING_STABLE:
        return 0;
    case QUEUEING_WAIT_MEAN:
        return queueing_wait_mean_s(q);
    case QUEUEING_WAIT_QUANTILE:
        return queueing_wait_quantile_s(q, w->slo.ratio);
    case QUEUEING_SOJOURN_MEAN:
        return queueing_sojourn_mean_s(q);
    case QUEUEING_SOJOURN_QUANTILE:
        return queueing_sojourn_quantile_s(q, w->slo.ratio);
    }
    return NAN;
}

static int check_reachable(const struct work *w)
{
    struct queueing q = alone(w, 1);
    if (w->slo.goal == QUEUEING_STABLE || queueing_meets(&q, &w->slo))
        return 0;
    return err_set(w->err, -ERANGE,
                   "--slo \"%s\": out of reach of any number of instances, for a request that "
                   "never waits takes %s s; ask for more than that, or make %s shorter",
                   w->conf->slo_text, number(goal_s(w, &q)).text,
                   w->conf->has_usl ? "the requests" : "--service");
}

/* The number of instances that carry the load and come nearest to the target. */
static int64_t nearest_of_usl(const struct work *w, double *ret_goal_s)
{
    int64_t nearest = 0;
    double best_s = INFINITY;
    for (int64_t n = 1; n <= useful_max(w); n = next_count(w, n)) {
        if (!carries(w, n, w->load.arrivals_per_s))
            continue;
        struct queueing q = with(w, n, w->load.arrivals_per_s), idle = alone(w, n);
        double s = goal_s(w, &q);
        if (s < best_s) {
            best_s = s;
            nearest = n;
        }
        if (goal_s(w, &idle) > best_s)
            break;
    }
    *ret_goal_s = best_s;
    return nearest;
}

/* The load is more than any number carries. */
static int refuse_load(const struct work *w)
{
    const struct usl *u = &w->conf->usl;
    int64_t n = useful_max(w);
    double load_per_s = w->load.arrivals_per_s;
    if (usl_peak(u) < (double)n + 1)
        return err_set(w->err, -ERANGE,
                       "--usl: no number of instances carries %s/s: %lld %s %s/s, and more than "
                       "that carry less; make them wait less for each other",
                       number(load_per_s).text, (long long)n, n == 1 ? "carries" : "carry",
                       number(usl_throughput(u, (double)n)).text);
    if (u->alpha > 0 && u->gamma / u->alpha <= load_per_s)
        return err_set(w->err, -ERANGE,
                       "--usl: no number of instances carries %s/s: however many there are, they "
                       "carry less than gamma / alpha = %s/s; make them wait less for each other",
                       number(load_per_s).text, number(u->gamma / u->alpha).text);
    return err_set(w->err, -ERANGE, "--usl: more than %lld instances: not computed", (long long)n);
}

static int refuse_usl(const struct work *w)
{
    double best_s;
    int64_t nearest = nearest_of_usl(w, &best_s);
    if (nearest == 0)
        return refuse_load(w);
    return err_set(w->err, -ERANGE,
                   "--slo \"%s\": out of reach of any number of instances at %s/s, for the more "
                   "there are, the longer they wait for each other (--usl): %lld %s nearest, with "
                   "%s s; ask for more than that, or make them wait less for each other",
                   w->conf->slo_text, number(w->load.arrivals_per_s).text, (long long)nearest,
                   nearest == 1 ? "comes" : "come", number(best_s).text);
}

/* -- the measured law --------------------------------------------------------------------------
 */

static double miss_ratio(const struct usl *u, const struct usl_point *p)
{
    return fabs(usl_throughput(u, p->n) / p->throughput - 1);
}

struct usl_point capacity_worst_row(const struct usl *u, const struct usl_point *points,
                                    uint32_t count)
{
    struct usl_point worst = { 0 };
    for (uint32_t i = 0; i < count; i++)
        if (!(worst.n > 0) || miss_ratio(u, &points[i]) > miss_ratio(u, &worst))
            worst = points[i];
    return worst;
}

static void warn(struct work *w, const char *format, ...) _printf_(2, 3);

static void warn(struct work *w, const char *format, ...)
{
    assert(w->result->warning_count < CAPACITY_WARNINGS_MAX);
    struct capacity_warning *warning = &w->result->warnings[w->result->warning_count++];
    va_list args;
    va_start(args, format);
    fmt_v(warning->text, sizeof(warning->text), format, args);
    va_end(args);
}

/* What a coefficient that is held at 0 keeps from being seen. */
struct held {
    const char *name, *verb, *unseen;
};

static const struct held *held_of(const struct usl *u)
{
    static const struct held helds[2][2] = {
        [true][false] = { "alpha", "is", "that instances wait for each other at all" },
        [false][true] = { "beta", "is",
                          "where more instances stop helping; trust no answer far beyond them" },
        [true][true] = { "alpha and beta", "are",
                         "that instances get in each other's way; trust no answer far beyond "
                         "them" },
    };
    const struct held *held = &helds[u->alpha == 0][u->beta == 0];
    return held->name ? held : NULL;
}

/* Least squares always find something; a person would look at the plot. */
static void warn_of_fit(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    const struct usl_point *worst = &c->usl_worst;
    if (!c->has_usl)
        return;
    const struct held *held = held_of(&c->usl);
    if (c->usl_r2 < R2_LEAST)
        warn(w,
             "--usl: the law does not fit these rows: R2 is %s, and below %s the answer is worth "
             "little; measure again",
             number(c->usl_r2).text, number(R2_LEAST).text);
    if (worst->n > 0 && miss_ratio(&c->usl, worst) > MISS_RATIO_MOST)
        warn(w,
             "--usl: the law misses a row by %s%%: at N = %s it says %s/s, and %s/s was measured",
             number(100 * miss_ratio(&c->usl, worst)).text, number(worst->n).text,
             number(usl_throughput(&c->usl, worst->n)).text, number(worst->throughput).text);
    if (held)
        warn(w, "--usl: %s, which cannot be below 0, %s held there: the rows do not show %s",
             held->name, held->verb, held->unseen);
}

static void show_usl(struct work *w)
{
    const struct usl *u = &w->conf->usl;
    if (!w->conf->has_usl)
        return;
    step(w, "USL alpha", CAPACITY_NUMBER, u->alpha, "contention; fitted with R2 %.4g",
         w->conf->usl_r2);
    step(w, "USL beta", CAPACITY_NUMBER, u->beta, "coherence");
    step(w, "USL gamma", CAPACITY_PER_S, u->gamma, "what one alone carries");
    double peak = usl_peak(u);
    if (isfinite(peak))
        step(w, "USL peak", CAPACITY_NUMBER, peak,
             "N* = sqrt((1 - alpha) / beta), where they carry %s/s",
             term(usl_throughput(u, peak)).text);
}

static void show_waits(struct work *w, const char *when, const struct queueing *q)
{
    static const struct {
        const char *name;
        double ratio;
    } percentiles[] = { { "p50", 0.5 }, { "p99", 0.99 } };
    char name[48];
    step(w, when, CAPACITY_RATIO, queueing_utilisation(q), "rho = a / c = %s / %lld",
         term(queueing_offered(&q->load)).text, (long long)q->servers);
    step(w, "requests that wait", CAPACITY_RATIO, queueing_wait_ratio(q), "Erlang C");
    step(w, "mean wait", CAPACITY_SECONDS, queueing_wait_mean_s(q),
         "C / (c mu - lambda) * (ca2 + cs2) / 2, Allen-Cunneen");
    for (size_t i = 0; i < ARRAY_LEN(percentiles); i++) {
        fmt(name, sizeof(name), "latency %s", percentiles[i].name);
        step(w, name, CAPACITY_SECONDS, queueing_sojourn_quantile_s(q, percentiles[i].ratio),
             "wait and service together");
    }
}

/* Halfin and Whitt's rule of thumb beside the exact answer. */
static void show_square_root(struct work *w, const struct queueing *q)
{
    double wait = queueing_wait_ratio(q), a = queueing_offered(&q->load);
    if (!(wait > 1e-9 && wait < 1))
        return;
    double beta = queueing_halfin_whitt_beta(wait);
    step(w, "square-root staffing", CAPACITY_NUMBER, a + beta * sqrt(a),
         "a + beta sqrt(a), Halfin-Whitt: beta %.3g for as many that wait", beta);
}

static int staff(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    int64_t n;
    if (c->fan_out > 1) {
        w->slo.ratio = math_pow(c->slo.ratio, 1 / c->fan_out);
        step(w, "share of calls in time", CAPACITY_RATIO, w->slo.ratio,
             "%.9g^(1/%s), for the slowest of %s decides (Dean, Barroso)", c->slo.ratio,
             term(c->fan_out).text, term(c->fan_out).text);
    }
    show_usl(w);
    int rc = check_reachable(w);
    if (rc < 0)
        return rc;
    rc = least(w, w->load.arrivals_per_s, &n);
    if (rc < 0 && c->has_usl)
        return refuse_usl(w);
    if (rc < 0)
        return err_set(w->err, rc, "more than %lld servers: not computed",
                       (long long)CAPACITY_SERVERS_MAX);
    struct queueing q = with(w, n, w->load.arrivals_per_s);
    w->result->working = n;
    step(w, "instances for the load", CAPACITY_COUNT, (double)n,
         "least that keep %s: %lld * %lld at a time, %s",
         c->slo_text[0] ? c->slo_text : "the queue finite", (long long)n, (long long)c->concurrency,
         c->has_usl ? "Erlang C over USL" : "Erlang C");
    show_square_root(w, &q);
    q = with(w, n, w->result->peak_per_s);
    w->result->utilisation = queueing_utilisation(&q);
    show_waits(w, "utilisation at the peak", &q);
    return 0;
}

/* -- connections, spare ones, zones ------------------------------------------------------------
 */

/* Connections come and go by themselves (Poisson), so that of as many slots as connections on
 * average half the time one is missing: Erlang B. */
static void hold_connections(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    if (!(c->connections > 0))
        return;
    double sized = c->connections * c->peak_to_mean / (1 - c->headroom);
    int64_t n = (int64_t)ceil(sized / c->connections_each), low = 0;
    while (queueing_erlang_b(sized, (int64_t)((double)n * c->connections_each)) >
           c->refused_ratio) {
        low = n;
        n += MAX(1, n / 8);
    }
    while (n - low > 1) {
        int64_t middle = low + (n - low) / 2;
        if (queueing_erlang_b(sized, (int64_t)((double)middle * c->connections_each)) >
            c->refused_ratio)
            low = middle;
        else
            n = middle;
    }
    step(w, "instances for connections", CAPACITY_COUNT, (double)n,
         "%s of them, %s an instance, at most %s refused: Erlang B", term(sized).text,
         term(c->connections_each).text, term(c->refused_ratio).text);
    w->result->working = MAX(w->result->working, n);
}

static int64_t divide_up(int64_t n, int64_t by)
{
    return (n + by - 1) / by;
}

/* The fullest zone, when they are spread as evenly as can be. */
static int64_t fullest_zone(const struct capacity_conf *c, int64_t total)
{
    return divide_up(total, c->zones);
}

/* How many of them work when the others are spare: the fullest zone lost, and `spare` more. */
static int64_t working_of(const struct capacity_conf *c, int64_t total)
{
    int64_t n = c->zones > 1 ? total - fullest_zone(c, total) : total;
    return MAX(0, n - c->spare);
}

/* The least total of which so many work: T - ceil(T / Z) >= n, so that T = ceil(n Z / (Z - 1)). */
static int64_t total_of(const struct capacity_conf *c, int64_t working)
{
    int64_t n = working + c->spare;
    return c->zones > 1 ? divide_up(n * c->zones, c->zones - 1) : n;
}

static void provide(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    struct capacity_result *r = w->result;
    r->instances = total_of(c, r->working);
    if (c->spare > 0)
        step(w, "with spare ones", CAPACITY_COUNT, (double)(r->working + c->spare), "N + %lld",
             (long long)c->spare);
    if (c->zones > 1)
        step(w, "in all zones", CAPACITY_COUNT, (double)r->instances,
             r->instances % c->zones == 0
                 ? "%lld in each of %lld: without one zone, %lld are left"
                 : "%lld in the fullest of %lld: without it, %lld are left",
             (long long)fullest_zone(c, r->instances), (long long)c->zones,
             (long long)(r->instances - fullest_zone(c, r->instances)));
    step(w, "instances", CAPACITY_COUNT, (double)r->instances, "to run at the peak");
}

/* -- no more than so many ----------------------------------------------------------------------
 */

static double most_load(const struct work *w, int64_t n)
{
    struct queueing_load load = load_with(w, n);
    return queueing_most_arrivals(&load, &w->slo, n * w->conf->concurrency) *
           (1 - w->conf->headroom);
}

/* The longest service time with which n instances would carry the peak. */
static double fitting_service_s(const struct work *w, int64_t n)
{
    struct work tried = *w;
    double low = 0, high = w->load.service_s;
    for (int i = 0; i < HALVINGS; i++) {
        tried.load.service_s = (low + high) / 2;
        struct queueing q = with(&tried, n, w->load.arrivals_per_s);
        if (queueing_meets(&q, &w->slo))
            low = tried.load.service_s;
        else
            high = tried.load.service_s;
    }
    return low;
}

static void show_overload(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    struct queueing q = with(w, c->instances_max, w->result->peak_per_s);
    double capacity = (double)q.servers / q.load.service_s;
    bool one = c->instances_max == 1;
    if (queueing_utilisation(&q) < 1) {
        show_waits(w, "utilisation, all at work", &q);
        return;
    }
    step(w, "too much at the peak", CAPACITY_PER_S, w->result->peak_per_s - capacity,
         "%s%lld %s %s/s at most; the queue grows by the rest", one ? "" : "all ",
         (long long)c->instances_max, one ? "carries" : "carry", number(capacity).text);
    if (w->result->mean_per_s < capacity)
        step(w, "to drain a second of it", CAPACITY_SECONDS,
             (w->result->peak_per_s - capacity) / (capacity - w->result->mean_per_s),
             "D / (N c - lambda), back at the mean load");
}

/* The share of the peak's connections that n instances hold, 1 at most. */
static double connections_fitting(struct work *w, int64_t n)
{
    const struct capacity_conf *c = w->conf;
    if (!(c->connections > 0))
        return 1;
    int64_t places = (int64_t)((double)n * c->connections_each);
    double held = queueing_erlang_b_offered(places, c->refused_ratio) * (1 - c->headroom);
    step(w, "connections that fit", CAPACITY_COUNT, held, "at the peak, in %lld places: Erlang B",
         (long long)places);
    return MIN(1, held / (c->connections * c->peak_to_mean));
}

static void limit(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    struct capacity_result *r = w->result;
    r->fits = c->instances_max == 0 || working_of(c, c->instances_max) >= r->working;
    r->fitting_per_s = r->peak_per_s;
    if (r->fits)
        return;
    int64_t n = working_of(c, c->instances_max);
    double most_per_s = n > 0 ? most_load(w, n) : 0;
    step(w, "at most", CAPACITY_COUNT, (double)c->instances_max,
         "%lld too few; %lld of them may work", (long long)(r->instances - c->instances_max),
         (long long)n);
    step(w, "load that fits", CAPACITY_PER_S, most_per_s, "%.3g of the peak, within %s",
         most_per_s / r->peak_per_s, c->slo_text[0] ? c->slo_text : "a finite queue");
    double held_ratio = connections_fitting(w, n); /* leaves a step, and MIN would leave two */
    r->fitting_per_s = MIN(most_per_s, r->peak_per_s * held_ratio);
    if (n > 0 && most_per_s < r->peak_per_s)
        step(w, "or a service time of", CAPACITY_SECONDS, fitting_service_s(w, n),
             "with which the whole peak fits");
    show_overload(w);
}

/* -- money and energy --------------------------------------------------------------------------
 */

/* Instances that the mean load needs: what a scaler that follows the load comes near. */
static int64_t instances_at_mean(const struct work *w)
{
    const struct capacity_conf *c = w->conf;
    int64_t n = 1;
    if (least(w, w->result->mean_per_s / (1 - c->headroom), &n) < 0)
        return w->result->instances;
    if (c->connections > 0)
        n = MAX(n, (int64_t)ceil(c->connections / (1 - c->headroom) / c->connections_each));
    return total_of(c, n);
}

static void price(struct work *w)
{
    const struct capacity_conf *c = w->conf;
    struct capacity_result *r = w->result;
    double n = (double)(r->fits ? r->instances : c->instances_max);
    r->cost_month = n * c->cost * MONTH_HOURS;
    r->kwh_month = n * c->watts * MONTH_HOURS / 1000;
    r->co2_kg_month = r->kwh_month * c->grams_per_kwh / 1000;
    int64_t at_mean = c->cost > 0 || c->watts > 0 ? instances_at_mean(w) : 0;
    if (c->cost > 0)
        step(w, "cost a month", CAPACITY_MONEY, r->cost_month, "%.0g * %s an hour * 730 h", n,
             term(c->cost).text);
    if (c->cost > 0 && (double)at_mean < n)
        step(w, "... following the load", CAPACITY_MONEY, (double)at_mean * c->cost * MONTH_HOURS,
             "about: the mean load needs %lld", (long long)at_mean);
    if (c->watts > 0)
        step(w, "energy a month", CAPACITY_KWH, r->kwh_month, "%.0g * %s W * 730 h", n,
             term(c->watts).text);
    if (r->co2_kg_month > 0)
        step(w, "CO2 a month", CAPACITY_KG, r->co2_kg_month, "%s g/kWh",
             term(c->grams_per_kwh).text);
}

int capacity_compute(const struct capacity_conf *conf, struct capacity_result *ret, struct err *err)
{
    struct capacity_result result = { 0 };
    struct work w = { .conf = conf, .result = &result, .slo = conf->slo, .err = err };
    int rc = take_load(&w);
    if (rc < 0)
        return rc;
    warn_of_fit(&w);
    rc = staff(&w);
    if (rc < 0) {
        *ret = result;
        return CAPACITY_NONE;
    }
    hold_connections(&w);
    provide(&w);
    limit(&w);
    price(&w);
    *ret = result;
    return 0;
}
