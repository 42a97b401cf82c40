/* How much one instance carries before latency leaves a target, learnt from what was measured: the
 * highest load that was within, and the lowest that was beyond. Between and ahead of measurements
 * goes the line that queueing theory gives: of M/M/1, 1/W = mu - lambda, the inverse of latency
 * falls straight as load grows. A pool's falls later and then faster (Erlang C), so a step ahead is
 * short, and measured before the next. */
#pragma once

#include <stdint.h>

/* Of one instance; a rate of 0 says nothing. */
struct carry_point {
    double rate_per_s;
    double latency_s;
};

struct carry {
    struct carry_point quiet;     /* the lightest load that was measured */
    struct carry_point good, bad; /* good.rate < bad.rate when both are known */
    int64_t bad_ready;            /* how many there were at `bad` */
    /* Within the target after `bad`: the first few, and how many in a row were far quicker. */
    struct carry_point after_bad;
    int64_t after_count, quicker;
};

/* Measured while `ready` instances shared a steady load. What contradicts it is forgotten. */
void carry_learn(struct carry *c, const struct carry_point *p, double target_s, int32_t ready);
/* What one can carry within `goal_s`, as far as is known; INFINITY while nothing was too much. */
double carry_limit(const struct carry *c, double goal_s);
/* A load that is worth a try with fewer instances: no more than `carry_limit()` says, and no more
 * than twice what was measured. 0 = none: what is measured took longer than `try_below_s`. */
double carry_reach(const struct carry *c, double goal_s, double try_below_s);
/* Words from a file may be anything: what is no measurement is forgotten. */
void carry_check(struct carry *c);
