/* What drivers say of the services they run: it lasts until they say that it is over, and is shown
 * in the status as long. */
#include <string.h>

#include "controller/controller_int.h"

void controller_note_driver(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    struct controller *c = ctx;
    char *kept = c->driver_trouble[MIN(slot, (uint32_t)MODEL_SERVICES_MAX)];
    size_t room = sizeof(c->driver_trouble[0]);
    if (trouble ? strncmp(kept, text, room - 1) == 0 : !kept[0])
        return; /* no news */
    fmt(kept, room, "%s", trouble ? text : "");
    controller_note_trouble(c, slot, trouble, text);
}
