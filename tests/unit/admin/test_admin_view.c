/* What looking shows: status, why, events, series, logs, health, metrics. */
#include "unit/admin/world.h"

static const char *text_at(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "(none)";
}

static json_t *get_json(const char *path, int status)
{
    char *body;
    assert_int_equal(world_get(path, &body), status);
    json_t *json = json_loads(body, 0, NULL);
    if (!json)
        fail_msg("%s: no JSON: %s", path, body);
    free(body);
    return json;
}

static void assert_error(const char *path, int status, const char *text)
{
    json_t *json = get_json(path, status);
    assert_string_equal(text_at(json, "error"), text);
    json_decref(json);
}

static void test_status(void **state)
{
    world.trouble = "the moon is full";
    world_open_admin(NULL, NULL);
    json_t *s = get_json("/v1/status", 200), *services = json_object_get(s, "services");
    assert_string_equal(text_at(s, "version"), PLIMSOLL_VERSION);
    assert_string_equal(text_at(s, "since"), "2026-11-20T05:15:03.123456Z");
    assert_string_equal(text_at(s, "config"), "plimsoll.yaml");
    assert_string_equal(text_at(s, "mode"), "auto");
    assert_int_equal(json_integer_value(json_object_get(json_object_get(s, "keeper"), "pid")), 10);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(s, "proxy"), "connections")), 5);
    assert_string_equal(json_string_value(json_array_get(json_object_get(s, "troubles"), 0)),
                        "the moon is full");
    assert_int_equal(json_array_size(services), 2);
    json_t *shop = json_array_get(services, 0), *list = json_object_get(shop, "instances");
    assert_string_equal(text_at(shop, "name"), "shop");
    assert_int_equal(json_integer_value(json_object_get(shop, "desired")), 2);
    assert_int_equal(json_integer_value(json_object_get(shop, "ready")), 1);
    assert_int_equal(json_integer_value(json_object_get(shop, "in_flight")), 7);
    assert_true(json_is_null(json_object_get(shop, "operator")));
    assert_true(json_is_null(json_object_get(shop, "p99_ms")));
    assert_true(json_real_value(json_object_get(shop, "rps")) == 12.5);
    json_t *sources = json_object_get(shop, "sources"), *lag = json_array_get(sources, 1);
    assert_int_equal(json_array_size(sources), 3);
    assert_string_equal(text_at(lag, "name"), "lag");
    assert_string_equal(text_at(lag, "trouble"), "is told nothing");
    assert_true(json_is_null(json_object_get(lag, "value")));
    json_t *cost = json_object_get(shop, "cost");
    assert_true(json_real_value(json_object_get(cost, "per_hour")) == 2.5);
    assert_true(json_is_null(json_object_get(cost, "watts")));
    assert_true(json_is_null(json_object_get(json_array_get(services, 1), "cost")));
    assert_int_equal(json_array_size(json_object_get(s, "budgets")), 0);
    assert_int_equal(json_array_size(list), 2);
    json_t *one = json_array_get(list, 0);
    assert_string_equal(text_at(one, "id"), "shop-1");
    assert_string_equal(text_at(one, "state"), "ready");
    assert_string_equal(text_at(one, "address"), "tcp:127.0.0.1:20000");
    assert_string_equal(text_at(one, "template"), "0000000000abcdef");
    assert_int_equal(json_integer_value(json_object_get(one, "pid")), 1001);
    assert_true(json_is_null(json_object_get(one, "memory_bytes")));
    assert_true(json_is_false(json_object_get(one, "protected")));
    json_decref(s);
}

static void test_mode(void **state)
{
    static const char *const modes[] = { "auto", "stopping" };
    world_open_admin(NULL, NULL);
    for (int i = 0; i < 2; i++) {
        world.stopping = i;
        json_t *s = get_json("/v1/status", 200);
        assert_string_equal(text_at(s, "mode"), modes[i]);
        json_decref(s);
    }
}

static void test_why(void **state)
{
    world_open_admin(NULL, NULL);
    for (uint64_t i = 1; i <= 3; i++) {
        struct decision d = { .sequence = i, .wall_us = clock_wall_us(), .service = "shop" };
        store_put_decision(world.store, &d);
    }
    assert_int_equal(store_flush(world.store, 20 * US_PER_S), 0);
    json_t *why = get_json("/v1/services/shop/why?limit=2", 200);
    json_t *list = json_object_get(why, "decisions");
    assert_int_equal(json_array_size(list), 2);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(list, 0), "sequence")), 3);
    assert_string_equal(text_at(json_object_get(why, "current"), "service"), "shop");
    json_t *lag = json_array_get(json_object_get(why, "sources"), 1);
    assert_string_equal(text_at(lag, "trouble"), "is told nothing");
    assert_int_equal(strlen(text_at(lag, "trouble_since")), strlen("2026-11-20T05:15:03.123456Z"));
    json_decref(why);
    json_decref(get_json("/v1/services/none/why", 404));
    json_decref(get_json("/v1/services/shop/why?limit=0", 400));
    json_decref(get_json("/v1/services/shop/why?limit=x", 400));
}

static void test_events_and_series(void **state)
{
    int64_t wall_us = clock_wall_us() - 20 * US_PER_S;
    world_open_admin(NULL, NULL);
    store_put_event(world.store, STORE_EVENT_CONFIG, "shop", NULL, "one", wall_us);
    store_put_event(world.store, STORE_EVENT_CONFIG, "my-blog", NULL, "two", wall_us);
    store_put_sample(world.store, "shop", "rps", 0, 3, wall_us);
    store_put_sample(world.store, "shop", "rps", 0, 4, wall_us + 10 * US_PER_S);
    assert_int_equal(store_flush(world.store, 20 * US_PER_S), 0);
    json_t *json = get_json("/v1/events?service=my-blog", 200);
    json_t *list = json_object_get(json, "events");
    assert_int_equal(json_array_size(list), 1);
    assert_string_equal(text_at(json_array_get(list, 0), "text"), "two");
    assert_string_equal(text_at(json_array_get(list, 0), "kind"), "config");
    json_decref(json);
    json = get_json("/v1/series?service=shop&metric=rps", 200);
    list = json_array_get(json_object_get(json, "points"), 0);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), wall_us / US_PER_S);
    assert_true(json_real_value(json_array_get(list, 1)) == 3);
    json_decref(json);
    json_decref(get_json("/v1/series?service=shop", 400));
    json_decref(get_json("/v1/series?service=shop&metric=rps&step=7", 400));
    json_decref(get_json("/v1/events?after=-1", 400));
}

/* Mistyped names are answered with the one that was meant, or with those there are. */
static void test_unknown_names(void **state)
{
    int64_t wall_us = clock_wall_us();
    world_open_admin(NULL, NULL);
    store_put_event(world.store, STORE_EVENT_CONFIG, "gone", NULL, "one", wall_us);
    assert_int_equal(store_flush(world.store, 20 * US_PER_S), 0);
    assert_error("/v1/services/shp/why", 404, "there is no service shp; did you mean shop?");
    assert_error("/v1/services/myblog/why", 404,
                 "there is no service myblog; did you mean my-blog?");
    assert_error("/v1/services/accounts/why", 404,
                 "there is no service accounts; there is: shop, my-blog");
    assert_error("/v1/events?service=shp", 404, "there is no service shp; did you mean shop?");
    json_decref(get_json("/v1/events?service=shop", 200)); /* nothing has happened to it yet */
    json_decref(get_json("/v1/events?service=gone", 200)); /* it is no more, and has a history */
    json_decref(get_json("/v1/events?service=gone&after=1000", 200));
    json_decref(get_json("/v1/events?service=shp&after=1", 200)); /* somebody follows */
}

static void test_without_a_store(void **state)
{
    store_close(world.store);
    world.store = NULL;
    world_open_admin(NULL, NULL);
    json_decref(get_json("/v1/status", 200));
    json_t *why = get_json("/v1/services/shop/why", 200);
    assert_non_null(json_object_get(why, "current"));
    json_decref(why);
    json_t *events = get_json("/v1/events", 503);
    assert_string_equal(text_at(events, "error"), "the database is not open");
    json_decref(events);
}

static void assert_log(const char *query, const char *text, const char *offset)
{
    char request[256];
    int n =
        snprintf(request, sizeof(request),
                 "GET /v1/logs/shop-1%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", query);
    char *answer = world_talk(0, request, (size_t)n);
    char *at = strstr(answer, "X-Log-Offset: ");
    assert_non_null(at);
    assert_memory_equal(at + 14, offset, strlen(offset));
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, text);
    free(answer);
}

static void test_logs(void **state)
{
    world_open_admin(NULL, NULL);
    scratch_write(scratch_path("shop-1.log"), "one\ntwo\nthree\n");
    assert_log("", "one\ntwo\nthree\n", "14\r");
    assert_log("?bytes=8", "three\n", "14\r"); /* whole lines */
    assert_log("?offset=4&bytes=3", "two", "7\r");
    assert_log("?offset=14", "", "14\r");
    assert_log("?offset=99", "one\ntwo\nthree\n", "14\r"); /* rotated */
    static const char *const none[] = { "/v1/logs/shop-2", "/v1/logs/shop-10", "/v1/logs/shop",
                                        "/v1/logs/shop-",  "/v1/logs/-1",      "/v1/logs/shop-x",
                                        "/v1/logs/shop-0", "/v1/logs/..%2f-1" };
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        json_decref(get_json(none[i], 404));
    json_decref(get_json("/v1/logs/shop-1?bytes=9999999", 400));
    assert_error(
        "/v1/logs/shop", 404,
        "shop is a service, and each of its instances has a log: plimsoll logs --all shop");
    assert_error("/v1/logs/shp-1", 404,
                 "there is no instance shp-1, for there is no service shp; did you mean shop?");
    assert_error("/v1/logs/shop-2", 404, "there is no log of shop-2");
    assert_error("/v1/logs/shop-6", 501, "the engine keeps it: engine logs shop");
    json_t *no_engine = get_json("/v1/logs/shop-8", 503);
    assert_string_equal(text_at(no_engine, "error"), "no engine today");
    json_decref(no_engine);
    static const char coming[] =
        "GET /v1/logs/shop-7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    scratch_write(scratch_path("shop-7.log"), "so far\n");
    char *answer = world_talk(0, coming, sizeof(coming) - 1);
    assert_memory_equal(answer, "HTTP/1.1 202", 12);
    assert_string_equal(strstr(answer, "\r\n\r\n") + 4, "so far\n");
    free(answer);
}

static void test_health_and_ready(void **state)
{
    char *body;
    world_open_admin(NULL, NULL);
    assert_int_equal(world_get("/healthz", NULL), 200);
    assert_int_equal(world_get("/readyz", &body), 503);
    assert_non_null(strstr(body, "shop: 1 of 2 ready"));
    assert_non_null(strstr(body, "my-blog: 0 of 2 ready"));
    free(body);
    for (uint32_t i = 0; i < 4; i++) {
        struct event e = { .type = EVENT_STARTED, .service = i / 2, .number = 1 + i % 2 };
        if (i == 0)
            continue;
        world_step(e);
        e.type = EVENT_PROBE;
        e.flag = true;
        world_step(e);
    }
    assert_int_equal(world_get("/readyz", &body), 200);
    free(body);
    world.proxy_away = true;
    assert_int_equal(world_get("/readyz", &body), 503);
    assert_string_equal(body, "the proxy is away\n");
    free(body);
}

static void test_metrics(void **state)
{
    static const char *const lines[] = {
        "\nplimsoll_service_requests_total{service=\"shop\",code=\"2xx\"} 90\n",
        "\nplimsoll_service_requests_total{service=\"shop\",code=\"none\"} 5\n",
        "\nplimsoll_service_request_errors_total{service=\"shop\",kind=\"connect\"} 4\n",
        "\nplimsoll_service_request_duration_seconds_bucket{service=\"shop\",le=\"0.001\"} 60\n",
        "\nplimsoll_service_request_duration_seconds_bucket{service=\"shop\",le=\"0.01\"} 100\n",
        "\nplimsoll_service_request_duration_seconds_bucket{service=\"shop\",le=\"+Inf\"} 100\n",
        "\nplimsoll_service_request_duration_seconds_sum{service=\"shop\"} 1.5\n",
        "\nplimsoll_service_request_duration_seconds_count{service=\"shop\"} 100\n",
        "\nplimsoll_service_sent_bytes_total{service=\"shop\"} 1099511627776\n",
        "\nplimsoll_instances{service=\"shop\",state=\"ready\"} 1\n",
        "\nplimsoll_service_desired{service=\"my-blog\"} 2\n",
        "\nplimsoll_source_up{service=\"shop\",source=\"jobs\"} 1\n",
        "\nplimsoll_source_up{service=\"shop\",source=\"lag\"} 0\n",
        "\nplimsoll_source_up{service=\"shop\",source=\"new\"} 0\n",
        "\nplimsoll_source_value{service=\"shop\",source=\"jobs\"} 12\n",
        "\nplimsoll_service_cost_per_hour{service=\"shop\"} 2.5\n",
        "\nplimsoll_instance_in_flight_requests{service=\"shop\",instance=\"shop-2\"} 2\n",
        "\nplimsoll_process_up{process=\"proxy\"} 1\n",
    };
    char *body;
    world_open_admin(NULL, NULL);
    assert_int_equal(world_get("/metrics", &body), 200);
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        if (!strstr(body, lines[i]))
            fail_msg("there is no %s in:\n%s", lines[i] + 1, body);
    assert_null(strstr(body, "plimsoll_instance_memory_bytes{")); /* unknown is not 0 */
    assert_null(strstr(body, "plimsoll_service_power_watts{"));
    assert_null(strstr(body, "plimsoll_source_value{service=\"shop\",source=\"lag\"}"));
    assert_null(strstr(body, "nan"));
    if (system("command -v promtool >/dev/null") == 0) {
        FILE *f = popen("promtool check metrics", "w");
        fputs(body, f);
        assert_int_equal(pclose(f), 0);
    }
    free(body);
}

/* The dashboard shows what is exported and nothing else. */
static void test_dashboard_knows_the_metrics(void **state)
{
    const char *tests = getenv("PLIMSOLL_TESTS");
    char path[512], name[128], *body;
    unsigned found = 0;
    if (!tests)
        skip();
    snprintf(path, sizeof(path), "%s/../packaging/grafana/plimsoll.json", tests);
    json_t *json = json_load_file(path, 0, NULL);
    char *text = json_dumps(json, 0);
    assert_non_null(text);
    json_decref(json);
    world_open_admin(NULL, NULL);
    assert_int_equal(world_get("/metrics", &body), 200);
    for (const char *at = text; (at = strstr(at, "plimsoll_")); found++) {
        size_t n = strspn(at, "abcdefghijklmnopqrstuvwxyz_");
        snprintf(name, sizeof(name), "\n%.*s", (int)n, at);
        if (!strstr(body, name) && !strstr(name, "instance_memory_bytes"))
            fail_msg("nobody exports %s", name + 1);
        at += n;
    }
    assert_true(found > 15);
    free(body);
    free(text);
}

static void test_latency_buckets(void **state)
{
    static const struct {
        uint64_t us;
        unsigned bucket;
    } cases[] = { { 0, 0 },         { 1000, 0 },      { 1001, 1 },
                  { 10000, 3 },     { 999999, 9 },    { 1000001, 10 },
                  { 60000000, 14 }, { 60000001, 15 }, { UINT64_MAX, 15 } };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(admin_latency_bucket(cases[i].us), cases[i].bucket);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_make, world_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_status),
        WORLD_TEST(test_mode),
        WORLD_TEST(test_why),
        WORLD_TEST(test_events_and_series),
        WORLD_TEST(test_unknown_names),
        WORLD_TEST(test_without_a_store),
        WORLD_TEST(test_logs),
        WORLD_TEST(test_health_and_ready),
        WORLD_TEST(test_metrics),
        WORLD_TEST(test_dashboard_knows_the_metrics),
        cmocka_unit_test(test_latency_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
