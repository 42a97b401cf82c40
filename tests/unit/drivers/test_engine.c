/* The engine's parts that need no engine: JSON out of pieces, places, credentials, the body of a
 * container, and what an engine says of one. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "drivers/docker/docker.h"
#include "drivers/docker/engine_int.h"
#include "sys/mem.h"

/* --- JSON out of pieces --- */

static size_t value_count;

static bool count_value(void *ctx, json_t *value)
{
    value_count++;
    return value_count < 100;
}

static int feed(const char *text, size_t piece, size_t bytes_max)
{
    struct json_stream s;
    int rc = 0;
    json_stream_init(&s, bytes_max);
    value_count = 0;
    for (size_t at = 0, n = strlen(text); at < n && rc == 0; at += piece)
        rc = json_stream_feed(&s, text + at, MIN(piece, n - at), count_value, NULL);
    json_stream_done(&s);
    return rc;
}

static const struct {
    const char *text;
    size_t values;
    int rc;
} streams[] = {
    { "{}", 1, 0 },
    { " {\"a\":[1,2,{\"b\":\"}]\"}]}\n{\"c\":\"\\\"}\"}\r\n[]", 3, 0 },
    { "{\"n\":18446744073709551615}", 1, 0 },
    { "{\"a\":", 0, 0 },
    { "OK", 0, -EPROTO },
    { "{} x", 1, -EPROTO },
    { "}", 0, -EPROTO },
    { "{\"a\" 1}", 0, -EPROTO },
    { "{\"a\":\"\\u00\"}", 0, -EPROTO },
    { "{\"long\":\"0123456789012345678901234567890123456789\"}", 1, 0 },
};

static void test_streams(void **state)
{
    static const size_t pieces[] = { 1, 3, 7, 1000 };
    for (size_t i = 0; i < ARRAY_LEN(streams); i++)
        for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
            assert_int_equal(feed(streams[i].text, pieces[k], 4096), streams[i].rc);
            assert_int_equal(value_count, streams[i].values);
        }
    assert_int_equal(feed(streams[ARRAY_LEN(streams) - 1].text, 5, 20), -EMSGSIZE);
}

/* --- places --- */

static const struct {
    const char *conf, *environment, *base, *unix_path; /* base NULL = refused */
} places[] = {
    { NULL, NULL, "http://localhost", "/var/run/docker.sock" },
    { NULL, "", "http://localhost", "/var/run/docker.sock" },
    { NULL, "unix:///a", "http://localhost", "/a" },
    { "unix:///b", "unix:///a", "http://localhost", "/b" },
    { "tcp://10.0.0.1:9", NULL, "http://10.0.0.1:9", "" },
    { "tcp://engine", NULL, "http://engine:2375", "" },
    { "tcp://[::1]", NULL, "http://[::1]:2375", "" },
    { NULL, "ssh://me@there", NULL, NULL },
    { NULL, "unix://", NULL, NULL },
    { "tcp://", NULL, NULL, NULL },
};

static void test_places(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct engine_conf conf = { .host = places[i].conf };
        struct engine_place place;
        struct err err = { 0 };
        if (places[i].environment)
            setenv("DOCKER_HOST", places[i].environment, 1);
        else
            unsetenv("DOCKER_HOST");
        int rc = engine_place_set(&place, &conf, &err);
        assert_int_equal(rc == 0, places[i].base != NULL);
        if (rc < 0) {
            assert_true(err.text[0] != '\0');
            continue;
        }
        assert_string_equal(place.base, places[i].base);
        assert_string_equal(place.unix_path, places[i].unix_path);
    }
    unsetenv("DOCKER_HOST");
}

static void test_tls_place(void **state)
{
    struct engine_conf conf = { .host = "tcp://engine", .ca = "/dev/null" };
    struct engine_place place;
    struct err err = { 0 };
    assert_int_equal(engine_place_set(&place, &conf, &err), 0);
    assert_string_equal(place.base, "https://engine:2376");
    conf.ca = "/no/such/file";
    assert_int_equal(engine_place_set(&place, &conf, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/no/such/file"));
}

/* --- credentials --- */

static const char docker_config[] =
    "{\"auths\":{"
    "\"https://index.docker.io/v1/\":{\"auth\":\"bWU6c2VjcmV0\"},"
    "\"registry.example.com\":{\"username\":\"you\",\"password\":\"p\"},"
    "\"localhost:5000\":{\"identitytoken\":\"t\"},"
    "\"cloud.example.com\":{}},"
    "\"credHelpers\":{\"cloud.example.com\":\"test\",\"token.example.com\":\"test\","
    "\"tells.example.com\":\"test\",\"unknown.example.com\":\"test\",\"broken.example.com\":"
    "\"test\",\"empty.example.com\":"
    "\"test\","
    "\"gone.example.com\":\"not-installed\"}}";

/* Answers as docker's own helpers do, for each registry in another way. */
static const char helper[] =
    "#!/bin/sh\n[ \"$1\" = get ] || exit 9\nregistry=$(cat)\ncase $registry in\n"
    "cloud*) echo '{\"ServerURL\":\"x\",\"Username\":\"me\",\"Secret\":\"s\"}';;\n"
    "token*) echo '{\"ServerURL\":\"x\",\"Username\":\"<token>\",\"Secret\":\"t\"}';;\n"
    "unknown*) echo 'credentials not found in native keychain'; exit 1;;\n"
    "broken*) echo 'the keychain is locked'; exit 1;;\n"
    "tells*) echo '{\"Username\":\"me\",\"Secret\":\"s\"}'; exit 1;;\nesac\n";

static const struct {
    const char *image, *auth, *error; /* `auth`: how it begins; NULL = none */
} credentials[] = {
    { "nginx", "eyJ1c2VybmFtZSI6Im1lI", "" },
    { "library/nginx:1", "eyJ1c2VybmFtZSI6Im1lI", "" },
    { "docker.io/me/app@sha256:1", "eyJ1c2VybmFtZSI6Im1lI", "" },
    { "registry.example.com/app", "eyJ1c2VybmFtZSI6InlvdSI", "" },
    { "localhost:5000/app:2", "eyJpZGVudGl0eXRva2VuIjoidC", "" },
    { "other.example.com/app", NULL, "" },
    { "cloud.example.com/app", "eyJ1c2VybmFtZSI6Im1lIiwicGFzc3dvcmQiOiJzI", "" },
    { "token.example.com/app", "eyJpZGVudGl0eXRva2VuIjoidC", "" },
    { "unknown.example.com/app", NULL, "" },
    { "broken.example.com/app", NULL,
      "docker-credential-test exited with status 1: the keychain is locked" },
    { "tells.example.com/app", NULL, "docker-credential-test exited with status 1" },
    { "empty.example.com/app", NULL,
      "docker-credential-test gives no user name and secret for empty.example.com" },
    { "gone.example.com/app", NULL,
      "docker-credential-not-installed keeps the credentials of gone.example.com and cannot be "
      "run: "
      "no such file or directory" },
};

static unsigned told;
static char told_auth[512], told_error[ENGINE_ERROR_MAX];

static void on_credentials(void *ctx, const char *auth, const char *error)
{
    told++;
    str_copy(told_auth, sizeof(told_auth), auth ? auth : "");
    str_copy(told_error, sizeof(told_error), error);
}

static void ask_credentials(uv_loop_t *loop, const char *image)
{
    unsigned before = told;
    struct engine_auth *a = engine_auth_ask(loop, image, on_credentials, NULL);
    assert_int_equal(told - before, a == NULL);
    while (uv_run(loop, UV_RUN_ONCE)) {
    }
    assert_int_equal(told - before, 1);
}

static void write_file(const char *directory, const char *name, const char *text, mode_t mode)
{
    char path[96];
    fmt(path, sizeof(path), "%s/%s", directory, name);
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
    chmod(path, mode);
}

static void test_credentials(void **state)
{
    char directory[] = "/tmp/plimsoll-auth-XXXXXX", path[512];
    const char *path_before = getenv("PATH");
    uv_loop_t loop;
    signal(SIGPIPE, SIG_IGN);
    uv_loop_init(&loop);
    assert_non_null(mkdtemp(directory));
    setenv("DOCKER_CONFIG", directory, 1);
    fmt(path, sizeof(path), "%s:%s", directory, path_before);
    setenv("PATH", path, 1);
    ask_credentials(&loop, "nginx");
    assert_string_equal(told_auth, "");
    write_file(directory, "config.json", docker_config, 0600);
    write_file(directory, "docker-credential-test", helper, 0700);
    for (size_t i = 0; i < ARRAY_LEN(credentials); i++) {
        const char *auth = credentials[i].auth ? credentials[i].auth : "";
        ask_credentials(&loop, credentials[i].image);
        assert_int_equal(told_auth[0] == '\0', auth[0] == '\0');
        assert_memory_equal(told_auth, auth, strlen(auth));
        assert_string_equal(told_error, credentials[i].error);
    }
    unsigned before = told;
    engine_auth_cancel(engine_auth_ask(&loop, "cloud.example.com/app", on_credentials, NULL));
    while (uv_run(&loop, UV_RUN_ONCE)) {
    }
    assert_int_equal(told, before);
    write_file(directory, "config.json", "{\"credsStore\":\"test\"}", 0600);
    ask_credentials(&loop, "cloud.example.com/app");
    assert_memory_equal(told_auth, "eyJ1c2VybmFtZSI6Im1lI", 21);
    for (size_t i = 0; i < 2; i++) {
        fmt(path, sizeof(path), "%s/%s", directory, i ? "config.json" : "docker-credential-test");
        unlink(path);
    }
    rmdir(directory);
    unsetenv("DOCKER_CONFIG");
    setenv("PATH", path_before, 1);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- containers --- */

static void test_body(void **state)
{
    const char *words[] = { "sh -c 'echo {instance} \"x\"' a\\ b" };
    const char *names[] = { "PORT", "WHO" }, *values[] = { "9", "{service}" };
    const char *volumes[] = { "/a:/b:ro", "/scratch" };
    const struct docker_conf conf = { .image = "x",
                                      .command = { 1, words },
                                      .env = { 2, names, values },
                                      .volumes = { 2, volumes },
                                      .publish = true,
                                      .limits = { .memory_bytes = 100, .cpus = 0.5 },
                                      .stop = { .grace_us = 1500 * US_PER_MS } };
    const struct docker_identity who = {
        .owner = "me", .service = "shop", .number = 3, .template = 0xabc, .token = 9, .port = 80
    };
    struct err err = { 0 };
    json_t *body = docker_create_body(&conf, &who, &err);
    assert_non_null(body);
    _cleanup_free_ char *text = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(body);
    static const char *const parts[] = {
        "\"Cmd\":[\"sh\",\"-c\",\"echo shop-3 \\\"x\\\"\",\"a b\"]",
        "\"Env\":[\"PORT=80\",\"WHO=shop\",\"PLIMSOLL_INSTANCE=shop-3\"]",
        "\"Binds\":[\"/a:/b:ro\"]",
        "\"Volumes\":{\"/scratch\":{}}",
        "\"PortBindings\":{\"80/tcp\":[{\"HostPort\":\"\"}]}",
        "\"Memory\":100,\"MemorySwap\":100,\"NanoCpus\":500000000",
        "\"StopTimeout\":2",
        "\"plimsoll.template\":\"abc\"",
        "\"plimsoll.token\":\"9\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (!strstr(text, parts[i]))
            fail_msg("%s is not in %s", parts[i], text);
}

/* An engine on this machine publishes nothing for others: they would get past the proxy. */
static void test_published(void **state)
{
    static const struct {
        const char *host, *bindings;
    } all[] = {
        { "127.0.0.1", "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"}]}" },
        { "localhost", "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"\"}]}" },
        { "[::1]", "{\"80/tcp\":[{\"HostIp\":\"::1\",\"HostPort\":\"\"}]}" },
        { "10.0.0.5", "{\"80/tcp\":[{\"HostPort\":\"\"}]}" },
    };
    const struct docker_conf conf = { .image = "x", .publish = true };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        const struct docker_identity who = { .owner = "me",
                                             .service = "shop",
                                             .number = 3,
                                             .port = 80,
                                             .publish_at = docker_publish_at(all[i].host) };
        json_t *body = docker_create_body(&conf, &who, &(struct err){ 0 });
        const json_t *host = json_object_get(body, "HostConfig");
        _cleanup_free_ char *text =
            json_dumps(json_object_get(host, "PortBindings"), JSON_COMPACT | JSON_SORT_KEYS);
        assert_string_equal(text, all[i].bindings);
        json_decref(body);
    }
}

#define LABELS                                                                              \
    "{\"plimsoll.owner\":\"me\",\"plimsoll.service\":\"shop\",\"plimsoll.instance\":\"3\"," \
    "\"plimsoll.port\":\"80\",\"plimsoll.template\":\"ff\"}"

static const struct {
    const char *json;
    bool ours;
    const char *address, *health;
    int status, exit_code;
} listed[] = {
    { "{\"Id\":\"1\",\"Names\":[\"/n\"],\"State\":\"running\",\"Status\":\"Up 2 s "
      "(healthy)\",\"Labels\":" LABELS
      ",\"NetworkSettings\":{\"Networks\":{\"b\":{\"IPAddress\":\"10.0.0.2\"}}}}",
      true, "tcp:10.0.0.2:80", "healthy", DOCKER_RUNNING, -1 },
    { "{\"Id\":\"1\",\"State\":\"running\",\"Labels\":" LABELS
      ",\"Ports\":[{\"PrivatePort\":80,\"PublicPort\":4000}]}",
      true, "tcp:host:4000", "", DOCKER_RUNNING, -1 },
    { "{\"Id\":\"1\",\"State\":\"exited\",\"Status\":\"Exited (137) 1 s ago\",\"Labels\":" LABELS
      "}",
      true, "", "", DOCKER_EXITED, 137 },
    { "{\"Id\":\"1\",\"State\":\"running\",\"Labels\":" LABELS
      ",\"NetworkSettings\":{\"Networks\":{\"b\":{\"GlobalIPv6Address\":\"fd::2\"}}}}",
      true, "tcp:[fd::2]:80", "", DOCKER_RUNNING, -1 },
    { "{\"Id\":\"1\",\"State\":\"running\",\"Labels\":" LABELS
      ",\"HostConfig\":{\"NetworkMode\":\"host\"}}",
      true, "tcp:host:80", "", DOCKER_RUNNING, -1 },
    { "{\"Id\":\"1\",\"State\":\"flying\",\"Labels\":" LABELS "}", false, "", "", 0, 0 },
    { "{\"State\":\"running\",\"Labels\":" LABELS "}", false, "", "", 0, 0 },
    { "{\"Id\":\"1\",\"State\":\"running\",\"Labels\":{\"plimsoll.owner\":\"you\"}}", false, "", "",
      0, 0 },
    { "{\"Id\":\"1\",\"State\":\"running\",\"Labels\":null}", false, "", "", 0, 0 },
    { "{\"Id\":1,\"State\":[],\"Labels\":[]}", false, "", "", 0, 0 },
    { "[]", false, "", "", 0, 0 },
};

static void test_listed(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(listed); i++) {
        struct docker_seen seen;
        json_t *json = json_loads(listed[i].json, 0, NULL);
        assert_non_null(json);
        assert_int_equal(docker_see_listed(json, "me", "host", &seen), listed[i].ours);
        json_decref(json);
        if (!listed[i].ours)
            continue;
        assert_int_equal(seen.number, 3);
        assert_int_equal(seen.template, 0xff);
        assert_string_equal(seen.address, listed[i].address);
        assert_string_equal(seen.health, listed[i].health);
        assert_int_equal(seen.status, listed[i].status);
        assert_int_equal(seen.exit_code, listed[i].exit_code);
    }
}

static void test_template_and_shape(void **state)
{
    struct docker_conf a = { .image = "x", .limits = { .memory_bytes = 1 << 20 } }, b = a;
    b.limits.memory_bytes *= 2;
    assert_int_equal(docker_template(&a, true), docker_template(&b, true));
    assert_true(docker_shape(&a) != docker_shape(&b));
    b.limits.memory_bytes = 0; /* an engine cannot take it away */
    assert_true(docker_template(&a, true) != docker_template(&b, true));
    assert_int_equal(docker_shape(&b), 0);
    b = a;
    b.pull = DOCKER_PULL_ALWAYS;
    b.stop.grace_us = 7;
    assert_int_equal(docker_template(&a, true), docker_template(&b, true));
    b.network = "other";
    assert_true(docker_template(&a, true) != docker_template(&b, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_streams),   cmocka_unit_test(test_places),
        cmocka_unit_test(test_tls_place), cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_body),      cmocka_unit_test(test_published),
        cmocka_unit_test(test_listed),    cmocka_unit_test(test_template_and_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
