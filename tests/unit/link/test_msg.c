/* Messages: every type survives the way there and back, and nothing but a whole message of a known
 * type is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "link/msg.h"

static uint8_t packet[LINK_BYTES_MAX + 16];
static struct link_start start_in, start_out;

static struct link_msg sample(enum link_type type)
{
    start_in = (struct link_start){ .name = SLICE("shop-3"),
                                    .meta = SLICE("template=9f address=unix:/x"),
                                    .task = true,
                                    .deadline_us = 2500000,
                                    .directory = SLICE("/srv"),
                                    .user = SLICE("web"),
                                    .group = SLICE(""),
                                    .log_path = SLICE("/var/log/shop-3.log"),
                                    .open_files_max = 1024,
                                    .memory_bytes_max = -1,
                                    .processes_max = INT64_MAX,
                                    .core_bytes_max = 0,
                                    .argc = 2,
                                    .envc = 1,
                                    .argv = { SLICE("node"), SLICE("") },
                                    .env = { SLICE("PORT=21000") } };
    return (struct link_msg){ .type = type,
                              .name = SLICE("shop-3"),
                              .text = SLICE("tcp:*:8080"),
                              .number = -42,
                              .status = INT64_MIN,
                              .flag = true,
                              .list_count = 2,
                              .list = { SLICE("tcp:*:8080"), SLICE("unix:/s") },
                              .start = &start_in };
}

static bool known(int type)
{
    return strcmp(link_type_name((enum link_type)type), "?") != 0;
}

static void test_names(void **state)
{
    assert_false(known(LINK_NONE));
    assert_false(known(LINK_TYPE_MAX));
    for (int type = LINK_NONE + 1; type < LINK_TYPE_MAX; type++)
        assert_true(known(type));
}

static void test_round_trip(void **state)
{
    for (int type = LINK_NONE + 1; type < LINK_TYPE_MAX; type++) {
        struct link_msg in = sample((enum link_type)type), out;
        uint8_t again[4096];
        int n = link_encode(&in, packet, sizeof(packet));
        assert_in_range(n, 4, 4096);
        assert_int_equal(link_decode(packet, (size_t)n, &start_out, &out, NULL), 0);
        assert_int_equal(out.type, type);
        assert_int_equal(out.fd_count, 0);
        assert_int_equal(link_encode(&out, again, sizeof(again)), n);
        assert_memory_equal(packet, again, (size_t)n);
        assert_int_equal(link_encode(&in, again, (size_t)n - 1), -EMSGSIZE);
    }
}

static void test_start_fields(void **state)
{
    struct link_msg in = sample(LINK_START), out;
    int n = link_encode(&in, packet, sizeof(packet));
    assert_int_equal(link_decode(packet, (size_t)n, &start_out, &out, NULL), 0);
    assert_ptr_equal(out.start, &start_out);
    assert_true(slice_eq(start_out.name, start_in.name));
    assert_true(slice_eq(start_out.meta, start_in.meta));
    assert_true(start_out.task);
    assert_int_equal(start_out.deadline_us, 2500000);
    assert_true(slice_eq(start_out.user, start_in.user));
    assert_int_equal(start_out.group.n, 0);
    assert_int_equal(start_out.memory_bytes_max, -1);
    assert_true(start_out.processes_max == INT64_MAX);
    assert_int_equal(start_out.argc, 2);
    assert_int_equal(start_out.argv[1].n, 0);
    assert_true(slice_eq(start_out.env[0], SLICE("PORT=21000")));
}

/* Every shorter packet, and every longer one, is refused whole. The packet lies at the end of an
 * allocation of its own, so that reading past it is seen by the sanitizers. */
static void test_refuses_other_lengths(void **state)
{
    for (int type = LINK_NONE + 1; type < LINK_TYPE_MAX; type++) {
        struct link_msg in = sample((enum link_type)type), out = { .type = LINK_NONE };
        int n = link_encode(&in, packet, sizeof(packet));
        for (int cut = 0; cut <= n + 1; cut++) {
            if (cut == n)
                continue;
            uint8_t *exact = malloc((size_t)cut + 1);
            memcpy(exact, packet, (size_t)cut);
            assert_int_equal(link_decode(exact, (size_t)cut, &start_out, &out, NULL), -EPROTO);
            assert_int_equal(out.type, LINK_NONE);
            free(exact);
        }
    }
}

static void test_refuses(void **state)
{
    static const struct {
        const char *what;
        enum link_type type;
        size_t offset;
        uint8_t value;
    } rows[] = {
        { "another version", LINK_LIST, 0, LINK_VERSION + 1 },
        { "type none", LINK_LIST, 2, LINK_NONE },
        { "type behind the last", LINK_LIST, 2, LINK_TYPE_MAX },
        { "a far type", LINK_LIST, 3, 0xff },
        { "a NUL in a text", LINK_UNLISTEN, 8, 0 },
        { "a text longer than the packet", LINK_UNLISTEN, 6, 0xff },
        { "a flag of 2", LINK_EJECTED, 4 + 4 + 6 + 4 + 10 + 8, 2 },
        { "a list over its cap", LINK_LISTENERS, 4, LINK_FDS_MAX + 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct link_msg in = sample(rows[i].type), out;
        struct err err = { 0 };
        int n = link_encode(&in, packet, sizeof(packet));
        packet[rows[i].offset] = rows[i].value;
        if (link_decode(packet, (size_t)n, &start_out, &out, &err) != -EPROTO)
            fail_msg("taken: %s", rows[i].what);
        assert_true(err.text[0]);
    }
}

static void test_start_only_where_expected(void **state)
{
    struct link_msg in = sample(LINK_START), out;
    int n = link_encode(&in, packet, sizeof(packet));
    assert_int_equal(link_decode(packet, (size_t)n, NULL, &out, NULL), -EPROTO);
}

static void test_too_long(void **state)
{
    struct link_msg in = sample(LINK_READY), out;
    char *text = malloc(LINK_BYTES_MAX);
    memset(text, 'x', LINK_BYTES_MAX);
    in.text = (struct slice){ text, LINK_BYTES_MAX };
    assert_int_equal(link_encode(&in, packet, sizeof(packet)), -EMSGSIZE);
    in.text.n = LINK_BYTES_MAX - 8;
    assert_int_equal(link_encode(&in, packet, sizeof(packet)), LINK_BYTES_MAX);
    assert_int_equal(link_decode(packet, LINK_BYTES_MAX, NULL, &out, NULL), 0);
    assert_int_equal(out.text.n, LINK_BYTES_MAX - 8);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_start_fields), cmocka_unit_test(test_refuses_other_lengths),
        cmocka_unit_test(test_refuses),      cmocka_unit_test(test_start_only_where_expected),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
