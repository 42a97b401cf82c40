/* What a rehearsal leaves out of a configuration, and that it says so. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "sim/subset.h"

static struct service_conf services[2];
static struct model_conf model;

static int prepare(void **state)
{
    services[0] = (struct service_conf){
        .name = "web",
        .mode = SERVICE_ADVISE,
        .min = 1,
        .max = 9,
        .budget = 0,
        .cost = 0.1,
        .metric_count = 1,
        .metrics = { { .name = "backlog" } },
    };
    services[1] = (struct service_conf){ .name = "database", .budget = -1 };
    model = (struct model_conf){
        .service_count = 2,
        .services = services,
        .budget_count = 1,
        .budgets = { { .name = "tier", .per_hour = 0.3 } },
    };
    return 0;
}

static void add_target(const char *name, enum metric m)
{
    struct rule_conf *r = &services[0].rules[services[0].rule_count++];
    *r = (struct rule_conf){ .kind = RULE_TARGET, .target = { .metric = { .metric = m } } };
    strcpy(r->name, name);
}

static void add_ratio(void)
{
    struct rule_conf *r = &services[0].rules[services[0].rule_count++];
    *r = (struct rule_conf){ .kind = RULE_RATIO, .ratio = { .service = "database", .per = 4 } };
    strcpy(r->name, "ratio");
}

static void expect_notes(const struct subset *s, uint32_t count, const char *const *words)
{
    assert_int_equal(s->note_count, count);
    for (uint32_t n = 0; n < count; n++) {
        if (!strstr(s->notes[n], words[n]))
            fail_msg("\"%s\" is not in \"%s\"", words[n], s->notes[n]);
    }
}

static void test_all_of_it(void **state)
{
    struct subset s;
    struct err err;
    add_target("target cpu", METRIC_CPU);
    add_target("target latency", METRIC_LATENCY_P95);
    assert_int_equal(subset_take(&model, 0, &s, &err), 0);
    expect_notes(&s, 0, NULL);
    assert_int_equal(s.service.rule_count, 2);
    assert_int_equal(s.service.budget, 0); /* its own */
    assert_int_equal(s.service.mode, SERVICE_AUTO);
    assert_int_equal(s.model.service_count, 1);
    assert_ptr_equal(s.model.services, &s.service);
    assert_int_equal(s.model.budget_count, 1);
}

static void test_what_is_left_out_is_said(void **state)
{
    static const char *const words[] = { "budget \"tier\" is left out: it is shared with database",
                                         "after is left out: database",
                                         "rule \"queue\" is left out: backlog does not follow",
                                         "rule \"memory\" is left out: memory does not follow",
                                         "rule \"ratio\" is left out: database is not simulated" };
    struct subset s;
    struct err err;
    services[1].budget = 0;
    services[0].after_count = 1;
    strcpy(services[0].after[0], "database");
    add_target("queue", METRIC_CUSTOM);
    add_target("memory", METRIC_MEMORY);
    add_target("target", METRIC_CONCURRENCY);
    add_ratio();
    assert_int_equal(subset_take(&model, 0, &s, &err), 0);
    expect_notes(&s, ARRAY_LEN(words), words);
    assert_int_equal(s.service.rule_count, 1);
    assert_string_equal(s.service.rules[0].name, "target");
    assert_int_equal(s.service.budget, -1);
    assert_int_equal(s.service.after_count, 0);
}

static void test_nothing_is_left(void **state)
{
    struct subset s;
    struct err err;
    add_target("queue", METRIC_CUSTOM);
    assert_int_equal(subset_take(&model, 0, &s, &err), -EINVAL);
    assert_non_null(strstr(err.text, "backlog"));
}

/* They would be told 0 where nothing is known. */
static void test_connections_and_errors_are_no_load(void **state)
{
    struct subset s;
    struct err err;
    add_target("errors", METRIC_ERRORS);
    add_target("connections", METRIC_CONNECTIONS);
    assert_int_equal(subset_take(&model, 0, &s, &err), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_all_of_it, prepare),
        cmocka_unit_test_setup(test_what_is_left_out_is_said, prepare),
        cmocka_unit_test_setup(test_nothing_is_left, prepare),
        cmocka_unit_test_setup(test_connections_and_errors_are_no_load, prepare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
