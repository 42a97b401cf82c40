/* The writer thread: opens the database, writes batches, keeps the file within its bounds, and
 * lives with a disk that is full, gone or lying. Whatever happens, it goes on taking records out of
 * the mailbox; nobody ever waits for it but store_flush() and store_close(). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/us.h"
#include "base/util.h"
#include "store/store_int.h"
#include "sys/clock.h"

#define UPKEEP_US US_PER_S
#define UPKEEP_SERIES 8 /* series pruned at a time */
#define PRESSURE_MAX 10
#define DISK_ROOM_BYTES (16u << 20)
#define KEEP_ROWS_US (30 * US_PER_DAY)
#define KEEP_GONE_US US_PER_DAY

static void set_trouble(struct store *s, const char *format, ...) _printf_(2, 3);

static void set_trouble(struct store *s, const char *format, ...)
{
    char text[sizeof(s->trouble)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    pthread_mutex_lock(&s->lock);
    memcpy(s->trouble, text, sizeof(text));
    pthread_mutex_unlock(&s->lock);
}

static void clear_trouble(struct store *s)
{
    pthread_mutex_lock(&s->lock);
    s->trouble[0] = '\0';
    pthread_mutex_unlock(&s->lock);
}

static void close_until_retry(struct store *s, const char *why)
{
    set_trouble(s, "the database %.160s cannot be written: %.120s; nothing is kept until it can",
                s->path, why);
    atomic_store(&s->open, false);
    db_close(&s->db);
    s->retry_at_us = us_add(clock_now_us(), s->options.retry_us);
}

static int set_aside(struct store *s)
{
    char path[sizeof(s->aside_path)];
    int rc = db_set_aside(s->path, clock_wall_us(), path, sizeof(path));
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&s->lock);
    memcpy(s->aside_path, path, sizeof(path));
    s->set_aside++;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void try_open(struct store *s)
{
    struct err err = { 0 };
    int rc = db_open(&s->db, s->path, s->options.bytes_max, &err);
    if (rc == -EBADMSG && set_aside(s) == 0)
        rc = db_open(&s->db, s->path, s->options.bytes_max, &err);
    if (rc < 0) {
        close_until_retry(s, err.text);
        return;
    }
    rollup_forget_ids(&s->rollup);
    s->prune_series = 0;
    clear_trouble(s);
    atomic_fetch_add(&s->generation, 1);
    atomic_store(&s->open, true);
}

static int64_t file_bytes(struct store *s)
{
    int64_t pages = 0;
    db_ask(&s->db, DB_PAGES, &pages, "");
    return pages * 4096;
}

/* SQLite says "full" for its own limit and for the disk's; only the first is helped by pruning. */
static bool disk_has_room(struct store *s)
{
    struct statvfs fs;
    return statvfs(s->path, &fs) == 0 && fs.f_bavail * fs.f_frsize > DISK_ROOM_BYTES;
}

/* After an error in a transaction: what to do about the file. */
static void recover(struct store *s, int rc)
{
    char why[128];
    snprintf(why, sizeof(why), "%s", db_message(&s->db));
    db_run(&s->db, DB_ROLLBACK, "");
    if (rc == -EBADMSG) {
        close_until_retry(s, why);
        if (set_aside(s) == 0)
            try_open(s);
    } else if (rc == -ENOSPC && disk_has_room(s)) {
        s->pressure = MIN(s->pressure + 1, PRESSURE_MAX);
        s->upkeep_at_us = 0;
    } else {
        close_until_retry(s, why);
    }
}

static int series_id(struct store *s, struct rollup_series *series)
{
    if (series->id)
        return 0;
    int64_t number = series->number;
    int rc =
        db_ask(&s->db, DB_GET_SERIES, &series->id, "tti", series->service, series->metric, number);
    if (rc <= 0)
        return rc;
    rc = db_run(&s->db, DB_PUT_SERIES, "tti", series->service, series->metric, number);
    if (rc < 0)
        return rc;
    rc = db_ask(&s->db, DB_GET_SERIES, &series->id, "tti", series->service, series->metric, number);
    return rc > 0 ? -EIO : rc;
}

static void put_point(void *ctx, struct rollup_series *series, unsigned step,
                      const struct rollup_bucket *b)
{
    struct store *s = ctx;
    if (!s->db.handle || s->point_rc < 0)
        return;
    s->point_rc = series_id(s, series);
    if (s->point_rc == 0)
        s->point_rc =
            db_run(&s->db, DB_PUT_POINT, "iiidddi", series->id, (int64_t)rollup_steps[step].step_s,
                   b->start_s, b->sum / b->count, b->min, b->max, (int64_t)b->count);
}

static int put_sample(struct store *s, const struct record *r)
{
    if (!rollup_add(&s->rollup, r->service, r->name, r->number, r->value, r->wall_us))
        atomic_fetch_add(&s->dropped, 1);
    return s->point_rc;
}

static int put_instance(struct store *s, const struct record *r)
{
    char template[17];
    snprintf(template, sizeof(template), "%016llx", (unsigned long long)r->word);
    return db_run(&s->db, DB_PUT_INSTANCE, "tititti", r->service, (int64_t)r->number, r->name,
                  r->pid, r->text, template, r->wall_us);
}

static int put_record(struct store *s, const struct record *r)
{
    switch (r->type) {
    case RECORD_DECISION:
        return db_run(&s->db, DB_PUT_DECISION, "iitt", (int64_t)r->word, r->wall_us, r->service,
                      r->text);
    case RECORD_EVENT:
        return db_run(&s->db, DB_PUT_EVENT, "iittt", r->wall_us, (int64_t)r->kind, r->service,
                      r->name, r->text);
    case RECORD_INSTANCE:
        return put_instance(s, r);
    case RECORD_SAMPLE:
        return put_sample(s, r);
    }
    return 0;
}

/* Samples are rolled up without a database too: a minute survives a short trouble. */
static void drop_batch(struct store *s, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (s->batch[i].type == RECORD_SAMPLE)
            put_sample(s, &s->batch[i]);
    atomic_fetch_add(&s->dropped, count);
}

static int write_batch(struct store *s, uint32_t count)
{
    int rc = 0;
    s->point_rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = put_record(s, &s->batch[i]);
    if (rc == 0)
        rc = db_run(&s->db, DB_COMMIT, "");
    return rc;
}

/* One batch. False when there was nothing, or nothing could be done now. */
static bool pump(struct store *s, bool closing)
{
    int rc = s->db.handle ? db_run(&s->db, DB_BEGIN, "") : 0;
    if (rc == -EAGAIN && !closing) { /* the records wait; a full mailbox drops and counts */
        set_trouble(s, "the database %.200s is locked by another program", s->path);
        return false;
    }
    if (rc < 0)
        recover(s, rc);
    uint32_t count = mailbox_take(&s->box, s->batch, STORE_BATCH);
    if (!s->db.handle || rc < 0) {
        drop_batch(s, count);
    } else if ((rc = write_batch(s, count)) < 0) {
        recover(s, rc);
        atomic_fetch_add(&s->dropped, count);
    } else {
        atomic_fetch_add(&s->written, count);
        clear_trouble(s);
    }
    for (uint32_t i = 0; i < count; i++)
        free(s->batch[i].text);
    mailbox_handled(&s->box, count);
    return count > 0;
}

static int prune_one_series(struct store *s, int64_t now_s)
{
    int64_t id;
    int rc = db_ask(&s->db, DB_NEXT_SERIES, &id, "i", s->prune_series);
    if (rc != 0) {
        s->prune_series = 0; /* round again */
        return rc < 0 ? rc : 0;
    }
    s->prune_series = id;
    for (unsigned i = 0; i < ROLLUP_STEPS && rc == 0; i++) {
        const struct rollup_step *step = &rollup_steps[i];
        int64_t keep_s = MAX(step->keep_s >> s->pressure, MIN(step->keep_s, INT64_C(3600)));
        rc = db_run(&s->db, DB_PRUNE_POINTS, "iii", id, (int64_t)step->step_s, now_s - keep_s);
    }
    if (rc == 0)
        rc = db_run(&s->db, DB_PRUNE_SERIES, "i", id);
    if (rc == 0 && sqlite3_changes(s->db.handle) > 0)
        rollup_forget_ids(&s->rollup);
    return rc;
}

static int prune(struct store *s)
{
    int64_t now_us = clock_wall_us();
    int64_t since_us = now_us - (KEEP_ROWS_US >> s->pressure);
    int rc = 0;
    for (unsigned i = 0; i < UPKEEP_SERIES << s->pressure && rc == 0; i++)
        rc = prune_one_series(s, now_us / US_PER_S);
    if (rc == 0)
        rc = db_run(&s->db, DB_PRUNE_DECISIONS, "ii", since_us,
                    (int64_t)(s->options.decisions_max >> s->pressure));
    if (rc == 0)
        rc = db_run(&s->db, DB_PRUNE_EVENTS, "ii", since_us,
                    (int64_t)(s->options.events_max >> s->pressure));
    if (rc == 0)
        rc = db_run(&s->db, DB_PRUNE_INSTANCES, "i", now_us - KEEP_GONE_US);
    return rc;
}

/* Keep less as the file nears its limit, and as long again as before once there is room. */
static void weigh(struct store *s)
{
    int64_t bytes = file_bytes(s), limit = s->options.bytes_max;
    if (bytes > limit / 10 * 8 && s->pressure < PRESSURE_MAX)
        s->pressure++;
    else if (bytes < limit / 2 && s->pressure > 0)
        s->pressure--;
}

static void upkeep(struct store *s)
{
    int64_t now_us = clock_now_us();
    if (!s->db.handle || now_us < s->upkeep_at_us)
        return;
    s->upkeep_at_us = us_add(now_us, UPKEEP_US);
    if (db_has_moved(&s->db)) {
        close_until_retry(s, "its file was removed");
        try_open(s);
        return;
    }
    if (db_run(&s->db, DB_BEGIN, "") < 0)
        return; /* the next batch finds out why */
    int rc = prune(s);
    if (rc == 0)
        rc = db_run(&s->db, DB_COMMIT, "");
    if (rc < 0)
        recover(s, rc);
    else
        weigh(s);
}

/* What is rolled up but not over yet goes into the file: the next life adds to the same rows. */
static void write_open_buckets(struct store *s)
{
    s->point_rc = 0;
    if (!s->db.handle || db_run(&s->db, DB_BEGIN, "") < 0)
        return;
    rollup_flush(&s->rollup);
    db_run(&s->db, s->point_rc < 0 ? DB_ROLLBACK : DB_COMMIT, "");
}

void *store_writer_main(void *store)
{
    struct store *s = store;
    bool closing = false;
    s->rollup.emit = put_point;
    s->rollup.ctx = s;
    while (!closing) {
        if (!s->db.handle && clock_now_us() >= s->retry_at_us)
            try_open(s);
        closing = mailbox_wait(&s->box, us_add(clock_now_us(), UPKEEP_US));
        mailbox_gather(&s->box, STORE_BATCH, us_add(clock_now_us(), s->options.batch_us));
        pump(s, closing);
        upkeep(s);
    }
    while (pump(s, true))
        ;
    write_open_buckets(s);
    atomic_store(&s->open, false);
    db_close(&s->db);
    return NULL;
}
