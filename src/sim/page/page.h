/* A run, or several to compare, as one HTML file that needs nothing else: load, capacity, requests,
 * latency, instances and cost over time, the decisions with their reasons, the score and what its
 * words mean. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct run_options;
struct run_result;

struct page_run {
    const char *name, *help; /* NULL = the policy's */
    const struct run_options *options;
    const struct run_result *result; /* with points and decisions */
};

/* One candidate of a search: a dot in a chart of violations against instance-hours. */
struct page_dot {
    double violations, instance_hours;
    bool front; /* nothing is better in both */
    const char *label;
};

struct page {
    const char *title;
    uint32_t run_count; /* at least 1, all of the same trace */
    const struct page_run *runs;
    uint32_t dot_count; /* 0 = no such chart */
    const struct page_dot *dots;
};

#define PAGE_DECISIONS_MAX 20000 /* of a run; the first, and the page says how many there were */

/* 0, or -EIO. Texts may be anything: they are escaped. */
int page_write(const struct page *p, FILE *out);
