/* Feeds: what is believed of a source, how long it is held, and that each change is told once. The
 * sources are real: commands, UDP packets, a port that nobody has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/us.h"
#include "drivers/source/feed.h"
#include "sys/clock.h"

#define PATIENCE_US (20 * US_PER_S)
#define NOTES_MAX 64

static struct world {
    uv_loop_t loop;
    uv_timer_t timer;
    struct driver_env env;
    struct feeds *feeds;
    size_t note_count;
    struct {
        uint32_t slot;
        bool trouble;
        char text[512];
    } notes[NOTES_MAX];
} w;

struct exec_conf { /* as the section's */
    struct schema_list command;
    const char *directory;
};
struct push_conf {
    const char *statsd, *name;
};
struct redis_conf {
    const char *address, *user, *password, *password_file;
    int64_t db;
    const char *list, *sorted_set, *stream, *group;
};

static void on_note(void *ctx, uint32_t slot, bool trouble, const char *text)
{
    assert_true(w.note_count < NOTES_MAX);
    w.notes[w.note_count].slot = slot;
    w.notes[w.note_count].trouble = trouble;
    snprintf(w.notes[w.note_count++].text, sizeof(w.notes[0].text), "%s", text);
}

static void on_timer(uv_timer_t *timer)
{
}

static int setup(void **state)
{
    struct err err;
    w = (struct world){ 0 };
    uv_loop_init(&w.loop);
    uv_timer_init(&w.loop, &w.timer);
    uv_timer_start(&w.timer, on_timer, 10, 10); /* the loop never waits for long */
    w.env = (struct driver_env){ .loop = &w.loop, .note = on_note };
    return feeds_new(&w.env, &w.feeds, &err);
}

static int teardown(void **state)
{
    feeds_free(w.feeds);
    uv_close((uv_handle_t *)&w.timer, NULL);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    return uv_loop_close(&w.loop);
}

static struct feed_view view(uint32_t slot)
{
    struct feed_view v = { 0 };
    assert_int_equal(feeds_view(w.feeds, slot, clock_now_us(), &v, 1), 1);
    return v;
}

#define WAIT_FOR(condition)                                 \
    do {                                                    \
        int64_t until_us_ = clock_now_us() + PATIENCE_US;   \
        while (!(condition)) {                              \
            if (clock_now_us() > until_us_)                 \
                fail_msg("waited in vain for " #condition); \
            uv_run(&w.loop, UV_RUN_ONCE);                   \
        }                                                   \
    } while (0)

static struct feed_conf feed_of(const struct feed_ops *ops, const void *conf, int64_t every_ms,
                                int64_t timeout_ms)
{
    return (struct feed_conf){ .slot = 3,
                               .service = "shop",
                               .name = "jobs",
                               .metric = METRIC_CUSTOM + 1,
                               .every_us = every_ms * US_PER_MS,
                               .timeout_us = timeout_ms * US_PER_MS,
                               .section = ops->section,
                               .conf = conf };
}

static void begin_exec(const char **command, int64_t every_ms, int64_t timeout_ms)
{
    static struct exec_conf conf;
    conf = (struct exec_conf){ .command = { .count = 1, .items = command } };
    struct feed_conf feed = feed_of(&source_exec, &conf, every_ms, timeout_ms);
    feeds_set(w.feeds, &feed, 1);
}

/* 1 = it is known. */
static size_t sample(struct sample *ret)
{
    struct source_sink sink = { .samples = ret, .cap = 1 };
    feeds_sample(w.feeds, 3, clock_now_us(), &sink);
    assert_int_equal(sink.count, 1);
    return isfinite(ret->value) ? 1 : 0;
}

/* What a command may print, and what is made of it. */
static void test_answers(void **state)
{
    static const struct {
        const char *command;
        double value;        /* NaN = unknown */
        const char *trouble; /* part of it */
    } rows[] = {
        { "echo 12", 12, "" },
        { "printf ' 2.5\\n\\n'", 2.5, "" },
        { "echo 0", 0, "" },
        { "echo -3; true", NAN, "says -3" },
        { "echo nan; true", NAN, "\"nan" },
        { "echo 1e15", 1e15, "" },
        { "echo 1e16; true", NAN, "which no metric can be" },
        { "echo 1e300; true", NAN, "which no metric can be" },
        { "echo many jobs", NAN, "no number" },
        { "true ;", NAN, "no number" },
        { "echo oh no >&2; exit 3", NAN, "exited with status 3: oh no" },
        { "kill -9 $$", NAN, "killed by signal 9" },
        { "head -c 100000 /dev/zero | tr '\\0' 1", NAN, "more than 16384 bytes" },
        { "/nonexistent-command", NAN, "cannot be run" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *command[] = { rows[i].command };
        struct sample s;
        begin_exec(command, 60000, 10000);
        if (isnan(rows[i].value)) {
            WAIT_FOR(view(3).trouble[0]);
            assert_non_null(strstr(view(3).trouble, rows[i].trouble));
            assert_int_equal(sample(&s), 0);
            assert_int_equal(w.note_count, 1);
            assert_true(w.notes[0].trouble && w.notes[0].slot == 3);
        } else {
            WAIT_FOR(view(3).known);
            assert_int_equal(sample(&s), 1);
            assert_true(s.value == rows[i].value && s.metric == METRIC_CUSTOM + 1);
            assert_int_equal(w.note_count, 0);
        }
        feeds_set(w.feeds, NULL, 0);
        w.note_count = 0;
    }
}

/* A command that hangs is ended with all that it started, told once, and unknown. */
static void test_hanging(void **state)
{
    char path[] = "/tmp/plimsoll-feed-XXXXXX", text[128];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(text, sizeof(text), "sleep 1000 & echo $! >%s; wait", path);
    const char *command[] = { text };
    begin_exec(command, 200, 100);
    WAIT_FOR(view(3).trouble[0]);
    assert_string_equal(view(3).trouble, "does not answer within 100ms");
    long pid = 0;
    FILE *f = fdopen(fd, "r");
    assert_int_equal(fscanf(f, "%ld", &pid), 1);
    fclose(f);
    feeds_set(w.feeds, NULL, 0);
    WAIT_FOR(kill((pid_t)pid, 0) < 0 || (usleep(1000), 0));
    assert_int_equal(w.note_count, 1);
    unlink(path);
}

/* The value is held while the source fails, until the next answer is overdue; one note for the
 * failure, one for its end. */
static void test_hold(void **state)
{
    char path[] = "/tmp/plimsoll-feed-XXXXXX", text[128];
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "7\n", 2), 2);
    snprintf(text, sizeof(text), "cat %s", path);
    const char *command[] = { text };
    begin_exec(command, 100, 100);
    WAIT_FOR(view(3).known);
    assert_true(view(3).value == 7);
    assert_int_equal(ftruncate(fd, 0), 0);
    WAIT_FOR(view(3).trouble[0]);
    WAIT_FOR(!view(3).known);
    assert_true(view(3).trouble_us > 0);
    assert_int_equal(w.note_count, 1);
    assert_int_equal(pwrite(fd, "8\n", 2, 0), 2);
    WAIT_FOR(view(3).known);
    assert_true(view(3).value == 8);
    assert_string_equal(view(3).trouble, "");
    assert_int_equal(view(3).trouble_us, 0);
    assert_int_equal(w.note_count, 2);
    assert_false(w.notes[1].trouble);
    close(fd);
    unlink(path);
}

/* Told are the first fault of an outage and each of another kind, but not more than one a minute.
 */
static void test_news(void **state)
{
    static const struct {
        const char *trouble, *told, *next;
        int64_t after_us; /* what was told */
        bool news;
    } rows[] = {
        { "", "", "says -1", 0, true },
        { "", "says -1", "says -1", 0, true }, /* it has answered in between */
        { "says -1", "says -1", "says -1", FEED_NEWS_US, false },
        { "says -1", "says -1", "says -22.5", FEED_NEWS_US, false },
        { "says -1", "says -1", "answers with status 500", FEED_NEWS_US - 1, false },
        { "says -1", "says -1", "answers with status 500", FEED_NEWS_US, true },
        { "is late", "says -1", "is late", FEED_NEWS_US, true }, /* too soon before */
        { "is late", "says -1", "says -2", FEED_NEWS_US, false },
        { "says", "says", "says so", FEED_NEWS_US, true },
        { "says so 5", "says so 5", "says so", FEED_NEWS_US, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct feed f = { .told_us = 5 };
        snprintf(f.trouble, sizeof(f.trouble), "%s", rows[i].trouble);
        snprintf(f.told, sizeof(f.told), "%s", rows[i].told);
        if (feed_is_news(&f, rows[i].next, 5 + rows[i].after_us) != rows[i].news)
            fail_msg("row %zu: %s", i, rows[i].next);
    }
}

/* A configuration that says the same keeps the value; another one begins anew. */
static void test_reload(void **state)
{
    static struct exec_conf conf;
    const char *seven[] = { "echo 7" }, *nine[] = { "echo 9" };
    conf = (struct exec_conf){ .command = { .count = 1, .items = seven } };
    struct exec_conf same = conf, other = { .command = { .count = 1, .items = nine } };
    struct feed_conf feed = feed_of(&source_exec, &conf, 60000, 1000);
    feeds_set(w.feeds, &feed, 1);
    WAIT_FOR(view(3).known);
    feed.conf = &same;
    feed.metric = METRIC_CUSTOM;
    feeds_set(w.feeds, &feed, 1);
    struct sample s;
    assert_int_equal(sample(&s), 1);
    assert_true(s.metric == METRIC_CUSTOM && s.value == 7);
    feed.conf = &other;
    feeds_set(w.feeds, &feed, 1);
    assert_int_equal(sample(&s), 0);
    WAIT_FOR(view(3).known);
    assert_true(view(3).value == 9);
}

static int push(uint32_t slot, const char *values, struct err *err)
{
    json_t *json = json_loads(values, 0, NULL);
    assert_non_null(json);
    int rc = feeds_push(w.feeds, slot, json, err);
    json_decref(json);
    return rc;
}

static void test_push(void **state)
{
    static const struct push_conf conf = { 0 };
    struct err err = { 0 };
    struct feed_conf feed = feed_of(&source_push, &conf, 200, 100);
    feeds_set(w.feeds, &feed, 1);
    assert_int_equal(push(3, "{\"jobs\": 12}", &err), 0);
    assert_true(view(3).known && view(3).value == 12);
    assert_int_equal(push(3, "{\"jobs\": -1}", &err), -EINVAL);
    assert_int_equal(push(3, "{\"jobs\": null}", &err), -EINVAL);
    assert_int_equal(push(3, "{\"other\": 1}", &err), -ENOENT);
    assert_int_equal(push(4, "{\"jobs\": 1}", &err), -ENOENT);
    assert_int_equal(w.note_count, 1);
    assert_int_equal(push(3, "{\"jobs\": 5}", &err), 0);
    assert_int_equal(w.note_count, 2);
    WAIT_FOR(!view(3).known && view(3).trouble[0]); /* nobody speaks */
    assert_string_equal(view(3).trouble, "has been told nothing for 300ms");
    assert_int_equal(w.note_count, 3);
    const char *command[] = { "echo 1" };
    begin_exec(command, 1000, 1000);
    assert_int_equal(push(3, "{\"jobs\": 1}", &err), -EPERM);
}

/* What is told together is taken together: all of it, or nothing. */
static void test_push_at_once(void **state)
{
    static const struct push_conf conf = { 0 };
    static const char *words[] = { "echo 1" };
    static struct exec_conf exec = { .command = { .count = 1, .items = words } };
    static const struct {
        const char *values, *says;
        int rc;
        double jobs;
    } rows[] = {
        { "{\"jobs\": 1, \"lag\": 2}", "", 0, 1 },
        { "{\"jobs\": 77, \"zz\": 3}", "there is no source zz", -ENOENT, 1 },
        { "{\"jobs\": 55, \"h\": 3}", "source h is asked (exec), not told", -EPERM, 1 },
        { "{\"jobs\": 66, \"lag\": -3}", "lag: says -3, which no metric can be", -EINVAL, 1 },
        { "{\"lag\": \"12\", \"jobs\": 8}", "lag: is told a text where a number is wanted", -EINVAL,
          1 },
        { "{\"lag\": null, \"zz\": 8}", "lag: is told null where a number is wanted", -EINVAL, 1 },
        { "{\"lag\": true}", "lag: is told true where a number is wanted", -EINVAL, 1 },
        { "{\"lag\": [1]}", "lag: is told an array where a number is wanted", -EINVAL, 1 },
        { "{\"jobs\": 9, \"lag\": 4}", "", 0, 9 },
    };
    struct feed_conf feeds[] = { feed_of(&source_push, &conf, 60000, 1000),
                                 feed_of(&source_push, &conf, 60000, 1000),
                                 feed_of(&source_exec, &exec, 60000, 1000) };
    feeds[1].name = "lag";
    feeds[2].name = "h";
    feeds_set(w.feeds, feeds, 3);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = { 0 };
        assert_int_equal(push(3, rows[i].values, &err), rows[i].rc);
        assert_string_equal(err.text, rows[i].says);
        struct feed_view v[3];
        assert_int_equal(feeds_view(w.feeds, 3, clock_now_us(), v, 3), 3);
        assert_true(v[0].known && v[0].value == rows[i].jobs && !v[0].trouble[0]);
        assert_true(v[1].known && v[1].value == (rows[i].jobs == 1 ? 2 : 4));
        assert_int_equal(v[1].trouble[0] != '\0', rows[i].rc == -EINVAL || v[1].trouble_us > 0);
    }
}

/* Before the first value there is no trouble, but a reason. */
static void test_why(void **state)
{
    static const struct push_conf conf = { 0 };
    struct err err = { 0 };
    struct feed_conf feed = feed_of(&source_push, &conf, 60000, 100);
    feeds_set(w.feeds, &feed, 1);
    WAIT_FOR(view(3).why_us > 0);
    assert_string_equal(view(3).why, "has been told no value yet");
    assert_true(!view(3).known && view(3).trouble[0] == '\0');
    assert_int_equal(push(3, "{\"jobs\": 1}", &err), 0);
    assert_string_equal(view(3).why, "");
    assert_int_equal(view(3).why_us, 0);
    assert_int_equal(push(3, "{\"jobs\": -1}", &err), -EINVAL);
    assert_string_equal(view(3).why, "says -1, which no metric can be");
    const char *command[] = { "sleep 1000" };
    begin_exec(command, 60000, 10000);
    assert_string_equal(view(3).why, "has not answered yet");
    assert_int_equal(w.note_count, 1);
}

static uint16_t free_udp_port(void)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    close(fd);
    return ntohs(a.sin_port);
}

static int connect_udp(uint16_t port)
{
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
}

static void test_statsd(void **state)
{
    char address[64];
    uint16_t port = free_udp_port();
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct push_conf conf = { .statsd = address }, named = { .statsd = address, .name = "x" };
    struct feed_conf feeds[] = { feed_of(&source_push, &conf, 60000, 1000),
                                 feed_of(&source_push, &named, 60000, 1000) };
    feeds[1].slot = 4;
    feeds[1].name = "other";
    feeds_set(w.feeds, feeds, 2);
    int fd = connect_udp(port);
    send_text(fd, "x:1|g\njobs:12|g");
    WAIT_FOR(view(3).known);
    assert_true(view(3).value == 12 && view(4).value == 1);
    send_text(fd, "jobs:-2|g");
    WAIT_FOR(view(3).value == 10);
    send_text(fd, "jobs:lots|g");
    WAIT_FOR(view(3).trouble[0]);
    assert_int_equal(w.note_count, 1);
    close(fd);
}

static void send_and_wait(int fd, const char *text, int64_t ms)
{
    int64_t begin_us = clock_now_us();
    send_text(fd, text);
    uv_run(&w.loop, UV_RUN_ONCE); /* it is heard now, not with the next one */
    WAIT_FOR(clock_now_us() - begin_us > ms * US_PER_MS);
}

static void test_statsd_counts(void **state)
{
    char address[64];
    uint16_t port = free_udp_port();
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct push_conf conf = { .statsd = address, .name = "hits" };
    struct feed_conf feed = feed_of(&source_push, &conf, 100, 60000);
    feeds_set(w.feeds, &feed, 1);
    int fd = connect_udp(port);
    int64_t begin_us = clock_now_us();
    send_and_wait(fd, "hits:50|c", 150); /* opens the interval, and is not in it */
    send_text(fd, "hits:5|c\nhits:5|c|@0.5");
    WAIT_FOR(view(3).known);
    double seconds = (double)(clock_now_us() - begin_us) / 1e6;
    assert_true(view(3).value >= 15 / seconds && view(3).value <= 15 / 0.1);
    send_text(fd, "hits:some|c"); /* nobody knows the sum of this interval */
    WAIT_FOR(view(3).trouble[0]);
    send_and_wait(fd, "hits:1000|c", 150);
    send_text(fd, "hits:1|c");
    WAIT_FOR(!view(3).trouble[0]);
    assert_true(view(3).value <= 1 / 0.1);
    close(fd);
}

/* A change of what nobody knows makes nothing known: before the first value, when the value is
 * overdue, and behind what could not be taken. */
static void test_statsd_changes(void **state)
{
    static const char unknown[] =
        "is told to change a value that is not known; it has to be set first";
    char address[64];
    uint16_t port = free_udp_port();
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct push_conf conf = { .statsd = address };
    struct feed_conf feed = feed_of(&source_push, &conf, 200, 100);
    feeds_set(w.feeds, &feed, 1);
    int fd = connect_udp(port);
    send_text(fd, "jobs:+5|g");
    WAIT_FOR(strcmp(view(3).trouble, unknown) == 0);
    assert_false(view(3).known);
    send_text(fd, "jobs:13|g");
    WAIT_FOR(view(3).value == 13);
    WAIT_FOR(!view(3).known && view(3).trouble[0]);
    send_text(fd, "jobs:+3|g");
    WAIT_FOR(strcmp(view(3).trouble, unknown) == 0);
    assert_false(view(3).known);
    feed.every_us = 60 * US_PER_S;
    feeds_set(w.feeds, &feed, 1);
    send_text(fd, "jobs:3|g\njobs:-5|g");
    WAIT_FOR(strcmp(view(3).trouble, "says -2, which no metric can be") == 0);
    send_text(fd, "jobs:+3|g"); /* 1 for who sends it */
    WAIT_FOR(strcmp(view(3).trouble, unknown) == 0);
    assert_true(view(3).value == 3); /* held until it is overdue */
    close(fd);
}

/* --- a server that says what it likes --- */

struct liar {
    uv_tcp_t listener, client;
    const char *says;
};

static void on_written(uv_write_t *request, int status)
{
    free(request);
}

static void on_client(uv_stream_t *listener, int status)
{
    struct liar *l = listener->data;
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)l->says, (unsigned)strlen(l->says));
    uv_tcp_init(&w.loop, &l->client);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&l->client), 0);
    assert_int_equal(
        uv_write(calloc(1, sizeof(uv_write_t)), (uv_stream_t *)&l->client, &buf, 1, on_written), 0);
}

static uint16_t liar_start(struct liar *l)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int n = sizeof(a);
    uv_tcp_init(&w.loop, &l->listener);
    l->listener.data = l;
    assert_int_equal(uv_tcp_bind(&l->listener, (struct sockaddr *)&a, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&l->listener, 1, on_client), 0);
    assert_int_equal(uv_tcp_getsockname(&l->listener, (struct sockaddr *)&a, &n), 0);
    return ntohs(a.sin_port);
}

static void liar_stop(struct liar *l)
{
    uv_close((uv_handle_t *)&l->listener, NULL);
    uv_close((uv_handle_t *)&l->client, NULL);
    uv_run(&w.loop, UV_RUN_NOWAIT);
}

/* What answers another question than was asked is no number, and nothing falls over it. */
static void test_redis_lies(void **state)
{
    static const struct {
        const char *group, *says;
        double value; /* NaN = unknown */
    } rows[] = {
        { NULL, ":7\r\n", 7 },
        { NULL, "*1\r\n*2\r\n$4\r\nname\r\n$1\r\ng\r\n", NAN },
        { "g", ":7\r\n", NAN },
        { "g",
          "*1\r\n*6\r\n$4\r\nname\r\n$1\r\ng\r\n$3\r\nlag\r\n:3\r\n"
          "$7\r\npending\r\n:4\r\n",
          7 },
        { "g",
          "*1\r\n*6\r\n$4\r\nname\r\n$1\r\ng\r\n$3\r\nlag\r\n:3\r\n"
          "$7\r\npending\r\n$1\r\n4\r\n",
          NAN },
        { "g", "*2\r\n:1\r\n*1\r\n:2\r\n", NAN },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct liar liar = { .says = rows[i].says };
        char address[64];
        snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)liar_start(&liar));
        struct redis_conf conf = { .address = address, .group = rows[i].group };
        conf.list = conf.group ? NULL : "jobs";
        conf.stream = conf.group ? "jobs" : NULL;
        struct feed_conf feed = feed_of(&source_redis, &conf, 60000, 10000);
        feeds_set(w.feeds, &feed, 1);
        WAIT_FOR(view(3).known || view(3).trouble[0]);
        struct feed_view v = view(3);
        feeds_set(w.feeds, NULL, 0);
        liar_stop(&liar);
        if (v.known != isfinite(rows[i].value) || (v.known && v.value != rows[i].value))
            fail_msg("row %zu: %g", i, v.value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hanging, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hold, setup, teardown),
        cmocka_unit_test(test_news),
        cmocka_unit_test_setup_teardown(test_reload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_why, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statsd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statsd_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_statsd_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redis_lies, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
