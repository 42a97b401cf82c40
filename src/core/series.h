/* A series: the last values of one metric of one service, in a ring of fixed size, and what windows
 * over it say. Times are monotonic. A gap (a time without a known value) is remembered. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum series_stat {
    SERIES_AVG,
    SERIES_MAX,
    SERIES_MIN,
    SERIES_RATE,
    SERIES_LAST,
    SERIES_P50,
    SERIES_P90,
    SERIES_P95,
    SERIES_P99,
    SERIES_STAT_MAX,
};

/* A second of the series. Values that come within one second share a point, so that a ring reaches
 * back as many seconds as it has points, however often the doorbell rings. */
struct series_point {
    int64_t at_us; /* of its newest value */
    double value;  /* its newest value; the others are that too when there was but one */
    double mean;   /* over the time that it stands for */
    double least, most;
};

/* What eight neighbours of a ring come to, so that a window need not look at each of them. */
#define SERIES_BLOCK 8
struct series_block {
    double sum, weight; /* of mean * weight, and of the weights */
    double least, most;
};
#define SERIES_BLOCKS(points) (((points) + SERIES_BLOCK - 1) / SERIES_BLOCK)

/* A point says what the value was since the point before it. Two points further apart than
 * `stale_us` have a gap between them, and all time before the first point is a gap. */
struct series {
    struct series_point *points; /* the owner's array */
    struct series_block *blocks; /* SERIES_BLOCKS(cap), the owner's; NULL = windows take longer */
    uint32_t cap, count, head;   /* head = oldest */
    uint32_t stale_ms;           /* a newest point older than this says nothing any more */
    int64_t gap_us; /* end of the newest gap: the last instant known to be unknown; 0 = none */
};

#define SERIES_STALE_US INT64_C(5000000) /* for sources that sample every second */

static inline int64_t series_stale_us(const struct series *s)
{
    return s->stale_ms * INT64_C(1000);
}
/* Up to 49 days, in whole milliseconds. */
void series_set_stale(struct series *s, int64_t stale_us);
/* `stale_us` 0 = SERIES_STALE_US; a source that samples rarely wants three of its periods. A series
 * with cap 0 holds nothing and answers -ENODATA to everything. */
void series_init(struct series *s, struct series_point *points, uint32_t cap, int64_t stale_us);
/* An empty series gets room for blocks. They make windows faster and change no result. */
void series_use_blocks(struct series *s, struct series_block *blocks);
/* Somebody else has written the points: the blocks are made anew. */
void series_restore_blocks(struct series *s);
/* Points that a ring needs for its windows to reach back `window_s` seconds: one more where the
 * window begins within a second, one where now does, and one after a gap. */
#define SERIES_POINTS(window_s) ((window_s) + 3)

/* Not before the newest value (of equally old ones the last is the newest, alone in its second it
 * replaces the other). A value that is not finite is a gap. The oldest point goes when the ring is
 * full. */
void series_put(struct series *s, int64_t at_us, double value);
/* At `at_us` the value was not known. */
void series_gap(struct series *s, int64_t at_us);

/* Of a series that has points. */
static inline const struct series_point *series_newest(const struct series *s)
{
    uint32_t at = s->head + s->count - 1;
    return &s->points[at < s->cap ? at : at - s->cap];
}
/* Is the value known at this moment: a newest point that is fresh and no gap after it? */
static inline bool series_fresh(const struct series *s, int64_t now_us)
{
    if (s->count == 0)
        return false;
    int64_t last_us = series_newest(s)->at_us;
    return last_us > s->gap_us && last_us <= now_us && now_us - last_us <= series_stale_us(s);
}
/* Fresh, the ring reaches back that far, and no gap anywhere in the last `window_us`: what scale-in
 * demands. */
bool series_covers(const struct series *s, int64_t window_us, int64_t now_us);
/* What the points with now - window < at <= now say; window 0 = the newest value alone. AVG weighs
 * a point by the time it stands for, MAX and MIN look at every value that came; RATE is the
 * increase a second from the first to the last point of a counter; percentiles are by nearest rank,
 * of the seconds' means. `scratch` holds at least s->count doubles and is used by percentiles only.
 * 0; -ENODATA when the series is not fresh or has too few points. */
int series_stat(const struct series *s, enum series_stat stat, int64_t window_us, int64_t now_us,
                double *scratch, double *ret);
/* The newest value, as SERIES_LAST; false when the series is not fresh. */
static inline bool series_last(const struct series *s, int64_t now_us, double *ret)
{
    if (!series_fresh(s, now_us))
        return false;
    *ret = series_newest(s)->value;
    return true;
}
/* How many of the newest values of the seconds in that window hold; 0 when it is not fresh. */
uint32_t series_count_if(const struct series *s, int64_t window_us, int64_t now_us,
                         bool (*holds)(double value, const void *what), const void *what);
/* "avg", "p99", ... */
const char *series_stat_name(enum series_stat stat);
