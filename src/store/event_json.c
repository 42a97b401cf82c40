/* The tables of what an event and a decision consist of. The order of the keys is the order here:
 * it is part of the format, since decisions are compared as text. */
#include "store/event_json.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/metric.h"
#include "store/codec.h"

/* The keys of JSON output stay in this order, without spaces, doubles in their shortest exact
 * width. */
#define DUMP_FLAGS (JSON_COMPACT | JSON_REAL_PRECISION(17))

static const char *event_name(unsigned value)
{
    return event_type_name((enum event_type)value);
}

static const char *op_name(unsigned value)
{
    return operator_op_name((enum operator_op)value);
}

static const char *limit_name(unsigned value)
{
    return limit_kind_name((enum limit_kind)value);
}

#define FIELD(type, member, kind_, ...)                                          \
    {                                                                            \
        .key = #member, .kind = CODEC_##kind_, .offset = offsetof(type, member), \
        .size = sizeof(((type *)0)->member), __VA_ARGS__                         \
    }
#define NAMED(function, count) .name = (function), .name_count = (count)
#define ABSENT(value) .has_absent = true, .absent = (value)
#define UNLESS(value) .optional = true, .absent = (value)

#define EVENT(...) FIELD(struct event, __VA_ARGS__)
static const struct codec_field event_fields[] = {
    EVENT(type, ENUM, NAMED(event_name, EVENT_TYPE_MAX)),
    EVENT(now_us, I64),
    EVENT(wall_us, I64),
    EVENT(service, I32, UNLESS(-1)),
    EVENT(number, U32, UNLESS(0)),
    EVENT(flag, BOOL, UNLESS(0)),
    EVENT(count, I32, UNLESS(0)),
    EVENT(status, I32, UNLESS(0)),
    EVENT(pid, I64, UNLESS(0)),
    EVENT(template, HEX, UNLESS(0)),
    EVENT(shape, HEX, UNLESS(0)),
    EVENT(token, U64, UNLESS(0)),
    EVENT(in_flight, U32, UNLESS(0)),
    EVENT(queued, U32, UNLESS(0)),
    EVENT(op, ENUM, NAMED(op_name, OPERATOR_MAX), UNLESS(0)),
    EVENT(text, TEXT, UNLESS(0)),
    EVENT(address, STRING),
    EVENT(ref, STRING),
};

#define DECISION(...) FIELD(struct decision, __VA_ARGS__)
static const struct codec_field decision_fields[] = {
    DECISION(sequence, U64),
    DECISION(token, U64, UNLESS(0)),
    { .key = "time", .kind = CODEC_TIME, .offset = offsetof(struct decision, wall_us), .size = 8 },
    DECISION(now_us, I64),
    DECISION(service, TEXT),
    DECISION(slot, U32),
    DECISION(cause, ENUM, NAMED(event_name, EVENT_TYPE_MAX)),
    DECISION(advise, BOOL),
    DECISION(before, I32),
    DECISION(desired, I32),
    DECISION(ready, I32),
    DECISION(starting, I32),
    DECISION(draining, I32),
    DECISION(in_flight, I32, ABSENT(-1)),
    DECISION(queued, I32, ABSENT(-1)),
};

#define OPINION(...) FIELD(struct opinion, __VA_ARGS__)
static const struct codec_field opinion_fields[] = {
    OPINION(out, I32, ABSENT(RULE_ABSTAIN)),
    OPINION(in, I32, ABSENT(RULE_ABSTAIN)),
    OPINION(block_in, BOOL),
    OPINION(set_min, I32, ABSENT(RULE_ABSTAIN)),
    OPINION(set_max, I32, ABSENT(RULE_ABSTAIN)),
    OPINION(set_count, I32, ABSENT(RULE_ABSTAIN)),
    OPINION(text, TEXT),
};

#define STEP(...) FIELD(struct decision_step, __VA_ARGS__)
static const struct codec_field step_fields[] = {
    { .key = "limit",
      .kind = CODEC_ENUM,
      .offset = offsetof(struct decision_step, kind),
      .size = sizeof(enum limit_kind),
      NAMED(limit_name, LIMIT_KIND_MAX) },
    STEP(from, I32),
    STEP(to, I32),
    STEP(text, TEXT),
};

static json_t *metric_json(enum metric m)
{
    const struct metric_info *info = metric_info(m);
    return info ? json_string(info->name) : json_integer((json_int_t)m);
}

static int metric_json_decode(const json_t *json, enum metric *ret)
{
    if (json_is_integer(json)) {
        json_int_t number = json_integer_value(json);
        if (number < 0 || number > INT32_MAX)
            return -EPROTO;
        *ret = (enum metric)number;
        return 0;
    }
    if (!json_is_string(json))
        return -EPROTO;
    enum metric m = metric_find(slice_of(json_string_value(json)));
    if (m == METRIC_BUILTIN_MAX)
        return -EPROTO;
    *ret = m;
    return 0;
}

/* [[metric, number, value]...] */
static json_t *samples_json(const struct event *e)
{
    json_t *list = json_array();
    for (uint32_t i = 0; list && i < e->sample_count; i++) {
        const struct sample *s = &e->samples[i];
        json_t *one = json_array();
        if (json_array_append_new(one, metric_json(s->metric)) < 0 ||
            json_array_append_new(one, json_integer(s->number)) < 0 ||
            json_array_append_new(one, codec_double(s->value)) < 0 ||
            json_array_append(list, one) < 0) {
            json_decref(list);
            list = NULL;
        }
        json_decref(one);
    }
    return list;
}

static int sample_decode(const json_t *json, struct sample *ret)
{
    const json_t *number = json_array_get(json, 1);
    json_int_t n = json_integer_value(number);
    if (json_array_size(json) != 3 || !json_is_integer(number) || n < 0 || n > UINT32_MAX)
        return -EPROTO;
    ret->number = (uint32_t)n;
    int rc = metric_json_decode(json_array_get(json, 0), &ret->metric);
    return rc < 0 ? rc : codec_double_decode(json_array_get(json, 2), &ret->value);
}

static int samples_decode(const json_t *list, struct event *ret, struct err *err)
{
    size_t count = json_array_size(list);
    if (!json_is_array(list) || count > UINT32_MAX)
        return err_set(err, -EPROTO, "\"samples\" is malformed");
    struct sample *samples = calloc(count ? count : 1, sizeof(*samples));
    if (!samples)
        return err_set(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        if (sample_decode(json_array_get(list, i), &samples[i]) < 0) {
            free(samples);
            return err_set(err, -EPROTO, "sample %zu is malformed", i);
        }
    }
    ret->samples = samples;
    ret->sample_count = (uint32_t)count;
    return 0;
}

/* The values as the words that their bits are: exact, and a gap of a week takes a few bytes. */
static json_t *history_json(const struct history *h)
{
    uint64_t *words = calloc(h->count ? h->count : 1, sizeof(*words));
    if (!words)
        return NULL;
    memcpy(words, h->values, h->count * sizeof(*words));
    char *text = codec_words(words, h->count);
    json_t *json = json_pack("{s:o, s:I, s:I, s:s}", "metric", metric_json(h->metric), "wall_us",
                             (json_int_t)h->wall_us, "step_us", (json_int_t)h->step_us, "values",
                             text ? text : "");
    free(words);
    free(text);
    return json;
}

static int history_decode(const json_t *json, struct event *ret, struct err *err)
{
    const json_t *wall = json_object_get(json, "wall_us"), *step = json_object_get(json, "step_us");
    const char *text = json_string_value(json_object_get(json, "values"));
    enum metric metric;
    uint64_t *words;
    size_t count;
    if (!json_is_integer(wall) || !json_is_integer(step) || json_integer_value(step) <= 0 ||
        !text || metric_json_decode(json_object_get(json, "metric"), &metric) < 0 ||
        codec_words_decode(text, &words, &count) < 0)
        return err_set(err, -EPROTO, "\"history\" is malformed");
    static_assert(sizeof(double) == sizeof(*words), "a value is a word");
    struct history *h = calloc(1, sizeof(*h) + count * sizeof(double));
    if (!h) {
        free(words);
        return err_set(err, -ENOMEM, "out of memory");
    }
    *h = (struct history){ .metric = metric,
                           .wall_us = json_integer_value(wall),
                           .step_us = json_integer_value(step),
                           .count = (uint32_t)count,
                           .values = (double *)(void *)(h + 1) };
    memcpy(h + 1, words, count * sizeof(*words));
    free(words);
    ret->history = h;
    return 0;
}

json_t *event_json(const struct event *e)
{
    json_t *json = json_object();
    int rc = codec_put(json, event_fields, ARRAY_LEN(event_fields), e);
    if (rc == 0 && e->type == EVENT_SAMPLES)
        rc = json_object_set_new(json, "samples", samples_json(e));
    if (rc == 0 && e->type == EVENT_HISTORY && e->history)
        rc = json_object_set_new(json, "history", history_json(e->history));
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

int event_json_decode(const json_t *json, struct event *ret, struct err *err)
{
    struct event e = { 0 };
    int rc = codec_get(json, event_fields, ARRAY_LEN(event_fields), &e, err);
    if (rc == 0 && e.type == EVENT_SAMPLES)
        rc = samples_decode(json_object_get(json, "samples"), &e, err);
    const json_t *history = json_object_get(json, "history");
    if (rc == 0 && e.type == EVENT_HISTORY && history)
        rc = history_decode(history, &e, err);
    if (rc == 0)
        *ret = e;
    else
        event_json_done(&e);
    return rc;
}

void event_json_done(struct event *e)
{
    free((void *)(uintptr_t)e->samples);
    e->samples = NULL;
    e->sample_count = 0;
    free((void *)(uintptr_t)e->history);
    e->history = NULL;
    free((void *)(uintptr_t)e->address);
    free((void *)(uintptr_t)e->ref);
    e->address = e->ref = NULL;
}

static json_t *opinion_json(const struct decision_opinion *o)
{
    json_t *json = json_object();
    json_t *rule = codec_text(o->rule, strnlen(o->rule, sizeof(o->rule)));
    json_t *value = o->opinion.known ? codec_double(o->opinion.value) : json_null();
    int rc = json_object_set_new(json, "rule", rule);
    rc |= json_object_set_new(json, "value", value);
    rc |= codec_put(json, opinion_fields, ARRAY_LEN(opinion_fields), &o->opinion);
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

static json_t *step_json(const struct decision_step *s)
{
    json_t *json = json_object();
    if (codec_put(json, step_fields, ARRAY_LEN(step_fields), s) == 0)
        return json;
    json_decref(json);
    return NULL;
}

json_t *decision_json(const struct decision *d)
{
    json_t *json = json_object(), *opinions = json_array(), *steps = json_array();
    int rc = codec_put(json, decision_fields, ARRAY_LEN(decision_fields), d);
    for (uint32_t i = 0; i < d->opinion_count; i++)
        rc |= json_array_append_new(opinions, opinion_json(&d->opinions[i]));
    for (uint32_t i = 0; i < d->step_count; i++)
        rc |= json_array_append_new(steps, step_json(&d->steps[i]));
    rc |= json_object_set_new(json, "opinions", opinions);
    rc |= json_object_set_new(json, "steps", steps);
    json_t *summary = codec_text(d->summary, strnlen(d->summary, sizeof(d->summary)));
    rc |= json_object_set_new(json, "summary", summary);
    if (rc == 0)
        return json;
    json_decref(json);
    return NULL;
}

char *decision_json_line(const struct decision *d)
{
    json_t *json = decision_json(d);
    char *line = json ? json_dumps(json, DUMP_FLAGS) : NULL;
    json_decref(json);
    return line;
}
