/* Which faults, and when they strike. What they do is the world's. */
#include "sim/faults.h"

#include "base/util.h"

void faults_init(struct faults *f, struct rng *r)
{
    f->on = 0;
    uint64_t density = rng_below(r, 4); /* none, few, half, most */
    for (unsigned k = 0; k < FAULT_LATER; k++) {
        if (rng_below(r, 4) < density)
            f->on |= BIT(k);
    }
}

void faults_init_later(struct faults *f, struct rng *r)
{
    for (unsigned k = FAULT_LATER; k < FAULT_ENGINE; k++) {
        if (rng_below(r, 3) == 0)
            f->on |= BIT(k);
    }
}

void faults_init_engine(struct faults *f, struct rng *r)
{
    for (unsigned k = FAULT_ENGINE; k < FAULT_KIND_MAX; k++) {
        if (rng_below(r, 2) == 0)
            f->on |= BIT(k);
    }
}

bool fault_on(const struct faults *f, enum fault_kind k)
{
    return f->on & BIT(k);
}

bool fault_hits(const struct faults *f, struct rng *r, enum fault_kind k, uint32_t one_in)
{
    return fault_on(f, k) && rng_below(r, one_in) == 0;
}
