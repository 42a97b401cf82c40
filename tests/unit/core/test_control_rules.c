/* What control gives its rules: metrics of the service's own, room to remember, the past, the time
 * that a start takes; and decisions that are put into words only when somebody reads them. */
#include <errno.h>
#include <math.h>

#include "control_fixture.h"

/* One service with a threshold on its own first metric, scaling by one. */
static struct fixture *fixture_custom(int64_t stale_us)
{
    struct fixture *f = fixture_new(1);
    struct service_conf *s = &f->services[0];
    s->metric_count = 1;
    strcpy(s->metrics[0].name, "jobs");
    s->metrics[0].stale_us = stale_us;
    s->rules[0] = (struct rule_conf){ .kind = RULE_TARGET, .name = "target jobs 10" };
    s->rules[0].target = (struct rule_target_conf){ .metric = { .metric = METRIC_CUSTOM },
                                                    .value = 10,
                                                    .tolerance_up = 0.1,
                                                    .tolerance_down = 0.1 };
    configure(f);
    all_ready(f, 0);
    return f;
}

static void bring(struct fixture *f, double value)
{
    struct sample x = { METRIC_CUSTOM, 0, value };
    struct event e = event_at(f, EVENT_SAMPLES, 0);
    e.samples = &x;
    e.sample_count = 1;
    send(f, &e);
}

static void test_a_metric_of_its_own(void **state)
{
    struct fixture *f = fixture_custom(30 * SEC);
    f->now_us += SEC;
    bring(f, 45);
    tick(f);
    assert_int_equal(view(f, 0).desired, 5);
    all_ready(f, 0);
    assert_non_null(strstr(control_decision(f->c, 0)->opinions[0].opinion.text, "jobs 45"));
    for (int n = 0; n < 29; n++) { /* seconds that do not name it are no gap */
        second(f, 0, 0);
        assert_true(control_decision(f->c, 0)->opinions[0].opinion.known);
    }
    second(f, 0, 0);
    second(f, 0, 0);
    assert_true(control_decision(f->c, 0)->opinions[0].opinion.block_in);
    bring(f, 5);
    bring(f, NAN); /* but a value that is none is one */
    tick(f);
    assert_true(control_decision(f->c, 0)->opinions[0].opinion.block_in);
    fixture_free(f);
}

/* A source that lies causes nothing: no count out of bounds, no scale-in. */
static void test_wild_values(void **state)
{
    static const double lies[] = { NAN, INFINITY, -INFINITY, -1, 0x1p63, 0x1p64, 1e308, 0x1p-1074 };
    struct fixture *f = fixture_custom(10 * SEC);
    for (size_t n = 0; n < 40 * ARRAY_LEN(lies); n++) {
        f->now_us += SEC;
        bring(f, lies[n / 40]);
        tick(f);
        all_ready(f, 0);
        assert_in_range(view(f, 0).desired, 1, 10);
    }
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        struct sample x[] = { { (enum metric)m, 0, 0x1p63 }, { (enum metric)m, 1, 0x1p63 } };
        struct event e = event_at(f, EVENT_SAMPLES, 0);
        e.samples = x;
        e.sample_count = 2;
        send(f, &e);
        tick(f);
        assert_in_range(view(f, 0).desired, 1, 10);
    }
    fixture_free(f);
}

/* A clock that stands still, jumps ahead by a century, or back on the wall. */
static void test_clocks(void **state)
{
    struct fixture *f = fixture_ready(3);
    for (int n = 0; n < 50; n++) {
        struct sample x = { METRIC_CONCURRENCY, 0, 25 };
        struct event e = event_at(f, EVENT_SAMPLES, 0);
        e.samples = &x;
        e.sample_count = 1;
        send(f, &e);
        tick(f);
        assert_int_equal(view(f, 0).desired, 3);
    }
    static const int64_t walls[] = { INT64_MIN, INT64_MAX, 0, -1, INT64_C(1700000000) * US_PER_S };
    for (size_t n = 0; n < ARRAY_LEN(walls); n++) {
        struct event e = event_at(f, EVENT_TICK, -1);
        e.wall_us = walls[n];
        send(f, &e);
        assert_int_equal(view(f, 0).desired, 3);
    }
    f->now_us += 100 * 365 * US_PER_DAY;
    tick(f);
    assert_int_equal(view(f, 0).desired, 3);
    f->now_us = INT64_MAX;
    tick(f);
    tick(f);
    assert_int_equal(view(f, 0).desired, 3);
    fixture_free(f);
}

/* -- words --------------------------------------------------------------------------------------
 */

static void test_asking_changes_nothing(void **state)
{
    struct fixture *a = fixture_ready(4), *b = fixture_ready(4);
    for (int n = 0; n < 200; n++) {
        struct fixture *both[] = { a, b };
        for (int i = 0; i < 2; i++) {
            both[i]->now_us += SEC;
            ring(both[i], 0, (uint32_t)n % 50, 0);
            all_ready(both[i], 0);
            tick(both[i]);
        }
        for (int k = 0; k < 3; k++) {
            const struct decision *d = control_decision(a->c, 0);
            assert_int_equal(d->desired, view(a, 0).desired);
            assert_true(d->opinions[0].opinion.text[0] != '\0' && d->summary[0] != '\0');
            assert_string_equal(d->service, "a");
        }
        assert_int_equal(a->actions.count, b->actions.count);
    }
    size_t count = control_save_words(a->c);
    uint64_t *x = calloc(count, sizeof(*x)), *y = calloc(count, sizeof(*y));
    assert_int_equal(control_save(a->c, x, count), count);
    assert_int_equal(control_save(b->c, y, count), count);
    assert_memory_equal(x, y, count * sizeof(*x));
    free(x);
    free(y);
    fixture_free(a);
    fixture_free(b);
}

static void test_what_is_recorded_has_words(void **state)
{
    struct fixture *f = fixture_ready(1);
    ring(f, 0, 57, 0);
    const struct decision *d = f->actions.items[0].decision;
    assert_int_equal(f->actions.items[0].type, ACTION_RECORD);
    assert_ptr_equal(d, control_decision(f->c, 0));
    assert_false(d->silent);
    assert_int_equal(d->desired, 6);
    assert_true(d->opinions[0].opinion.text[0] != '\0');
    tick(f);
    assert_int_equal(control_decision(f->c, 0)->before, 6);
    fixture_free(f);
}

/* -- what rules remember ------------------------------------------------------------------------
 */

static struct service_conf predictive(struct fixture *f)
{
    struct service_conf s;
    service_default(&s, "a");
    s.rules[s.rule_count] = (struct rule_conf){ .kind = RULE_PREDICTIVE, .name = "predictive" };
    s.rules[s.rule_count++].predictive =
        (struct rule_predictive_conf){ .metric = { METRIC_CONCURRENCY }, .value = 10 };
    return s;
}

static struct fixture *fixture_words(uint32_t words)
{
    struct fixture *f = fixture_new(1);
    free(f->memory);
    f->caps.words = words;
    f->memory = calloc(1, control_bytes(&f->caps));
    f->c = control_init(f->memory, &f->caps);
    return f;
}

static uint32_t words_of(const struct rule_conf *r)
{
    return rule_ops(r->kind)->more_words ? rule_ops(r->kind)->more_words(r) : 0;
}

static void test_no_room_to_remember(void **state)
{
    struct fixture *f = fixture_words(0);
    f->services[0] = predictive(f);
    uint32_t words = words_of(&f->services[0].rules[1]);
    configure(f);
    assert_int_equal(f->rc, words > 0 ? -ENOBUFS : 0);
    assert_int_equal(control_find(f->c, "a"), words > 0 ? -1 : 0);
    f->services[0].rule_count = 1;
    configure(f);
    assert_int_equal(f->rc, 0);
    fixture_free(f);
    f = fixture_words(words);
    f->services[0] = predictive(f);
    configure(f);
    assert_int_equal(f->rc, 0);
    fixture_free(f);
}

static void tell_history(struct fixture *f)
{
    double values[300];
    for (size_t n = 0; n < ARRAY_LEN(values); n++)
        values[n] = (double)(n % 60);
    struct history h = { .metric = METRIC_CONCURRENCY,
                         .step_us = US_PER_MIN,
                         .count = ARRAY_LEN(values),
                         .values = values };
    struct event e = event_at(f, EVENT_HISTORY, 0);
    h.wall_us = e.wall_us - (int64_t)ARRAY_LEN(values) * US_PER_MIN;
    e.history = &h;
    send(f, &e);
    assert_int_equal(f->rc, 0);
    h.step_us = 0;
    send(f, &e);
    assert_int_equal(f->rc, -EINVAL);
    e.history = NULL;
    send(f, &e);
    assert_int_equal(f->rc, -EINVAL);
}

/* Saves and compares what is known of the first service's rules, by saving the whole. */
static uint64_t *saved(struct fixture *f, size_t *ret_count)
{
    *ret_count = control_save_words(f->c);
    uint64_t *words = calloc(*ret_count, sizeof(*words));
    assert_int_equal(control_save(f->c, words, *ret_count), *ret_count);
    return words;
}

static void test_memory_over_reload_and_restart(void **state)
{
    struct fixture *f = fixture_words(60000);
    f->services[0] = predictive(f);
    configure(f);
    size_t empty_count, count, again_count;
    uint64_t *empty = saved(f, &empty_count);
    tell_history(f);
    uint64_t *words = saved(f, &count);
    assert_int_equal(count, empty_count);
    assert_memory_not_equal(words, empty, count * sizeof(*words));
    /* Another rule in front, other lengths: the same rule still remembers, wherever it lies. */
    struct rule_conf kept = f->services[0].rules[1];
    f->services[0].rules[1] = f->services[0].rules[0];
    f->services[0].rules[2] = kept;
    f->services[0].rule_count = 3;
    configure(f);
    f->services[0] = predictive(f);
    configure(f);
    struct fixture *g = fixture_words(60000);
    g->services[0] = predictive(g);
    configure(g);
    assert_int_equal(control_load(g->c, words, count), 0);
    uint64_t *again = saved(g, &again_count);
    assert_int_equal(again_count, count);
    assert_memory_equal(again, words, count * sizeof(*words));
    /* Services that come and go move the others' memory about, and change nothing in it. */
    f->conf.service_count = 3;
    service_default(&f->services[1], "b");
    f->services[2] = predictive(f);
    strcpy(f->services[2].name, "c");
    configure(f);
    f->conf.service_count = 1;
    configure(f);
    free(empty);
    free(words);
    free(again);
    fixture_free(f);
    fixture_free(g);
}

/* -- the time a start takes ---------------------------------------------------------------------
 */

static void test_start_time_is_measured(void **state)
{
    struct fixture *f = fixture_new(1);
    configure(f);
    assert_int_equal(view(f, 0).start_us, 10 * SEC); /* none yet */
    f->now_us += 3 * SEC;
    all_ready(f, 0);
    assert_int_equal(view(f, 0).start_us, 3 * SEC);
    for (int n = 0; n < 8; n++) { /* the longest of the last eight */
        operate(f, OPERATOR_SCALE, 0, 0, 2, false);
        f->now_us += (n == 0 ? 20 : 1) * SEC;
        all_ready(f, 0);
        assert_int_equal(view(f, 0).start_us, 20 * SEC);
        operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    }
    operate(f, OPERATOR_SCALE, 0, 0, 2, false);
    f->now_us += SEC;
    all_ready(f, 0);
    assert_int_equal(view(f, 0).start_us, SEC);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_metric_of_its_own),
        cmocka_unit_test(test_wild_values),
        cmocka_unit_test(test_clocks),
        cmocka_unit_test(test_asking_changes_nothing),
        cmocka_unit_test(test_what_is_recorded_has_words),
        cmocka_unit_test(test_no_room_to_remember),
        cmocka_unit_test(test_memory_over_reload_and_restart),
        cmocka_unit_test(test_start_time_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
