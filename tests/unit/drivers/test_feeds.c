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

static void test_push(void **state)
{
    static const struct push_conf conf = { 0 };
    struct err err = { 0 };
    struct feed_conf feed = feed_of(&source_push, &conf, 200, 100);
    feeds_set(w.feeds, &feed, 1);
    assert_int_equal(feeds_push(w.feeds, 3, "jobs", 12, &err), 0);
    assert_true(view(3).known && view(3).value == 12);
    assert_int_equal(feeds_push(w.feeds, 3, "jobs", -1, &err), -EINVAL);
    assert_int_equal(feeds_push(w.feeds, 3, "jobs", NAN, &err), -EINVAL);
    assert_int_equal(feeds_push(w.feeds, 3, "other", 1, &err), -ENOENT);
    assert_int_equal(feeds_push(w.feeds, 4, "jobs", 1, &err), -ENOENT);
    assert_int_equal(w.note_count, 1);
    assert_int_equal(feeds_push(w.feeds, 3, "jobs", 5, &err), 0);
    assert_int_equal(w.note_count, 2);
    WAIT_FOR(!view(3).known && view(3).trouble[0]); /* nobody speaks */
    assert_string_equal(view(3).trouble, "has been told nothing for 300ms");
    assert_int_equal(w.note_count, 3);
    const char *command[] = { "echo 1" };
    begin_exec(command, 1000, 1000);
    assert_int_equal(feeds_push(w.feeds, 3, "jobs", 1, &err), -EPERM);
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

static void test_statsd(void **state)
{
    char address[64];
    uint16_t port = free_udp_port();
    snprintf(address, sizeof(address), "127.0.0.1:%u", (unsigned)port);
    struct push_conf conf = { .statsd = address }, named = { .statsd = address, .name = "hits" };
    struct feed_conf feeds[] = { feed_of(&source_push, &conf, 60000, 1000),
                                 feed_of(&source_push, &named, 100, 60000) };
    feeds[1].slot = 4;
    feeds[1].name = "rate";
    feeds_set(w.feeds, feeds, 2);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons(port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
#define SEND(text) assert_int_equal(send(fd, text, sizeof(text) - 1, 0), sizeof(text) - 1)
    SEND("jobs:+5|g");
    SEND("x:1|g\njobs:12|g");
    WAIT_FOR(view(3).known);
    assert_true(view(3).value == 12); /* a change of what was unknown told nothing */
    SEND("jobs:-2|g");
    WAIT_FOR(view(3).value == 10);
    SEND("jobs:lots|g");
    WAIT_FOR(view(3).trouble[0]);
    assert_int_equal(w.note_count, 1);
    int64_t begin_us = clock_now_us();
    SEND("hits:5|c");
    WAIT_FOR(clock_now_us() - begin_us > 150 * US_PER_MS);
    SEND("hits:5|c|@0.5");
    WAIT_FOR(view(4).known);
    double seconds = (double)(clock_now_us() - begin_us) / 1e6;
    assert_true(view(4).value >= 15 / seconds * 0.5 && view(4).value <= 15 / 0.15);
    close(fd);
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
        cmocka_unit_test_setup_teardown(test_statsd, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
