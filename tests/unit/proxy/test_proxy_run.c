/* The proxy process end to end: every rule of its protocol handling, against instances that behave
 * and ones that do not. */
#include "rig.h"

static int set_up(void **state)
{
    *state = rig_new();
    return 0;
}

static int tear_down(void **state)
{
    rig_free(*state);
    return 0;
}

/* One request on a connection of its own; the answer is everything until `mark`, or the end. */
static void ask(struct rig *r, const char *request, const char *mark, char *buf, size_t cap)
{
    int fd = rig_connect(r->port);
    buf[0] = '\0';
    rig_write(fd, request);
    assert_true(rig_read_until(fd, buf, cap, mark));
    close(fd);
}

static void test_answers(void **state)
{
    static const struct {
        const char *request, *mark;
        const char *wanted[4];
    } rows[] = {
        { "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n", { "HTTP/1.1 200 OK", "X-Request-Id: " } },
        { "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, { "200 OK", "ok\n" } },
        { "GET / HTTP/1.0\r\n\r\n", NULL, { "200 OK", "ok\n" } },
        { "HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
          NULL,
          { "200 OK", "Content-Length: 3" } },
        { "GET /empty HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
          NULL,
          { "204 No Content" } },
        { "GET /chunked HTTP/1.1\r\nHost: x\r\n\r\n",
          "X-Trailer: yes\r\n\r\n",
          { "5\r\nhello\r\n" } },
        { "GET /chunked HTTP/1.0\r\n\r\n", NULL, { "\r\n\r\nhello world" } },
        { "GET /close HTTP/1.1\r\nHost: x\r\n\r\n", "0\r\n\r\n", { "d\r\nuntil the end\r\n" } },
        { "GET /close HTTP/1.0\r\n\r\n", NULL, { "\r\n\r\nuntil the end" } },
        { "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
          "hello",
          { "200 OK" } },
        { "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
          "3\r\nabc\r\n0\r\nT: v\r\n\r\n",
          "T: v\r\n\r\n",
          { "3\r\nabc\r\n" } },
        { "GET /head-echo HTTP/1.1\r\nHost: x\r\nTE: gzip\r\nConnection: te, x-a\r\nX-A: 1\r\n\r\n",
          "X-Forwarded-For: 127.0.0.1",
          { "Host: x" } },
        { "CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", NULL, { "405 ", "Connection: close" } },
        { "GET / HTTP/1.1\r\n\r\n", NULL, { "400 Bad Request" } },
        { "GET / HTTP/1.1\r\nHost : x\r\n\r\n", NULL, { "400 Bad Request" } },
        { "GET / HTTP/1.1\nHost: x\n\n", NULL, { "400 Bad Request" } },
        { "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
          NULL,
          { "400 Bad Request" } },
        { "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
          NULL,
          { "400 Bad Request" } },
        { "GET /garbage HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, { "502 " } },
        { "POST /break HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
          NULL,
          { "502 Bad Gateway" } },
    };
    struct rig *r = *state;
    char buf[65536];
    r->service.eject_failures = 0;
    rig_apply(r);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ask(r, rows[i].request, rows[i].mark, buf, sizeof(buf));
        for (size_t k = 0; k < ARRAY_LEN(rows[i].wanted) && rows[i].wanted[k]; k++)
            if (!strstr(buf, rows[i].wanted[k]))
                fail_msg("row %zu: no \"%s\" in \"%s\"", i, rows[i].wanted[k], buf);
    }
}

static void test_no_body_where_none_may_be(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    rig_apply(r);
    ask(r,
        "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        NULL, buf, sizeof(buf));
    char *second = strstr(buf, "\r\n\r\n");
    assert_non_null(second);
    assert_int_equal(strncmp(second + 4, "HTTP/1.1 200", 12), 0);
}

static void test_keep_alive_both_sides(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    rig_apply(r);
    int fd = rig_connect(r->port);
    for (int i = 0; i < 20; i++) {
        buf[0] = '\0';
        rig_write(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    }
    close(fd);
    assert_int_equal(atomic_load(&r->servers[0].connections), 1);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
}

static void test_pipelined_in_order(void **state)
{
    struct rig *r = *state;
    char buf[65536];
    char requests[8192] = "";
    rig_apply(r);
    for (int i = 0; i < 30; i++)
        snprintf(requests + strlen(requests), sizeof(requests) - strlen(requests),
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n%s\r\n<%02d>",
                 i == 29 ? "Connection: close\r\n" : "", i);
    ask(r, requests, NULL, buf, sizeof(buf));
    char *at = buf;
    for (int i = 0; i < 30; i++) {
        char mark[8];
        snprintf(mark, sizeof(mark), "<%02d>", i);
        at = strstr(at, mark);
        assert_non_null(at);
    }
}

static void test_continue(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
                  "Expect: 100-continue\r\n\r\n");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "100 Continue\r\n"));
    rig_write(fd, "hello");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "hello"));
    assert_non_null(strstr(buf, "HTTP/1.1 200 OK"));
    close(fd);
}

static void test_upgrade_tunnel(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
                  "early");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "early"));
    assert_non_null(strstr(buf, "101 Switching"));
    assert_int_equal(atomic_load(&r->gauges->service[3].tunnels), 1);
    assert_int_equal(atomic_load(&r->gauges->service[3].in_flight), 0);
    rig_write(fd, "later");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "later"));
    rig_write(fd, "last");
    shutdown(fd, SHUT_WR);
    assert_true(rig_read_until(fd, buf, sizeof(buf), NULL));
    assert_non_null(strstr(buf, "last"));
    close(fd);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].tunnels) == 0);
}

static void test_tcp(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    r->service.protocol = SNAPSHOT_TCP;
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET / HTTP/1.1\r\n\r\n"); /* no Host: nobody reads it but the instance */
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    assert_int_equal(atomic_load(&r->gauges->service[3].tunnels), 1);
    shutdown(fd, SHUT_WR);
    assert_true(rig_read_until(fd, buf, sizeof(buf), NULL));
    close(fd);
    RIG_WAIT_FOR(atomic_load(&r->gauges->instance[10].in_flight) == 0);
}

/* The second instance refuses connections: no request may notice. */
static void test_retry_and_ejection(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    struct link_msg m;
    r->service.instance_count = 2;
    snprintf(r->instances[1].address, SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:1");
    rig_apply(r);
    for (int i = 0; i < 8; i++) {
        ask(r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "hi", buf,
            sizeof(buf));
        assert_non_null(strstr(buf, "200 OK"));
    }
    rig_expect(r->controller_fd, LINK_EJECTED, &m);
    assert_int_equal(m.number, 2);
    assert_true(m.flag);
    rig_expect(r->controller_fd, LINK_EJECTED, &m);
    assert_false(m.flag);
}

/* A kept-alive connection that the instance closes under the request: sent again, if it may be. */
static void test_retry_of_stale_connections(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    r->service.eject_failures = 0;
    rig_apply(r);
    for (int i = 0; i < 6; i++) {
        ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
        assert_non_null(strstr(buf, "200 OK"));
        ask(r, "GET /once HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf,
            sizeof(buf));
        ask(r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi", "hi", buf,
            sizeof(buf));
    }
}

/* Those that are refused for want of room have come as well; those that are nonsense have not. */
static void test_queue_at_limit(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "", other[4096] = "";
    uint64_t rings;
    r->service.max_concurrency = 1;
    r->service.queue_length = 1;
    rig_apply(r);
    atomic_store(&r->gauges->service[3].mark, 1000);
    atomic_store(&r->servers[0].hold, true);
    int first = rig_connect(r->port), second = rig_connect(r->port);
    rig_write(first, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    struct pollfd bell = { .fd = r->doorbell_fd, .events = POLLIN };
    while (poll(&bell, 1, 0) > 0)
        assert_int_equal(read(r->doorbell_fd, &rings, sizeof(rings)), sizeof(rings));
    rig_write(second, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 1);
    assert_int_equal(poll(&bell, 1, RIG_WAIT_MS), 1);
    assert_true(atomic_load(&r->gauges->dirty[0]) & 1u << 3);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, other, sizeof(other));
    assert_non_null(strstr(other, "503 Service Unavailable\r\n"));
    assert_non_null(strstr(other, "Retry-After: 1"));
    ask(r, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n", NULL, other, sizeof(other));
    assert_non_null(strstr(other, "400 Bad Request\r\n"));
    assert_int_equal(rig_arrivals(r), 3);
    atomic_store(&r->servers[0].hold, false);
    assert_true(rig_read_until(second, buf, sizeof(buf), "ok\n"));
    close(first);
    close(second);
}

/* Once when demand crosses the mark, not for each request above it. */
static void test_mark_rings_once(void **state)
{
    struct rig *r = *state;
    uint64_t rings = 0;
    int fds[3];
    rig_apply(r);
    atomic_store(&r->gauges->service[3].mark, 1);
    atomic_store(&r->servers[0].hold, true);
    for (uint32_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = rig_connect(r->port);
        rig_write(fds[i], "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == i + 1);
    }
    assert_int_equal(read(r->doorbell_fd, &rings, sizeof(rings)), sizeof(rings));
    assert_int_equal(rings, 1);
    atomic_store(&r->servers[0].hold, false);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    for (uint32_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

static void test_queue_deadline_and_leaving(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    r->service.instance_count = 0;
    r->service.starting = true;
    r->service.queue_deadline_us = 100000;
    rig_apply(r);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "503 "));
    r->service.queue_deadline_us = 60000000;
    rig_apply(r);
    int gone = rig_connect(r->port), stays = rig_connect(r->port);
    rig_write(gone, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    rig_write(stays, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 2);
    close(gone); /* no reset: whether it still reads has to be found out */
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 1);
    r->service.instance_count = 1; /* the first instance is ready */
    rig_apply(r);
    buf[0] = '\0';
    assert_true(rig_read_until(stays, buf, sizeof(buf), "ok\n"));
    close(stays);
}

static void test_unavailable_says_why(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    r->service.instance_count = 0;
    r->service.starting = true;
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 1);
    r->service.starting = false;
    snprintf(r->service.unavailable, sizeof(r->service.unavailable), "the command exits at once");
    rig_apply(r);
    assert_true(rig_read_until(fd, buf, sizeof(buf), "the command exits at once\n"));
    close(fd);
}

static void test_drain(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "", other[4096];
    struct link_msg m;
    r->service.instance_count = 2;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    atomic_store(&r->servers[1].hold, true);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    uint32_t busy = atomic_load(&r->gauges->instance[10].in_flight) ? 0 : 1;
    r->instances[busy].draining = true;
    rig_apply(r);
    for (int i = 0; i < 4; i++) {
        ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, other,
            sizeof(other));
        assert_null(strstr(other, busy == 0 ? "X-Who: a" : "X-Who: b"));
    }
    atomic_store(&r->servers[0].hold, false);
    atomic_store(&r->servers[1].hold, false);
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    rig_expect(r->controller_fd, LINK_DRAINED, &m);
    assert_int_equal(m.number, busy + 1);
    assert_true(slice_eq(m.name, SLICE("shop")));
    close(fd);
}

static void test_drain_deadline_cuts(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    struct link_msg m;
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd,
              "GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "\r\n\r\n"));
    r->instances[0].draining = true;
    r->service.drain_us = 100000;
    rig_apply(r);
    rig_expect(r->controller_fd, LINK_DRAINED, &m);
    assert_int_equal(m.number, 1);
    rig_read_until(fd, buf, sizeof(buf), NULL);
    close(fd);
}

static void test_stop(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    struct link_msg m;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    int idle = rig_connect(r->port), busy = rig_connect(r->port);
    rig_write(idle, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(rig_read_until(idle, buf, sizeof(buf), "ok\n"));
    rig_write(busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    r->snapshot.stopping = true;
    rig_apply(r);
    assert_true(rig_read_until(idle, buf, sizeof(buf), NULL));
    atomic_store(&r->servers[0].hold, false);
    buf[0] = '\0';
    assert_true(rig_read_until(busy, buf, sizeof(buf), NULL));
    assert_non_null(strstr(buf, "Connection: close"));
    assert_non_null(strstr(buf, "ok\n"));
    close(idle);
    close(busy);
    rig_expect(r->controller_fd, LINK_IDLE, &m);
}

static void test_garbage_snapshot_is_refused(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    struct link_msg m;
    rig_apply(r);
    int fd = memfd_create("garbage", MFD_CLOEXEC);
    assert_int_equal(write(fd, "garbage", 7), 7);
    struct link_msg bad = { .type = LINK_SNAPSHOT, .number = 77, .fd_count = 1, .fds = { fd } };
    rig_send(r->controller_fd, &bad);
    close(fd);
    rig_expect(r->controller_fd, LINK_REFUSED, &m);
    assert_int_equal(m.number, 77);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "200 OK"));
}

static void test_routing(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    r->service.host_count = 1;
    snprintf(r->service.host[0], sizeof(r->service.host[0]), "shop.example");
    snprintf(r->service.path, sizeof(r->service.path), "/a");
    rig_apply(r);
    ask(r, "GET /a/b HTTP/1.1\r\nHost: SHOP.example:80\r\n\r\n", "\r\n\r\n", buf, sizeof(buf));
    assert_non_null(strstr(buf, "200 OK"));
    ask(r, "GET /ab HTTP/1.1\r\nHost: shop.example\r\n\r\n", "\r\n\r\n", buf, sizeof(buf));
    assert_non_null(strstr(buf, "404 Not Found"));
    ask(r, "GET /a HTTP/1.1\r\nHost: other.example\r\n\r\n", "\r\n\r\n", buf, sizeof(buf));
    assert_non_null(strstr(buf, "421 Misdirected Request"));
}

static void test_limits_and_slow_heads(void **state)
{
    struct rig *r = *state;
    static char request[65536];
    char buf[4096];
    r->service.uri_bytes_max = 100;
    r->service.header_bytes_max = 8192;
    r->service.header_count_max = 10;
    r->service.header_timeout_us = 100000;
    rig_apply(r);
    snprintf(request, sizeof(request), "GET /%0200d HTTP/1.1\r\nHost: x\r\n\r\n", 0);
    ask(r, request, NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "414 "));
    snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: x\r\nA: %09000d\r\n\r\n", 0);
    ask(r, request, NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "431 "));
    snprintf(request, sizeof(request), "GET / HTTP/1.1\r\nHost: x\r\nA: %07000d\r\n\r\n", 0);
    ask(r, request, "ok\n", buf, sizeof(buf));
    ask(r, "GET / HTTP/1.1\r\nHo", NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "408 "));
}

static void test_access_log(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    int fds[2];
    rig_apply(r);
    assert_int_equal(pipe(fds), 0);
    struct link_msg m = { .type = LINK_LOG, .fd_count = 1, .fds = { fds[1] } };
    rig_send(r->controller_fd, &m);
    rig_apply(r); /* messages are in order: the log is open when this is applied */
    ask(r, "GET /a\"b HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
    struct pollfd p = { .fd = fds[0], .events = POLLIN };
    assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
    ssize_t n = read(fds[0], buf, sizeof(buf) - 1);
    assert_true(n > 0);
    buf[n] = '\0';
    assert_non_null(
        strstr(buf, "\"service\":\"shop\",\"instance\":\"shop-1\",\"client\":\"127.0.0.1\""));
    assert_non_null(strstr(buf, "\"status\":200"));
    close(fds[0]);
    close(fds[1]);
}

/* Bodies far larger than all buffers, both ways; the reader begins late. */
static void test_large_bodies(void **state)
{
    struct rig *r = *state;
    char head[256];
    static char piece[100000];
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    for (size_t len = 0; len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0; len++)
        assert_int_equal(recv(fd, head + len, 1, 0), 1);
    assert_true(rig_check_big(fd, "", 0));
    rig_write(fd, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
    for (size_t at = 0, n; at < RIG_BIG_BYTES; at += n) {
        n = MIN(sizeof(piece), RIG_BIG_BYTES - at);
        rig_fill(piece, at, n);
        for (size_t sent = 0; sent < n;) {
            ssize_t done = send(fd, piece + sent, n - sent, MSG_NOSIGNAL);
            assert_true(done > 0);
            sent += (size_t)done;
        }
    }
    head[0] = '\0';
    assert_true(rig_read_until(fd, head, sizeof(head), "\r\n\r\n"));
    assert_non_null(strstr(head, "200 OK"));
    close(fd);
}

static void test_dechunked_for_old_clients(void **state)
{
    struct rig *r = *state;
    char head[256];
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /big-chunked HTTP/1.0\r\n\r\n");
    for (size_t len = 0; len < 4 || memcmp(head + len - 4, "\r\n\r\n", 4) != 0; len++)
        assert_int_equal(recv(fd, head + len, 1, 0), 1);
    assert_true(rig_check_big(fd, "", 0));
    close(fd);
}

/* A client that never reads is cut, and what it held is given back. */
static void test_client_that_never_reads(void **state)
{
    struct rig *r = *state;
    r->service.body_timeout_us = 100000;
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    RIG_WAIT_FOR(atomic_load(&r->gauges->client_connections) == 0);
    close(fd);
}

static void test_response_timeout(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    r->service.response_timeout_us = 100000;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    ask(r, "GET /hold HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
    atomic_store(&r->servers[0].hold, false);
    assert_non_null(strstr(buf, "504 Gateway Timeout"));
    RIG_WAIT_FOR(atomic_load(&r->gauges->instance[10].in_flight) == 0);
}

static void test_connections_max_sheds_the_idle(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    int fds[8];
    r->snapshot.connections_max = 4;
    rig_apply(r);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = rig_connect(r->port);
        send(fds[i], "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27, MSG_NOSIGNAL);
        buf[0] = '\0';
        rig_read_until(fds[i], buf, sizeof(buf), "ok\n");
    }
    assert_true(atomic_load(&r->gauges->client_connections) <= 4);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        close(fds[i]);
}

/* Keeper and controller may come and go; what they must know is said again. */
static void test_links_come_and_go(void **state)
{
    struct rig *r = *state;
    char buf[4096];
    struct link_msg m;
    r->instances[0].draining = true;
    r->service.instance_count = 2;
    rig_apply(r);
    rig_expect(r->controller_fd, LINK_DRAINED, &m);
    close(r->controller_fd);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n", buf, sizeof(buf));
    close(r->doorbell_fd);
    munmap(r->gauges, sizeof(struct gauges));
    rig_link_controller(r);
    rig_expect(r->controller_fd, LINK_APPLIED, &m);
    assert_int_equal(m.number, (int64_t)r->snapshot.generation);
    rig_expect(r->controller_fd, LINK_DRAINED, &m);
    assert_int_equal(m.number, 1);
    rig_meet(r); /* another keeper */
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n", buf, sizeof(buf));
}

/* The only instance is gone and not yet missed: the request waits for the next one. */
static void test_refused_by_all_waits(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "", address[SNAPSHOT_ADDRESS_MAX];
    snprintf(address, sizeof(address), "%s", r->instances[0].address);
    snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:1");
    rig_apply(r);
    int fd = rig_connect(r->port);
    rig_write(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
    RIG_WAIT_FOR(atomic_load(&r->gauges->instance[10].errors) >= 2);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "%s", address);
    r->instances[0].number = 2;
    rig_apply(r);
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    r->service.queue_deadline_us = 150000;
    snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:1");
    r->instances[0].number = 3;
    rig_apply(r);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", NULL, buf, sizeof(buf));
    assert_non_null(strstr(buf, "502 Bad Gateway"));
    close(fd);
}

/* A client that resets its connection frees the instance at once. */
static void test_client_reset_frees_the_instance(void **state)
{
    struct rig *r = *state;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    rig_reset(fd);
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    atomic_store(&r->servers[0].hold, false);
}

static void test_instance_on_a_unix_socket(void **state)
{
    struct rig *r = *state;
    static struct rig_server server = { .mark = 'u' };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char buf[65536], path[64];
    snprintf(path, sizeof(path), "./proxy-test-%d.sock", (int)getpid());
    strcpy(un.sun_path, path);
    server.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.listen_fd, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(server.listen_fd, 16), 0);
    rig_server_start(&server);
    snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "unix:%s", path);
    rig_apply(r);
    for (int i = 0; i < 5; i++) {
        ask(r, "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "hello", buf,
            sizeof(buf));
        assert_non_null(strstr(buf, "X-Who: u"));
    }
    assert_true(atomic_load(&server.connections) <= RIG_LOOPS); /* kept alive */
    int fd = rig_connect(r->port);
    rig_write(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n");
    for (size_t len = 0; len < 4 || memcmp(buf + len - 4, "\r\n\r\n", 4) != 0; len++)
        assert_int_equal(recv(fd, buf + len, 1, 0), 1);
    assert_true(rig_check_big(fd, "", 0));
    close(fd);
    unlink(path);
    shutdown(server.listen_fd, SHUT_RDWR);
}

/* Another set of sockets, a Unix one among them: the old ones are let go. */
static void test_listeners_are_replaced(void **state)
{
    struct rig *r = *state;
    struct link_msg m = { .type = LINK_LISTENERS, .list_count = 2, .fd_count = 2 };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    char buf[4096] = "";
    rig_apply(r);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n", buf, sizeof(buf));
    uint16_t old_port = r->port;
    r->port = 0;
    assert_int_equal(rig_listen(&r->port, &m.fds[0], 1), 0);
    snprintf(un.sun_path, sizeof(un.sun_path), "./proxy-front-%d.sock", (int)getpid());
    m.fds[1] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(m.fds[1], (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(m.fds[1], 16), 0);
    snprintf(r->snapshot.listeners[0], SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:%u", r->port);
    snprintf(r->snapshot.listeners[1], SNAPSHOT_ADDRESS_MAX, "unix:%s", un.sun_path);
    r->snapshot.listener_count = r->service.listener_count = 2;
    r->service.listener[1] = 1;
    m.list[0] = slice_of(r->snapshot.listeners[0]);
    m.list[1] = slice_of(r->snapshot.listeners[1]);
    rig_send(r->keeper_fd, &m);
    close(m.fds[0]);
    close(m.fds[1]);
    rig_apply(r);
    ask(r, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "ok\n", buf, sizeof(buf));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&un, sizeof(un)), 0);
    buf[0] = '\0';
    rig_write(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    close(fd);
    unlink(un.sun_path);
    struct sockaddr_in in = { .sin_family = AF_INET,
                              .sin_port = htons(old_port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&in, sizeof(in)), -1);
    close(fd);
}

struct storm {
    struct rig *rig;
    int failed, done;
};

static void *storm_client(void *arg)
{
    struct storm *s = arg;
    char buf[4096];
    int fd = rig_connect(s->rig->port);
    for (int i = 0; i < 150; i++) {
        buf[0] = '\0';
        rig_write(fd, i % 3 ? "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
                            : "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi");
        if (!rig_read_until(fd, buf, sizeof(buf), "ok\n") || !strstr(buf, " 200 OK")) {
            print_error("storm: %s\n", buf);
            s->failed++;
        }
        s->done++;
    }
    close(fd);
    return NULL;
}

/* Many clients over both loops, places for few, instances drained and brought back all the while.
 */
static void test_storm(void **state)
{
    struct rig *r = *state;
    struct storm storms[8];
    pthread_t threads[8];
    r->service.max_concurrency = 1;
    r->service.instance_count = RIG_INSTANCES;
    r->service.eject_failures = 0;
    rig_apply(r);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        storms[i] = (struct storm){ .rig = r };
        pthread_create(&threads[i], NULL, storm_client, &storms[i]);
    }
    for (uint32_t i = 0; i < 40; i++) {
        for (uint32_t k = 0; k < RIG_INSTANCES; k++) {
            r->instances[k].draining = k == i % RIG_INSTANCES;
            if (k != (i + 1) % RIG_INSTANCES)
                continue;
            r->instances[k].number += RIG_INSTANCES; /* another instance in its place */
        }
        rig_apply(r);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(storms[i].done, 150);
        assert_int_equal(storms[i].failed, 0);
    }
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    assert_int_equal(atomic_load(&r->gauges->service[3].queued), 0);
    for (uint32_t k = 0; k < 100; k++)
        assert_int_equal(atomic_load(&r->gauges->instance[10 + k].in_flight), 0);
}

int main(int argc, char **argv)
{
    int keeper_fd = rig_proxy_fd(argc, argv);
    if (keeper_fd >= 0)
        return proxy_main(keeper_fd);
    if (argc == 2)
        cmocka_set_test_filter(argv[1]);
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(test_answers),
        CASE(test_no_body_where_none_may_be),
        CASE(test_keep_alive_both_sides),
        CASE(test_pipelined_in_order),
        CASE(test_continue),
        CASE(test_upgrade_tunnel),
        CASE(test_tcp),
        CASE(test_retry_and_ejection),
        CASE(test_retry_of_stale_connections),
        CASE(test_queue_at_limit),
        CASE(test_mark_rings_once),
        CASE(test_queue_deadline_and_leaving),
        CASE(test_unavailable_says_why),
        CASE(test_drain),
        CASE(test_drain_deadline_cuts),
        CASE(test_stop),
        CASE(test_garbage_snapshot_is_refused),
        CASE(test_routing),
        CASE(test_limits_and_slow_heads),
        CASE(test_access_log),
        CASE(test_large_bodies),
        CASE(test_dechunked_for_old_clients),
        CASE(test_client_that_never_reads),
        CASE(test_response_timeout),
        CASE(test_connections_max_sheds_the_idle),
        CASE(test_links_come_and_go),
        CASE(test_refused_by_all_waits),
        CASE(test_client_reset_frees_the_instance),
        CASE(test_instance_on_a_unix_socket),
        CASE(test_listeners_are_replaced),
        CASE(test_storm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
