/* The journal's writing side: a buffer of lines, one write(2) a turn, segments that follow each
 * other. It never waits for a disk to come back and never guesses: a segment that lost a line is
 * left as it is, and the next one starts with a snapshot. One that no disk takes stays in memory,
 * for those who follow. */
#include "store/journal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/us.h"
#include "core/decision.h"
#include "store/codec.h"
#include "store/event_json.h"
#include "store/journal_int.h"
#include "sys/mem.h"

#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(17))
/* A turn's events are some kilobytes and a snapshot some megabytes; more is a runaway. */
#define BUFFER_MAX ((size_t)256 * 1024 * 1024)
/* What follows the head of a segment in memory. */
#define MEMORY_MAX ((size_t)8 * 1024 * 1024)
/* Those have numbers that no file has, nor one of another life. */
#define MEMORY_NUMBER(wall_us) ((UINT64_C(1) << 60) + (uint64_t)(wall_us))

struct lines {
    char *text;
    size_t used, cap;
};

struct journal {
    char *directory, *version;
    int64_t segment_bytes, retry_us;
    uint32_t segments_kept;

    int fd;            /* of the segment; -1 = none or broken */
    uint64_t sequence; /* of the newest segment that exists or was tried */
    int64_t size_bytes, head_bytes;
    bool continues;      /* nothing was lost since the segment before */
    int64_t retry_at_us; /* no attempt before */
    int trouble;         /* errno of the newest failure; 0 = none since */
    uint64_t dropped;

    struct lines buffer;
    uint32_t waiting; /* lines in the buffer */

    struct lines memory;     /* a segment that could not be written, head first */
    uint64_t memory_segment; /* 0 = there is none */
    size_t memory_head;      /* bytes */
};

static int compare_numbers(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool parse_name(const char *name, uint64_t *ret)
{
    char again[JOURNAL_NAME_BYTES];
    unsigned long long number;
    if (sscanf(name, "journal-%llu.jsonl", &number) != 1)
        return false;
    snprintf(again, sizeof(again), JOURNAL_NAME_FORMAT, number);
    *ret = number;
    return strcmp(again, name) == 0;
}

int journal_list(const char *directory, uint64_t **ret_numbers, size_t *ret_count)
{
    DIR *dir = opendir(directory);
    if (!dir)
        return -errno;
    uint64_t *numbers = NULL, number;
    size_t count = 0, cap = 0;
    int rc = 0;
    for (struct dirent *entry; rc == 0 && (entry = readdir(dir));) {
        if (!parse_name(entry->d_name, &number))
            continue;
        if (count == cap) {
            cap = cap ? 2 * cap : 16;
            uint64_t *more = realloc(numbers, cap * sizeof(*numbers));
            rc = more ? 0 : -ENOMEM;
            numbers = more ? more : numbers;
        }
        if (rc == 0)
            numbers[count++] = number;
    }
    closedir(dir);
    if (rc < 0) {
        free(numbers);
        return rc;
    }
    if (count)
        qsort(numbers, count, sizeof(*numbers), compare_numbers);
    *ret_numbers = numbers;
    *ret_count = count;
    return 0;
}

char *journal_path(const char *directory, uint64_t number)
{
    char name[JOURNAL_NAME_BYTES], *path;
    snprintf(name, sizeof(name), JOURNAL_NAME_FORMAT, (unsigned long long)number);
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

int journal_open(const struct journal_options *options, struct journal **ret)
{
    struct journal *j = calloc(1, sizeof(*j));
    if (!j)
        return -ENOMEM;
    j->fd = -1;
    j->retry_at_us = INT64_MIN;
    j->directory = strdup(options->directory);
    j->version = strdup(options->version ? options->version : "");
    j->segment_bytes = options->segment_bytes ? options->segment_bytes : INT64_C(64) << 20;
    j->segments_kept = options->segments_kept ? options->segments_kept : 4;
    j->retry_us = options->retry_us ? options->retry_us : 5 * US_PER_S;
    if (!j->directory || !j->version) {
        journal_close(j);
        return -ENOMEM;
    }
    *ret = j;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    journal_flush(j, 0);
    mem_closep(&j->fd);
    free(j->directory);
    free(j->version);
    free(j->buffer.text);
    free(j->memory.text);
    free(j);
}

/* The segment is over before its time: what waits is lost, and the next one continues nothing. It
 * is tried at `retry_at_us`. */
static int break_off(struct journal *j, int rc, int64_t retry_at_us)
{
    mem_closep(&j->fd);
    j->fd = -1;
    j->continues = false;
    j->trouble = -rc;
    j->retry_at_us = retry_at_us;
    j->dropped += j->waiting;
    j->waiting = 0;
    j->buffer.used = 0;
    return rc;
}

bool journal_needs_rotation(const struct journal *j, int64_t now_us)
{
    if (j->fd < 0)
        return now_us >= j->retry_at_us || j->memory.used - j->memory_head >= MEMORY_MAX;
    return j->size_bytes - j->head_bytes >= j->segment_bytes;
}

static int append(const char *text, size_t n, void *data)
{
    struct lines *to = data;
    if (n > to->cap - to->used) {
        size_t cap = MAX(to->used + n, MAX(2 * to->cap, (size_t)65536));
        char *grown = to->used + n <= BUFFER_MAX ? realloc(to->text, cap) : NULL;
        if (!grown)
            return -1;
        to->text = grown;
        to->cap = cap;
    }
    memcpy(to->text + to->used, text, n);
    to->used += n;
    return 0;
}

/* Consumes `line`. One that cannot be put whole is taken back. */
static int put_line(struct lines *to, json_t *line)
{
    size_t before = to->used;
    int rc =
        line && json_dump_callback(line, append, to, DUMP_FLAGS) == 0 && append("\n", 1, to) == 0
            ? 0
            : -ENOMEM;
    json_decref(line);
    if (rc < 0)
        to->used = before;
    return rc;
}

static json_t *places_json(const struct journal_snapshot *s)
{
    json_t *places = json_array();
    for (size_t i = 0; places && i < s->place_count; i++) {
        const struct journal_place *p = &s->places[i];
        json_t *one = json_pack("[I, I, s, o, o, I]", (json_int_t)p->service, (json_int_t)p->number,
                                p->driver, codec_text(p->address, strlen(p->address)),
                                codec_text(p->ref, strlen(p->ref)), (json_int_t)p->pid);
        if (json_array_append_new(places, one) < 0) {
            json_decref(places);
            places = NULL;
        }
    }
    return places;
}

static json_t *clock_json(const struct journal_clock *c)
{
    return json_pack("{s:s, s:I, s:I}", "boot", c->boot, "offset_us", (json_int_t)c->offset_us,
                     "now_us", (json_int_t)c->now_us);
}

static json_t *head_json(const struct journal *j, const struct journal_snapshot *s)
{
    _cleanup_free_ char *words = s->words ? codec_words(s->words, s->word_count) : NULL;
    if (s->words && !words)
        return NULL;
    json_t *config = s->config ? journal_config_json(s->config) : json_null();
    json_t *own = s->own ? journal_config_json(s->own) : NULL;
    return json_pack("{s:I, s:s, s:o, s:I, s:b, s:o, s:o, s:{s:o, s:s?, s:o*}}", "segment",
                     (json_int_t)j->sequence, "version", j->version, "time", codec_time(s->wall_us),
                     "wall_us", (json_int_t)s->wall_us, "continues", j->continues && !s->afresh,
                     "clock", clock_json(&s->clock), "places", places_json(s), "snapshot", "config",
                     config, "words", words, "own", own);
}

/* Everything in the buffer, or an error; a line cut in the middle is taken back if that works. */
static int write_all(struct journal *j)
{
    for (size_t done = 0; done < j->buffer.used;) {
        ssize_t n = write(j->fd, j->buffer.text + done, j->buffer.used - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            int rc = n < 0 ? -errno : -ENOSPC;
            if (ftruncate(j->fd, j->size_bytes) < 0)
                return rc; /* the reader passes over a torn last line */
            return rc;
        }
        done += (size_t)n;
    }
    j->size_bytes += (int64_t)j->buffer.used;
    j->buffer.used = 0;
    j->waiting = 0;
    return 0;
}

int journal_flush(struct journal *j, int64_t now_us)
{
    if (j->buffer.used == 0 || j->fd < 0)
        return 0;
    int rc = write_all(j);
    return rc < 0 ? break_off(j, rc, now_us) : 0; /* the next one is tried at once */
}

static void remove_old(struct journal *j)
{
    uint64_t *numbers;
    size_t count;
    if (journal_list(j->directory, &numbers, &count) < 0)
        return;
    for (size_t i = 0; i + j->segments_kept < count; i++) {
        char *path = journal_path(j->directory, numbers[i]);
        if (path)
            unlink(path); /* one that stays is tried again at the next rotation */
        free(path);
    }
    free(numbers);
}

/* The number behind every segment there is, also behind those of earlier lives. */
static int next_sequence(struct journal *j)
{
    uint64_t *numbers;
    size_t count;
    if (mkdir(j->directory, 0700) < 0 && errno != EEXIST)
        return -errno;
    int rc = journal_list(j->directory, &numbers, &count);
    if (rc < 0)
        return rc;
    uint64_t newest = count ? numbers[count - 1] : 0;
    j->sequence = MAX(j->sequence, newest) + 1;
    free(numbers);
    return 0;
}

/* Either way the head is in the buffer, if there is memory for it. */
static int create_segment(struct journal *j, const struct journal_snapshot *snapshot)
{
    int rc = next_sequence(j);
    if (put_line(&j->buffer, head_json(j, snapshot)) < 0)
        return -ENOMEM;
    _cleanup_free_ char *path = rc < 0 ? NULL : journal_path(j->directory, j->sequence);
    if (!path)
        return rc < 0 ? rc : -ENOMEM;
    j->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0600);
    if (j->fd < 0)
        return -errno;
    j->size_bytes = 0;
    rc = write_all(j);
    if (rc < 0)
        unlink(path); /* a segment without its head is of no use to anybody */
    return rc;
}

static void forget_memory(struct journal *j)
{
    free(j->memory.text);
    j->memory = (struct lines){ 0 };
    j->memory_segment = 0;
    j->memory_head = 0;
}

/* The head that no disk takes opens a segment in memory; one that is there goes on while it has
 * room, for those who follow it would have to begin anew. */
static void keep_in_memory(struct journal *j, int64_t wall_us)
{
    if (j->memory_segment && j->memory.used - j->memory_head < MEMORY_MAX)
        return;
    forget_memory(j);
    j->memory = j->buffer;
    j->memory_head = j->buffer.used;
    j->memory_segment = j->buffer.used ? MEMORY_NUMBER(wall_us) : 0;
    j->buffer = (struct lines){ 0 };
}

int journal_rotate(struct journal *j, const struct journal_snapshot *snapshot, int64_t now_us)
{
    int rc = journal_flush(j, now_us);
    if (rc < 0)
        return rc;
    mem_closep(&j->fd);
    j->fd = -1;
    rc = create_segment(j, snapshot);
    if (rc < 0) {
        keep_in_memory(j, snapshot->wall_us);
        return break_off(j, rc, us_add(now_us, j->retry_us));
    }
    forget_memory(j);
    j->head_bytes = j->size_bytes;
    j->continues = true;
    j->trouble = 0;
    remove_old(j);
    return 0;
}

/* Where lines go at this moment; NULL = nowhere. */
static struct lines *lines_of(struct journal *j)
{
    return j->fd >= 0 ? &j->buffer : j->memory_segment ? &j->memory : NULL;
}

/* A line that cannot be put breaks its segment: a journal with a hole would replay to other
 * decisions. */
static void put_or_break(struct journal *j, const char *key, json_t *value, int64_t now_us)
{
    struct lines *to = lines_of(j);
    int rc = to ? put_line(to, json_pack("{s:o}", key, value)) : 0;
    if (!to)
        json_decref(value);
    j->waiting += rc == 0 && j->fd >= 0;
    j->dropped += rc < 0 || j->fd < 0; /* what is in memory only is in no file */
    if (rc < 0 && j->fd < 0)
        forget_memory(j);
    if (rc < 0)
        break_off(j, rc, us_add(now_us, j->retry_us));
}

void journal_put_event(struct journal *j, const struct event *e,
                       const struct journal_config *config)
{
    json_t *json = lines_of(j) ? event_json(e) : NULL;
    if (json && config && json_object_set_new(json, "config", journal_config_json(config)) < 0) {
        json_decref(json);
        json = NULL;
    }
    put_or_break(j, "event", json, e->now_us);
}

void journal_put_decision(struct journal *j, const struct decision *d)
{
    put_or_break(j, "decision", lines_of(j) ? decision_json(d) : NULL, d->now_us);
}

bool journal_trouble(const struct journal *j, char *buf, size_t cap)
{
    if (cap)
        buf[0] = '\0';
    if (!j->trouble)
        return false;
    snprintf(buf, cap, "the journal in %s cannot be written (%s): %llu records are missing from it",
             j->directory, strerror(j->trouble), (unsigned long long)j->dropped);
    return true;
}

uint64_t journal_dropped(const struct journal *j)
{
    return j->dropped;
}

struct journal_memory journal_memory(const struct journal *j)
{
    return (struct journal_memory){ .directory = j->directory,
                                    .segment = j->memory_segment,
                                    .text = j->memory.text,
                                    .bytes = j->memory.used,
                                    .lost =
                                        j->fd < 0 && j->trouble == ENOMEM && !j->memory_segment };
}
