/* Sorting that gives the same order on every machine: a stable insertion sort for short arrays,
 * and selection of the k-th smallest of doubles for percentiles. */
#pragma once

#include <stddef.h>

/* Stable. `before(a, b, ctx)` is a strict weak order. O(n^2) moves: for at most some hundreds. */
void sort_stable(void *items, size_t count, size_t bytes_each,
                 int (*before)(const void *a, const void *b, void *ctx), void *ctx);

/* The k-th smallest (0-based) of n > k values; reorders the array. O(n) on average. With nan among
 * them it still ends and answers with one of the values, but with which is not defined. */
double sort_select(double *values, size_t n, size_t k);
