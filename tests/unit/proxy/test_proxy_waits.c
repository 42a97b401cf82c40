/* Who waits for whom in the proxy, and who must not: clients that have said all they had to say,
 * instances that take a body slowly, logs that nobody reads, listeners that are gone. */
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

#define GET "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

/* Two services number their instances alike: whose a slot is takes both to tell. */
static void test_slots_tell_their_service(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    rig_apply(r);
    const struct gauges_instance *g = &r->gauges->instance[10];
    assert_int_equal(atomic_load(&g->service), 3);
    assert_int_equal(atomic_load(&g->number), 1);
    int fd = rig_connect(r->port);
    rig_write(fd, GET);
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    RIG_WAIT_FOR(atomic_load(&g->in_flight) == 0);
    assert_int_equal(atomic_load(&g->requests), 1);
    atomic_store(&r->servers[0].hold, true);
    rig_write(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&g->in_flight) == 1);
    snprintf(r->service.name, sizeof(r->service.name), "barn");
    r->service.slot = 5;
    rig_apply(r);
    assert_int_equal(atomic_load(&g->service), 5);
    assert_int_equal(atomic_load(&g->number), 1);
    assert_int_equal(atomic_load(&g->in_flight), 0);
    assert_int_equal(atomic_load(&g->requests), 0);
    atomic_store(&r->servers[0].hold, false);
    buf[0] = '\0';
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 0);
    assert_int_equal(atomic_load(&g->in_flight), 0);
    close(fd);
}

/* A client that sends no more still reads: its turn in the queue stays its own. Only who knows
 * interim answers may see one on the way. */
static void test_half_closed_in_the_queue(void **state)
{
    static const struct {
        enum snapshot_protocol protocol;
        const char *request;
        bool interim;
    } rows[] = {
        { SNAPSHOT_HTTP, GET, true },
        { SNAPSHOT_HTTP, "GET / HTTP/1.0\r\n\r\n", false },
        { SNAPSHOT_TCP, GET, false },
    };
    struct rig *r = *state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char buf[4096] = "";
        r->service.protocol = rows[i].protocol;
        r->service.instance_count = 0;
        r->service.starting = true;
        rig_apply(r);
        int fd = rig_connect(r->port), other = rig_connect(r->port);
        rig_write(fd, rows[i].request);
        rig_write(other, rows[i].request);
        RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 2);
        shutdown(fd, SHUT_WR);
        if (rows[i].interim)
            assert_true(rig_read_until(fd, buf, sizeof(buf), "100 Continue\r\n\r\n"));
        rig_reset(other);
        RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].queued) == 1);
        r->service.instance_count = 1;
        rig_apply(r);
        buf[0] = '\0';
        assert_true(rig_read_until(fd, buf, sizeof(buf), NULL));
        assert_int_equal(strncmp(buf, "HTTP/1.1 200 OK", 15), 0);
        assert_non_null(strstr(buf, "ok\n"));
        close(fd);
    }
}

static void test_half_closed_while_parked(void **state)
{
    static const enum snapshot_protocol protocols[] = { SNAPSHOT_HTTP, SNAPSHOT_TCP };
    struct rig *r = *state;
    char buf[4096], address[SNAPSHOT_ADDRESS_MAX];
    snprintf(address, sizeof(address), "%s", r->instances[0].address);
    r->service.eject_failures = 0;
    for (size_t i = 0; i < ARRAY_LEN(protocols); i++) {
        r->service.protocol = protocols[i];
        r->instances[0].number++;
        snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:1");
        rig_apply(r);
        int fd = rig_connect(r->port);
        rig_write(fd, GET);
        shutdown(fd, SHUT_WR);
        RIG_WAIT_FOR(atomic_load(&r->gauges->instance[10].errors) >= 3);
        r->instances[0].number++;
        snprintf(r->instances[0].address, SNAPSHOT_ADDRESS_MAX, "%s", address);
        rig_apply(r);
        buf[0] = '\0';
        assert_true(rig_read_until(fd, buf, sizeof(buf), NULL));
        assert_non_null(strstr(buf, "ok\n"));
        close(fd);
    }
}

struct upload {
    int fd;
    _Atomic size_t sent;
};

static void *send_big(void *arg)
{
    struct upload *u = arg;
    static char piece[65536];
    for (size_t at = 0; at < RIG_BIG_BYTES;) {
        size_t n = MIN(sizeof(piece), RIG_BIG_BYTES - at);
        rig_fill(piece, at, n);
        ssize_t done = send(u->fd, piece, n, MSG_NOSIGNAL);
        if (done <= 0)
            break;
        at += (size_t)done;
        atomic_store(&u->sent, at);
    }
    return NULL;
}

/* Nothing has moved for longer than this. */
static void wait_until_stuck(struct upload *u, int64_t for_us)
{
    size_t seen = 0;
    int64_t since_us = clock_now_us();
    while (seen == 0 || clock_now_us() < since_us + for_us) {
        if (atomic_load(&u->sent) != seen) {
            seen = atomic_load(&u->sent);
            since_us = clock_now_us();
        }
        rig_pause();
    }
}

/* While the instance takes nothing, it is not the client's body that is late. */
static void test_body_timer_rests_under_back_pressure(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    pthread_t thread;
    setsockopt(r->servers[0].listen_fd, SOL_SOCKET, SO_RCVBUF, &(int){ 65536 }, sizeof(int));
    r->service.body_timeout_us = 200000;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    struct upload u = { .fd = rig_connect(r->port) };
    rig_write(u.fd, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
    pthread_create(&thread, NULL, send_big, &u);
    wait_until_stuck(&u, 3 * r->service.body_timeout_us);
    assert_true(atomic_load(&u.sent) < RIG_BIG_BYTES);
    atomic_store(&r->servers[0].hold, false);
    assert_true(rig_read_until(u.fd, buf, sizeof(buf), "\r\n\r\n"));
    assert_non_null(strstr(buf, "200 OK"));
    pthread_join(thread, NULL);
    close(u.fd);
}

/* The other way round each is called by its name: 504 an instance, 408 a client that stops. */
static void test_who_is_late_is_named(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    pthread_t thread;
    r->service.body_timeout_us = 10000000;
    r->service.response_timeout_us = 200000;
    rig_apply(r);
    atomic_store(&r->servers[0].hold, true);
    struct upload u = { .fd = rig_connect(r->port) };
    rig_write(u.fd, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 8388608\r\n\r\n");
    pthread_create(&thread, NULL, send_big, &u);
    assert_true(rig_read_until(u.fd, buf, sizeof(buf), "\r\n\r\n"));
    assert_non_null(strstr(buf, "504 Gateway Timeout"));
    shutdown(u.fd, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(u.fd);
    atomic_store(&r->servers[0].hold, false);
    r->service.body_timeout_us = 600000; /* longer than the instance's time, which must not run */
    rig_apply(r);
    static const char *const fields[] = { "", "Expect: 100-continue\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        char request[256];
        snprintf(request, sizeof(request),
                 "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n%s\r\n", fields[i]);
        int fd = rig_connect(r->port);
        buf[0] = '\0';
        rig_write(fd, request);
        if (fields[i][0]) {
            assert_true(rig_read_until(fd, buf, sizeof(buf), "100 Continue\r\n"));
            buf[0] = '\0';
        }
        rig_write(fd, "hel");
        assert_true(rig_read_until(fd, buf, sizeof(buf), NULL));
        assert_non_null(strstr(buf, "408 Request Timeout"));
        close(fd);
    }
}

/* A log that nobody reads holds nobody up: not the next log, not a snapshot, not the end. */
static void test_stuck_log(void **state)
{
    struct rig *r = *state;
    static char buf[65536];
    int stuck[2], next[2];
    rig_apply(r);
    assert_int_equal(pipe(stuck), 0);
    assert_int_equal(pipe(next), 0);
    assert_true(fcntl(stuck[1], F_SETPIPE_SZ, 4096) > 0);
    struct link_msg m = { .type = LINK_LOG, .fd_count = 1, .fds = { stuck[1] } };
    rig_send(r->controller_fd, &m);
    rig_apply(r);
    struct pollfd full = { .fd = stuck[1], .events = POLLOUT };
    int fd = rig_connect(r->port);
    for (int i = 0; i < 100 || poll(&full, 1, 0) > 0; i++) { /* far more than the pipe takes */
        buf[0] = '\0';
        rig_write(fd, GET);
        assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    }
    m.fds[0] = next[1];
    rig_send(r->controller_fd, &m);
    rig_apply(r);
    buf[0] = '\0';
    rig_write(fd, "GET /next HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    struct pollfd p = { .fd = next[0], .events = POLLIN };
    buf[0] = '\0';
    while (!strstr(buf, "\"/next\"")) {
        assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
        ssize_t n = read(next[0], buf, sizeof(buf) - 1);
        assert_true(n > 0);
        buf[n] = '\0';
    }
    rig_send(r->controller_fd,
             &(struct link_msg){ .type = LINK_LOG, .fd_count = 1, .fds = { stuck[1] } });
    rig_apply(r);
    buf[0] = '\0';
    rig_write(fd, GET); /* for the full one: rig_free() must end the proxy all the same */
    assert_true(rig_read_until(fd, buf, sizeof(buf), "ok\n"));
    close(fd);
    close(next[0]);
    close(next[1]);
    close(stuck[1]); /* the reading end stays open: full, not broken */
}

/* Where nobody listens any more, idle clients are sent away and the last answers say so. */
static void test_removed_listener(void **state)
{
    struct rig *r = *state;
    char buf[4096] = "";
    rig_apply(r);
    int idle = rig_connect(r->port), fresh = rig_connect(r->port), busy = rig_connect(r->port);
    rig_write(idle, GET);
    assert_true(rig_read_until(idle, buf, sizeof(buf), "ok\n"));
    atomic_store(&r->servers[0].hold, true);
    rig_write(busy, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_WAIT_FOR(atomic_load(&r->gauges->service[3].in_flight) == 1);
    RIG_WAIT_FOR(atomic_load(&r->gauges->client_connections) == 3);
    snprintf(r->snapshot.listeners[0], SNAPSHOT_ADDRESS_MAX, "tcp:127.0.0.1:1");
    rig_apply(r);
    buf[0] = '\0';
    assert_true(rig_read_until(idle, buf, sizeof(buf), NULL));
    assert_true(rig_read_until(fresh, buf, sizeof(buf), NULL));
    assert_string_equal(buf, "");
    atomic_store(&r->servers[0].hold, false);
    assert_true(rig_read_until(busy, buf, sizeof(buf), NULL));
    assert_non_null(strstr(buf, "Connection: close"));
    assert_non_null(strstr(buf, "ok\n"));
    close(idle);
    close(fresh);
    close(busy);
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
        CASE(test_slots_tell_their_service), CASE(test_half_closed_in_the_queue),
        CASE(test_half_closed_while_parked), CASE(test_body_timer_rests_under_back_pressure),
        CASE(test_who_is_late_is_named),     CASE(test_stuck_log),
        CASE(test_removed_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
