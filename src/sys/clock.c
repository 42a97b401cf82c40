/* Reading clocks. */
#include "sys/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "base/us.h"
#include "sys/mem.h"

static int64_t read_clock(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

int64_t clock_now_us(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t clock_wall_us(void)
{
    return read_clock(CLOCK_REALTIME);
}

int64_t clock_boot_us(void)
{
    return read_clock(CLOCK_BOOTTIME);
}

const char *clock_boot_id(void)
{
    static char id[40];
    if (id[0])
        return id;
    _cleanup_fclose_ FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || fscanf(f, "%39s", id) != 1)
        str_copy(id, sizeof(id), "unknown");
    return id;
}
