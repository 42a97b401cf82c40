/* Hist: a histogram of the load for each hour of the day; the 95th percentile of this hour's, plus
 * the mean of what was lacking lately; when it lacks too often, the need + 2. Source: Urgaonkar et
 * al., "Agile dynamic provisioning of multi-tier Internet applications", ACM TAAS 3(1), 2008, and
 * the code of a comparison by others. What was too many counts as an error of 0, as the paper has
 * it. */
#include "base/us.h"
#include "sim/peers/research.h"

#define HOURS 24
#define LEVELS 1001
#define PERCENTILE 0.95
#define ERRORS_MAX 7200
#define LATELY 10
#define LATELY_BAD 5

struct hist {
    struct research r;
    uint32_t seen[HOURS][LEVELS], total[HOURS];
    double lacking;  /* sum of errors */
    uint32_t errors; /* how many */
    uint32_t bad;    /* a bit for each of the last ticks: it lacked */
};

static void *hist_open(const struct policy_setup *s)
{
    return peer_open(sizeof(struct hist), s);
}

static double quantile(const struct hist *h, uint32_t hour)
{
    double sum = 0;
    for (uint32_t n = 0; n < LEVELS; n++) {
        sum += h->seen[hour][n];
        if (sum >= PERCENTILE * h->total[hour])
            return n;
    }
    return LEVELS - 1;
}

/* The older half of the errors is dropped when there are too many: what is left counts as their
 * mean. */
static void note_error(struct hist *h, double need)
{
    double error = need - h->r.p.desired;
    h->bad = (h->bad << 1 | (error > 0)) & (BIT(LATELY) - 1);
    h->lacking += MAX(error, 0);
    if (++h->errors < ERRORS_MAX)
        return;
    h->errors /= 2;
    h->lacking /= 2;
}

/* Of the day, also before 1970. */
static uint32_t hour_of(int64_t wall_us)
{
    return (uint32_t)((wall_us / US_PER_HOUR % HOURS + HOURS) % HOURS);
}

static void control(struct hist *h, double load, int64_t wall_us)
{
    double need = ceil(load);
    uint32_t hour = hour_of(wall_us);
    note_error(h, need);
    h->seen[hour][(uint32_t)MIN(need, LEVELS - 1)]++;
    h->total[hour]++;
    if (__builtin_popcount(h->bad) > LATELY_BAD) {
        h->bad = 0;
        h->lacking = h->errors = 0;
        peer_want(&h->r.p, need + RESEARCH_HEADROOM, "lacked too often: the need + 2");
        return;
    }
    double usual = quantile(h, hour), more = h->errors > 0 ? h->lacking / h->errors : 0;
    peer_want(&h->r.p, ceil(usual + more), "95th percentile of this hour: %d", (int)usual);
}

static void hist_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct hist *h = self;
    double load;
    if (research_due(&h->r, v, &load))
        control(h, load, v->wall_us);
    peer_order(&h->r.p, fleet);
}

const struct policy_ops policy_hist = {
    .name = "hist",
    .help =
        "Urgaonkar et al. 2008: 95th percentile of the hour of the day, corrected, every minute",
    .open = hist_open,
    .step = hist_step,
    PEER_OPS,
};
