/* The ring of a series and its windows. It owns what "known" means; it must never guess a value
 * for a time that has none. */
#include "core/series.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/sort.h"
#include "base/us.h"
#include "base/util.h"

void series_init(struct series *s, struct series_point *points, uint32_t cap, int64_t stale_us)
{
    *s = (struct series){ .points = points, .cap = cap };
    s->stale_us = stale_us > 0 ? stale_us : SERIES_STALE_US;
}

/* The i-th oldest. */
static struct series_point *point(const struct series *s, uint32_t i)
{
    return &s->points[(s->head + i) % s->cap];
}

void series_gap(struct series *s, int64_t at_us)
{
    s->gap_us = MAX(s->gap_us, at_us);
}

/* May a value of this time join the newest point? Not the first one after a gap: that has no time
 * of its own to weigh it by. */
static bool joins(const struct series *s, int64_t at_us)
{
    if (s->count < 2)
        return false;
    const struct series_point *before = point(s, s->count - 2), *newest = point(s, s->count - 1);
    return (newest->at_us - 1) / US_PER_S == (at_us - 1) / US_PER_S &&
           at_us - before->at_us <= s->stale_us;
}

static void join(struct series *s, int64_t at_us, double value)
{
    struct series_point *p = point(s, s->count - 1);
    int64_t since_us = point(s, s->count - 2)->at_us;
    double share = (double)(at_us - p->at_us) / (double)(at_us - since_us);
    p->mean += (value - p->mean) * share;
    p->at_us = at_us;
    p->value = value;
    p->least = MIN(p->least, value);
    p->most = MAX(p->most, value);
}

static struct series_point point_of(int64_t at_us, double value)
{
    return (struct series_point){ at_us, value, value, value, value };
}

static bool is_single(const struct series_point *p)
{
    return p->least == p->most;
}

void series_put(struct series *s, int64_t at_us, double value)
{
    if (s->cap == 0)
        return;
    if (!isfinite(value)) {
        series_gap(s, at_us);
        return;
    }
    int64_t last_us = s->count > 0 ? point(s, s->count - 1)->at_us : INT64_MIN;
    assert(at_us >= last_us);
    if (at_us == last_us && is_single(point(s, s->count - 1))) {
        *point(s, s->count - 1) = point_of(at_us, value);
        return;
    }
    if (joins(s, at_us)) {
        join(s, at_us, value);
        return;
    }
    if (s->count == 0 || at_us - last_us > s->stale_us)
        series_gap(s, at_us - 1);
    if (s->count == s->cap) {
        s->head = (s->head + 1) % s->cap;
        s->count--;
    }
    *point(s, s->count++) = point_of(at_us, value);
}

bool series_fresh(const struct series *s, int64_t now_us)
{
    if (s->count == 0)
        return false;
    int64_t last_us = point(s, s->count - 1)->at_us;
    return last_us > s->gap_us && last_us <= now_us && now_us - last_us <= s->stale_us;
}

bool series_covers(const struct series *s, int64_t window_us, int64_t now_us)
{
    int64_t from_us = us_sub(now_us, window_us);
    if (!series_fresh(s, now_us) || s->gap_us >= from_us)
        return false;
    return s->count < s->cap || point(s, 0)->at_us <= from_us;
}

/* Index of the first point after `from_us`; count when there is none. */
static uint32_t first_after(const struct series *s, int64_t from_us)
{
    uint32_t low = 0, high = s->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (point(s, middle)->at_us > from_us)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The time that point i stands for: since the one before it, no longer than a point may, nor than
 * the window. A point with nothing before it stands for as long as the next one does. */
static double weight(const struct series *s, uint32_t i, int64_t from_us)
{
    int64_t at_us = point(s, i)->at_us;
    if (i > 0 && at_us - point(s, i - 1)->at_us <= s->stale_us)
        return (double)(at_us - MAX(point(s, i - 1)->at_us, from_us));
    if (i + 1 < s->count)
        return (double)MIN(point(s, i + 1)->at_us - at_us, s->stale_us);
    return 1;
}

static double average(const struct series *s, uint32_t first, int64_t from_us)
{
    double sum = 0, weights = 0;
    if (first == s->count - 1)
        return point(s, first)->mean;
    for (uint32_t i = first; i < s->count; i++) {
        double w = weight(s, i, from_us);
        sum += w * point(s, i)->mean;
        weights += w;
    }
    return sum / weights;
}

static double extreme(const struct series *s, uint32_t first, bool largest)
{
    double best = largest ? point(s, first)->most : point(s, first)->least;
    for (uint32_t i = first + 1; i < s->count; i++)
        best = largest ? MAX(best, point(s, i)->most) : MIN(best, point(s, i)->least);
    return best;
}

static double percentile(const struct series *s, uint32_t first, uint32_t percent, double *scratch)
{
    uint32_t n = s->count - first;
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = point(s, first + i)->mean;
    uint64_t rank = ((uint64_t)n * percent + 99) / 100;
    return sort_select(scratch, n, (size_t)MAX(rank, 1) - 1);
}

int series_stat(const struct series *s, enum series_stat stat, int64_t window_us, int64_t now_us,
                double *scratch, double *ret)
{
    static const uint8_t percents[SERIES_STAT_MAX] = {
        [SERIES_P50] = 50,
        [SERIES_P90] = 90,
        [SERIES_P95] = 95,
        [SERIES_P99] = 99,
    };
    if (!series_fresh(s, now_us))
        return -ENODATA;
    if (window_us <= 0 && stat != SERIES_RATE)
        stat = SERIES_LAST;
    int64_t from_us = us_sub(now_us, window_us);
    uint32_t first = window_us > 0 ? first_after(s, from_us) : s->count - 1;
    if (first == s->count)
        first--; /* fresh, but older than a very short window: the newest point speaks */
    const struct series_point *oldest = point(s, first), *newest = point(s, s->count - 1);
    switch (stat) {
    case SERIES_AVG:
        *ret = average(s, first, from_us);
        return 0;
    case SERIES_MAX:
    case SERIES_MIN:
        *ret = extreme(s, first, stat == SERIES_MAX);
        return 0;
    case SERIES_LAST:
        *ret = newest->value;
        return 0;
    case SERIES_RATE:
        if (first == s->count - 1)
            return -ENODATA;
        *ret = (newest->value - oldest->value) * (double)US_PER_S /
               (double)(newest->at_us - oldest->at_us);
        return 0;
    default:
        assert(stat < SERIES_STAT_MAX && scratch);
        *ret = percentile(s, first, percents[stat], scratch);
        return 0;
    }
}

const char *series_stat_name(enum series_stat stat)
{
    static const char *const names[SERIES_STAT_MAX] = {
        [SERIES_AVG] = "avg",   [SERIES_MAX] = "max",   [SERIES_MIN] = "min",
        [SERIES_RATE] = "rate", [SERIES_LAST] = "last", [SERIES_P50] = "p50",
        [SERIES_P90] = "p90",   [SERIES_P95] = "p95",   [SERIES_P99] = "p99",
    };
    return (unsigned)stat < SERIES_STAT_MAX ? names[stat] : "?";
}
