/* The arithmetic of averages, minima and maxima per bucket, and nothing else. */
#include "store/rollup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"

const struct rollup_step rollup_steps[ROLLUP_STEPS] = {
    { .step_s = 1, .keep_s = 3600 },
    { .step_s = 10, .keep_s = 86400 },
    { .step_s = 60, .keep_s = 30 * 86400 },
};

/* Samples of one moment arrive a little after one another: a bucket stays open this long. */
#define GRACE_S 1
/* A series unheard for so long (its instance is gone) leaves memory. */
#define IDLE_S 300

int rollup_init(struct rollup *r, uint32_t series_cap)
{
    size_t slots = 64;
    while (slots * 3 / 4 < series_cap)
        slots *= 2;
    struct table_slot *memory = calloc(slots, sizeof(*memory));
    if (!memory)
        return -ENOMEM;
    table_init(&r->table, memory, slots);
    list_init(&r->series);
    r->cap = series_cap;
    r->swept_s = 0;
    return 0;
}

void rollup_done(struct rollup *r)
{
    LIST_FOR_EACH (it, &r->series)
        free(LIST_ENTRY(it, struct rollup_series, link));
    free(r->table.slots);
    list_init(&r->series);
    r->table.slots = NULL;
}

/* The text of a key; 0 when it is too long. */
static size_t make_key(char key[ROLLUP_KEY_BYTES], const char *service, const char *metric,
                       uint32_t number)
{
    int n = snprintf(key, ROLLUP_KEY_BYTES, "%s%c%s%c%u", service, 0, metric, 0, number);
    return n > 0 && n < ROLLUP_KEY_BYTES ? (size_t)n : 0;
}

static struct rollup_series *series_get(struct rollup *r, const char *service, const char *metric,
                                        uint32_t number)
{
    char key[ROLLUP_KEY_BYTES];
    size_t n = make_key(key, service, metric, number);
    struct rollup_series *s = n ? table_get(&r->table, (struct slice){ key, n }) : NULL;
    if (s || !n || r->table.count >= r->cap)
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    memcpy(s->key, key, n);
    s->key_bytes = n;
    s->service = s->key;
    s->metric = s->key + strlen(service) + 1;
    s->number = number;
    if (table_put(&r->table, (struct slice){ s->key, n }, s) < 0) {
        free(s);
        return NULL;
    }
    list_push_back(&r->series, &s->link);
    return s;
}

static void close_bucket(struct rollup *r, struct rollup_series *s, unsigned step)
{
    struct rollup_bucket *b = &s->bucket[step];
    if (b->count)
        r->emit(r->ctx, s, step, b);
    *b = (struct rollup_bucket){ 0 };
}

static void bucket_add(struct rollup_bucket *b, double value)
{
    b->min = b->count && b->min < value ? b->min : value;
    b->max = b->count && b->max > value ? b->max : value;
    b->sum += value;
    b->count++;
}

/* Once per second of the samples' time: close what is over, forget who is silent. A wall clock that
 * was set back only closes buckets early. */
static void sweep(struct rollup *r, int64_t now_s)
{
    if (now_s == r->swept_s)
        return;
    r->swept_s = now_s;
    LIST_FOR_EACH (it, &r->series) {
        struct rollup_series *s = LIST_ENTRY(it, struct rollup_series, link);
        bool idle = now_s - s->heard_s > IDLE_S;
        for (unsigned i = 0; i < ROLLUP_STEPS; i++)
            if (idle || now_s >= s->bucket[i].start_s + rollup_steps[i].step_s + GRACE_S)
                close_bucket(r, s, i);
        if (idle) {
            table_take(&r->table, (struct slice){ s->key, s->key_bytes });
            list_remove(&s->link);
            free(s);
        }
    }
}

bool rollup_add(struct rollup *r, const char *service, const char *metric, uint32_t number,
                double value, int64_t wall_us)
{
    int64_t now_s = wall_us / US_PER_S;
    sweep(r, now_s);
    struct rollup_series *s = series_get(r, service, metric, number);
    if (!s)
        return false;
    s->heard_s = now_s;
    list_remove(&s->link);
    list_push_back(&r->series, &s->link);
    for (unsigned i = 0; i < ROLLUP_STEPS; i++) {
        struct rollup_bucket *b = &s->bucket[i];
        int64_t start_s = now_s - now_s % rollup_steps[i].step_s;
        if (b->count && b->start_s != start_s)
            close_bucket(r, s, i);
        b->start_s = start_s;
        bucket_add(b, value);
    }
    return true;
}

void rollup_flush(struct rollup *r)
{
    LIST_FOR_EACH (it, &r->series)
        for (unsigned i = 0; i < ROLLUP_STEPS; i++)
            close_bucket(r, LIST_ENTRY(it, struct rollup_series, link), i);
}

void rollup_forget_ids(struct rollup *r)
{
    LIST_FOR_EACH (it, &r->series)
        LIST_ENTRY(it, struct rollup_series, link)->id = 0;
}
