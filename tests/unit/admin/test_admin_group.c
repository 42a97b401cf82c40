/* What members of a group ask of each other, and who may ask it. */
#include "unit/admin/world.h"

#define WITH_TOKEN "Host: localhost\r\nAuthorization: Bearer sesame\r\n"
#define WITH_ANOTHER "Host: localhost\r\nAuthorization: Bearer sesam\r\n"

static void test_who_may_look(void **state)
{
    static const struct {
        const char *path, *token, *headers;
        int local, tcp;
    } cases[] = {
        { "/v1/gauges", "sesame", NULL, 200, 401 },
        { "/v1/gauges", "sesame", WITH_TOKEN, 200, 200 },
        { "/v1/gauges", "sesame", WITH_ANOTHER, 200, 401 },
        { "/v1/gauges", NULL, NULL, 200, 403 },
        { "/v1/gauges", NULL, WITH_TOKEN, 200, 401 },
        { "/v1/journal", "sesame", NULL, 200, 401 },
        { "/v1/journal", "sesame", WITH_TOKEN, 200, 200 },
        { "/v1/journal", NULL, NULL, 200, 403 },
        { "/v1/status", "sesame", NULL, 200, 200 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char address[64];
        int port = world_free_port();
        snprintf(address, sizeof(address), "127.0.0.1:%d", port);
        world_open_admin(address, cases[i].token);
        int local = world_ask(0, "GET", cases[i].path, NULL, "", NULL);
        int tcp = world_ask(port, "GET", cases[i].path, cases[i].headers, "", NULL);
        if (local != cases[i].local || tcp != cases[i].tcp)
            fail_msg("case %zu: %d and %d", i, local, tcp);
        admin_close(world.admin);
        world.admin = NULL;
    }
}

static void test_journal(void **state)
{
    static const struct {
        const char *path;
        int status;
        uint64_t segment, offset;
        const char *answer;
    } cases[] = {
        { "/v1/journal", 200, 0, 0, "X-Plimsoll-Segment: 4\r\nX-Plimsoll-Offset: 14\r\n" },
        { "/v1/journal?segment=3&offset=0", 200, 3, 0,
          "X-Plimsoll-Segment: 4\r\nX-Plimsoll-Offset: 0\r\n" },
        { "/v1/journal?segment=4&offset=14", 200, 4, 14, "Content-Length: 0\r\n" },
        { "/v1/journal?segment=3", 200, 3, 0, "\r\n\r\n{\"segment\":3}\n" },
        { "/v1/journal?segment=2", 404, 2, 0, "is gone" },
        { "/v1/journal?segment=9", 503, 9, 0, "cannot be read" },
        { "/v1/journal?segment=x", 400, 0, 0, "a whole number" },
        { "/v1/journal?offset=-1", 400, 0, 0, "a whole number" },
    };
    world_open_admin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char request[256], status[32];
        world.told_segment = world.told_offset = 0;
        int n = snprintf(request, sizeof(request),
                         "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                         cases[i].path);
        char *answer = world_talk(0, request, (size_t)n);
        snprintf(status, sizeof(status), "HTTP/1.1 %d ", cases[i].status);
        if (strncmp(answer, status, strlen(status)) != 0 || !strstr(answer, cases[i].answer))
            fail_msg("%s: %s", cases[i].path, answer);
        assert_int_equal(world.told_segment, cases[i].segment);
        assert_int_equal(world.told_offset, cases[i].offset);
        free(answer);
    }
}

static void test_bell(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *member;
        uint32_t slot, in_flight, queued;
    } cases[] = {
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"in_flight\":7,\"queued\":2}", 200, "b", 0,
          7, 2 },
        { "/v1/members/host%20two/bell", "{\"service\":\"my-blog\",\"in_flight\":0,\"queued\":0}",
          200, "host two", 1, 0, 0 },
        { "/v1/members/b/bell", "{\"service\":\"none\",\"in_flight\":7,\"queued\":2}", 404 },
        { "/v1/members/b/bell", "{\"in_flight\":7,\"queued\":2}", 404 },
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"in_flight\":-1,\"queued\":2}", 400 },
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"in_flight\":1.5,\"queued\":2}", 400 },
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"in_flight\":1}", 400 },
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"in_flight\":5000000000,\"queued\":2}",
          400 },
        { "/v1/members/b/bell", "{\"service\":\"shop\",\"loud\":true}", 400 },
        { "/v1/members/b/bell", "[]", 400 },
    };
    world_open_admin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        world.told_count = 0;
        int status = world_ask(0, "POST", cases[i].path, NULL, cases[i].body, NULL);
        if (status != cases[i].status || world.told_count != (status == 200))
            fail_msg("%s %s: %d", cases[i].path, cases[i].body, status);
        if (status != 200)
            continue;
        assert_int_equal(world.told.type, ADMIN_BELL);
        assert_string_equal(world.told_member, cases[i].member);
        assert_int_equal(world.told.slot, cases[i].slot);
        assert_int_equal(world.told.in_flight, cases[i].in_flight);
        assert_int_equal(world.told.queued, cases[i].queued);
    }
}

static void make_group(void)
{
    world.group = (struct admin_group_facts){
        .driver = "etcd",
        .held = true,
        .token = 77,
        .leader = "a",
        .members = { { .name = "a",
                       .url = "http://10.0.0.1:1",
                       .self = true,
                       .leads = true,
                       .age_us = -1,
                       .trouble = "" },
                     { .name = "b", .url = "http://10.0.0.2:1", .age_us = 2500000, .trouble = "" },
                     { .name = "c", .url = "", .age_us = -1, .silent = true, .trouble = "hums" } },
        .member_count = 3,
    };
}

static void test_group_in_status(void **state)
{
    char *body;
    make_group();
    world_open_admin(NULL, NULL);
    assert_int_equal(world_get("/v1/status", &body), 200);
    json_t *status = json_loads(body, 0, NULL), *group = json_object_get(status, "group");
    json_t *members = json_object_get(group, "members"), *c = json_array_get(members, 2);
    json_t *engine = json_array_get(json_object_get(status, "engines"), 0);
    assert_string_equal(json_string_value(json_object_get(group, "driver")), "etcd");
    assert_string_equal(json_string_value(json_object_get(group, "leader")), "a");
    assert_int_equal(json_integer_value(json_object_get(group, "token")), 77);
    assert_int_equal(json_array_size(members), 3);
    assert_true(json_is_null(json_object_get(json_array_get(members, 0), "heard_s")));
    assert_true(json_real_value(json_object_get(json_array_get(members, 1), "heard_s")) == 2.5);
    assert_true(json_is_true(json_object_get(c, "silent")));
    assert_string_equal(json_string_value(json_object_get(c, "trouble")), "hums");
    assert_string_equal(json_string_value(json_object_get(engine, "name")), "docker");
    assert_true(json_is_false(json_object_get(engine, "up")));
    json_decref(status);
    free(body);
}

static void test_group_in_metrics(void **state)
{
    static const char *const lines[] = {
        "\nplimsoll_lease_held 1\n",
        "\nplimsoll_lease_token 77\n",
        "\nplimsoll_members 3\n",
        "\nplimsoll_member_silent{member=\"b\"} 0\n",
        "\nplimsoll_member_silent{member=\"c\"} 1\n",
        "\nplimsoll_engine_up{engine=\"docker\"} 0\n",
    };
    char *body;
    make_group();
    world_open_admin(NULL, NULL);
    assert_int_equal(world_get("/metrics", &body), 200);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(body, lines[i]))
            fail_msg("no %s in %s", lines[i], body);
    assert_null(strstr(body, "member=\"a\""));
    free(body);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_make, world_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_who_may_look),    WORLD_TEST(test_journal),          WORLD_TEST(test_bell),
        WORLD_TEST(test_group_in_status), WORLD_TEST(test_group_in_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
