/* Blocks that move: holes are closed, what is in a block and who owns it stays true. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"
#include "base/util.h"
#include "core/pool.h"

static _Alignas(16) char memory[4096];

static void test_holes_close(void **state)
{
    struct pool p;
    char *a, *b, *c, *d;
    pool_init(&p, memory, 4 * pool_bytes(100));
    a = pool_take(&p, 100, &a);
    b = pool_take(&p, 100, &b);
    c = pool_take(&p, 100, &c);
    d = pool_take(&p, 100, &d);
    assert_true(a && b && c && d);
    memset(c, 'c', 100);
    memset(d, 'd', 100);
    assert_null(pool_take(&p, 1, &a));
    pool_give(b);
    pool_trim(a, 10);
    assert_null(pool_take(&p, 100, &b)); /* the hole is not used as it is */
    pool_compact(&p);
    b = pool_take(&p, 100, &b);
    assert_non_null(b);
    for (int n = 0; n < 100; n++)
        assert_true(c[n] == 'c' && d[n] == 'd' && b[n] == 0);
    pool_give(NULL);
}

/* Whatever comes and goes, each owner finds its own. */
static void test_random(void **state)
{
    struct pool p;
    struct rng r;
    uint64_t *blocks[16] = { NULL };
    size_t words[16] = { 0 };
    pool_init(&p, memory, sizeof(memory));
    rng_init(&r, 5);
    for (int round = 0; round < 20000; round++) {
        uint32_t n = (uint32_t)rng_below(&r, ARRAY_LEN(blocks));
        if (blocks[n]) {
            for (size_t k = 0; k < words[n]; k++)
                assert_int_equal(blocks[n][k], n + 1);
            pool_give(blocks[n]);
            blocks[n] = NULL;
            continue;
        }
        words[n] = 1 + rng_below(&r, 40);
        blocks[n] = pool_take(&p, words[n] * 8, &blocks[n]);
        if (!blocks[n]) {
            pool_compact(&p);
            blocks[n] = pool_take(&p, words[n] * 8, &blocks[n]);
        }
        for (size_t k = 0; blocks[n] && k < words[n]; k++) {
            assert_int_equal(blocks[n][k], 0);
            blocks[n][k] = n + 1;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holes_close),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
