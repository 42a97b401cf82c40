/* A small plimsoll for the admin's tests: a real core with two services, a real store, a backend
 * that notes what it is told, and a client on the same thread. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "admin/admin.h"
#include "base/us.h"
#include "core/control.h"
#include "store/journal.h"
#include "sys/clock.h"
#include "unit/store/scratch.h"

struct world {
    struct control *control;
    void *memory;
    struct store *store;
    struct admin *admin;
    int64_t now_us;
    const char *trouble;
    bool proxy_away, stopping;
    struct admin_command told; /* the last one */
    char told_service[64];
    unsigned told_count;
    char told_member[64];
    uint64_t told_segment, told_offset;
    unsigned reply_status; /* what the backend answers; 0 = its default */
    struct admin_group_facts group;
};

static struct world world;

static const struct control *world_control(void *ctx)
{
    return world.control;
}

static struct store *world_store(void *ctx)
{
    return world.store;
}

static void world_facts(void *ctx, struct admin_facts *f)
{
    *f = (struct admin_facts){ .state_dir = scratch_dir,
                               .config_path = "plimsoll.yaml",
                               .lease = "held",
                               .now_us = world.now_us,
                               .stopping = world.stopping,
                               .since_wall_us = 1795151703123456,
                               .keeper_pid = 10,
                               .controller_pid = 11,
                               .proxy_pid = world.proxy_away ? 0 : 12,
                               .proxy_connections = 5,
                               .group = world.group,
                               .engines = { { .name = "docker", .trouble = "is away" } },
                               .engine_count = 1 };
    if (world.trouble)
        f->troubles[f->trouble_count++] = world.trouble;
}

static void world_service_facts(void *ctx, uint32_t slot, struct admin_service_facts *f)
{
    static const char *const listen[] = { "tcp:*:8080" };
    f->rps = f->p50_ms = f->p95_ms = f->p99_ms = NAN;
    if (slot != 0)
        return;
    f->listen = listen;
    f->listen_count = 1;
    f->in_flight = 7;
    f->own_in_flight = 5;
    f->rps = 12.5;
    f->requests_total = 105;
    f->responses[2] = 90;
    f->responses[5] = 10;
    f->errors[ADMIN_ERROR_CONNECT] = 4;
    f->sources[0] =
        (struct admin_source_facts){ .name = "jobs", .kind = "redis", .value = 12, .trouble = "" };
    f->sources[1] = (struct admin_source_facts){
        .name = "lag", .kind = "push", .value = NAN, .trouble = "is told nothing", .trouble_us = 1
    };
    f->sources[2] = (struct admin_source_facts){
        .name = "new", .kind = "push", .value = NAN, .trouble = "" /* nothing has come yet */
    };
    f->source_count = 3;
    f->cost = (struct admin_cost_facts){ .per_hour = 2.5,
                                         .today = 10,
                                         .watts = NAN,
                                         .kwh_today = NAN,
                                         .grams_per_hour = NAN,
                                         .grams_today = NAN };
    f->latency[0] = 60;
    f->latency[3] = 40;
    f->latency_sum_us = 1500000;
    f->bytes_out = 1ull << 40;
}

static void world_instance_facts(void *ctx, uint32_t slot, uint32_t number,
                                 struct admin_instance_facts *f)
{
    *f = (struct admin_instance_facts){ .pid = 1000 + number,
                                        .address = "tcp:127.0.0.1:20000",
                                        .in_flight = number + 10,
                                        .own_in_flight = number,
                                        .cpu = 0.5,
                                        .memory_bytes = NAN };
}

static int world_log_path(void *ctx, const char *service, uint32_t number, char *buf, size_t cap,
                          struct err *err)
{
    if (number == 6)
        return err_set(err, -ENOTSUP, "the engine keeps it: engine logs %s", service);
    if (number == 8)
        return err_set(err, -EIO, "no engine today");
    if (strcmp(service, "shop") != 0 || number > 9)
        return -ENOENT;
    snprintf(buf, cap, "%s/%s-%u.log", scratch_dir, service, number);
    return number == 7 ? -EAGAIN : 0;
}

static void world_command(void *ctx, const struct admin_command *c, struct admin_reply *reply)
{
    world.told = *c;
    snprintf(world.told_service, sizeof(world.told_service), "%s", c->service ? c->service : "");
    snprintf(world.told_member, sizeof(world.told_member), "%s", c->member ? c->member : "");
    world.told_count++;
    if (world.reply_status)
        admin_reply_error(reply, world.reply_status, "no, because of %s", "this");
}

static json_t *world_gauges(void *ctx)
{
    return json_pack("{s:i}", "pid", 12);
}

static json_t *world_alerts(void *ctx)
{
    return json_pack("{s:[], s:[]}", "alerts", "targets");
}

/* Segments 3 and 4 are there, of one line each. */
static int world_journal(void *ctx, uint64_t segment, uint64_t offset, struct journal_chunk *ret)
{
    world.told_segment = segment;
    world.told_offset = offset;
    if (segment != 0 && segment != 3 && segment != 4)
        return segment == 9 ? -EIO : -ENOENT;
    *ret = (struct journal_chunk){ .text = strdup(offset ? "" : "{\"segment\":3}\n"),
                                   .bytes = offset ? 0 : 14,
                                   .segment = 4,
                                   .offset = segment == 3 ? 0 : 14 };
    return 0;
}

static const struct admin_backend world_backend = { .control = world_control,
                                                    .store = world_store,
                                                    .facts = world_facts,
                                                    .service_facts = world_service_facts,
                                                    .instance_facts = world_instance_facts,
                                                    .log_path = world_log_path,
                                                    .command = world_command,
                                                    .gauges = world_gauges,
                                                    .journal = world_journal,
                                                    .alerts = world_alerts };

static inline void world_step(struct event e)
{
    struct action items[CONTROL_ACTIONS_MIN];
    struct actions actions = { .items = items, .cap = CONTROL_ACTIONS_MIN };
    e.now_us = ++world.now_us;
    e.wall_us = clock_wall_us();
    assert_int_equal(control_step(world.control, &e, &actions), 0);
}

static inline void world_make_service(struct service_conf *s, const char *name)
{
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->min = 2;
    s->max = 4;
    s->initial = -1;
    s->template = 0xabcdef;
    s->surge = 1;
    s->can_choose_victim = true;
    s->start_within_us = 30 * US_PER_S;
    s->drain_us = 30 * US_PER_S;
    s->window_in_us = 60 * US_PER_S;
    s->health = (struct health_conf){ 3, 1, US_NEVER };
}

/* Two services, the first with an instance that is ready and one that starts. */
static inline void world_make_control(void)
{
    static struct service_conf services[2];
    static struct model_conf conf;
    struct control_caps caps = { .services = 4, .instances = 16, .points = 64 };
    memset(services, 0, sizeof(services));
    world_make_service(&services[0], "shop");
    world_make_service(&services[1], "my-blog");
    conf = (struct model_conf){ .service_count = 2, .services = services };
    world.memory = aligned_alloc(64, (control_bytes(&caps) + 63) / 64 * 64);
    memset(world.memory, 0, control_bytes(&caps));
    world.control = control_init(world.memory, &caps);
    world.now_us = clock_now_us();
    world_step((struct event){ .type = EVENT_CONFIG, .service = -1, .conf = &conf });
    world_step((struct event){ .type = EVENT_TICK, .service = -1 });
    world_step((struct event){ .type = EVENT_STARTED, .service = 0, .number = 1, .pid = 1001 });
    world_step((struct event){ .type = EVENT_PROBE, .service = 0, .number = 1, .flag = true });
}

static inline void world_open_admin(const char *address, const char *token)
{
    struct err err = { 0 };
    struct admin_options o = { .socket_path = scratch_path("admin.sock"),
                               .address = address,
                               .token = token };
    if (admin_open(&o, &world_backend, &world.admin, &err) < 0)
        fail_msg("%s: %s", err.place, err.text);
}

static inline int world_make(void **state)
{
    if (scratch_make(state) < 0)
        return -1;
    world = (struct world){ 0 };
    world_make_control();
    struct store_options o = { .path = scratch_path("plimsoll.db"), .batch_us = US_PER_MS };
    return store_open(&o, &world.store);
}

static inline int world_drop(void **state)
{
    admin_close(world.admin);
    store_close(world.store);
    free(world.memory);
    return scratch_drop(state);
}

static inline int world_connect(int tcp_port)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)tcp_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    snprintf(local.sun_path, sizeof(local.sun_path), "%s", scratch_path("admin.sock"));
    int fd = socket(tcp_port ? AF_INET : AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = tcp_port ? connect(fd, (struct sockaddr *)&in, sizeof(in))
                      : connect(fd, (struct sockaddr *)&local, sizeof(local));
    if (rc == 0)
        return fd;
    close(fd);
    return -1;
}

/* The whole answer to these bytes, the server being run meanwhile. malloc'd. */
static inline char *world_talk(int tcp_port, const char *bytes, size_t n)
{
    size_t used = 0, sent = 0, cap = 1 << 20;
    char *answer = malloc(cap);
    int fd = world_connect(tcp_port);
    assert_true(fd >= 0);
    for (int64_t end_us = clock_now_us() + 20 * US_PER_S; clock_now_us() < end_us;) {
        int timeout_ms = admin_timeout_ms(world.admin);
        struct pollfd fds[] = { { fd, POLLIN | (sent < n ? POLLOUT : 0), 0 },
                                { admin_fd(world.admin), POLLIN, 0 } };
        poll(fds, 2, timeout_ms >= 0 && timeout_ms < 1000 ? timeout_ms : 1000);
        admin_run(world.admin);
        if (sent < n && fds[0].revents & POLLOUT) {
            ssize_t wrote = send(fd, bytes + sent, n - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
            sent = wrote < 0 ? n : sent + (size_t)wrote;
        }
        if (!(fds[0].revents & (POLLIN | POLLHUP)))
            continue;
        ssize_t got = recv(fd, answer + used, cap - used - 1, MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
        used += got > 0 ? (size_t)got : 0;
    }
    close(fd);
    answer[used] = '\0';
    return answer;
}

/* Returns the status; *ret_body (may be NULL) is malloc'd. `headers` end in \r\n each. */
static inline int world_ask(int tcp_port, const char *method, const char *path, const char *headers,
                            const char *body, char **ret_body)
{
    char request[4096];
    int status = 0;
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.1\r\n%sConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, headers ? headers : "Host: localhost\r\n", strlen(body), body);
    char *answer = world_talk(tcp_port, request, (size_t)n);
    char *start = strstr(answer, "\r\n\r\n");
    sscanf(answer, "HTTP/1.1 %d", &status);
    if (ret_body)
        *ret_body = strdup(start ? start + 4 : "");
    free(answer);
    return status;
}

static inline int world_get(const char *path, char **ret_body)
{
    return world_ask(0, "GET", path, NULL, "", ret_body);
}

/* A port that was free a moment ago. */
static inline int world_free_port(void)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &bytes), 0);
    close(fd);
    return ntohs(in.sin_port);
}
