/* Measured points from any bytes: what is taken is positive and finite, and can be fitted or not,
 * but never breaks the fit. */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "core/usl.h"
#include "sim/points.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct points p;
    struct usl u;
    double r2;
    points_read((const char *)data, size, &p);
    for (uint32_t i = 0; i < p.count; i++)
        assert(p.point[i].n > 0 && p.point[i].throughput > 0);
    if (usl_fit(p.point, p.count, &u, &r2) == 0)
        assert(u.alpha >= 0 && u.beta >= 0 && u.gamma > 0);
    return 0;
}
