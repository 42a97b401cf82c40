/* Arrivals by exact inversion: the integral of the rate between two of them is an exponential of
 * mean 1 (Cinlar, "Introduction to Stochastic Processes", 1975, ch. 4), and where the rate is
 * linear its integral is a quadratic, solved without cancellation. Nothing is thrown away, as
 * thinning would. */
#include "sim/request/request_arrivals.h"

#include <math.h>

#include "base/us.h"

#define NS_PER_US INT64_C(1000)
#define NS_PER_S 1e9

static int64_t piece_begin_us(const struct trace *t, size_t piece)
{
    if (piece == 0)
        return 0;
    return (int64_t)(piece - 1) * t->step_us + t->step_us / 2;
}

static void enter_piece(struct request_arrivals *a, size_t piece)
{
    const struct trace *t = a->trace;
    int64_t begin_us = piece_begin_us(t, piece);
    int64_t end_us = piece < t->count ? piece_begin_us(t, piece + 1) : trace_length_us(t);
    double before = t->rates[piece > 0 ? piece - 1 : 0];
    double after = t->rates[piece < t->count ? piece : t->count - 1];
    a->piece = piece;
    a->begin_ns = begin_us * NS_PER_US;
    a->at_s = 0;
    a->length_s = (double)(end_us - begin_us) / (double)US_PER_S;
    a->rate = before;
    a->slope = a->length_s > 0 ? (after - before) / a->length_s : 0;
}

void request_arrivals_init(struct request_arrivals *a, const struct trace *t, uint64_t seed)
{
    *a = (struct request_arrivals){ .trace = t };
    rng_init(&a->rng, seed);
    request_exponential_init(&a->exponential);
    enter_piece(a, 0);
}

int64_t request_arrivals_next(struct request_arrivals *a)
{
    double due = request_exponential_draw(&a->exponential, &a->rng);
    for (;;) {
        double left_s = a->length_s - a->at_s;
        double left = (a->rate + a->slope * left_s / 2) * left_s;
        if (due < left)
            break;
        due -= left > 0 ? left : 0;
        if (a->piece >= a->trace->count) {
            a->at_s = a->length_s;
            return INT64_MAX;
        }
        enter_piece(a, a->piece + 1);
    }
    double root = a->rate * a->rate + 2 * a->slope * due;
    double step_s = 2 * due / (a->rate + sqrt(root > 0 ? root : 0));
    a->at_s += step_s;
    a->rate += a->slope * step_s;
    return a->begin_ns + (int64_t)(a->at_s * NS_PER_S);
}
