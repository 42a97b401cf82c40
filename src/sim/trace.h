/* A recorded load: so many requests a second, at equal steps. Readers take text in pieces of any
 * size (a file, standard input) and find out by themselves which of three forms it is: CSV with a
 * header (t_seconds,rps, as traces/ has them, or any two columns named as such), the answer of a
 * Prometheus range query, an access log in Common (or Combined) Log Format. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct trace {
    char name[64];
    char note[400];        /* its comment lines: source, licence */
    int64_t start_wall_us; /* of the first step's begin, UTC; 0 = unknown */
    int64_t step_us;
    size_t count;
    double *rates; /* requests a second, mean over each step; the trace's own memory */
};

struct trace_reader;

/* A row that was not taken: where, and why. The first TRACE_BAD_MAX are kept, all are counted. */
#define TRACE_BAD_MAX 32
struct trace_bad {
    uint64_t line;
    char reason[120];
};

/* `name` stands in messages. NULL when memory is short. */
struct trace_reader *trace_reader_new(const char *name);
void trace_reader_free(struct trace_reader *r);
/* The next piece. 0; -EINVAL: this is none of the three forms; -ENOMEM; -E2BIG. */
int trace_reader_feed(struct trace_reader *r, const char *bytes, size_t count, struct err *err);
/* All has been fed. 0, or -EINVAL with a text (no row at all, steps that are not equal, ...). */
int trace_reader_end(struct trace_reader *r, struct trace *ret, struct err *err);
uint64_t trace_reader_bad(const struct trace_reader *r, const struct trace_bad **ret,
                          size_t *count);

void trace_done(struct trace *t);
int trace_copy(const struct trace *from, struct trace *ret);
double trace_mean(const struct trace *t);
double trace_peak(const struct trace *t);
int64_t trace_length_us(const struct trace *t);
/* The rate at an instant: linear between the centres of the steps, constant before the first and
 * after the last. */
double trace_at(const struct trace *t, int64_t at_us);
/* A part of it, [from, to) in us from its begin; a copy. */
int trace_slice(const struct trace *t, int64_t from_us, int64_t to_us, struct trace *ret);
/* Same load in other steps: sums are kept. */
int trace_resample(const struct trace *t, int64_t step_us, struct trace *ret);
void trace_scale(struct trace *t, double factor);
/* Time runs `factor` times as fast. */
void trace_scale_time(struct trace *t, double factor);
/* Takes the counting noise out of a low rate, so that it can be scaled up without it: a Wiener
 * filter with local mean m and variance v of the counts over 2 * reach + 1 steps, x' = m + max(0, 1
 * - m / v) * (x - m); Poisson noise has variance m. Source: Lee, "Digital image enhancement and
 * noise filtering by use of local statistics", IEEE PAMI-2, 1980. */
int trace_denoise(struct trace *t, uint32_t reach);
