/* Insertion sort and quickselect (Hoare's FIND with a median-of-three pivot). */
#include "base/sort.h"

#include <assert.h>
#include <string.h>

#include "base/util.h"

void sort_stable(void *items, size_t count, size_t bytes_each,
                 int (*before)(const void *a, const void *b, void *ctx), void *ctx)
{
    char *base = items;
    char held[512];
    assert(bytes_each <= sizeof(held));
    for (size_t i = 1; i < count; i++) {
        size_t j = i;
        memcpy(held, base + i * bytes_each, bytes_each);
        while (j > 0 && before(held, base + (j - 1) * bytes_each, ctx)) {
            memcpy(base + j * bytes_each, base + (j - 1) * bytes_each, bytes_each);
            j--;
        }
        memcpy(base + j * bytes_each, held, bytes_each);
    }
}

static double median3(double a, double b, double c)
{
    if ((a <= b) == (b <= c))
        return b;
    return (b <= a) == (a <= c) ? a : c;
}

double sort_select(double *values, size_t n, size_t k)
{
    assert(k < n);
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        double pivot = median3(values[lo], values[lo + (hi - lo) / 2], values[hi]);
        size_t i = lo, j = hi;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (pivot < values[j])
                j--;
            if (i >= j)
                break;
            double t = values[i];
            values[i++] = values[j];
            values[j--] = t;
        }
        size_t end = MIN(j, hi - 1); /* [lo..end] <= pivot <= [end+1..hi], and both shrink */
        if (k <= end)
            hi = end;
        else
            lo = end + 1;
    }
    return values[k];
}
