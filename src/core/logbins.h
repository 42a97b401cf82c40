/* A histogram of positive numbers over fourteen octaves, sixteen bins in each: where a value lies
 * is known to a sixteenth of it, in fixed memory, for ever. Plain words, so that a rule can keep it
 * among what it remembers. Source: the layout is HdrHistogram's (Tene). */
#pragma once

#define LOGBINS_OCTAVES 14
#define LOGBINS_PARTS 16
/* Bin 0 is for all up to LOGBINS_LEAST; the last one also has what is beyond. */
#define LOGBINS_COUNT (1 + LOGBINS_OCTAVES * LOGBINS_PARTS)
#define LOGBINS_LEAST_LOG2 7
#define LOGBINS_LEAST (1.0 / (1 << LOGBINS_LEAST_LOG2))

struct logbins {
    double weight[LOGBINS_COUNT];
} __attribute__((may_alias));

void logbins_add(struct logbins *b, double value, double weight);
/* The least edge with at most `weight` above it; `ret_above` is what lies there. 0 when that is so
 * of bin 0 already. */
double logbins_edge_below(const struct logbins *b, double weight, double *ret_above);
/* All weights times `factor`; what comes to less than `forget` is forgotten. */
void logbins_fade(struct logbins *b, double factor, double forget);
/* As if all values had been `ratio` times as large. */
void logbins_stretch(struct logbins *b, double ratio);
