/* What drivers say of the services they run: it lasts until they say that it is over, and is shown
 * in the status as long. */
#include <string.h>

#include "base/str.h"
#include "controller/controller_int.h"

void controller_note_driver(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    struct controller *c = ctx;
    char *kept = c->driver_trouble[MIN(slot, (uint32_t)MODEL_SERVICES_MAX)];
    size_t room = sizeof(c->driver_trouble[0]);
    char news[sizeof(c->driver_trouble[0])];
    fmt(news, sizeof(news), "%s", trouble ? text : "");
    str_clean(news);
    if (strcmp(kept, news) == 0)
        return; /* no news */
    str_copy(kept, room, news);
    controller_note_trouble(c, slot, trouble, text);
}
