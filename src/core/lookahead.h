/* How many instances may be needed before one more could be ready: `headroom: auto`. Learnt from
 * how far the load has risen within that time so far, so that little is kept free where the load is
 * calm and much where it jumps.
 *
 * Load is in instances (what it takes to carry it with nothing to spare), smoothed over three
 * seconds unless requests wait: of what comes in more than is served for a second, each waits a
 * part of a second, and the noise of single requests would cost more than that. The horizon h is
 * the start time and a second. mu and s are its exponential mean and deviation (ten minutes), D its
 * long mean. Of what it is above mu a share r is still there a horizon later, learnt as well, and
 * so the load that counts is d = mu + r (load - mu + trend) while it is above, load while it is
 * below. Four guesses, each a forecast f with a spread x:
 *
 *     peak    f = max(m, d)    x = m            m = the most within two minutes: a dip is not
 *                                               believed
 *     mean    f = mu           x = s            with a floor under s of square-root kind
 *     both    f = max(mu, d)   x = s
 *     follow  f = d            x = sqrt(mu D)   square-root staffing, scaled to the service
 *
 * A horizon later z = (needed - 1 - f) / x is known, the least k for which ceil(f + k x) would have
 * been enough, and goes into a histogram, weighed by the load. A reference is judged beside them:
 * what a fixed target of 70 % with five minutes of stabilisation would have run. Each guess gets
 * the k that misses no more than 1.25 times what the reference missed; when that missed nothing,
 * the largest z ever, times 1 + 300 / (150 + n) for what n horizons cannot have shown (the form is
 * that of the VPA's confidence, and for starts of five minutes about its 1 + 1/days). The guess
 * counts that was cheapest over a day.
 *
 * Against what was never seen there is a floor: d + min(theta, 3 (worst rise + 0.02)) * min(load,
 * D), a quarter of that while the load falls steeply. theta is steered so that all in all at most
 * 42 % of the idle capacity of the reference is spent. And nobody believes a beginner: of n
 * horizons 60 / (60 + n) is the reference's share in what is said.
 *
 * A count is kept for 15 s after it was last needed, and until a fifth of an instance more is
 * idle. Under a load that does not move, the count does not either (law 6). Sources: quantiles of
 * rolling forecast errors as conformal prediction uses them (Vovk, Gammerman, Shafer 2005); Halfin
 * and Whitt 1981 for the root; the VPA (recommender/logic/estimator.go) for the confidence. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct lookahead_load {
    int64_t now_us;
    double load;    /* in instances, >= 0 */
    double start_s; /* how long one takes to be ready */
    bool waiting;   /* requests wait for an instance */
};

struct lookahead_answer {
    int32_t count;
    double most;       /* the load may come to this within the horizon */
    double level;      /* what of the load will last as long as a start takes */
    double lasting;    /* the share of what is above the mean that does */
    double age_s;      /* it has learnt for so long */
    const char *guess; /* "peak", ... */
};

/* How many words it remembers things in; zeroed = knows nothing. */
uint32_t lookahead_words(void);
/* Once a second; within a second of the last time it changes nothing. Words that make no sense (a
 * file's) are as good as zeroed. */
void lookahead_learn(int64_t *words, const struct lookahead_load *now);
/* What to run for that load; changes nothing. */
void lookahead_ask(const int64_t *words, const struct lookahead_load *now,
                   struct lookahead_answer *ret);
/* Both, one after the other, at the price of one. */
void lookahead_follow(int64_t *words, const struct lookahead_load *now,
                      struct lookahead_answer *ret);
