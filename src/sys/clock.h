/* The only place that reads clocks. */
#pragma once

#include <stdint.h>

int64_t clock_now_us(void);  /* CLOCK_MONOTONIC */
int64_t clock_wall_us(void); /* CLOCK_REALTIME, since 1970 */
int64_t clock_boot_us(void); /* CLOCK_BOOTTIME */
/* Another one after each boot of the machine; "unknown" where the kernel does not say. */
const char *clock_boot_id(void);
