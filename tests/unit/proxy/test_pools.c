/* Buffers, slabs and the access log's ring: bounded, reused, and nothing lost in between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "proxy/accesslog.h"
#include "proxy/buf.h"
#include "proxy/slab.h"

static void test_buffers_are_bounded_and_reused(void **state)
{
    struct buf_pool pool;
    buf_pool_init(&pool, BUF_LARGE_BYTES + BUF_SMALL_BYTES);
    struct buf *large = buf_new(&pool, BUF_SMALL_BYTES + 1), *small = buf_new(&pool, 1);
    assert_int_equal(large->cap, BUF_LARGE_BYTES);
    assert_int_equal(small->cap, BUF_SMALL_BYTES);
    assert_null(buf_new(&pool, 1));
    struct buf *was = small;
    buf_free(&pool, &small);
    assert_null(small);
    small = buf_new(&pool, 100);
    assert_ptr_equal(small, was);
    buf_free(&pool, &small);
    buf_free(&pool, &small);
    buf_free(&pool, &large);
    buf_pool_done(&pool);
}

/* What one size has left must not be missed by the other, nor kept for ever. */
static void test_kept_buffers_give_way(void **state)
{
    enum { COUNT = 2 * BUF_KEPT_BYTES / BUF_LARGE_BYTES };
    static const size_t sizes[][2] = { { BUF_LARGE_BYTES, 100 }, { 100, BUF_LARGE_BYTES } };
    struct buf *taken[COUNT];
    for (size_t row = 0; row < ARRAY_LEN(sizes); row++) {
        struct buf_pool pool;
        buf_pool_init(&pool, COUNT * (size_t)BUF_LARGE_BYTES);
        size_t count = 0;
        while (count < COUNT && (taken[count] = buf_new(&pool, sizes[row][0])))
            count++;
        assert_int_equal(count, COUNT);
        for (size_t i = 0; i < count; i++)
            buf_free(&pool, &taken[i]);
        assert_true(pool.held_bytes <= BUF_KEPT_BYTES);
        size_t other = sizes[row][1] == 100 ? BUF_SMALL_BYTES : BUF_LARGE_BYTES;
        buf_pool_done(&pool);
        assert_int_equal(pool.held_bytes, 0);
        pool.cap_bytes = BUF_LARGE_BYTES; /* one of the first size fills it */
        for (size_t i = 0; i < BUF_LARGE_BYTES / BUF_SMALL_BYTES && i < COUNT; i++)
            taken[i] = buf_new(&pool, sizes[row][0]);
        for (size_t i = 0; i < BUF_LARGE_BYTES / BUF_SMALL_BYTES && i < COUNT; i++)
            buf_free(&pool, &taken[i]);
        assert_int_equal(pool.held_bytes, BUF_LARGE_BYTES);
        struct buf *b = buf_new(&pool, sizes[row][1]);
        assert_non_null(b);
        assert_int_equal(b->cap, other);
        buf_free(&pool, &b);
        buf_pool_done(&pool);
    }
}

static void test_growing_keeps_the_content(void **state)
{
    struct buf_pool pool;
    buf_pool_init(&pool, 1 << 20);
    struct buf *b = buf_new(&pool, 1);
    memcpy(b->data, "..abc", 5);
    b->start = 2;
    b->end = 5;
    assert_int_equal(buf_grow(&pool, &b, 100000), 0);
    assert_int_equal(buf_len(b), 3);
    assert_memory_equal(buf_head(b), "abc", 3);
    assert_true(buf_room(b) >= 100000 - 3);
    b->start = 1;
    buf_compact(b);
    assert_int_equal(b->start, 0);
    assert_memory_equal(buf_head(b), "bc", 2);
    buf_free(&pool, &b);
    buf_pool_done(&pool);
}

static void test_slab(void **state)
{
    struct slab s;
    char *items[100];
    slab_init(&s, 24, ARRAY_LEN(items));
    for (size_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i] = slab_new(&s);
        assert_non_null(items[i]);
        assert_int_equal(items[i][23], 0);
        memset(items[i], 0xff, 24);
    }
    assert_null(slab_new(&s));
    char *last = items[99];
    slab_free(&s, last);
    assert_int_equal(s.used, 99);
    assert_ptr_equal(slab_new(&s), last);
    assert_int_equal(last[0], 0);
    slab_done(&s);
}

static void test_ring_wraps_and_refuses(void **state)
{
    struct accesslog_ring r = { .data = malloc(ACCESSLOG_RING_BYTES) };
    char line[1000];
    size_t put = 0;
    memset(line, 'x', sizeof(line));
    while (accesslog_ring_put(&r, line, sizeof(line)))
        put++;
    assert_int_equal(put, ACCESSLOG_RING_BYTES / sizeof(line));
    atomic_store(&r.tail, 1000);
    memcpy(line, "begin", 5);
    memcpy(line + 995, "end\n", 4);
    assert_true(accesslog_ring_put(&r, line, sizeof(line)));
    size_t at = put * sizeof(line);
    for (size_t i = 0; i < sizeof(line); i++)
        assert_int_equal(r.data[(at + i) % ACCESSLOG_RING_BYTES], line[i]);
    free(r.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffers_are_bounded_and_reused),
        cmocka_unit_test(test_kept_buffers_give_way),
        cmocka_unit_test(test_growing_keeps_the_content),
        cmocka_unit_test(test_slab),
        cmocka_unit_test(test_ring_wraps_and_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
