/* How `plimsoll test` tells what came out: one format, one const table. */
#pragma once

#include <stdio.h>

#include "sim/policytest/policytest.h"

struct test_totals {
    uint32_t tests, failed;
};

/* A file that could not be tested, and why. */
struct test_broken {
    const char *path;
    uint32_t error_count; /* at least 1 */
    const struct err *errors;
};

struct test_report {
    const char *name; /* the option that asks for it; "" = for people */
    void (*begin)(FILE *out);
    /* `number` counts over all files, from 1. */
    void (*test)(FILE *out, uint32_t number, const char *path, const struct policytest *t,
                 const struct policytest_result *r);
    /* What test() wrote of one file is in `body`. */
    void (*file)(FILE *out, bool first, const char *path, const struct test_totals *of_file,
                 const char *body);
    void (*end)(FILE *out, const struct test_totals *all, const struct test_broken *broken,
                size_t broken_count);
};

extern const struct test_report test_report_people, test_report_tap, test_report_junit,
    test_report_json;

/* Expected against got, or the test's mistake, the moves until then and what `why` would show, each
 * line behind `indent`. */
void test_report_failure(FILE *out, const char *indent, const char *path,
                         const struct policytest *t, const struct policytest_result *r);
