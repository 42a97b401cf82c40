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

static int clock_decode(const json_t *json, struct journal_clock *ret)
{
    const char *boot = json_string_value(json_object_get(json, "boot"));
    const json_t *offset = json_object_get(json, "offset_us"),
                 *now = json_object_get(json, "now_us");
    if (!json)
        return 0; /* older than clocks */
    if (!boot || !json_is_integer(offset) || !json_is_integer(now) ||
        !str_copy(ret->boot, sizeof(ret->boot), boot))
        return -EPROTO;
    ret->offset_us = json_integer_value(offset);
    ret->now_us = json_integer_value(now);
    return 0;
}

/* The texts belong to jansson, or, when they are no UTF-8, are not worth keeping. */
static int place_decode(const json_t *json, struct journal_place *ret)
{
    const json_t *service = json_array_get(json, 0), *number = json_array_get(json, 1);
    const json_t *pid = json_array_get(json, 5);
    const char *driver = json_string_value(json_array_get(json, 2));
    const char *address = json_string_value(json_array_get(json, 3));
    const char *ref = json_string_value(json_array_get(json, 4));
    if (json_array_size(json) != 6 || !json_is_integer(service) || !json_is_integer(number) ||
        !json_is_integer(pid) || json_integer_value(service) < 0 ||
        json_integer_value(service) >= MODEL_SERVICES_MAX || json_integer_value(number) < 1 ||
        json_integer_value(number) > UINT32_MAX)
        return -EPROTO;
    *ret = (struct journal_place){ .service = (uint32_t)json_integer_value(service),
                                   .number = (uint32_t)json_integer_value(number),
                                   .pid = json_integer_value(pid),
                                   .driver = driver ? driver : "",
                                   .address = address ? address : "",
                                   .ref = ref ? ref : "" };
    return 0;
}

/* Journals of older versions have none. */
static int places_decode(const json_t *json, struct journal_place **ret, size_t *ret_count)
{
    size_t n = json_array_size(json);
    struct journal_place *places = *ret = calloc(n ? n : 1, sizeof(*places));
    if (!places || (json && !json_is_array(json)))
        return -EPROTO;
    for (size_t i = 0; i < n; i++)
        if (place_decode(json_array_get(json, i), &places[i]) < 0)
            return -EPROTO;
    *ret_count = n;
    return 0;
}

static int show_head(struct reader *r, const json_t *json, struct journal_record *record)
{
    _cleanup_(journal_config_done) struct journal_config_copy copy = { 0 };
    _cleanup_(journal_config_done) struct journal_config_copy own = { 0 };
    _cleanup_free_ uint64_t *words = NULL;
    _cleanup_free_ struct journal_place *places = NULL;
    const json_t *snapshot = json_object_get(json, "snapshot");
    const json_t *config = json_object_get(snapshot, "config");
    const json_t *text = json_object_get(snapshot, "words");
    const json_t *mine = json_object_get(snapshot, "own");
    record->type = JOURNAL_SEGMENT;
    record->segment = (uint64_t)json_integer_value(json_object_get(json, "segment"));
    record->version = json_string_value(json_object_get(json, "version"));
    record->continues = json_is_true(json_object_get(json, "continues"));
    record->snapshot.wall_us = json_integer_value(json_object_get(json, "wall_us"));
    int rc = places_decode(json_object_get(json, "places"), &places, &record->snapshot.place_count);
    record->snapshot.places = places;
    if (rc == 0)
        rc = clock_decode(json_object_get(json, "clock"), &record->snapshot.clock);
    if (rc < 0 || !record->version || !config || !text)
        return -EPROTO;
    if (!json_is_null(config)) {
        if (journal_config_decode(config, &copy) < 0)
            return -EPROTO;
        record->snapshot.config = &copy.config;
    }
    if (mine) {
        if (journal_config_decode(mine, &own) < 0)
            return -EPROTO;
        record->snapshot.own = &own.config;
    }
    if (json_is_string(text)) {
        rc = codec_words_decode(json_string_value(text), &words, &record->snapshot.word_count);
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

static int take_line(struct reader *r, char *line, size_t n, const char *path, size_t number)
{
    int rc = show_line(r, line, n, path, number);
    if (rc == -EPROTO && r->err && !r->err->code) {
        char place[160];
        snprintf(place, sizeof(place), "%s:%zu", path, number);
        err_at(r->err, rc, place, "this is no line of a journal");
    }
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
        rc = take_line(r, line, (size_t)n - 1, path, number);
    }
    return rc;
}

int journal_read_lines(char *text, size_t bytes, const char *path, size_t first,
                       int (*each)(void *ctx, const struct journal_record *r), void *ctx,
                       struct err *err)
{
    struct reader r = { .each = each, .ctx = ctx, .err = err };
    int rc = 0;
    for (size_t number = first; rc == 0 && bytes > 0; number++) {
        char *end = memchr(text, '\n', bytes);
        if (!end)
            break;
        size_t n = (size_t)(end - text);
        *end = '\0';
        rc = take_line(&r, text, n, path, number);
        text += n + 1;
        bytes -= n + 1;
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
