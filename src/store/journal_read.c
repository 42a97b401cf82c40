/* The journal's reading side: lines back into records. It believes nothing it reads, changes no
 * file, and forgives one thing only: that the last line of a segment was cut by a kill. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "store/codec.h"
#include "store/event_json.h"
#include "store/journal.h"
#include "store/journal_int.h"
#include "sys/mem.h"

struct reader {
    int (*each)(void *ctx, const struct journal_record *r);
    void *ctx;
    struct err *err;
    bool head_only; /* stop with 1 once the head has been found whole */
};

static int show_event(struct reader *r, const json_t *json, struct journal_record *record)
{
    _cleanup_(journal_config_done) struct journal_config_copy copy = { 0 };
    _cleanup_(event_json_done) struct event e = { 0 };
    const json_t *config = json_object_get(json, "config");
    struct err err = { 0 };
    int rc = event_json_decode(json, &e, &err);
    if (rc == 0 && config)
        rc = journal_config_decode(config, &copy);
    if (rc < 0)
        return -EPROTO;
    record->type = JOURNAL_EVENT;
    record->event = e;
    record->config = config ? &copy.config : NULL;
    return r->each(r->ctx, record);
}

static int show_head(struct reader *r, const json_t *json, struct journal_record *record)
{
    _cleanup_(journal_config_done) struct journal_config_copy copy = { 0 };
    _cleanup_free_ uint64_t *words = NULL;
    const json_t *snapshot = json_object_get(json, "snapshot");
    const json_t *config = json_object_get(snapshot, "config");
    const json_t *text = json_object_get(snapshot, "words");
    record->type = JOURNAL_SEGMENT;
    record->segment = (uint64_t)json_integer_value(json_object_get(json, "segment"));
    record->version = json_string_value(json_object_get(json, "version"));
    record->continues = json_is_true(json_object_get(json, "continues"));
    record->snapshot.wall_us = json_integer_value(json_object_get(json, "wall_us"));
    if (!record->version || !config || !text)
        return -EPROTO;
    if (!json_is_null(config)) {
        if (journal_config_decode(config, &copy) < 0)
            return -EPROTO;
        record->snapshot.config = &copy.config;
    }
    if (json_is_string(text)) {
        int rc = codec_words_decode(json_string_value(text), &words, &record->snapshot.word_count);
        if (rc < 0)
            return rc;
        record->snapshot.words = words;
    }
    return r->head_only ? 1 : r->each(r->ctx, record);
}

/* The decision's own text is what stands between the key and the last brace. */
static int show_decision(struct reader *r, char *line, size_t n, struct journal_record *record)
{
    static const char head[] = JOURNAL_DECISION_HEAD;
    if (strncmp(line, head, sizeof(head) - 1) != 0)
        return -EPROTO;
    line[n - 1] = '\0';
    record->type = JOURNAL_DECISION;
    record->decision = line + sizeof(head) - 1;
    return r->each(r->ctx, record);
}

/* `line` is without its newline. 0, what `each` returned, or -EPROTO. */
static int show_line(struct reader *r, char *line, size_t n, const char *path, size_t number)
{
    struct journal_record record = { .path = path, .line = number };
    json_t *json = json_loadb(line, n, JSON_ALLOW_NUL, NULL);
    const json_t *event = json_object_get(json, "event");
    int rc;
    if (json_object_get(json, "segment"))
        rc = number == 1 ? show_head(r, json, &record) : -EPROTO;
    else if (number == 1)
        rc = -EPROTO;
    else if (event)
        rc = show_event(r, event, &record);
    else if (json_object_get(json, "decision"))
        rc = show_decision(r, line, n, &record);
    else
        rc = -EPROTO;
    json_decref(json);
    return rc;
}

static int read_segment(struct reader *r, const char *path)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    _cleanup_free_ char *line = NULL;
    size_t cap = 0;
    int rc = 0;
    if (!f)
        return err_at(r->err, -errno, path, "%s", strerror(errno));
    for (size_t number = 1; rc == 0; number++) {
        ssize_t n = getline(&line, &cap, f);
        if (n < 0 && ferror(f))
            return err_at(r->err, -EIO, path, "%s", strerror(errno));
        if (n < 0 || line[n - 1] != '\n')
            break; /* the end, or a line cut by a kill */
        line[n - 1] = '\0';
        rc = show_line(r, line, (size_t)n - 1, path, number);
        if (rc == -EPROTO && r->err && !r->err->code) {
            char place[160];
            snprintf(place, sizeof(place), "%s:%zu", path, number);
            err_at(r->err, rc, place, "this is no line of a journal");
        }
    }
    return rc;
}

static bool has_head(const char *path)
{
    struct reader r = { .head_only = true };
    return read_segment(&r, path) == 1;
}

static int read_directory(struct reader *r, const char *directory, bool newest)
{
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t count = 0, from = 0;
    int rc = journal_list(directory, &numbers, &count);
    if (rc < 0)
        return err_at(r->err, rc, directory, "%s", strerror(-rc));
    for (size_t i = count; newest && i-- > 0;) {
        _cleanup_free_ char *path = journal_path(directory, numbers[i]);
        from = i;
        if (path && has_head(path)) {
            count = i + 1;
            break;
        }
        from = count;
    }
    if (from == count)
        return err_at(r->err, -ENOENT, directory, "there is no journal here");
    for (size_t i = from; rc == 0 && i < count; i++) {
        _cleanup_free_ char *path = journal_path(directory, numbers[i]);
        rc = path ? read_segment(r, path) : -ENOMEM;
    }
    return rc;
}

int journal_read(const char *path, bool newest,
                 int (*each)(void *ctx, const struct journal_record *r), void *ctx, struct err *err)
{
    struct reader r = { .each = each, .ctx = ctx, .err = err };
    struct stat st;
    if (err)
        err->code = 0;
    if (stat(path, &st) < 0)
        return err_at(err, -errno, path, "%s", strerror(errno));
    return S_ISDIR(st.st_mode) ? read_directory(&r, path, newest) : read_segment(&r, path);
}
