/* Sorting against qsort, on arrays made to be awkward. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/sort.h"
#include "base/util.h"

#define N_MAX 200

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

enum shape { RANDOM, FEW_VALUES, EQUAL, UP, DOWN, ORGAN_PIPE, ONE_LARGE, INFINITE, SHAPE_COUNT };

static double value_at(enum shape shape, struct rng *rng, size_t i, size_t n)
{
    switch (shape) {
    case RANDOM:
        return rng_unit(rng) - 0.5;
    case FEW_VALUES:
        return (double)rng_below(rng, 3);
    case EQUAL:
        return 7;
    case UP:
        return (double)i;
    case DOWN:
        return -(double)i;
    case ORGAN_PIPE:
        return (double)MIN(i, n - i);
    case ONE_LARGE:
        return i == n - 1 ? 1e300 : (double)rng_below(rng, 2);
    default:
        return rng_below(rng, 2) ? __builtin_inf() : -__builtin_inf();
    }
}

/* Every k of every shape at every small length: the block is exactly as large as the array. */
static void selects_as_sorting_would(void **state)
{
    struct rng rng;
    rng_init(&rng, 11);
    for (int shape = RANDOM; shape < SHAPE_COUNT; shape++) {
        for (size_t n = 1; n <= 40; n++) {
            double given[N_MAX], sorted[N_MAX];
            for (size_t i = 0; i < n; i++)
                given[i] = value_at((enum shape)shape, &rng, i, n);
            memcpy(sorted, given, sizeof(given));
            qsort(sorted, n, sizeof(double), compare);
            for (size_t k = 0; k < n; k++) {
                double *copy = malloc(n * sizeof(double));
                memcpy(copy, given, n * sizeof(double));
                assert_true(sort_select(copy, n, k) == sorted[k]);
                qsort(copy, n, sizeof(double), compare); /* nothing lost, nothing doubled */
                assert_memory_equal(copy, sorted, n * sizeof(double));
                free(copy);
            }
        }
    }
}

static void selects_in_long_arrays(void **state)
{
    struct rng rng;
    rng_init(&rng, 12);
    for (int shape = RANDOM; shape < SHAPE_COUNT; shape++) {
        size_t n = 20000;
        double *values = malloc(n * sizeof(double)), *sorted = malloc(n * sizeof(double));
        for (size_t i = 0; i < n; i++)
            values[i] = value_at((enum shape)shape, &rng, i, n);
        memcpy(sorted, values, n * sizeof(double));
        qsort(sorted, n, sizeof(double), compare);
        assert_true(sort_select(values, n, n / 2) == sorted[n / 2]);
        assert_true(sort_select(values, n, n - 1) == sorted[n - 1]);
        assert_true(sort_select(values, n, n * 99 / 100) == sorted[n * 99 / 100]);
        free(values);
        free(sorted);
    }
}

static void survives_nan(void **state)
{
    struct rng rng;
    rng_init(&rng, 13);
    for (int round = 0; round < 20000; round++) {
        size_t n = 1 + rng_below(&rng, 9);
        double *values = malloc(n * sizeof(double));
        for (size_t i = 0; i < n; i++)
            values[i] = rng_below(&rng, 2) ? __builtin_nan("") : (double)rng_below(&rng, 3);
        sort_select(values, n, rng_below(&rng, n));
        free(values);
    }
}

struct pair {
    int key, order;
    char rest[40];
};

static int key_before(const void *a, const void *b, void *ctx)
{
    ++*(int *)ctx;
    return ((const struct pair *)a)->key < ((const struct pair *)b)->key;
}

static void sorts_and_keeps_the_order_of_equals(void **state)
{
    struct rng rng;
    rng_init(&rng, 14);
    for (size_t n = 0; n <= 60; n++) {
        struct pair pairs[60];
        int calls = 0;
        for (size_t i = 0; i < n; i++)
            pairs[i] = (struct pair){ .key = (int)rng_below(&rng, 5), .order = (int)i };
        sort_stable(pairs, n, sizeof(pairs[0]), key_before, &calls);
        for (size_t i = 1; i < n; i++)
            assert_true(pairs[i - 1].key < pairs[i].key ||
                        (pairs[i - 1].key == pairs[i].key && pairs[i - 1].order < pairs[i].order));
        assert_true(calls > 0 || n < 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(selects_as_sorting_would),
        cmocka_unit_test(selects_in_long_arrays),
        cmocka_unit_test(survives_nan),
        cmocka_unit_test(sorts_and_keeps_the_order_of_equals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
