/* What changing passes on, what it refuses, and who may. */
#include "unit/admin/world.h"

#include <sys/stat.h>

static int post(const char *path, const char *body, char **ret_body)
{
    return world_ask(0, "POST", path, NULL, body, ret_body);
}

static void test_commands_are_passed_on(void **state)
{
    static const struct {
        const char *path, *body;
        struct admin_command told;
    } cases[] = {
        { "/v1/services/shop/scale", "{\"count\":3}", { ADMIN_SCALE, 0, "shop", 0, 3, false } },
        { "/v1/services/shop/scale", "{\"count\":0}", { ADMIN_SCALE, 0, "shop", 0, 0, false } },
        { "/v1/services/my-blog/scale",
          "{\"count\":9,\"force\":true}",
          { ADMIN_SCALE, 1, "my-blog", 0, 9, true } },
        { "/v1/services/shop/scale", "{\"count\":\"auto\"}", { ADMIN_AUTO, 0, "shop", 0, 0, 0 } },
        { "/v1/services/shop/metrics", "{\"jobs\":12}", { ADMIN_PUSH, 0, "shop", 0, 0, 0 } },
        { "/v1/services/my-blog/metrics",
          "{\"jobs\":1.5,\"lag\":null}",
          { ADMIN_PUSH, 1, "my-blog", 0, 0, 0 } },
        { "/v1/services/shop/pause", "", { ADMIN_PAUSE, 0, "shop", 0, 0, 0 } },
        { "/v1/services/shop/resume", "{}", { ADMIN_RESUME, 0, "shop", 0, 0, 0 } },
        { "/v1/services/shop/restart", "{}", { ADMIN_RESTART, 0, "shop", 0, 0, 0 } },
        { "/v1/instances/my-blog-2/drain", "{}", { ADMIN_DRAIN, 1, "my-blog", 2, 0, 0 } },
        { "/v1/instances/shop-1/protect", "{\"on\":true}", { ADMIN_PROTECT, 0, "shop", 1, 0, 1 } },
        { "/v1/instances/shop-1/protect", "{\"on\":false}", { ADMIN_PROTECT, 0, "shop", 1, 0, 0 } },
        { "/v1/reload", "{}", { ADMIN_RELOAD, 0, "", 0, 0, 0 } },
        { "/v1/diff", "", { ADMIN_DIFF, 0, "", 0, 0, 0 } },
        { "/v1/stop", "{}", { ADMIN_STOP, 0, "", 0, 0, 0 } },
        { "/v1/stop", "{\"detach\":true}", { ADMIN_STOP, 0, "", 0, 0, 1 } },
    };
    world_open_admin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct admin_command *told = &cases[i].told;
        world.told_count = 0;
        if (post(cases[i].path, cases[i].body, NULL) != 200 || world.told_count != 1)
            fail_msg("%s %s was not passed on", cases[i].path, cases[i].body);
        assert_int_equal(world.told.type, told->type);
        assert_int_equal(world.told.slot, told->slot);
        assert_string_equal(world.told_service, told->service);
        assert_int_equal(world.told.number, told->number);
        assert_int_equal(world.told.count, told->count);
        assert_int_equal(world.told.flag, told->flag);
    }
}

static void test_nonsense_is_refused(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {
        { "/v1/services/shop/scale", "", 400 },
        { "/v1/services/shop/scale", "{", 400 },
        { "/v1/services/shop/scale", "[]", 400 },
        { "/v1/services/shop/scale", "{\"count\":-1}", 400 },
        { "/v1/services/shop/scale", "{\"count\":1001}", 400 },
        { "/v1/services/shop/scale", "{\"count\":2.5}", 400 },
        { "/v1/services/shop/scale", "{\"count\":\"3\"}", 400 },
        { "/v1/services/shop/scale", "{\"count\":3,\"forse\":true}", 400 },
        { "/v1/services/shop/scale", "{\"count\":3,\"force\":1}", 400 },
        { "/v1/services/shop/scale", "{\"count\":3,\"count\":4}", 400 },
        { "/v1/services/none/scale", "{\"count\":3}", 404 },
        { "/v1/services/shop/metrics", "", 400 },
        { "/v1/services/shop/metrics", "{}", 400 },
        { "/v1/services/shop/metrics", "12", 400 },
        { "/v1/services/shop/metrics", "{\"jobs\":NaN}", 400 },
        { "/v1/services/shop/metrics", "{\"jobs\":1,\"jobs\":2}", 400 },
        { "/v1/services/none/metrics", "{\"jobs\":1}", 404 },
        { "/v1/services/shop/pause", "{\"x\":1}", 400 },
        { "/v1/services/none/pause", "", 404 },
        { "/v1/instances/shop/drain", "", 404 },
        { "/v1/instances/shop-99/drain", "", 404 },
        { "/v1/instances/none-1/drain", "", 404 },
        { "/v1/instances/shop-1/protect", "{}", 400 },
        { "/v1/instances/shop-1/protect", "{\"on\":\"yes\"}", 400 },
        { "/v1/stop", "{\"detach\":0}", 400 },
        { "/v1/nothing", "", 404 },
        { "/v1/services//scale", "", 404 },
        { "/v1/services/shop/scale/", "", 404 },
        { "/v1/status", "", 405 },
    };
    world_open_admin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *body;
        int status = post(cases[i].path, cases[i].body, &body);
        if (status != cases[i].status || strncmp(body, "{\"error\":\"", 10) != 0)
            fail_msg("%s %s: %d %s", cases[i].path, cases[i].body, status, body);
        free(body);
    }
    assert_int_equal(world.told_count, 0);
    assert_int_equal(world_get("/v1/reload", NULL), 405);
    assert_int_equal(world_ask(0, "PUT", "/v1/reload", NULL, "", NULL), 405);
    assert_int_equal(world_ask(0, "HEAD", "/v1/status", NULL, "", NULL), 200);
}

static void test_unknown_names(void **state)
{
    static const struct {
        const char *path, *text;
    } cases[] = {
        { "/v1/services/shp/pause", "there is no service shp; did you mean shop?" },
        { "/v1/services/accounts/pause", "there is no service accounts; there is: shop, my-blog" },
        { "/v1/instances/shop/drain", "shop is a service, no instance; it has: shop-1, shop-2" },
        { "/v1/instances/my-blog-9/drain",
          "there is no instance my-blog-9; there is: my-blog-1, my-blog-2" },
        { "/v1/instances/shp-1/drain",
          "there is no instance shp-1, for there is no service shp; did you mean shop?" },
        { "/v1/instances/shp/drain", "there is no instance shp" },
    };
    world_open_admin(NULL, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *body, wanted[256];
        assert_int_equal(post(cases[i].path, "", &body), 404);
        snprintf(wanted, sizeof(wanted), "{\"error\":\"%s\"}\n", cases[i].text);
        assert_string_equal(body, wanted);
        free(body);
    }
}

static void test_answers_of_the_backend(void **state)
{
    char *body;
    world_open_admin(NULL, NULL);
    assert_int_equal(post("/v1/services/shop/scale", "{\"count\":3}", &body), 200);
    assert_string_equal(body, "{\"desired\":2}\n"); /* this backend did nothing */
    free(body);
    assert_int_equal(post("/v1/services/shop/pause", "", &body), 200);
    assert_string_equal(body, "{}\n");
    free(body);
    world.reply_status = 409;
    assert_int_equal(post("/v1/reload", "", &body), 409);
    assert_string_equal(body, "{\"error\":\"no, because of this\"}\n");
    free(body);
}

static void test_large_body_is_refused(void **state)
{
    size_t bytes = 70000;
    char *request = malloc(bytes + 256);
    int head = sprintf(request,
                       "POST /v1/reload HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       bytes);
    world_open_admin(NULL, NULL);
    memset(request + head, ' ', bytes);
    char *answer = world_talk(0, request, (size_t)head + bytes);
    assert_memory_equal(answer, "HTTP/1.1 413", 12);
    assert_int_equal(world.told_count, 0);
    free(answer);
    free(request);
}

static void test_tcp_is_for_looking(void **state)
{
    static const struct {
        const char *token; /* of the server */
        const char *method, *path, *headers;
        int status;
    } cases[] = {
        { NULL, "GET", "/v1/status", "Host: localhost\r\n", 200 },
        { NULL, "GET", "/metrics", "Host: 127.0.0.1:7575\r\n", 200 },
        { NULL, "GET", "/healthz", "Host: [::1]:7575\r\n", 200 },
        { NULL, "GET", "/healthz", "Host: LOCALHOST:1\r\n", 200 },
        { NULL, "GET", "/v1/status", "Host: evil.example\r\n", 403 },
        { NULL, "GET", "/v1/status", "Host: localhost.evil.example:7575\r\n", 403 },
        { NULL, "GET", "/v1/status", "Host: 127.0.0.1.evil.example\r\n", 403 },
        { NULL, "GET", "/v1/status", "Host: [evil.example]\r\n", 403 },
        { NULL, "GET", "/v1/status", "Host:\r\n", 403 },
        { NULL, "POST", "/v1/reload", "Host: localhost\r\n", 403 },
        { NULL, "POST", "/v1/reload", "Host: localhost\r\nAuthorization: Bearer \r\n", 401 },
        { "s3cret", "GET", "/v1/status", "Host: localhost\r\n", 200 },
        { "s3cret", "POST", "/v1/reload", "Host: localhost\r\n", 401 },
        { "s3cret", "POST", "/v1/reload", "Host: x\r\nAuthorization: Bearer s3cret\r\n", 200 },
        { "s3cret", "POST", "/v1/reload", "Host: x\r\nAuthorization: bearer s3cret\r\n", 200 },
        { "s3cret", "POST", "/v1/reload", "Host: localhost\r\nAuthorization: s3cret\r\n", 401 },
        { "s3cret", "POST", "/v1/reload", "Host: localhost\r\nAuthorization: Bearer s3\r\n", 401 },
        { "s3cret", "POST", "/v1/reload", "Host: localhost\r\nAuthorization: Bearer s3cres\r\n",
          401 },
        { "s3cret", "GET", "/v1/status",
          "Host: localhost\r\nAuthorization: Bearer s3crets3cret\r\n", 401 },
        { "s3cret", "GET", "/v1/status", "Host: localhost\r\nAuthorization: Bearer \r\n", 401 },
    };
    char address[64];
    int port = world_free_port();
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    world_open_admin(address, NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = { 0 };
        /* Off in between, so that taking the token away is not a change of the same address. */
        assert_int_equal(admin_set_address(world.admin, "off", NULL, &err), 0);
        assert_int_equal(admin_set_address(world.admin, address, cases[i].token, &err), 0);
        int status = world_ask(port, cases[i].method, cases[i].path, cases[i].headers, "", NULL);
        if (status != cases[i].status)
            fail_msg("%s %s: %d", cases[i].path, cases[i].headers, status);
    }
    assert_int_equal(world.told_count, 2);
    char *body; /* which says where changing is possible */
    assert_int_equal(admin_set_address(world.admin, "off", NULL, NULL), 0);
    assert_int_equal(admin_set_address(world.admin, address, NULL, NULL), 0);
    assert_int_equal(world_ask(port, "POST", "/v1/reload", NULL, "", &body), 403);
    assert_non_null(strstr(body, "--state "));
    assert_non_null(strstr(body, scratch_dir));
    free(body);
}

static void test_addresses(void **state)
{
    static const struct {
        const char *address, *token;
        int rc;
    } cases[] = {
        { "0.0.0.0:0", NULL, -EPERM },
        { "[::]:0", "", -EPERM },
        { ":0", NULL, -EPERM },
        { "192.0.2.1:0", NULL, -EPERM },
        { "127.0.0.1", NULL, -EINVAL },
        { "127.0.0.1:", NULL, -EINVAL },
        { "127.0.0.1:x", NULL, -EINVAL },
        { "nohost.example:7575", NULL, -EINVAL },
        { "127.0.0.1:0", NULL, 0 },
        { "127.9.9.9:0", NULL, 0 },
        { "localhost:0", NULL, 0 },
        { "0.0.0.0:0", "token", 0 },
        { "", NULL, 0 },
        { "off", NULL, 0 },
    };
    world_open_admin("127.0.0.1:0", NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = { 0 };
        int rc = admin_set_address(world.admin, cases[i].address, cases[i].token, &err);
        if (rc != cases[i].rc || (rc < 0 && !err.text[0]))
            fail_msg("%s: %d %s", cases[i].address, rc, err.text);
        assert_int_equal(world_get("/healthz", NULL), 200);
    }
}

static void test_address_in_use(void **state)
{
    char address[64];
    struct err err = { 0 };
    int port = world_free_port();
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    world_open_admin(address, NULL);
    struct admin *other;
    struct admin_options o = { .socket_path = scratch_path("other.sock"), .address = address };
    assert_int_equal(admin_open(&o, &world_backend, &other, &err), -EADDRINUSE);
    assert_int_equal(access(scratch_path("other.sock"), F_OK), -1);
    o = (struct admin_options){ .socket_path = scratch_path("admin.sock") };
    assert_int_equal(admin_open(&o, &world_backend, &other, &err), -EADDRINUSE);
    assert_int_equal(world_ask(port, "GET", "/healthz", NULL, "", NULL), 200);
    assert_int_equal(world_get("/healthz", NULL), 200); /* its socket is still there */
}

static void test_socket_file(void **state)
{
    struct stat st;
    struct err err = { 0 };
    struct sockaddr_un stale = { .sun_family = AF_UNIX };
    snprintf(stale.sun_path, sizeof(stale.sun_path), "%s", scratch_path("admin.sock"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);
    close(fd); /* as a killed controller leaves it */
    world_open_admin(NULL, NULL);
    assert_int_equal(stat(stale.sun_path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    admin_close(world.admin);
    world.admin = NULL;
    assert_int_equal(access(stale.sun_path, F_OK), -1);
    scratch_write(stale.sun_path, "a file");
    struct admin_options o = { .socket_path = stale.sun_path };
    assert_int_equal(admin_open(&o, &world_backend, &world.admin, &err), -EEXIST);
    assert_int_equal(access(stale.sun_path, F_OK), 0);
}

/* A client that keeps its connection does not keep a replaced server alive for others, and is
 * still answered. */
static void test_replaced_server_finishes(void **state)
{
    static const char ask[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char address[64], answer[2048];
    struct err err = { 0 };
    int port = world_free_port();
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    world_open_admin(address, NULL);
    int fd = world_connect(port);
    for (int round = 0; round < 2; round++) {
        ssize_t got = -1;
        assert_int_equal(write(fd, ask, sizeof(ask) - 1), sizeof(ask) - 1);
        for (int64_t end_us = clock_now_us() + 20 * US_PER_S; got < 0 && clock_now_us() < end_us;) {
            struct pollfd fds[] = { { fd, POLLIN, 0 }, { admin_fd(world.admin), POLLIN, 0 } };
            poll(fds, 2, 1000);
            admin_run(world.admin);
            got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
        }
        assert_true(got > 12);
        assert_memory_equal(answer, "HTTP/1.1 200", 12);
        if (round == 0)
            assert_int_equal(admin_set_address(world.admin, "off", NULL, &err), 0);
    }
    assert_int_equal(world_connect(port), -1);
    close(fd);
}

static void test_disk_without_room_for_a_socket(void **state)
{
    char address[64], *body;
    struct err err = { 0 };
    int port = world_free_port();
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    assert_int_equal(chdir(scratch_dir), 0);
    struct admin_options o = { .socket_path = "gone/admin.sock",
                               .address = address,
                               .retry_us = 1 };
    assert_int_equal(admin_open(&o, &world_backend, &world.admin, &err), 0);
    assert_int_equal(world_ask(port, "GET", "/v1/status", NULL, "", &body), 200);
    assert_non_null(strstr(body, "there is no admin socket gone/admin.sock"));
    free(body);
    assert_int_equal(mkdir("gone", 0700), 0);
    assert_int_equal(world_ask(port, "GET", "/v1/status", NULL, "", &body), 200);
    assert_non_null(strstr(body, "\"troubles\":[]"));
    free(body);
    assert_int_equal(access("gone/admin.sock", F_OK), 0);
    assert_int_equal(chdir("/"), 0);
}

#define WORLD_TEST(f) cmocka_unit_test_setup_teardown(f, world_make, world_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_commands_are_passed_on),
        WORLD_TEST(test_nonsense_is_refused),
        WORLD_TEST(test_unknown_names),
        WORLD_TEST(test_answers_of_the_backend),
        WORLD_TEST(test_large_body_is_refused),
        WORLD_TEST(test_tcp_is_for_looking),
        WORLD_TEST(test_addresses),
        WORLD_TEST(test_address_in_use),
        WORLD_TEST(test_socket_file),
        WORLD_TEST(test_replaced_server_finishes),
        WORLD_TEST(test_disk_without_room_for_a_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
