/* The core's time: the monotonic clock plus an offset, so that it goes on over a reboot, which sets
 * that clock back, and over taking another machine's journal, which has a clock of its own. So
 * nothing that rules have learnt is older or younger than it was. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "controller/controller_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

int64_t controller_now(const struct controller *c)
{
    return clock_now_us() + c->clock_offset_us;
}

void core_time_init(struct controller *c)
{
    _cleanup_close_ int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, c->boot, sizeof(c->boot) - 1);
    c->boot[MAX(n, 0)] = '\0';
    c->boot[strcspn(c->boot, "\n")] = '\0';
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
    if (strcmp(clock->boot, c->boot) == 0)
        c->clock_offset_us = MAX(clock->offset_us, us_sub(now_us, clock_now_us()));
    else
        core_time_set(c, us_add(now_us, MAX(us_sub(clock_wall_us(), wall_us), 0)));
}
