/* Counts consecutive failures over all loops. Loops eject; the main thread reports and lets back.
 */
#include "proxy/eject.h"

#include "proxy/gauges.h"
#include "proxy/loop.h"

void eject_note_failure(struct loop *l, struct backend *b, enum eject_reason reason)
{
    struct shared_instance *i = &l->shared->instances[b->conf.slot];
    atomic_fetch_add_explicit(&l->shared->gauges->instance[b->conf.slot].errors, 1,
                              memory_order_relaxed);
    uint32_t failures = atomic_fetch_add(&i->failures, 1) + 1;
    uint32_t limit = b->service->conf.eject_failures;
    int64_t not_ejected = 0;
    if (limit == 0 || failures < limit || b->gone)
        return;
    if (!atomic_compare_exchange_strong(&i->eject_until_us, &not_ejected,
                                        us_add(l->now_us, b->service->conf.eject_us)))
        return;
    atomic_store(&i->reason, (uint32_t)reason);
    atomic_fetch_add(&l->shared->eject_epoch, 1);
    shared_tell_main(l->shared);
}

void eject_note_success(struct loop *l, struct backend *b)
{
    struct shared_instance *i = &l->shared->instances[b->conf.slot];
    if (atomic_load_explicit(&i->failures, memory_order_relaxed) != 0)
        atomic_store(&i->failures, 0);
}

const char *eject_reason_text(enum eject_reason reason)
{
    static const char *const texts[] = {
        [EJECT_NONE] = "",
        [EJECT_CONNECT] = "connections fail",
        [EJECT_TIMEOUT] = "no answer in time",
        [EJECT_BROKEN] = "broken answers",
    };
    return texts[reason];
}
