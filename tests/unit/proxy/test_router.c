/* Host before path, exact before wildcard before any, the longest first; unknown hosts told apart
 * from unknown paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/util.h"
#include "proxy/router.h"
#include "proxy/service.h"

static struct service services[] = {
    { .conf = { .name = "any", .path = "/" } },
    { .conf = { .name = "any-api", .path = "/api" } },
    { .conf = { .name = "wild", .host_count = 1, .host = { "*.example" } } },
    { .conf = { .name = "wilder", .host_count = 1, .host = { "*.shop.example" } } },
    { .conf = { .name = "exact", .host_count = 2, .host = { "shop.example", "b.example" } } },
    { .conf = { .name = "exact-api",
                .host_count = 1,
                .host = { "shop.example" },
                .path = "/api/" } },
};

static void test_order(void **state)
{
    static const struct {
        const char *host, *path, *wanted;
    } rows[] = {
        { "nowhere", "/", "any" },
        { "", "/", "any" },
        { "nowhere", "/api", "any-api" },
        { "nowhere", "/api/x", "any-api" },
        { "nowhere", "/apix", "any" },
        { "a.example", "/api", "wild" },
        { "example", "/", "any" },
        { ".example", "/", "any" },
        { "a.shop.example", "/", "wilder" },
        { "shop.example", "/", "exact" },
        { "SHOP.Example", "/", "exact" },
        { "shop.example.", "/", "exact" },
        { "b.example", "/api", "exact" },
        { "shop.example", "/api/", "exact-api" },
        { "shop.example", "/api", "exact-api" },
        { "shop.example", "/api2", "exact" },
    };
    struct service *list[ARRAY_LEN(services)];
    struct site site = { .services = list, .count = ARRAY_LEN(services) };
    for (size_t i = 0; i < ARRAY_LEN(services); i++)
        list[i] = &services[i];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = 0;
        struct service *s =
            router_find(&site, slice_of(rows[i].host), slice_of(rows[i].path), &status);
        assert_non_null(s);
        if (strcmp(s->conf.name, rows[i].wanted) != 0)
            fail_msg("row %zu: %s, wanted %s", i, s->conf.name, rows[i].wanted);
    }
}

static void test_none(void **state)
{
    struct service *list[] = { &services[5] };
    struct site site = { .services = list, .count = 1 };
    int status = 0;
    assert_null(router_find(&site, SLICE("shop.example"), SLICE("/"), &status));
    assert_int_equal(status, 404);
    assert_null(router_find(&site, SLICE("other.example"), SLICE("/api"), &status));
    assert_int_equal(status, 421);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_order), cmocka_unit_test(test_none) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
