/* A recorded load: so many requests a second, at equal steps. Readers take text in pieces of any
 * size (a file, standard input) and find out by themselves which of three forms it is:
 * - CSV with a header, separated by , ; or tabs: a column of times (t_seconds, t, seconds, time,
 *   timestamp, ts: seconds, or seconds to nanoseconds since 1970, or ISO 8601), and one of rates
 *   (rps, rate, value, load) or of counts for each step (requests, count, hits, invocations).
 * - the answer of a Prometheus range query (JSON); several series are added up.
 * - an access log in Common or Combined Log Format: requests are counted for each second; lines may
 *   be up to an hour out of order.
 * Lines that begin with # are notes. Steps that are missing or bad lie on the line between their
 * neighbours, and are told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct trace {
    char name[64];         /* well-formed UTF-8, as is the note */
    char note[400];        /* its comment lines: source, licence */
    int64_t start_wall_us; /* of the first step's begin, UTC, 1970 to 9999; 0 = unknown */
    int64_t step_us;
    size_t count;
    double *rates; /* requests a second, mean over each step; the trace's own memory */
};

struct trace_reader;

/* What could not be taken. All is counted; of what is to be said the first TRACE_SAID_MAX are kept,
 * by lines. */
#define TRACE_SAID_MAX 32
struct trace_losses {
    uint64_t bad_rows, missing_steps, said;
    struct trace_said {
        uint64_t line; /* 0 = this form has none, the text says where */
        char text[120];
    } first[TRACE_SAID_MAX];
};

/* `name` stands in messages. NULL when memory is short. */
struct trace_reader *trace_reader_new(const char *name);
void trace_reader_free(struct trace_reader *r);
/* The next piece. 0; -EINVAL: this is none of the three forms; -ENOMEM; -E2BIG. */
int trace_reader_feed(struct trace_reader *r, const char *bytes, size_t count, struct err *err);
/* All has been fed. 0, or -EINVAL with a text (no row at all, steps that are not equal, ...). */
int trace_reader_end(struct trace_reader *r, struct trace *ret, struct err *err);
const struct trace_losses *trace_reader_losses(const struct trace_reader *r);

/* Rows, values or seconds that a trace may have: more than a year of seconds. */
#define TRACE_COUNT_MAX ((size_t)40 * 1000 * 1000)
/* A load that lasts longer is a mistake, and would be simulated without end. */
#define TRACE_YEARS_MAX 10
#define TRACE_LENGTH_US_MAX (INT64_C(3653) * 86400 * 1000000)

void trace_done(struct trace *t);
/* Rates that are NaN (unknown) get those on the line between their neighbours. How many. */
size_t trace_fill_gaps(struct trace *t);
double trace_mean(const struct trace *t);
double trace_peak(const struct trace *t);
int64_t trace_length_us(const struct trace *t);
/* The rate at an instant: linear between the centres of the steps, constant before the first and
 * after the last. */
double trace_at(const struct trace *t, int64_t at_us);
/* The same, for those who ask from the begin to the end. */
struct trace_cursor {
    const struct trace *trace;
    size_t next;      /* the first step whose centre lies ahead */
    int64_t until_us; /* its centre; US_NEVER = there is none */
    int64_t from_us;
    double rate, slope; /* at from_us, per microsecond */
};
void trace_cursor_init(struct trace_cursor *c, const struct trace *t);
void trace_cursor_move(struct trace_cursor *c, int64_t at_us);
static inline double trace_cursor_at(struct trace_cursor *c, int64_t at_us)
{
    if (at_us >= c->until_us)
        trace_cursor_move(c, at_us);
    return c->rate + c->slope * (double)(at_us - c->from_us);
}
/* A part of it, [from, to) in us from its begin, each rounded down to a whole step; a copy. */
int trace_slice(const struct trace *t, int64_t from_us, int64_t to_us, struct trace *ret);
/* Same load in other steps: sums are kept. What is left at the end is less than a step and left
 * out: as a whole step it would be load that nobody asked for. 0; -ERANGE: not one step is whole;
 * -EINVAL; -E2BIG; -ENOMEM. */
int trace_resample(const struct trace *t, int64_t step_us, struct trace *ret);
void trace_scale(struct trace *t, double factor);
/* Time runs `factor` times as fast. */
void trace_scale_time(struct trace *t, double factor);
/* Scales a load up by `factor` without its counting noise, as if so many more people came: their
 * independent noises add up in variance, so that the signal grows with the factor and the noise
 * with its root (superposition of point processes). Factors up to 1 scale all alike. See
 * trace_grow.c for what counts as noise. 0 or -ENOMEM. */
int trace_grow(struct trace *t, double factor);
