/* Averages, minima and maxima per bucket, and when a bucket is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/us.h"
#include "store/rollup.h"

struct log {
    struct str text;
    char buf[8192];
};

/* One word per row: step@start=avg/min/max*count */
static void note(void *ctx, struct rollup_series *s, unsigned step, const struct rollup_bucket *b)
{
    struct log *log = ctx;
    str_putf(&log->text, "%s%s.%s%u:%u@%lld=%g/%g/%g*%u", log->text.len ? " " : "", s->service,
             s->metric, s->number, rollup_steps[step].step_s, (long long)b->start_s,
             b->sum / b->count, b->min, b->max, b->count);
}

static void start(struct rollup *r, struct log *log, uint32_t cap)
{
    str_init(&log->text, log->buf, sizeof(log->buf));
    r->emit = note;
    r->ctx = log;
    assert_int_equal(rollup_init(r, cap), 0);
}

static void test_buckets_close_with_time(void **state)
{
    static const struct {
        int64_t at_ms;
        double value;
        const char *rows; /* that this sample brings */
    } steps[] = {
        { 600000, 4, "" },
        { 600500, 8, "" },
        { 601000, -2, "a.rps0:1@600=6/4/8*2" },
        { 602100, 2, "a.rps0:1@601=-2/-2/-2*1" },
        { 609000, 10, "a.rps0:1@602=2/2/2*1" },
        { 610000, 0, "a.rps0:1@609=10/10/10*1 a.rps0:10@600=4.4/-2/10*5" },
        { 671000, 1, "a.rps0:1@610=0/0/0*1 a.rps0:10@610=0/0/0*1 a.rps0:60@600=3.667/-2/10*6" },
    };
    struct rollup r = { 0 };
    struct log log;
    start(&r, &log, 8);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        str_clear(&log.text);
        assert_true(rollup_add(&r, "a", "rps", 0, steps[i].value, steps[i].at_ms * US_PER_MS));
        assert_string_equal(log.buf, steps[i].rows);
    }
    str_clear(&log.text);
    rollup_flush(&r);
    assert_string_equal(log.buf,
                        "a.rps0:1@671=1/1/1*1 a.rps0:10@670=1/1/1*1 a.rps0:60@660=1/1/1*1");
    rollup_done(&r);
}

static void test_series_do_not_mix(void **state)
{
    struct rollup r = { 0 };
    struct log log;
    start(&r, &log, 3);
    assert_true(rollup_add(&r, "a", "cpu", 1, 0.5, 600 * US_PER_S));
    assert_true(rollup_add(&r, "a", "cpu", 2, 0.25, 600 * US_PER_S));
    assert_true(rollup_add(&r, "ac", "pu", 1, 2, 600 * US_PER_S));
    assert_false(rollup_add(&r, "b", "cpu", 1, 2, 600 * US_PER_S)); /* the cap */
    assert_string_equal(log.buf, "");
    assert_true(rollup_add(&r, "a", "cpu", 1, 1, 602 * US_PER_S)); /* closes the others' too */
    assert_string_equal(log.buf, "a.cpu1:1@600=0.5/0.5/0.5*1 a.cpu2:1@600=0.25/0.25/0.25*1 "
                                 "ac.pu1:1@600=2/2/2*1");
    rollup_done(&r);
}

static void test_silent_series_leave(void **state)
{
    struct rollup r = { 0 };
    struct log log;
    start(&r, &log, 1);
    assert_true(rollup_add(&r, "a", "cpu", 1, 0.5, 600 * US_PER_S));
    assert_false(rollup_add(&r, "a", "cpu", 2, 0.5, 890 * US_PER_S));
    assert_true(rollup_add(&r, "a", "cpu", 2, 0.5, 901 * US_PER_S));
    assert_non_null(strstr(log.buf, "a.cpu1:60@600=0.5/0.5/0.5*1"));
    rollup_done(&r);
}

static void test_clock_set_back_loses_nothing(void **state)
{
    struct rollup r = { 0 };
    struct log log;
    start(&r, &log, 8);
    rollup_add(&r, "a", "cpu", 1, 1, 6000 * US_PER_S);
    rollup_add(&r, "a", "cpu", 1, 3, 600 * US_PER_S);
    rollup_flush(&r);
    assert_non_null(strstr(log.buf, "a.cpu1:1@6000=1/1/1*1"));
    assert_non_null(strstr(log.buf, "a.cpu1:1@600=3/3/3*1"));
    rollup_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_close_with_time),
        cmocka_unit_test(test_series_do_not_mix),
        cmocka_unit_test(test_silent_series_leave),
        cmocka_unit_test(test_clock_set_back_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
