/* The lease of one machine, which lease a configuration asks for, and what is said of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "drivers/lease/lease.h"

struct heard {
    int held, resigned;
};

static void on_held(void *ctx, bool held, uint64_t token, const char *why)
{
    struct heard *h = ctx;
    assert_true(held);
    h->held++;
}

static void on_resigned(void *ctx)
{
    struct heard *h = ctx;
    h->resigned++;
}

static void test_choice(void **state)
{
    static const char *endpoints[] = { "http://127.0.0.1:2379" };
    static const struct lease_conf alone = { .cluster = "shop" };
    static const struct lease_conf shared = { .cluster = "shop",
                                              .etcd.endpoints = { 1, endpoints } };
    assert_ptr_equal(lease_choose(&alone), &lease_file);
    assert_ptr_equal(lease_choose(&shared), &lease_etcd);
    assert_false(lease_file.shared);
    assert_true(lease_etcd.shared);
}

/* What goes over a wire that others may read is said. */
static void test_note(void **state)
{
    static const struct {
        const char *advertise;
        bool shared, noted;
    } rows[] = {
        { "http://10.0.0.1:7575", true, true },   { "http://10.0.0.1:7575", false, false },
        { "https://10.0.0.1:7575", true, false }, { "http://127.0.0.2:7575", true, false },
        { "http://localhost:7575", true, false }, { "http://[::1]:7575", true, false },
        { "http://[fd00::1]:7575", true, true },  { NULL, false, false },
    };
    static const char *endpoints[] = { "http://127.0.0.1:2379" };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct lease_conf conf = { .advertise = rows[i].advertise,
                                   .etcd.endpoints = { rows[i].shared, endpoints } };
        assert_int_equal(lease_section.note(&conf) != NULL, rows[i].noted);
    }
}

static void test_held_until_the_end(void **state)
{
    uv_loop_t loop;
    void *self = NULL;
    struct heard heard = { 0 };
    static const struct lease_conf conf;
    struct lease_options options = { .loop = &loop,
                                     .conf = &conf,
                                     .listener = { .ctx = &heard, .held = on_held } };
    uv_loop_init(&loop);
    assert_int_equal(lease_file.open(&options, &self, NULL), 0);
    assert_int_equal(heard.held, 0); /* never from within */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(heard.held, 1);
    assert_true(lease_file.may_act(self));
    lease_file.resign(self, on_resigned, &heard);
    assert_int_equal(heard.resigned, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(heard.resigned, 1);
    lease_file.close(self);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_note),
        cmocka_unit_test(test_held_until_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
