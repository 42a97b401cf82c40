/* Events come back exactly as they were; a decision has one text. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "store/event_json.h"

static const struct sample samples[] = {
    { METRIC_RPS, 0, 1.0 / 3 },         { METRIC_CPU, 7, NAN },
    { METRIC_CPU, UINT32_MAX, -0.0 },   { METRIC_MEMORY, 8, INFINITY },
    { METRIC_MEMORY, 9, -INFINITY },    { METRIC_HOST_CPU, 0, 4.9e-324 },
    { METRIC_HOST_MEMORY, 0, 1.7e308 }, { METRIC_QUEUE, 0, 12 },
    { METRIC_CUSTOM, 0, 0.25 },         { METRIC_MAX - 1, 0, 1e6 },
};

static const double past[] = {
    1.0 / 3, NAN, NAN, NAN, 0, -0.0, 4.9e-324, 1.7e308, 12, 12, 12, NAN
};
static const struct history history = { .metric = METRIC_ARRIVALS,
                                        .wall_us = INT64_C(1795160000000000),
                                        .step_us = 60000000,
                                        .count = ARRAY_LEN(past),
                                        .values = past };

static void assert_same_history(const struct history *a, const struct history *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (!a)
        return;
    assert_int_equal(a->metric, b->metric);
    assert_int_equal(a->wall_us, b->wall_us);
    assert_int_equal(a->step_us, b->step_us);
    assert_int_equal(a->count, b->count);
    assert_memory_equal(a->values, b->values, a->count * sizeof(double));
}

static void assert_same_text(const char *a, const char *b)
{
    assert_int_equal(a != NULL, b != NULL);
    if (a)
        assert_string_equal(a, b);
}

static void assert_same_event(const struct event *a, const struct event *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->now_us, b->now_us);
    assert_int_equal(a->wall_us, b->wall_us);
    assert_int_equal(a->service, b->service);
    assert_int_equal(a->number, b->number);
    assert_int_equal(a->flag, b->flag);
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->status, b->status);
    assert_int_equal(a->pid, b->pid);
    assert_int_equal(a->template, b->template);
    assert_int_equal(a->shape, b->shape);
    assert_int_equal(a->token, b->token);
    assert_same_text(a->address, b->address);
    assert_same_text(a->ref, b->ref);
    assert_int_equal(a->in_flight, b->in_flight);
    assert_int_equal(a->queued, b->queued);
    assert_int_equal(a->op, b->op);
    assert_string_equal(a->text, b->text);
    assert_same_history(a->history, b->history);
    assert_int_equal(a->sample_count, b->sample_count);
    for (uint32_t i = 0; i < a->sample_count; i++) {
        const struct sample *x = &a->samples[i], *y = &b->samples[i];
        assert_int_equal(x->metric, y->metric);
        assert_int_equal(x->number, y->number);
        if (!isnan(x->value))
            assert_memory_equal(&x->value, &y->value, sizeof(double));
        else
            assert_true(isnan(y->value));
    }
}

/* Through text, as the journal does it. */
static void go_round(const struct event *e)
{
    struct err err = { 0 };
    struct event back;
    json_t *json = event_json(e);
    char *line = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    assert_non_null(line);
    json_decref(json);
    json = json_loads(line, 0, NULL);
    if (event_json_decode(json, &back, &err) < 0)
        fail_msg("%s: %s", line, err.text);
    assert_same_event(e, &back);
    event_json_done(&back);
    json_decref(json);
    free(line);
}

static void test_all_types_go_round(void **state)
{
    for (unsigned type = 0; type < EVENT_TYPE_MAX; type++) {
        struct event plain = { .type = type, .service = -1 };
        struct event full = { .type = type,
                              .now_us = INT64_MAX,
                              .wall_us = INT64_MIN,
                              .service = 255,
                              .number = UINT32_MAX,
                              .flag = true,
                              .count = INT32_MIN,
                              .status = INT32_MAX,
                              .pid = INT64_MIN,
                              .template = UINT64_MAX,
                              .shape = UINT64_MAX - 1,
                              .token = UINT64_MAX,
                              .address = "unix:/run/\303",
                              .ref = "",
                              .in_flight = UINT32_MAX,
                              .queued = UINT32_MAX - 1,
                              .op = OPERATOR_STOP,
                              .text = "it said \"no\"\n\t\001 and h\303\244lf" };
        if (type == EVENT_SAMPLES) {
            full.samples = samples;
            full.sample_count = ARRAY_LEN(samples);
        }
        if (type == EVENT_HISTORY)
            full.history = &history;
        go_round(&plain);
        go_round(&full);
    }
}

static void test_all_operators_and_odd_texts_go_round(void **state)
{
    for (unsigned op = 0; op < OPERATOR_MAX; op++) {
        struct event e = { .type = EVENT_OPERATOR, .service = 0, .op = op };
        go_round(&e);
    }
    struct event cut = { .type = EVENT_EXITED, .text = "cut in a letter \303" };
    go_round(&cut);
    struct event full = { .type = EVENT_EXITED };
    memset(full.text, 'x', sizeof(full.text) - 1);
    go_round(&full);
}

static void test_nonsense_is_refused(void **state)
{
    static const char *const cases[] = {
        "{}",
        "[]",
        "{\"type\":\"tick\",\"now_us\":1}",
        "{\"type\":\"tock\",\"now_us\":1,\"wall_us\":2}",
        "{\"type\":7,\"now_us\":1,\"wall_us\":2}",
        "{\"type\":\"tick\",\"now_us\":1.5,\"wall_us\":2}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"number\":-1}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"number\":4294967296}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"service\":2147483648}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"flag\":1}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"template\":\"12\"}",
        "{\"type\":\"tick\",\"now_us\":1,\"wall_us\":2,\"text\":{\"hex\":\"0g\"}}",
        "{\"type\":\"samples\",\"now_us\":1,\"wall_us\":2}",
        "{\"type\":\"samples\",\"now_us\":1,\"wall_us\":2,\"samples\":[[\"rps\",0]]}",
        "{\"type\":\"samples\",\"now_us\":1,\"wall_us\":2,\"samples\":[[\"rbs\",0,1.0]]}",
        "{\"type\":\"samples\",\"now_us\":1,\"wall_us\":2,\"samples\":[[\"rps\",-1,1.0]]}",
        "{\"type\":\"samples\",\"now_us\":1,\"wall_us\":2,\"samples\":[[\"rps\",0,\"x\"]]}",
        "{\"type\":\"history\",\"now_us\":1,\"wall_us\":2,\"history\":{}}",
        "{\"type\":\"history\",\"now_us\":1,\"wall_us\":2,\"history\":{\"metric\":\"rps\","
        "\"wall_us\":1,\"step_us\":0,\"values\":\"0\"}}",
        "{\"type\":\"history\",\"now_us\":1,\"wall_us\":2,\"history\":{\"metric\":\"rbs\","
        "\"wall_us\":1,\"step_us\":1,\"values\":\"0\"}}",
        "{\"type\":\"history\",\"now_us\":1,\"wall_us\":2,\"history\":{\"metric\":\"rps\","
        "\"wall_us\":1,\"step_us\":1,\"values\":\"0*99999999999\"}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = { 0 };
        struct event e;
        json_t *json = json_loads(cases[i], 0, NULL);
        assert_non_null(json);
        if (event_json_decode(json, &e, &err) != -EPROTO || !err.text[0])
            fail_msg("%s was taken for an event", cases[i]);
        json_decref(json);
    }
}

static void test_decision_has_one_text(void **state)
{
    struct decision d = { .sequence = 42,
                          .now_us = 5000000,
                          .wall_us = 1500000,
                          .service = "shop",
                          .cause = EVENT_DOORBELL,
                          .before = 2,
                          .desired = 4,
                          .ready = 2,
                          .in_flight = 61,
                          .queued = -1,
                          .opinion_count = 2,
                          .step_count = 1,
                          .summary = "4: more load" };
    struct opinion none = { .out = RULE_ABSTAIN,
                            .in = RULE_ABSTAIN,
                            .set_min = RULE_ABSTAIN,
                            .set_max = RULE_ABSTAIN,
                            .set_count = RULE_ABSTAIN };
    d.opinions[0].opinion = d.opinions[1].opinion = none;
    strcpy(d.opinions[0].rule, "target concurrency 20");
    d.opinions[0].opinion.known = true;
    d.opinions[0].opinion.value = 61.1;
    d.opinions[0].opinion.out = 4;
    strcpy(d.opinions[1].rule, "threshold cpu");
    d.opinions[1].opinion.block_in = true;
    d.steps[0] = (struct decision_step){ LIMIT_MAX, 5, 4, "at most 4" };
    char *line = decision_json_line(&d);
    assert_string_equal(
        line,
        "{\"sequence\":42,\"time\":\"1970-01-01T00:00:01.500000Z\",\"now_us\":5000000,"
        "\"service\":\"shop\",\"slot\":0,\"cause\":\"doorbell\",\"advise\":false,\"before\":2,"
        "\"desired\":4,\"ready\":2,\"starting\":0,\"draining\":0,\"in_flight\":61,"
        "\"queued\":null,\"opinions\":[{\"rule\":\"target concurrency 20\","
        "\"value\":61.100000000000001,\"out\":4,\"in\":null,\"block_in\":false,\"set_min\":null,"
        "\"set_max\":null,\"set_count\":null,\"text\":\"\"},{\"rule\":\"threshold cpu\","
        "\"value\":null,\"out\":null,\"in\":null,\"block_in\":true,\"set_min\":null,"
        "\"set_max\":null,\"set_count\":null,\"text\":\"\"}],\"steps\":[{\"limit\":\"max\","
        "\"from\":5,\"to\":4,\"text\":\"at most 4\"}],\"summary\":\"4: more load\"}");
    free(line);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_types_go_round),
        cmocka_unit_test(test_all_operators_and_odd_texts_go_round),
        cmocka_unit_test(test_nonsense_is_refused),
        cmocka_unit_test(test_decision_has_one_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
