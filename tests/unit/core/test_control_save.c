/* The state as words: the same again after a load, refused when it is not one. */
#include <errno.h>

#include "control_fixture.h"

static uint64_t *saved(const struct control *c, size_t *ret_count)
{
    size_t count = control_save_words(c);
    uint64_t *words = calloc(count, sizeof(*words));
    assert_int_equal(control_save(c, words, count - 1), 0);
    assert_int_equal(control_save(c, words, count), count);
    *ret_count = count;
    return words;
}

/* A service in the middle of everything. */
static struct fixture *busy(void)
{
    struct fixture *f = fixture_new(3);
    f->services[0].initial = 3;
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    for (int n = 0; n < 20; n++)
        second(f, 0, 25 + n);
    about(f, EVENT_EXITED, 0, 2, false);
    operate(f, OPERATOR_SCALE, 1, 0, 4, true);
    operate(f, OPERATOR_PROTECT, 1, 1, 0, true);
    about(f, EVENT_START_FAILED, 2, 1, false);
    f->conf.service_count = 2;
    configure(f); /* the third is leaving */
    return f;
}

static struct fixture *restored(struct fixture *f, const uint64_t *words, size_t count, int *ret_rc)
{
    struct fixture *g = fixture_new(3);
    memcpy(g->services, f->services, sizeof(g->services));
    g->conf.service_count = f->conf.service_count;
    g->now_us = f->now_us;
    configure(g);
    *ret_rc = control_load(g->c, words, count);
    return g;
}

static void test_round_trip(void **state)
{
    struct fixture *f = busy();
    size_t count, again_count;
    int rc;
    uint64_t *words = saved(f->c, &count);
    struct fixture *g = restored(f, words, count, &rc);
    assert_int_equal(rc, 0);
    uint64_t *again = saved(g->c, &again_count);
    assert_int_equal(count, again_count);
    assert_memory_equal(words, again, count * sizeof(*words));
    ring(f, 0, 80, 3);
    ring(g, 0, 80, 3);
    assert_true(f->actions.count > 1);
    assert_int_equal(f->actions.count, g->actions.count);
    for (size_t n = 0; n < f->actions.count; n++) {
        assert_int_equal(f->items[n].type, g->items[n].type);
        assert_int_equal(f->items[n].number, g->items[n].number);
    }
    free(words);
    free(again);
    fixture_free(f);
    fixture_free(g);
}

/* In the middle of what only some engines do, and under a lease. */
static void test_requests_and_token(void **state)
{
    struct fixture *f = fixture_new(2);
    f->services[0].can_choose_victim = false;
    f->services[1].can_resize = true;
    f->services[0].initial = f->services[1].initial = 2;
    struct event e = event_at(f, EVENT_LEASE, -1);
    e.flag = true;
    e.token = 91;
    send(f, &e);
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    operate(f, OPERATOR_SCALE, 0, 0, 1, false);
    operate(f, OPERATOR_SCALE, 1, 0, 2, false);
    f->services[1].shape = 5;
    configure(f);
    assert_int_equal(said(f, ACTION_RESIZE), 2);
    size_t count;
    int rc;
    uint64_t *words = saved(f->c, &count);
    struct fixture *g = restored(f, words, count, &rc);
    assert_int_equal(rc, 0);
    about(g, EVENT_LEAVING, 0, 1, false);
    assert_int_equal(said(g, ACTION_START), 0);
    g->now_us += 60 * SEC;
    tick(g);
    assert_int_equal(said(g, ACTION_STOP), 0);
    assert_int_equal(said(g, ACTION_RESIZE), 2);
    operate(g, OPERATOR_SCALE, 1, 0, 3, false);
    for (size_t n = 0; n < g->actions.count; n++) {
        if (g->items[n].type == ACTION_RECORD)
            assert_int_equal(g->items[n].decision->token, 91);
    }
    words[0]--; /* the layout of an earlier version */
    fixture_free(restored(f, words, count, &rc));
    assert_int_equal(rc, -EPROTO);
    free(words);
    fixture_free(f);
    fixture_free(g);
}

static void test_refuses_what_is_not_one(void **state)
{
    struct fixture *f = busy();
    size_t count;
    uint64_t *words = saved(f->c, &count);
    for (size_t at = 0; at < count; at += 7) {
        int rc;
        words[at] ^= UINT64_C(1) << (at % 64);
        struct fixture *g = restored(f, words, count, &rc);
        words[at] ^= UINT64_C(1) << (at % 64);
        assert_int_equal(rc, -EPROTO);
        assert_int_equal(control_find(g->c, "a"), 0); /* as the configuration left it */
        fixture_free(g);
    }
    int rc;
    fixture_free(restored(f, words, count - 1, &rc));
    assert_int_equal(rc, -EPROTO);
    fixture_free(restored(f, words, 0, &rc));
    assert_int_equal(rc, -EPROTO);
    free(words);
    fixture_free(f);
}

/* Right in form, with values no state can have: refused, and the core is usable. */
static void test_survives_forged_values(void **state)
{
    struct fixture *f = busy();
    size_t count;
    uint64_t *words = saved(f->c, &count), kept;
    unsigned refused = 0;
    for (size_t at = 3; at < count; at += 3) {
        kept = words[at];
        words[at] = UINT64_MAX - at;
        uint64_t sum = UINT64_C(14695981039346656037);
        for (size_t n = 3; n < count; n++)
            sum = (sum ^ words[n]) * UINT64_C(1099511628211) + (sum >> 29);
        words[2] = sum;
        int rc;
        struct fixture *g = restored(f, words, count, &rc);
        refused += rc != 0;
        g->now_us += SEC;
        ring(g, 0, 50, 1);
        tick(g);
        fixture_free(g);
        words[at] = kept;
    }
    assert_true(refused > 20);
    free(words);
    fixture_free(f);
}

/* After the machine's clock began anew a state is as good as before, with one that is gone too. */
static void test_state_of_another_boot(void **state)
{
    struct fixture *f = fixture_ready(2);
    f->now_us += 50 * SEC;
    about(f, EVENT_EXITED, 0, 2, false);
    f->now_us = SEC;
    about(f, EVENT_RESTART, -1, 0, false);
    size_t count;
    int rc;
    uint64_t *words = saved(f->c, &count);
    fixture_free(restored(f, words, count, &rc));
    assert_int_equal(rc, 0);
    free(words);
    fixture_free(f);
}

static void test_other_configuration(void **state)
{
    struct fixture *f = fixture_new(2);
    f->services[0].initial = 2;
    configure(f);
    all_ready(f, 0);
    all_ready(f, 1);
    size_t count;
    int rc;
    uint64_t *words = saved(f->c, &count);
    strcpy(f->services[1].name, "new");
    struct fixture *g = restored(f, words, count, &rc);
    assert_int_equal(rc, 0);
    assert_int_equal(view(g, (uint32_t)control_find(g->c, "a")).ready, 2);
    assert_true(view(g, (uint32_t)control_find(g->c, "b")).leaving);
    assert_int_equal(view(g, (uint32_t)control_find(g->c, "new")).ready, 0);
    tick(g);
    assert_int_equal(said(g, ACTION_DRAIN), 1);
    assert_int_equal(said(g, ACTION_START), 1);
    free(words);
    fixture_free(f);
    fixture_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_requests_and_token),
        cmocka_unit_test(test_refuses_what_is_not_one),
        cmocka_unit_test(test_survives_forged_values),
        cmocka_unit_test(test_state_of_another_boot),
        cmocka_unit_test(test_other_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
