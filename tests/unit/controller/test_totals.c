/* Counters over proxy lives: they never go back, and begin anew with a new service. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "controller/controller_int.h"
#include "controller/network.h"

static struct totals totals;
static struct totals_service got;

static struct gauges *life(uint64_t requests)
{
    struct gauges *g = calloc(1, sizeof(*g));
    g->loops = 2;
    g->loop[0][5].requests = requests;
    g->loop[1][5].requests = requests;
    g->loop[1][5].responses[2] = 2 * requests;
    g->loop[1][5].latency[40] = requests;
    return g;
}

static void test_lives_add_up(void **state)
{
    struct gauges *first = life(10), *second = life(1);
    totals = (struct totals){ 0 };
    totals_read(&totals, first, 5, &got);
    assert_int_equal(got.requests, 20);
    totals_fold(&totals, first);
    totals_read(&totals, NULL, 5, &got);
    assert_int_equal(got.requests, 20);
    totals_read(&totals, second, 5, &got);
    assert_int_equal(got.requests, 22);
    assert_int_equal(got.responses[2], 22);
    assert_int_equal(got.latency[40], 11);
    free(first);
    free(second);
}

static void test_a_forgotten_service_leaves_nothing(void **state)
{
    struct gauges *g = life(10);
    totals = (struct totals){ 0 };
    totals_fold(&totals, g);
    totals_forget(&totals, g, 5);
    totals_read(&totals, g, 5, &got);
    assert_int_equal(got.requests, 0);
    assert_int_equal(got.responses[2], 0);
    assert_int_equal(got.latency[40], 0);
    g->loop[0][5].requests += 3;
    totals_read(&totals, g, 5, &got);
    assert_int_equal(got.requests, 3);
    free(g);
}

static void test_networks(void **state)
{
    static const struct {
        const char *text;
        int rc;
        uint8_t bits;
    } cases[] = {
        { "127.0.0.1", 0, 128 },       { "10.0.0.0/8", 0, 104 }, { "0.0.0.0/0", 0, 96 },
        { "fd00::/8", 0, 8 },          { "::1", 0, 128 },        { "10.0.0.0/33", -EINVAL, 0 },
        { "fd00::/129", -EINVAL, 0 },  { "10.0.0", -EINVAL, 0 }, { "10.0.0.0/", -EINVAL, 0 },
        { "10.0.0.0/-1", -EINVAL, 0 }, { "", -EINVAL, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct snapshot_network net = { 0 };
        assert_int_equal(network_parse(cases[i].text, &net), cases[i].rc);
        assert_int_equal(net.prefix_bits, cases[i].bits);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lives_add_up),
        cmocka_unit_test(test_a_forgotten_service_leaves_nothing),
        cmocka_unit_test(test_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
