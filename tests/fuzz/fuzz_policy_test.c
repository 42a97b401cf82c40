/* Any bytes as a file of policies' tests: refused with a place and a reason, or tests that run,
 * end, and come out the same twice. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "sim/policytest/policytest.h"
#include "sys/mem.h"

#define SERVICES_MAX 3
#define SPAN_US (5 * US_PER_MIN) /* longer tests are read and not run: they only take longer */
#define INSTANCES_MAX 50

static bool is_short(const struct policytest *t)
{
    if (t->kind != POLICYTEST_DECIDE)
        return true;
    if (t->config->service_count > SERVICES_MAX || t->every_us < US_PER_S ||
        t->entries[t->entry_count - 1].at_us > SPAN_US)
        return false;
    for (uint32_t i = 0; i < t->config->service_count; i++) {
        const struct policytest_start *s = &t->starts[i];
        if (s->instance_count + t->config->model.services[i].max > INSTANCES_MAX)
            return false;
        for (uint32_t p = 0; p < s->past_count; p++)
            if (s->pasts[p].count > 100)
                return false;
    }
    return true;
}

static void run(const struct policytest *t)
{
    struct policytest_result *results = calloc(2, sizeof(*results));
    assert(results);
    for (int i = 0; i < 2; i++)
        assert(policytest_run(t, &results[i]) == 0);
    assert(results[0].passed == results[1].passed);
    assert(results[0].passed || results[0].expected[0] != '\0' || results[0].mistake[0] != '\0');
    assert(strcmp(results[0].mistake, results[1].mistake) == 0);
    assert(strcmp(results[0].expected, results[1].expected) == 0);
    assert(strcmp(results[0].got, results[1].got) == 0);
    assert(strcmp(results[0].decision.summary, results[1].decision.summary) == 0);
    free(results);
}

static void check_errors(const char *text, const struct err *errors, size_t count)
{
    char buf[2048];
    assert(count >= 1 && count <= 4);
    for (size_t i = 0; i < count; i++) {
        struct str out;
        str_init(&out, buf, sizeof(buf));
        assert(errors[i].place[0] != '\0' && errors[i].text[0] != '\0');
        config_show_error(text, &errors[i], &out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err errors[4];
    size_t count = 0;
    struct policytest_file file;
    _cleanup_arena_ struct arena arena = { 0 };
    _cleanup_free_ char *text = malloc(size + 1);
    assert(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    mem_arena_init(&arena, (size_t)64 << 20);
    int rc = policytest_read(&arena, "fuzz", text, size, NULL, NULL, &file, errors,
                             ARRAY_LEN(errors), &count);
    if (rc < 0) {
        check_errors(text, errors, count);
        return 0;
    }
    for (uint32_t i = 0; i < file.test_count && i < 8; i++)
        if (is_short(&file.tests[i]))
            run(&file.tests[i]);
    return 0;
}
