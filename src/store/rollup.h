/* Series rolled up as they arrive: for each one an open bucket per step, closed when its time is
 * over and handed out as one row. No clock: time is what the samples say. Private to store/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "base/table.h"

#define ROLLUP_STEPS 3
#define ROLLUP_KEY_BYTES 160

struct rollup_step {
    uint32_t step_s;
    int64_t keep_s;
};
extern const struct rollup_step rollup_steps[ROLLUP_STEPS];

struct rollup_bucket {
    int64_t start_s; /* meaningless while count is 0 */
    uint32_t count;
    double sum, min, max;
};

struct rollup_series {
    struct list link;           /* in rollup.series, longest unheard first */
    char key[ROLLUP_KEY_BYTES]; /* service NUL metric NUL number */
    size_t key_bytes;
    const char *service, *metric; /* into key */
    uint32_t number;
    int64_t id; /* of its row; 0 = not known */
    int64_t heard_s;
    struct rollup_bucket bucket[ROLLUP_STEPS];
};

struct rollup {
    struct table table;
    struct list series;
    uint32_t cap;
    int64_t swept_s;
    /* A bucket that is over; `step` indexes rollup_steps. */
    void (*emit)(void *ctx, struct rollup_series *s, unsigned step, const struct rollup_bucket *b);
    void *ctx;
};

/* emit and ctx are the caller's to set. 0 or -ENOMEM. */
int rollup_init(struct rollup *r, uint32_t series_cap);
void rollup_done(struct rollup *r);
/* False when it is dropped: too many series, or no memory. */
bool rollup_add(struct rollup *r, const char *service, const char *metric, uint32_t number,
                double value, int64_t wall_us);
/* Hand out every open bucket, whole or not: what is added to the same bucket later comes as another
 * row of the same time, which the database merges. */
void rollup_flush(struct rollup *r);
/* Ids are no longer valid: there is another database. */
void rollup_forget_ids(struct rollup *r);
