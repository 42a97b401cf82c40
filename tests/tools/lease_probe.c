/* Holds a lease as the controller does, and says as JSON lines what it is told. Every 10 ms in
 * which it may act it says so, with the token and the time: {"act": TOKEN, "at": CLOCK_BOOTTIME in
 * us}. lease_probe KEY=VALUE...    endpoints (commas between), cluster, member, url, ttl (s),
 * prefix, user, password-file, ca, cert, key, state-dir. "resign" on standard input gives it up;
 * the end of standard input ends the program. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/us.h"
#include "drivers/lease/lease.h"
#include "sys/clock.h"

#define ENDPOINTS_MAX 8
#define ACT_MS 10

static struct {
    struct lease_conf conf;
    const char *endpoints[ENDPOINTS_MAX];
    const char *member, *url, *state_dir;
    const struct lease_ops *ops;
    void *lease;
    uint64_t token;
    uv_timer_t acting;
    uv_pipe_t input;
    char buffer[256];
} probe = { .conf = { .cluster = "test", .etcd = { .prefix = "/plimsoll/", .ttl_us = 5000000 } },
            .member = "probe",
            .url = "http://127.0.0.1:1" };

/* --- what it is told --- */

static void on_held(void *ctx, bool held, uint64_t token, const char *why)
{
    probe.token = token;
    printf("{\"held\": %s, \"token\": %" PRIu64 ", \"why\": \"%s\", \"at\": %" PRId64 "}\n",
           held ? "true" : "false", token, why, clock_boot_us());
}

static void on_group(void *ctx, const struct lease_member *leader,
                     const struct lease_member *members, size_t count)
{
    printf("{\"leader\": \"%s\", \"members\": {", leader ? leader->name : "");
    for (size_t i = 0; i < count; i++)
        printf("%s\"%s%s\": \"%s\"", i ? ", " : "", members[i].name, members[i].self ? "*" : "",
               members[i].url);
    printf("}}\n");
}

static void on_note(void *ctx, bool trouble, const char *text)
{
    printf("{\"trouble\": %s, \"text\": \"", trouble ? "true" : "false");
    for (; *text; text++)
        printf("%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
    printf("\"}\n");
}

/* The time is taken first: whoever is stopped in between has not acted later than it says. */
static void on_acting(uv_timer_t *timer)
{
    int64_t now_us = clock_boot_us();
    if (probe.ops->may_act(probe.lease))
        printf("{\"act\": %" PRIu64 ", \"at\": %" PRId64 "}\n", probe.token, now_us);
}

/* --- what it is asked --- */

static void close_all(void)
{
    probe.ops->close(probe.lease);
    uv_close((uv_handle_t *)&probe.acting, NULL);
    uv_close((uv_handle_t *)&probe.input, NULL);
}

static void on_resigned(void *ctx)
{
    printf("{\"resigned\": true}\n");
}

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *ret)
{
    *ret = uv_buf_init(probe.buffer, sizeof(probe.buffer));
}

static void on_input(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    if (n < 0)
        close_all();
    else if (n >= 6 && memcmp(buf->base, "resign", 6) == 0)
        probe.ops->resign(probe.lease, on_resigned, NULL);
}

/* --- the beginning --- */

static void set_endpoints(char *value)
{
    struct schema_list *l = &probe.conf.etcd.endpoints;
    l->items = probe.endpoints;
    for (char *one = strtok(value, ","); one && l->count < ENDPOINTS_MAX; one = strtok(NULL, ","))
        l->items[l->count++] = one;
}

static bool set(char *word)
{
    struct lease_etcd_conf *etcd = &probe.conf.etcd;
    const struct {
        const char *name, **field;
    } texts[] = {
        { "cluster", &probe.conf.cluster },
        { "member", &probe.member },
        { "url", &probe.url },
        { "state-dir", &probe.state_dir },
        { "prefix", &etcd->prefix },
        { "user", &etcd->user },
        { "password-file", &etcd->password_file },
        { "ca", &etcd->ca },
        { "cert", &etcd->cert },
        { "key", &etcd->key },
    };
    char *value = strchr(word, '=');
    if (!value)
        return false;
    *value++ = '\0';
    if (strcmp(word, "endpoints") == 0)
        set_endpoints(value);
    else if (strcmp(word, "ttl") == 0)
        etcd->ttl_us = strtoll(value, NULL, 10) * US_PER_S;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (strcmp(word, texts[i].name) == 0)
            *texts[i].field = value;
    return true;
}

int main(int argc, char **argv)
{
    struct err err = { 0 };
    uv_loop_t *loop = uv_default_loop();
    for (int i = 1; i < argc; i++)
        if (!set(argv[i]))
            return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    struct lease_options options = {
        .loop = loop,
        .conf = &probe.conf,
        .member = probe.member,
        .url = probe.url,
        .state_dir = probe.state_dir ? probe.state_dir : "/nonexistent",
        .listener = { .held = on_held, .group = on_group, .note = on_note },
    };
    probe.ops = lease_choose(&probe.conf);
    if (probe.ops->open(&options, &probe.lease, &err) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    uv_timer_init(loop, &probe.acting);
    uv_timer_start(&probe.acting, on_acting, ACT_MS, ACT_MS);
    uv_pipe_init(loop, &probe.input, 0);
    uv_pipe_open(&probe.input, 0);
    uv_read_start((uv_stream_t *)&probe.input, give_buffer, on_input);
    uv_run(loop, UV_RUN_DEFAULT);
    return uv_loop_close(loop) == 0 ? 0 : 3; /* a handle that nobody closed */
}
