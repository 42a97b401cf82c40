/* Rows come back; a file that is corrupt, full, locked, gone or impossible stops nobody. */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/us.h"
#include "base/util.h"
#include "core/decision.h"
#include "store/store.h"
#include "sys/clock.h"
#include "unit/store/scratch.h"

#define WALL_S INT64_C(1800000000)
#define WAIT_US (20 * US_PER_S)

static struct store *open_store(struct store_options o)
{
    struct store *s;
    o.path = o.path ? o.path : scratch_path("plimsoll.db");
    o.batch_us = o.batch_us ? o.batch_us : 5 * US_PER_MS;
    o.retry_us = o.retry_us ? o.retry_us : 20 * US_PER_MS;
    assert_int_equal(store_open(&o, &s), 0);
    return s;
}

static void put_text(struct store *s, const char *service, const char *text)
{
    store_put_event(s, STORE_EVENT_ALERT, service, "shop-1", text, clock_wall_us());
}

static void assert_events(struct store *s, const char *service, int64_t after, uint32_t limit,
                          const char *expected)
{
    char texts[256] = "";
    json_t *list, *one;
    size_t i;
    assert_int_equal(store_read_events(s, service, after, limit, &list), 0);
    json_array_foreach(list, i, one)
    {
        strcat(texts, i ? " " : "");
        strcat(texts, json_string_value(json_object_get(one, "text")));
    }
    json_decref(list);
    assert_string_equal(texts, expected);
}

/* Puts and waits, again and again, until the store is as wanted: a condition, not a time. */
static struct store_health wait_for(struct store *s, bool degraded)
{
    struct store_health h;
    int64_t end_us = clock_now_us() + WAIT_US;
    do {
        put_text(s, NULL, "?");
        assert_int_equal(store_flush(s, WAIT_US), 0);
        store_health(s, &h);
    } while (h.degraded != degraded && clock_now_us() < end_us);
    assert_int_equal(h.degraded, degraded);
    return h;
}

static void test_events_come_back(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    put_text(s, "shop", "one");
    put_text(s, "blog", "two");
    put_text(s, "shop", "three");
    put_text(s, NULL, "four");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, NULL, 0, 100, "one two three four");
    assert_events(s, NULL, 0, 2, "three four");
    assert_events(s, NULL, 3, 100, "four");
    assert_events(s, "shop", 0, 100, "one three");
    assert_events(s, "none", 0, 100, "");
    json_t *list;
    assert_int_equal(store_read_events(s, "blog", 0, 1, &list), 0);
    char *text = json_dumps(json_array_get(list, 0), JSON_COMPACT);
    assert_non_null(
        strstr(text, "\"kind\":\"alert\",\"service\":\"blog\",\"instance\":\"shop-1\""));
    free(text);
    json_decref(list);
    store_close(s);
    s = open_store((struct store_options){ 0 });
    assert_int_equal(store_flush(s, WAIT_US), 0);
    wait_for(s, false);
    assert_events(s, "shop", 0, 100, "one three");
    store_close(s);
}

static void test_decisions_come_back_newest_first(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    for (uint64_t i = 1; i <= 6; i++) {
        struct decision d = { .sequence = i, .wall_us = clock_wall_us() };
        strcpy(d.service, i % 2 ? "shop" : "blog");
        store_put_decision(s, &d);
    }
    assert_int_equal(store_flush(s, WAIT_US), 0);
    json_t *list;
    assert_int_equal(store_read_decisions(s, "shop", 2, &list), 0);
    assert_int_equal(json_array_size(list), 2);
    for (size_t i = 0; i < 2; i++) {
        const json_t *d = json_array_get(list, i);
        assert_int_equal(json_integer_value(json_object_get(d, "sequence")), 5 - 2 * i);
        assert_string_equal(json_string_value(json_object_get(d, "service")), "shop");
    }
    json_decref(list);
    assert_int_equal(store_read_decisions(s, NULL, 100, &list), 0);
    assert_int_equal(json_array_size(list), 6);
    json_decref(list);
    store_close(s);
}

static void test_instances_are_replaced(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    store_put_instance(s, "shop", 2, "starting", 0, NULL, 5, clock_wall_us());
    store_put_instance(s, "shop", 2, "ready", 77, "tcp:127.0.0.1:20000", UINT64_MAX, 0);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    json_t *list;
    assert_int_equal(store_read_instances(s, "shop", &list), 0);
    char *text = json_dumps(list, JSON_COMPACT);
    assert_string_equal(text, "[{\"service\":\"shop\",\"number\":2,\"state\":\"ready\",\"pid\":77,"
                              "\"address\":\"tcp:127.0.0.1:20000\","
                              "\"template\":\"ffffffffffffffff\","
                              "\"time\":\"1970-01-01T00:00:00.000000Z\"}]");
    free(text);
    json_decref(list);
    store_close(s);
}

static void assert_points(struct store *s, uint32_t step_s, int64_t from_s, const char *expected)
{
    json_t *list;
    assert_int_equal(
        store_read_series(s, "shop", "rps", 0, WALL_S + from_s, WALL_S + 1000, step_s, &list), 0);
    char *text = json_dumps(list, JSON_COMPACT | JSON_REAL_PRECISION(6));
    assert_string_equal(text, expected);
    free(text);
    json_decref(list);
}

static void test_series_are_rolled_up_over_lives(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    for (int i = 0; i < 25; i++)
        store_put_sample(s, "shop", "rps", 0, i, (WALL_S + i) * US_PER_S);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_points(s, 1, 20,
                  "[[1800000020,20.0,20.0,20.0],[1800000021,21.0,21.0,21.0],"
                  "[1800000022,22.0,22.0,22.0],[1800000023,23.0,23.0,23.0]]");
    assert_points(s, 10, 0, "[[1800000000,4.5,0.0,9.0],[1800000010,14.5,10.0,19.0]]");
    assert_points(s, 60, 0, "[]");
    store_close(s); /* what is open is written, and the next life adds to it */
    s = open_store((struct store_options){ 0 });
    for (int i = 25; i < 62; i++)
        store_put_sample(s, "shop", "rps", 0, i, (WALL_S + i) * US_PER_S);
    store_put_sample(s, "shop", "rps", 7, 1e9, (WALL_S + 63) * US_PER_S);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_points(s, 10, 20,
                  "[[1800000020,24.5,20.0,29.0],[1800000030,34.5,30.0,39.0],"
                  "[1800000040,44.5,40.0,49.0],[1800000050,54.5,50.0,59.0]]");
    assert_points(s, 60, 0, "[[1800000000,29.5,0.0,59.0]]");
    json_t *list;
    assert_int_equal(store_read_series(s, "shop", "rps", 0, 0, 1, 7, &list), -EINVAL);
    store_close(s);
}

static void assert_one_aside(void)
{
    glob_t found;
    assert_int_equal(glob(scratch_path("plimsoll.db.corrupt-*Z"), 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    globfree(&found);
}

static void test_corrupt_file_is_set_aside(void **state)
{
    char text[400];
    scratch_write(scratch_path("plimsoll.db"), "this is not a database, whatever its name says\n");
    struct store *s = open_store((struct store_options){ 0 });
    put_text(s, "shop", "new");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, NULL, 0, 10, "new");
    assert_true(store_trouble(s, text, sizeof(text)));
    assert_non_null(strstr(text, "plimsoll.db.corrupt-"));
    struct store_health h;
    store_health(s, &h);
    assert_false(h.degraded);
    assert_int_equal(h.dropped, 0);
    store_close(s);
    assert_one_aside();
}

static void test_corrupt_page_is_found(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    for (int i = 0; i < 3000; i++)
        put_text(s, "shop", "some text that fills pages of the database");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    store_close(s);
    int fd = open(scratch_path("plimsoll.db"), O_WRONLY | O_CLOEXEC);
    char noise[4096];
    memset(noise, 0xa5, sizeof(noise));
    for (off_t page = 8; page < 20; page++)
        assert_int_equal(pwrite(fd, noise, sizeof(noise), page * 4096), sizeof(noise));
    close(fd);
    s = open_store((struct store_options){ 0 });
    put_text(s, "shop", "new");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, NULL, 0, 10, "new");
    store_close(s);
    assert_one_aside();
}

static void test_path_that_cannot_be(void **state)
{
    char text[400];
    json_t *list;
    scratch_write(scratch_path("file"), "");
    struct store *s =
        open_store((struct store_options){ .path = scratch_path("file/plimsoll.db") });
    struct store_health h = wait_for(s, true);
    assert_true(h.dropped > 0);
    assert_int_equal(h.written, 0);
    assert_true(store_trouble(s, text, sizeof(text)));
    assert_non_null(strstr(text, "cannot be written"));
    assert_int_equal(store_read_events(s, NULL, 0, 10, &list), -EIO);
    assert_int_equal(unlink(scratch_path("file")), 0);
    assert_int_equal(mkdir(scratch_path("file"), 0700), 0);
    h = wait_for(s, false);
    assert_true(h.written > 0);
    put_text(s, "shop", "back");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, "shop", 0, 1, "back");
    store_close(s);
}

static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    struct store *s = open_store((struct store_options){ 0 });
    put_text(s, "shop", "before");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    set_file_limit(8192);
    struct store_health h = wait_for(s, true);
    set_file_limit(RLIM_INFINITY);
    assert_true(h.dropped > 0);
    wait_for(s, false);
    put_text(s, "shop", "after");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, "shop", 0, 10, "before after");
    store_close(s);
}

static void test_removed_file_is_made_again(void **state)
{
    struct store *s = open_store((struct store_options){ 0 });
    wait_for(s, false);
    assert_int_equal(unlink(scratch_path("plimsoll.db")), 0);
    int64_t end_us = clock_now_us() + WAIT_US;
    while (access(scratch_path("plimsoll.db"), F_OK) < 0 && clock_now_us() < end_us)
        wait_for(s, false);
    put_text(s, "shop", "again");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, "shop", 0, 10, "again");
    store_close(s);
}

static void test_locked_file_keeps_records_waiting(void **state)
{
    sqlite3 *other;
    char text[400] = "";
    struct store *s = open_store((struct store_options){ .mailbox_cap = 4 });
    wait_for(s, false);
    assert_int_equal(sqlite3_open(scratch_path("plimsoll.db"), &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    for (int i = 0; i < 4; i++)
        put_text(s, "shop", "kept");
    int64_t end_us = clock_now_us() + WAIT_US;
    while (!store_trouble(s, text, sizeof(text)) && clock_now_us() < end_us)
        poll(NULL, 0, 1);
    assert_non_null(strstr(text, "locked"));
    put_text(s, "shop", "one too many");
    sqlite3_close(other);
    assert_int_equal(store_flush(s, WAIT_US), 0);
    assert_events(s, "shop", 0, 10, "kept kept kept kept");
    struct store_health h;
    store_health(s, &h);
    assert_int_equal(h.dropped, 1);
    assert_false(h.degraded);
    store_close(s);
}

static void test_file_stays_below_its_limit(void **state)
{
    static char text[4000];
    struct store *s = open_store((struct store_options){ .bytes_max = 1 << 20 });
    struct store_health h;
    struct stat st;
    memset(text, 'x', sizeof(text) - 1);
    for (int i = 0; i < 1000; i++) {
        put_text(s, "shop", text);
        if (i % 50 == 0)
            assert_int_equal(store_flush(s, WAIT_US), 0);
    }
    assert_int_equal(store_flush(s, WAIT_US), 0);
    store_health(s, &h);
    assert_false(h.degraded);
    assert_true(h.dropped > 0);
    store_close(s);
    assert_int_equal(stat(scratch_path("plimsoll.db"), &st), 0);
    assert_true(st.st_size <= 1 << 20);
}

/* Decisions and events may name what is nobody's business: none of the files is for others. */
static void test_files_are_private(void **state)
{
    static const char *const names[] = { "private.db", "private.db-wal", "private.db-shm" };
    mode_t before = umask(0022);
    FILE *left = fopen(scratch_path("private.db"), "w"); /* as an older version made it */
    assert_non_null(left);
    fclose(left);
    struct store *s = open_store((struct store_options){ .path = scratch_path("private.db") });
    put_text(s, "shop", "one");
    assert_int_equal(store_flush(s, WAIT_US), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct stat st;
        assert_int_equal(stat(scratch_path(names[i]), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    store_close(s);
    umask(before);
}

static void test_old_rows_go(void **state)
{
    struct store *s = open_store((struct store_options){ .events_max = 5 });
    store_put_event(s, STORE_EVENT_PROXY, NULL, NULL, "old",
                    clock_wall_us() - 31 * 24 * 3600 * US_PER_S);
    store_put_sample(s, "shop", "rps", 0, 1, clock_wall_us() - 7200 * US_PER_S);
    store_put_sample(s, "shop", "rps", 0, 1, clock_wall_us());
    for (int i = 0; i < 9; i++)
        put_text(s, "shop", (char[]){ '0' + i, 0 });
    json_t *list = NULL;
    size_t rows = 10;
    int64_t now_s = clock_wall_us() / US_PER_S, end_us = clock_now_us() + WAIT_US;
    while (rows > 5 && clock_now_us() < end_us) {
        assert_int_equal(store_flush(s, WAIT_US), 0);
        assert_int_equal(store_read_events(s, NULL, 0, 100, &list), 0);
        rows = json_array_size(list);
        json_decref(list);
        poll(NULL, 0, 5);
    }
    assert_events(s, NULL, 0, 100, "4 5 6 7 8");
    assert_int_equal(store_read_series(s, "shop", "rps", 0, 0, now_s - 3600, 1, &list), 0);
    assert_int_equal(json_array_size(list), 0);
    json_decref(list);
    assert_int_equal(store_read_series(s, "shop", "rps", 0, 0, now_s - 3600, 10, &list), 0);
    assert_int_equal(json_array_size(list), 1);
    json_decref(list);
    store_close(s);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_events_come_back),
        SCRATCH_TEST(test_decisions_come_back_newest_first),
        SCRATCH_TEST(test_instances_are_replaced),
        SCRATCH_TEST(test_series_are_rolled_up_over_lives),
        SCRATCH_TEST(test_corrupt_file_is_set_aside),
        SCRATCH_TEST(test_corrupt_page_is_found),
        SCRATCH_TEST(test_path_that_cannot_be),
        SCRATCH_TEST(test_full_disk),
        SCRATCH_TEST(test_removed_file_is_made_again),
        SCRATCH_TEST(test_files_are_private),
        SCRATCH_TEST(test_locked_file_keeps_records_waiting),
        SCRATCH_TEST(test_file_stays_below_its_limit),
        SCRATCH_TEST(test_old_rows_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
