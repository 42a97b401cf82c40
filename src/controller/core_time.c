/* The core's time: the monotonic clock plus an offset, so that it goes on over a reboot, which sets
 * that clock back, and over taking another machine's journal, which has a clock of its own. So
 * nothing that rules have learnt is older or younger than it was. */
#include <string.h>

#include "controller/controller_int.h"
#include "sys/clock.h"

int64_t controller_now(const struct controller *c)
{
    return clock_now_us() + c->clock_offset_us;
}

void core_time_set(struct controller *c, int64_t now_us)
{
    c->clock_offset_us = us_sub(now_us, clock_now_us());
}

void core_time_resume(struct controller *c, const struct journal_clock *clock, int64_t now_us,
                      int64_t wall_us)
{
    if (!clock->boot[0]) /* older than clocks: RESTART recognises another boot */
        return;
    if (strcmp(clock->boot, clock_boot_id()) == 0)
        c->clock_offset_us = MAX(clock->offset_us, us_sub(now_us, clock_now_us()));
    else
        core_time_set(c, us_add(now_us, MAX(us_sub(clock_wall_us(), wall_us), 0)));
}
