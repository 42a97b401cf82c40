/* The ziggurat of Marsaglia and Tsang, "The ziggurat method for generating random variables", 2000:
 * the area under e^-x in layers of equal size. A point drawn within a layer is nearly always under
 * the curve for sure; exp is asked only near the edge. */
#include "sim/request/request_exponential.h"

#include "base/math.h"

/* For 256 layers: where the lowest one's tail begins, and the size of each. */
#define TAIL 7.69711747013104972
#define SIZE 0.0039496598225815571993
#define LAYERS REQUEST_EXPONENTIAL_LAYERS

void request_exponential_init(struct request_exponential *e)
{
    e->x[0] = SIZE / math_exp(-TAIL); /* as wide as if the tail were a rectangle too */
    e->x[1] = TAIL;
    for (int i = 2; i < LAYERS; i++)
        e->x[i] = -math_log(math_exp(-e->x[i - 1]) + SIZE / e->x[i - 1]);
    e->x[LAYERS] = 0;
    for (int i = 0; i <= LAYERS; i++)
        e->f[i] = math_exp(-e->x[i]);
}

double request_exponential_draw(const struct request_exponential *e, struct rng *r)
{
    double before = 0; /* what a visit to the tail has added: it has no memory */
    for (;;) {
        uint64_t bits = rng_u64(r);
        uint32_t layer = bits % LAYERS;
        double x = (double)(bits >> 11) * 0x1.0p-53 * e->x[layer];
        if (x < e->x[layer + 1])
            return before + x;
        if (layer == 0) {
            before += TAIL;
            continue;
        }
        double height = rng_unit(r);
        if (e->f[layer] + height * (e->f[layer + 1] - e->f[layer]) < math_exp(-x))
            return before + x;
    }
}
