/* Bins by the leading bits of a double: its exponent and four bits of its mantissa. It must not
 * need a logarithm. */
#include "core/logbins.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/util.h"

#define SHIFT 48                                           /* leaves exponent and four bits */
#define FIRST ((uint64_t)(1023 - LOGBINS_LEAST_LOG2) << 4) /* of LOGBINS_LEAST */
static_assert(LOGBINS_PARTS == 1 << 4, "four bits");

static uint32_t bin_of(double value)
{
    uint64_t bits;
    if (!(value > LOGBINS_LEAST))
        return 0;
    memcpy(&bits, &value, sizeof(bits));
    return (uint32_t)MIN((bits >> SHIFT) - FIRST + 1, (uint64_t)LOGBINS_COUNT - 1);
}

static double upper_edge(uint32_t bin)
{
    double edge;
    uint64_t bits = (FIRST + bin) << SHIFT;
    if (bin == 0)
        return 0;
    memcpy(&edge, &bits, sizeof(edge));
    return edge;
}

void logbins_add(struct logbins *b, double value, double weight)
{
    b->weight[bin_of(value)] += weight;
}

/* Neither a weight nor nonsense from a file is in the four bins up to this one. */
static bool are_empty(const struct logbins *b, uint32_t last)
{
    uint64_t bits[4];
    memcpy(bits, &b->weight[last - 3], sizeof(bits));
    return (bits[0] | bits[1] | bits[2] | bits[3]) == 0;
}

double logbins_edge_below(const struct logbins *b, double weight, double *ret_above)
{
    uint32_t bin = LOGBINS_COUNT - 1;
    double above = 0;
    for (; bin > 0 && above <= weight; bin--) {
        while (bin > 4 && are_empty(b, bin)) /* most are: no sum to wait for */
            bin -= 4;
        if (!(above + b->weight[bin] <= weight))
            break;
        above += b->weight[bin];
    }
    *ret_above = above;
    return upper_edge(bin);
}

void logbins_fade(struct logbins *b, double factor, double forget)
{
    for (uint32_t i = 0; i < LOGBINS_COUNT; i++) {
        b->weight[i] *= factor;
        if (!(b->weight[i] >= forget))
            b->weight[i] = 0;
    }
}

void logbins_stretch(struct logbins *b, double ratio)
{
    struct logbins old = *b;
    int32_t by = (int32_t)bin_of(ratio) - (int32_t)bin_of(1);
    memset(b, 0, sizeof(*b));
    b->weight[0] = old.weight[0];
    for (int32_t i = 1; i < LOGBINS_COUNT; i++)
        b->weight[CLAMP(i + by, 0, LOGBINS_COUNT - 1)] += old.weight[i];
}
