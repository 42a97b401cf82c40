/* The journal: every event the core was given and every decision it recorded, as JSON lines in
 * <directory>/journal-00000001.jsonl and on. Each segment opens with a snapshot of the core, so
 * that recovery is the newest segment's snapshot and its tail, and `replay` can start at any
 * segment. The line formats:
 *   {"segment":N,"version":"..","time":..,"wall_us":..,"continues":bool,
 *    "clock":{"boot":"..","offset_us":N,"now_us":N},
 *    "places":[[service,number,"driver","address","ref",pid]...],
 *    "snapshot":{"config":CONFIG|null,"words":"..."|null,"own":CONFIG}}     own is often not there
 *   {"event":{..}}                  see event_json.h; a config event carries "config":CONFIG
 *   {"decision":{..}}               see event_json.h
 *   CONFIG = {"path":..,"text":..,"wall_us":..,"templates":["hex"...],"shapes":["hex"...],
 *             "zones":[{"name":..,"offset":..,"transitions":[[at, offset]...]}...]}
 * Versions before 0.3.0 wrote neither clock, places nor shapes: they read as none.
 * Nothing here knows how to parse a configuration or step a core. Not thread-safe: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/event.h"

struct decision;
struct journal;

/* What a CONFIG event was made of; the caller parses the text again to rebuild the event. */
struct journal_config {
    const char *path; /* for messages */
    const char *text;
    size_t text_bytes;
    int64_t wall_us;           /* config_parse()'s now_wall_us */
    const uint64_t *templates; /* of each service, in the configuration's order */
    const uint64_t *shapes;    /* of each as well; NULL = not known */
    size_t template_count;
    const struct zone_conf *zones; /* of the model: data, not to be read from zone files again */
    size_t zone_count;
};

/* An instance's outer side: what no event after the head need tell again. */
struct journal_place {
    uint32_t service; /* slot */
    uint32_t number;
    int64_t pid;
    const char *driver, *address, *ref; /* "" = none */
};

/* What the core's time is made of: it is the monotonic clock of `boot` plus the offset. */
struct journal_clock {
    char boot[40]; /* the kernel's boot id; "" = unknown */
    int64_t offset_us;
    int64_t now_us; /* the core's time at the head */
};

struct journal_snapshot {
    const struct journal_config *config; /* NULL = none yet: the segment starts from nothing */
    const uint64_t *words;               /* control_save()'s; NULL = none */
    size_t word_count;
    int64_t wall_us;
    struct journal_clock clock;
    const struct journal_place *places;
    size_t place_count;
    /* Of a machine that follows another: what it runs by itself, when `config` is another one. */
    const struct journal_config *own;
    bool afresh; /* written: nothing in the segments before leads to this state */
};

/* Zero means the default that stands behind it. */
struct journal_options {
    const char *directory;  /* made when absent; copied */
    const char *version;    /* of the program; copied */
    int64_t segment_bytes;  /* rotate at this size: 64 MiB */
    uint32_t segments_kept; /* 4 */
    int64_t retry_us;       /* after a write failed, try a new segment this often: 5 s */
};

/* Writes nothing yet: journal_needs_rotation() is true from here until the first rotation. A
 * directory that cannot be written is no failure, it is retried. Fails with -ENOMEM only. */
int journal_open(const struct journal_options *options, struct journal **ret);
void journal_close(struct journal *j); /* flushes; NULL is fine */

/* True when there is no segment, the segment is full, or it broke and it is time to try again. */
bool journal_needs_rotation(const struct journal *j, int64_t now_us);
/* Starts the next segment with this snapshot and removes the oldest ones over the limit. 0 or
 * -errno (then it is broken until the next attempt). */
int journal_rotate(struct journal *j, const struct journal_snapshot *snapshot, int64_t now_us);

/* Append to the buffer. While broken or without a segment, dropped and counted. `config` goes with
 * EVENT_CONFIG and is NULL otherwise. */
void journal_put_event(struct journal *j, const struct event *e,
                       const struct journal_config *config);
void journal_put_decision(struct journal *j, const struct decision *d);
/* Hand the buffer to the kernel: after this, kill -9 of this process loses nothing. Call it at the
 * end of each turn of the loop; it is one write(2), without fsync. 0 or -errno. */
int journal_flush(struct journal *j, int64_t now_us);

/* A text for `status`; false, and an empty text, when all is well. */
bool journal_trouble(const struct journal *j, char *buf, size_t cap);
uint64_t journal_dropped(const struct journal *j);

enum journal_record_type { JOURNAL_SEGMENT, JOURNAL_EVENT, JOURNAL_DECISION };

struct journal_record {
    enum journal_record_type type;
    const char *path; /* of the segment's file */
    size_t line;
    /* JOURNAL_SEGMENT */
    uint64_t segment;
    const char *version;
    bool continues; /* nothing lies between the segment before and this one: a reader that comes
                       from there need not load the snapshot */
    struct journal_snapshot snapshot;
    /* JOURNAL_EVENT; conf is NULL, samples belong to the reader */
    struct event event;
    const struct journal_config *config; /* EVENT_CONFIG's; NULL otherwise */
    /* JOURNAL_DECISION: the line as decision_json_line() gave it */
    const char *decision;
};

/* Read a segment's file, or all segments of a directory in order; `newest` = of a directory only
 * the newest segment whose head is whole. A torn last line is the trace of a kill and passed over;
 * nonsense elsewhere is -EPROTO with path:line. `each` returns 0, or < 0 to end (returned). What
 * the record points at is valid during the call. -ENOENT: there is no journal. */
int journal_read(const char *path, bool newest,
                 int (*each)(void *ctx, const struct journal_record *r), void *ctx,
                 struct err *err);
/* The same of whole lines that came from elsewhere, `first` being the number of the first in its
 * segment; `path` is for messages. The text is written over. */
int journal_read_lines(char *text, size_t bytes, const char *path, size_t first,
                       int (*each)(void *ctx, const struct journal_record *r), void *ctx,
                       struct err *err);

/* A piece of a journal as it stands in the files, and in memory while none can be written: for
 * another machine that follows it. */
struct journal_chunk {
    char *text; /* whole lines, malloc'd */
    size_t bytes;
    uint64_t segment, offset; /* where to go on */
};

/* From `offset` of a segment, or from the head of the newest one (0): at most `bytes`, but at least
 * one line when there is a whole one. Behind the last line of a segment follows the next one. 0 or
 * -errno; -ENOENT: there is no such segment any more, or nothing yet; -ENOMEM: lines are lost that
 * neither a file nor memory took. */
int journal_tail(const struct journal *j, uint64_t segment, uint64_t offset, size_t bytes,
                 struct journal_chunk *ret);
