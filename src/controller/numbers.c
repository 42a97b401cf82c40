/* Numbers for instances that an engine names itself. */
#include <string.h>

#include "controller/controller_int.h"

static uint32_t highest(const struct controller *c, uint32_t slot)
{
    struct service_view v;
    uint32_t top = c->number_top[slot];
    if (control_view(c->control, slot, &v))
        for (uint32_t i = 0; i < v.instance_count; i++) /* those that are gone have theirs still */
            top = MAX(top, v.instances[i].number);
    for (size_t k = 0; k < c->fleet.cap; k++)
        if (c->fleet.items[k].service == slot)
            top = MAX(top, c->fleet.items[k].number);
    return top;
}

/* Kept in the fleet at once: the engine may be asked twice before its FOUND has been taken. */
uint32_t controller_number_of(void *ctx, uint32_t slot, const char *ref)
{
    struct controller *c = ctx;
    for (size_t k = 0; k < c->fleet.cap; k++) {
        const struct fleet_instance *i = &c->fleet.items[k];
        if (i->number != 0 && i->service == slot && strcmp(i->ref, ref) == 0)
            return i->number;
    }
    c->number_top[slot] = highest(c, slot) + 1;
    struct journal_place place = { .service = slot, .number = c->number_top[slot], .ref = ref };
    fleet_place(&c->fleet, &place);
    return c->number_top[slot];
}
