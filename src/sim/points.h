/* Measured points as people keep them: a row "instances, throughput" each, with commas, semicolons,
 * tabs or blanks between, a header or none, and comment lines that begin with '#'. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/usl.h"

#define POINTS_MAX 1000
#define POINTS_BAD_MAX 8

/* A row that was not taken. */
struct points_bad {
    uint32_t line;
    char reason[80];
};

struct points {
    uint32_t count;
    struct usl_point point[POINTS_MAX];
    uint32_t bad_count; /* all; the first POINTS_BAD_MAX are kept */
    struct points_bad bad[POINTS_BAD_MAX];
};

void points_read(const char *text, size_t length, struct points *ret);
