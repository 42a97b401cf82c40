/* What proxies count, summed over several: readings, their differences, and a report that is the
 * same when it has been told. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "drivers/driver.h"
#include "drivers/source/proxy_report.h"
#include "drivers/source/source_proxy.h"

#define NOW_US (100 * US_PER_S)

static struct gauges *gauges;
static void *source;

static int setup(void **state)
{
    struct driver_env env = { 0 };
    struct err err;
    gauges = calloc(1, sizeof(*gauges));
    gauges->loops = 2;
    if (!gauges || source_proxy.open(&env, &source, &err) < 0)
        return -1;
    source_proxy.set_gauges(source, gauges);
    return 0;
}

static int teardown(void **state)
{
    source_proxy.close(source);
    free(gauges);
    return 0;
}

/* --- others, as the test says --- */

static struct {
    bool known, fresh;
    uint32_t in_flight, queued;
    double rps;
} other;

static bool add_other(void *ctx, uint32_t slot, struct proxy_share *s)
{
    s->in_flight += other.in_flight;
    s->queued += other.queued;
    s->requests += other.rps;
    s->busy += other.in_flight;
    s->latency[100] += 1000;
    s->rates = s->rates && !other.fresh;
    return other.known;
}

static void add_other_instance(void *ctx, uint32_t slot, uint32_t number,
                               struct proxy_instance_share *s)
{
    s->in_flight += 10 * number;
}

static const struct proxy_others others = { .add = add_other, .add_instance = add_other_instance };

/* The value of a metric now; NAN = there is none. */
static double sample(int64_t at_us, enum metric m, uint32_t number)
{
    struct sample items[64];
    struct source_sink sink = { .samples = items, .cap = ARRAY_LEN(items) };
    struct source_instance in = { .number = 3, .gauge = 7, .ready = true };
    struct source_service service = { .slot = 5, .instances = &in, .instance_count = 1 };
    source_proxy.sample(source, &service, at_us, &sink);
    for (size_t i = 0; i < sink.count; i++)
        if (items[i].metric == m && items[i].number == number)
            return items[i].value;
    return (double)NAN;
}

static void own_load(void)
{
    gauges->loop[0][5].requests = 40;
    gauges->loop[1][5].requests = 60;
    gauges->loop[0][5].busy_us = 2 * US_PER_S;
    gauges->loop[0][5].latency[50] = 100;
    gauges->service[5].queued = 4;
    gauges->instance[7].number = 3;
    gauges->instance[7].service = 5;
    gauges->instance[7].in_flight = 2;
}

static void test_alone(void **state)
{
    assert_true(isnan(sample(NOW_US, METRIC_RPS, 0))); /* the first reading of a life */
    own_load();
    assert_true(sample(NOW_US + US_PER_S, METRIC_RPS, 0) == 100);
    assert_true(sample(NOW_US + 2 * US_PER_S, METRIC_RPS, 0) == 0);
    assert_true(sample(NOW_US + 3 * US_PER_S, METRIC_QUEUE, 0) == 4);
    assert_true(sample(NOW_US + 4 * US_PER_S, METRIC_CONCURRENCY, 3) == 2);
}

static void test_sum(void **state)
{
    source_proxy_set_others(source, &others);
    other.known = true;
    other.fresh = false;
    other.in_flight = 30;
    other.queued = 6;
    other.rps = 50;
    sample(NOW_US, METRIC_RPS, 0);
    own_load();
    assert_true(sample(NOW_US + US_PER_S, METRIC_RPS, 0) == 150);
    gauges->loop[0][5].busy_us += 2 * US_PER_S;
    assert_true(sample(NOW_US + 2 * US_PER_S, METRIC_CONCURRENCY, 0) == 32);
    assert_true(sample(NOW_US + 3 * US_PER_S, METRIC_QUEUE, 0) == 10);
    assert_true(sample(NOW_US + 4 * US_PER_S, METRIC_CONCURRENCY, 3) == 32);
    /* The histogram is one: theirs is slower and has all of the answers. */
    assert_true(sample(NOW_US + 5 * US_PER_S, METRIC_LATENCY_P50, 0) ==
                (double)gauges_bucket_floor_us(101) / 1e6);
}

static void test_unknown_is_never_zero(void **state)
{
    source_proxy_set_others(source, &others);
    own_load();
    other.known = true;
    other.fresh = false;
    sample(NOW_US, METRIC_RPS, 0);
    assert_false(isnan(sample(NOW_US + US_PER_S, METRIC_RPS, 0)));
    other.known = false;
    assert_true(isnan(sample(NOW_US + 2 * US_PER_S, METRIC_RPS, 0)));
    assert_true(isnan(sample(NOW_US + 3 * US_PER_S, METRIC_QUEUE, 0)));
    assert_true(isnan(sample(NOW_US + 4 * US_PER_S, METRIC_CONCURRENCY, 3)));
    other.known = true;
    other.fresh = true; /* another proxy life there: its rates come with the second reading */
    assert_true(isnan(sample(NOW_US + 5 * US_PER_S, METRIC_RPS, 0)));
    assert_true(isnan(sample(NOW_US + 6 * US_PER_S, METRIC_LATENCY_P99, 0)));
    assert_false(isnan(sample(NOW_US + 7 * US_PER_S, METRIC_QUEUE, 0)));
}

/* --- reports --- */

static struct proxy_report *make_report(void)
{
    struct proxy_report *r = proxy_report_new(2);
    r->pid = 77;
    r->started_us = NOW_US - US_PER_S;
    r->at_us = NOW_US;
    r->generation = 123456789012;
    r->service_count = 2;
    struct proxy_report_service *s = &r->services[0];
    strcpy(s->name, "shop");
    strcpy(r->services[1].name, "blog");
    own_load();
    proxy_reading_take(gauges, 5, NOW_US, &s->reading);
    s->reading.errors[GAUGES_ERROR_TIMEOUT] = 3;
    s->reading.responses[5] = INT64_MAX;
    s->instances = calloc(1, sizeof(*s->instances));
    s->instance_count = proxy_instance_take(gauges, 7, 5, 3, s->instances);
    s->instances->ejected = true;
    s->drained = calloc(2, sizeof(*s->drained));
    s->drained[0] = 1;
    s->drained[1] = UINT32_MAX;
    s->drained_count = 2;
    r->services[1].reading.at_us = NOW_US;
    return r;
}

static struct proxy_report *tell(const struct proxy_report *r)
{
    struct proxy_report *told;
    struct err err;
    json_t *json = proxy_report_json(r);
    char *text = json_dumps(json, JSON_COMPACT);
    if (proxy_report_read(text, strlen(text), &told, &err) < 0)
        fail_msg("%s: %s", err.text, text);
    free(text);
    json_decref(json);
    return told;
}

static void test_told_is_the_same(void **state)
{
    struct proxy_report *r = make_report(), *told = tell(r);
    const struct proxy_report_service *shop = proxy_report_find(told, "shop");
    assert_true(proxy_report_same_life(r, told));
    assert_int_equal(told->generation, r->generation);
    assert_int_equal(told->service_count, 2);
    assert_memory_equal(&shop->reading, &r->services[0].reading, sizeof(shop->reading));
    assert_memory_equal(&proxy_report_find(told, "blog")->reading, &r->services[1].reading,
                        sizeof(shop->reading));
    const struct proxy_instance *in = proxy_report_instance(shop, 3);
    assert_int_equal(in->in_flight, 2);
    assert_true(in->ejected);
    assert_null(proxy_report_instance(shop, 4));
    assert_null(proxy_report_find(told, "none"));
    assert_true(proxy_report_has_drained(shop, 1));
    assert_true(proxy_report_has_drained(shop, UINT32_MAX));
    assert_false(proxy_report_has_drained(shop, 2));
    proxy_report_free(r);
    proxy_report_free(told);
}

/* Each is a good report with one thing put wrong. */
static void test_nonsense_is_refused(void **state)
{
    static const struct {
        const char *path[4]; /* keys down to what is replaced */
        const char *value;
    } cases[] = {
        { { "pid" }, "-1" },
        { { "at_us" }, "1.5" },
        { { "services", "shop", "in_flight" }, "4294967296" },
        { { "services", "shop", "requests" }, "null" },
        { { "services", "shop", "responses" }, "[1,2]" },
        { { "services", "shop", "latency" }, "{}" },
        { { "services", "shop", "latency" }, "[[264,1]]" },
        { { "services", "shop", "latency" }, "[[1]]" },
        { { "services", "shop", "instances" }, "[1]" },
        { { "services", "shop", "drained" }, "[-1]" },
        { { "services", "shop" }, "7" },
    };
    struct proxy_report *r = make_report(), *told;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        json_t *json = proxy_report_json(r), *at = json;
        struct err err = { 0 };
        size_t last = 0;
        while (last + 1 < 4 && cases[i].path[last + 1])
            at = json_object_get(at, cases[i].path[last++]);
        json_object_set_new(at, cases[i].path[last],
                            json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
        char *text = json_dumps(json, 0);
        if (proxy_report_read(text, strlen(text), &told, &err) != -EPROTO || !err.text[0])
            fail_msg("case %zu was taken", i);
        free(text);
        json_decref(json);
    }
    proxy_report_free(r);
}

static void test_share_of_two_lives(void **state)
{
    struct proxy_share s = { .rates = true };
    struct proxy_reading before = { .at_us = NOW_US, .requests = 10 };
    struct proxy_reading now = { .at_us = NOW_US + US_PER_S, .requests = 5, .in_flight = 4 };
    proxy_share_add(&s, &before, &now);
    assert_false(s.rates);
    assert_int_equal(s.in_flight, 4);
    s = (struct proxy_share){ .rates = true };
    proxy_share_add(&s, NULL, &now);
    assert_false(s.rates);
    now.requests = 30;
    s = (struct proxy_share){ .rates = true };
    proxy_share_add(&s, &before, &now);
    proxy_share_add(&s, &before, &now);
    assert_true(s.rates && s.requests == 40 && s.in_flight == 8);
}

#define RIG_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_alone),
        RIG_TEST(test_sum),
        RIG_TEST(test_unknown_is_never_zero),
        RIG_TEST(test_told_is_the_same),
        RIG_TEST(test_nonsense_is_refused),
        RIG_TEST(test_share_of_two_lives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
