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

void series_set_stale(struct series *s, int64_t stale_us)
{
    int64_t us = stale_us > 0 ? stale_us : SERIES_STALE_US;
    s->stale_ms = (uint32_t)MIN(us / US_PER_MS + (us % US_PER_MS != 0), (int64_t)UINT32_MAX);
}

void series_init(struct series *s, struct series_point *points, uint32_t cap, int64_t stale_us)
{
    *s = (struct series){ .points = points, .cap = cap };
    series_set_stale(s, stale_us);
}

void series_use_blocks(struct series *s, struct series_block *blocks)
{
    assert(s->count == 0);
    s->blocks = blocks;
}

/* Where the i-th oldest lies. */
static uint32_t place(const struct series *s, uint32_t i)
{
    uint32_t at = s->head + i;
    return at < s->cap ? at : at - s->cap;
}

static struct series_point *point(const struct series *s, uint32_t i)
{
    return &s->points[place(s, i)];
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
    const struct series_point *newest = point(s, s->count - 1);
    return (newest->at_us - 1) / US_PER_S == (at_us - 1) / US_PER_S &&
           at_us - point(s, s->count - 2)->at_us <= series_stale_us(s);
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

/* -- windows, by blocks
 *
 * A block is eight places of the ring, whatever the points in it; of the windows that reach over
 * all of it the same sum is made in the same order whether it was kept or not. ---------------- */

/* The time that point i stands for: since the one before it, no longer than a point may, nor than
 * the window. A point with nothing before it stands for as long as the next one does. */
static double weight(const struct series *s, uint32_t i, int64_t from_us)
{
    int64_t at_us = point(s, i)->at_us;
    if (i > 0 && at_us - point(s, i - 1)->at_us <= series_stale_us(s))
        return (double)(at_us - MAX(point(s, i - 1)->at_us, from_us));
    if (i + 1 < s->count)
        return (double)MIN(point(s, i + 1)->at_us - at_us, series_stale_us(s));
    return 1;
}

/* Two doubles, so that it is handed on in registers: this is what a tick does most. */
struct sum {
    double sum, weight;
};

static void add_point(struct sum *x, double weight_us, double mean)
{
    x->sum += weight_us * mean;
    x->weight += weight_us;
}

/* Of the points from i to before `end`, none of them older than `from_us`. */
static struct sum sum_points(const struct series *s, uint32_t i, uint32_t end, int64_t from_us)
{
    struct sum x = { 0, 0 };
    if (i >= end)
        return x;
    const struct series_point *p = point(s, i), *stop = s->points + s->cap;
    int64_t stale_us = series_stale_us(s);
    add_point(&x, weight(s, i, from_us), p->mean);
    while (++i < end) {
        int64_t last_us = p->at_us; /* within the window, too */
        p = p + 1 == stop ? s->points : p + 1;
        int64_t since_us = p->at_us - last_us;
        add_point(&x, since_us <= stale_us ? (double)since_us : weight(s, i, from_us), p->mean);
    }
    return x;
}

static double least_of(const struct series *s, uint32_t i, uint32_t end)
{
    double least = point(s, i)->least;
    while (++i < end)
        least = MIN(least, point(s, i)->least);
    return least;
}

static double most_of(const struct series *s, uint32_t i, uint32_t end)
{
    double most = point(s, i)->most;
    while (++i < end)
        most = MAX(most, point(s, i)->most);
    return most;
}

/* Of `size` points from i > 0 on that lie side by side. One look at each: this is where a series
 * spends its time. */
static struct series_block block_of(const struct series *s, uint32_t i, uint32_t size)
{
    const struct series_point *p = point(s, i), *end = p + size;
    int64_t last_us = point(s, i - 1)->at_us;
    struct sum x = { 0, 0 };
    double least = p->least, most = p->most;
    for (; p < end; p++, i++) {
        int64_t since_us = p->at_us - last_us;
        add_point(&x, since_us <= series_stale_us(s) ? (double)since_us : weight(s, i, INT64_MIN),
                  p->mean);
        least = MIN(least, p->least);
        most = MAX(most, p->most);
        last_us = p->at_us;
    }
    return (struct series_block){ x.sum, x.weight, least, most };
}

/* How many places the block of this place has: the last one may be short. */
static uint32_t block_size(const struct series *s, uint32_t at)
{
    uint32_t begin = at - at % SERIES_BLOCK;
    return MIN(SERIES_BLOCK, s->cap - begin);
}

/* A point was added at this place: the block whose last point is the one before the one before it
 * has become whole, and is made when a window first asks for it. */
static void forget_block(struct series *s, uint32_t added)
{
    uint32_t last = added >= 2 ? added - 2 : added + s->cap - 2;
    bool ends = last % SERIES_BLOCK == SERIES_BLOCK - 1 || last == s->cap - 1;
    if (ends && s->blocks && s->cap > 2)
        s->blocks[last / SERIES_BLOCK].weight = 0;
}

void series_restore_blocks(struct series *s)
{
    for (uint32_t n = 0; s->blocks && n < SERIES_BLOCKS(s->cap); n++)
        s->blocks[n].weight = 0;
}

/* A way through a window: what is left of its first block, whole blocks, and the rest. */
struct way {
    uint32_t i, at; /* the next point, and its place */
    struct series_block made;
};

/* To where the first part, from point `first` on, ends. */
static void skip_first_part(const struct series *s, uint32_t first, struct way *ret)
{
    uint32_t at = place(s, first);
    ret->i = MIN(first + block_size(s, at) - at % SERIES_BLOCK, s->count);
    ret->at = place(s, ret->i);
}

static __attribute__((noinline)) void make_block(const struct series *s, const struct way *w,
                                                 struct series_block *ret)
{
    *ret = block_of(s, w->i, block_size(s, w->at));
}

/* The whole block that is next, if one is, made if nobody has asked for it yet. The newest point
 * still changes, and with it what the one before it stands for. */
static inline const struct series_block *next_block(const struct series *s, struct way *w)
{
    if (w->i + SERIES_BLOCK + 1 >= s->count)
        return NULL;
    struct series_block *b = s->blocks ? &s->blocks[w->at / SERIES_BLOCK] : &w->made;
    if (b == &w->made || b->weight == 0)
        make_block(s, w, b);
    uint32_t size = MIN(SERIES_BLOCK, s->cap - w->at);
    w->i += size;
    w->at = w->at + size < s->cap ? w->at + size : 0;
    return b;
}

static double average(const struct series *s, uint32_t first, int64_t from_us)
{
    struct way w;
    skip_first_part(s, first, &w);
    struct sum all = sum_points(s, first, w.i, from_us);
    for (const struct series_block *b; (b = next_block(s, &w)) != NULL;) {
        all.sum += b->sum;
        all.weight += b->weight;
    }
    struct sum rest = sum_points(s, w.i, s->count, from_us);
    return (all.sum + rest.sum) / (all.weight + rest.weight);
}

static double extreme(const struct series *s, uint32_t first, bool largest)
{
    struct way w;
    skip_first_part(s, first, &w);
    double best = largest ? most_of(s, first, w.i) : least_of(s, first, w.i);
    for (const struct series_block *b; (b = next_block(s, &w)) != NULL;)
        best = largest ? MAX(best, b->most) : MIN(best, b->least);
    if (w.i == s->count)
        return best;
    double rest = largest ? most_of(s, w.i, s->count) : least_of(s, w.i, s->count);
    return largest ? MAX(best, rest) : MIN(best, rest);
}

/* -- what comes -----------------------------------------------------------------------------------
 */

/* `since_us` after the newest point. */
static inline void append(struct series *s, int64_t at_us, int64_t since_us, double value)
{
    if (since_us > series_stale_us(s))
        series_gap(s, at_us - 1);
    uint32_t at = s->head;
    if (s->count == s->cap)
        s->head = at + 1 < s->cap ? at + 1 : 0;
    else
        at = place(s, s->count++);
    s->points[at] = point_of(at_us, value);
    forget_block(s, at);
}

/* What comes within a second of the newest point. Seldom, and the way around it is short. */
static __attribute__((noinline)) void put_near(struct series *s, int64_t at_us, double value)
{
    struct series_point *newest = point(s, s->count - 1);
    assert(at_us >= newest->at_us);
    if (at_us == newest->at_us && is_single(newest))
        *newest = point_of(at_us, value);
    else if (joins(s, at_us))
        join(s, at_us, value);
    else
        append(s, at_us, at_us - newest->at_us, value);
}

void series_put(struct series *s, int64_t at_us, double value)
{
    if (s->cap == 0)
        return;
    if (!isfinite(value)) {
        series_gap(s, at_us);
        return;
    }
    int64_t since_us = s->count > 0 ? at_us - series_newest(s)->at_us : US_NEVER;
    if (since_us < US_PER_S)
        put_near(s, at_us, value);
    else
        append(s, at_us, since_us, value);
}

bool series_covers(const struct series *s, int64_t window_us, int64_t now_us)
{
    int64_t from_us = us_sub(now_us, window_us);
    if (!series_fresh(s, now_us) || s->gap_us >= from_us)
        return false;
    return s->count < s->cap || point(s, 0)->at_us <= from_us;
}

/* Where it is when there is a point for each second. */
static uint32_t guess_first(const struct series *s, int64_t from_us)
{
    int64_t later_us = us_sub(point(s, s->count - 1)->at_us, from_us);
    int64_t seconds = (later_us - 1) / US_PER_S;
    return later_us > 0 && seconds < s->count ? s->count - 1 - (uint32_t)seconds : 0;
}

/* Index of the first point after `from_us`; count when there is none. */
static uint32_t first_after(const struct series *s, int64_t from_us)
{
    uint32_t low = 0, high = s->count, guess = guess_first(s, from_us);
    for (uint32_t i = guess; i < MIN(guess + 2, s->count); i++) {
        if (point(s, i)->at_us > from_us && (i == 0 || point(s, i - 1)->at_us <= from_us))
            return i;
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (point(s, middle)->at_us > from_us)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static double percentile(const struct series *s, uint32_t first, uint32_t percent, double *scratch)
{
    uint32_t n = s->count - first;
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = point(s, first + i)->mean;
    uint64_t rank = ((uint64_t)n * percent + 99) / 100;
    return sort_select(scratch, n, (size_t)MAX(rank, 1) - 1);
}

static int window_stat(const struct series *s, enum series_stat stat, int64_t window_us,
                       int64_t now_us, double *scratch, double *ret)
{
    static const uint8_t percents[SERIES_STAT_MAX] = {
        [SERIES_P50] = 50,
        [SERIES_P90] = 90,
        [SERIES_P95] = 95,
        [SERIES_P99] = 99,
    };
    int64_t from_us = us_sub(now_us, window_us);
    uint32_t first = window_us > 0 ? first_after(s, from_us) : s->count - 1;
    if (first == s->count)
        first--; /* fresh, but older than a very short window: the newest point speaks */
    const struct series_point *oldest = point(s, first), *newest = point(s, s->count - 1);
    switch (stat) {
    case SERIES_AVG:
        *ret = first < s->count - 1 ? average(s, first, from_us) : newest->mean;
        return 0;
    case SERIES_MAX:
    case SERIES_MIN:
        *ret = extreme(s, first, stat == SERIES_MAX);
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

int series_stat(const struct series *s, enum series_stat stat, int64_t window_us, int64_t now_us,
                double *scratch, double *ret)
{
    if (stat == SERIES_LAST || (window_us <= 0 && stat != SERIES_RATE))
        return series_last(s, now_us, ret) ? 0 : -ENODATA;
    if (!series_fresh(s, now_us))
        return -ENODATA;
    return window_stat(s, stat, window_us, now_us, scratch, ret);
}

uint32_t series_count_if(const struct series *s, int64_t window_us, int64_t now_us,
                         bool (*holds)(double value, const void *what), const void *what)
{
    uint32_t count = 0;
    if (!series_fresh(s, now_us))
        return 0;
    for (uint32_t i = first_after(s, us_sub(now_us, window_us)); i < s->count; i++)
        count += holds(point(s, i)->value, what);
    return count;
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
