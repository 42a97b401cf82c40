/* Service times. One random draw a statement, and logarithms from base/math.h: the same on every
 * machine. */
#include "sim/request/request_service.h"

#include <errno.h>
#include <math.h>

#include "base/math.h"

#define NS_PER_S 1e9

double request_histogram_mean_s(const struct run_histogram *h)
{
    double sum = 0, shares = 0, from = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        sum += h->bucket[i].share * (from + h->bucket[i].below_s) / 2;
        shares += h->bucket[i].share;
        from = h->bucket[i].below_s;
    }
    return shares > 0 ? sum / shares : 0;
}

static int check_histogram(const struct run_histogram *h, struct err *err)
{
    if (!h || h->count == 0)
        return err_set(err, -EINVAL, "service times from a histogram need one");
    if (h->count > ARRAY_LEN(h->bucket))
        return err_set(err, -EINVAL, "a histogram of %u buckets; %zu is the most", h->count,
                       ARRAY_LEN(h->bucket));
    double before = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        if (!(h->bucket[i].below_s > before))
            return err_set(err, -EINVAL, "bucket %u of the histogram does not end after its begin",
                           i + 1);
        if (!(h->bucket[i].share >= 0))
            return err_set(err, -EINVAL, "bucket %u of the histogram has no share", i + 1);
        before = h->bucket[i].below_s;
    }
    if (!(request_histogram_mean_s(h) > 0))
        return err_set(err, -EINVAL, "the histogram is empty");
    return 0;
}

static int take_histogram(struct request_service *s, const struct run_histogram *h, struct err *err)
{
    int rc = check_histogram(h, err);
    if (rc < 0)
        return rc;
    double stretch = s->mean_ns / request_histogram_mean_s(h);
    double shares = 0, sum = 0, from_ns = 0;
    for (uint32_t i = 0; i < h->count; i++)
        shares += h->bucket[i].share;
    for (uint32_t i = 0; i < h->count; i++) {
        sum += h->bucket[i].share / shares;
        s->bucket[i].share = sum;
        s->bucket[i].from_ns = from_ns;
        s->bucket[i].below_ns = from_ns = h->bucket[i].below_s * stretch;
    }
    s->bucket_count = h->count;
    return 0;
}

int request_service_init(struct request_service *s, const struct run_options *o, uint64_t seed,
                         struct err *err)
{
    *s = (struct request_service){ .kind = o->service };
    s->mean_ns = o->slots / o->capacity * NS_PER_S;
    rng_init(&s->rng, seed);
    request_exponential_init(&s->exponential);
    if (s->kind == RUN_HISTOGRAM)
        return take_histogram(s, o->histogram, err);
    if (!(o->service_cv >= 0 && o->service_cv <= 100))
        return err_set(err, -EINVAL, "a coefficient of variation is from 0 to 100");
    double variance = math_log(1 + o->service_cv * o->service_cv); /* of the logarithm */
    s->log_deviation = sqrt(variance);
    s->log_mean = math_log(s->mean_ns) - variance / 2;
    return 0;
}

/* Marsaglia and Bray, "A convenient method for generating normal variables", 1964. */
static double draw_normal(struct request_service *s)
{
    if (s->has_spare) {
        s->has_spare = false;
        return s->spare;
    }
    double x, y, square;
    do {
        x = 2 * rng_unit(&s->rng) - 1;
        y = 2 * rng_unit(&s->rng) - 1;
        square = x * x + y * y;
    } while (square >= 1 || square == 0);
    double factor = sqrt(-2 * math_log(square) / square);
    s->spare = y * factor;
    s->has_spare = true;
    return x * factor;
}

static double draw_histogram(struct request_service *s)
{
    double u = rng_unit(&s->rng);
    uint32_t i = 0;
    while (i + 1 < s->bucket_count && u >= s->bucket[i].share)
        i++;
    double within = rng_unit(&s->rng);
    return s->bucket[i].from_ns + (s->bucket[i].below_ns - s->bucket[i].from_ns) * within;
}

static double draw(struct request_service *s)
{
    switch (s->kind) {
    case RUN_EXPONENTIAL:
        return s->mean_ns * request_exponential_draw(&s->exponential, &s->rng);
    case RUN_LOGNORMAL:
        return math_exp(s->log_mean + s->log_deviation * draw_normal(s));
    case RUN_HISTOGRAM:
        return draw_histogram(s);
    case RUN_FIXED:
        break;
    }
    return s->mean_ns;
}

double request_service_draw(struct request_service *s)
{
    double work_ns = draw(s);
    return work_ns >= 1 ? work_ns : 1;
}
