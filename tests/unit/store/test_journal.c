/* What is written is read again; what a kill or a full disk leaves behind is survived. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "store/event_json.h"
#include "store/journal.h"
#include "unit/store/scratch.h"

static const uint64_t words[] = { 1, 0, 0, 0, UINT64_MAX, 77 };
static const uint64_t templates[] = { 0xfeedULL, UINT64_MAX };
static const uint64_t shapes[] = { 1, 0x5eedULL };
static const struct journal_config own = { .path = "own.yaml", .text = "{}", .text_bytes = 2 };
static const struct journal_place places[] = {
    { .service = 3,
      .number = 7,
      .pid = 99,
      .driver = "docker",
      .address = "10.0.0.1:80",
      .ref = "ab12" },
    { .service = 0, .number = UINT32_MAX, .driver = "", .address = "unix:/run/\"s\"", .ref = "" },
};
static const struct journal_config config = { .path = "plimsoll.yaml",
                                              .text = "services:\n  shop: {}\n",
                                              .text_bytes = 21,
                                              .wall_us = 1234567,
                                              .templates = templates,
                                              .shapes = shapes,
                                              .template_count = 2 };
static const struct journal_snapshot full = {
    .config = &config,
    .words = words,
    .word_count = ARRAY_LEN(words),
    .wall_us = 99,
    .clock = { .boot = "0a1b", .offset_us = -5, .now_us = INT64_C(1) << 50 },
    .places = places,
    .place_count = ARRAY_LEN(places),
    .own = &own,
};
static const struct journal_snapshot bare = { .wall_us = 98 };

static struct journal *open_journal(struct journal_options o)
{
    struct journal *j;
    o.directory = o.directory ? o.directory : scratch_path("journal");
    o.version = "1.2.3";
    assert_int_equal(journal_open(&o, &j), 0);
    return j;
}

static void put_tick(struct journal *j, int64_t now_us)
{
    struct event e = { .type = EVENT_TICK, .now_us = now_us, .service = -1 };
    journal_put_event(j, &e, NULL);
}

/* What was read, a word a record: S2+ head of segment 2 that continues, S2 one that does not, with
 * c and w for configuration and words; e5 event at 5; ec5 with configuration; d7 decision 7. */
struct seen {
    struct str text;
    char buf[1024];
    int stop_after;
};

static int see(void *ctx, const struct journal_record *r)
{
    struct seen *seen = ctx;
    struct str *s = &seen->text;
    if (s->len)
        str_put_char(s, ' ');
    switch (r->type) {
    case JOURNAL_SEGMENT:
        str_putf(s, "S%llu%s%s%s", (unsigned long long)r->segment, r->continues ? "+" : "",
                 r->snapshot.config ? "c" : "", r->snapshot.words ? "w" : "");
        assert_string_equal(r->version, "1.2.3");
        assert_int_equal(r->line, 1);
        break;
    case JOURNAL_EVENT:
        str_putf(s, "e%s%lld", r->config ? "c" : "", (long long)r->event.now_us);
        break;
    case JOURNAL_DECISION:
        str_putf(s, "d%.*s", 1, strstr(r->decision, "sequence\":") + 10);
        break;
    }
    return seen->stop_after && --seen->stop_after == 0 ? -ECANCELED : 0;
}

static int read_to(struct seen *seen, const char *path, bool newest, struct err *err)
{
    str_init(&seen->text, seen->buf, sizeof(seen->buf));
    return journal_read(path, newest, see, seen, err);
}

static void assert_reads(const char *path, bool newest, const char *expected)
{
    struct seen seen = { 0 };
    struct err err = { 0 };
    if (read_to(&seen, path, newest, &err) < 0)
        fail_msg("%s: %s", err.place, err.text);
    assert_string_equal(seen.buf, expected);
}

static void test_segments_follow_each_other(void **state)
{
    struct decision d = { .sequence = 7, .service = "shop" };
    struct event e = { .type = EVENT_CONFIG, .now_us = 2, .service = -1 };
    struct journal *j = open_journal((struct journal_options){ .segment_bytes = 300 });
    assert_true(journal_needs_rotation(j, 0));
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    assert_false(journal_needs_rotation(j, 0));
    put_tick(j, 1);
    journal_put_event(j, &e, &config);
    journal_put_decision(j, &d);
    assert_int_equal(journal_flush(j, 3), 0);
    assert_true(journal_needs_rotation(j, 3));
    assert_int_equal(journal_rotate(j, &full, 3), 0);
    put_tick(j, 4);
    journal_close(j);
    j = open_journal((struct journal_options){ 0 });
    assert_int_equal(journal_rotate(j, &full, 5), 0);
    put_tick(j, 6);
    journal_close(j);
    assert_reads(scratch_path("journal"), false, "S1 e1 ec2 d7 S2+cw e4 S3cw e6");
    assert_reads(scratch_path("journal"), true, "S3cw e6");
    assert_reads(scratch_path("journal/journal-00000002.jsonl"), false, "S2+cw e4");
}

static void check_outer(const struct journal_snapshot *s)
{
    assert_string_equal(s->clock.boot, "0a1b");
    assert_int_equal(s->clock.offset_us, -5);
    assert_int_equal(s->clock.now_us, INT64_C(1) << 50);
    assert_string_equal(s->own->path, "own.yaml");
    assert_null(s->own->shapes);
    assert_int_equal(s->place_count, ARRAY_LEN(places));
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        assert_int_equal(s->places[i].service, places[i].service);
        assert_int_equal(s->places[i].number, places[i].number);
        assert_int_equal(s->places[i].pid, places[i].pid);
        assert_string_equal(s->places[i].driver, places[i].driver);
        assert_string_equal(s->places[i].address, places[i].address);
        assert_string_equal(s->places[i].ref, places[i].ref);
    }
}

static int check_exact(void *ctx, const struct journal_record *r)
{
    const struct journal_config *c = r->type == JOURNAL_SEGMENT ? r->snapshot.config : r->config;
    if (r->type == JOURNAL_DECISION) {
        assert_string_equal(r->decision, *(char **)ctx);
        return 0;
    }
    assert_string_equal(c->path, config.path);
    assert_int_equal(c->text_bytes, config.text_bytes);
    assert_memory_equal(c->text, config.text, c->text_bytes);
    assert_int_equal(c->wall_us, config.wall_us);
    assert_int_equal(c->template_count, 2);
    assert_memory_equal(c->templates, templates, sizeof(templates));
    assert_memory_equal(c->shapes, shapes, sizeof(shapes));
    if (r->type == JOURNAL_SEGMENT) {
        assert_int_equal(r->snapshot.word_count, ARRAY_LEN(words));
        assert_memory_equal(r->snapshot.words, words, sizeof(words));
        assert_int_equal(r->snapshot.wall_us, 99);
        check_outer(&r->snapshot);
    }
    return 0;
}

static void test_all_comes_back_exactly(void **state)
{
    struct event e = { .type = EVENT_CONFIG, .service = -1 };
    struct decision d = { .sequence = 3, .summary = "}{\"decision\": \\ \303" };
    char *line = decision_json_line(&d);
    struct journal *j = open_journal((struct journal_options){ 0 });
    assert_int_equal(journal_rotate(j, &full, 0), 0);
    journal_put_event(j, &e, &config);
    journal_put_decision(j, &d);
    journal_close(j);
    assert_int_equal(journal_read(scratch_path("journal"), false, check_exact, &line, NULL), 0);
    free(line);
}

/* As 0.2.0 wrote them. */
static int check_old(void *ctx, const struct journal_record *r)
{
    ++*(int *)ctx;
    if (r->type == JOURNAL_SEGMENT) {
        assert_string_equal(r->snapshot.clock.boot, "");
        assert_int_equal(r->snapshot.clock.offset_us, 0);
        assert_int_equal(r->snapshot.place_count, 0);
        assert_null(r->snapshot.own);
        assert_null(r->snapshot.config->shapes);
    } else {
        assert_null(r->event.address);
        assert_null(r->event.ref);
        assert_int_equal(r->event.token, 0);
        assert_int_equal(r->event.shape, 0);
    }
    return 0;
}

static void test_journals_of_older_versions_are_read(void **state)
{
    int seen = 0;
    scratch_write(
        scratch_path("old.jsonl"),
        "{\"segment\":1,\"version\":\"0.2.0\",\"time\":\"2026-11-20T05:15:03.123456Z\",\"wall_us\":"
        "1,"
        "\"continues\":false,\"snapshot\":{\"config\":{\"path\":\"a\",\"text\":\"b\",\"wall_us\":1,"
        "\"templates\":[\"00000000000000ff\"],\"zones\":[]},\"words\":null}}\n"
        "{\"event\":{\"type\":\"found\",\"now_us\":1,\"wall_us\":1,\"service\":0,\"number\":1,"
        "\"flag\":true,\"pid\":42,\"template\":\"00000000000000ff\"}}\n");
    assert_int_equal(journal_read(scratch_path("old.jsonl"), false, check_old, &seen, NULL), 0);
    assert_int_equal(seen, 2);
}

static void test_afresh_continues_nothing(void **state)
{
    struct journal_snapshot fresh = bare;
    struct journal *j = open_journal((struct journal_options){ 0 });
    fresh.afresh = true;
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    assert_int_equal(journal_rotate(j, &fresh, 1), 0);
    assert_int_equal(journal_rotate(j, &bare, 2), 0);
    journal_close(j);
    assert_reads(scratch_path("journal"), false, "S1 S2 S3+");
}

/* A file size limit stands for a full disk. */
static void set_file_limit(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Another machine reads along, until there is nothing new. */
static void follow(const struct journal *j, struct seen *seen, struct journal_chunk *at,
                   size_t bytes)
{
    for (bool news = true; news;) {
        struct journal_chunk chunk;
        size_t first = at->offset > 0 ? 2 : 1;
        assert_int_equal(journal_tail(j, at->segment, at->offset, bytes, &chunk), 0);
        int rc = journal_read_lines(chunk.text, chunk.bytes, "x", first, see, seen, NULL);
        assert_int_equal(rc, 0);
        news = chunk.segment != at->segment || chunk.bytes > 0;
        free(chunk.text);
        *at = chunk;
    }
}

static void test_a_journal_can_be_followed(void **state)
{
    static const size_t pieces[] = { 1, 100, 1 << 20 };
    struct journal_chunk at[ARRAY_LEN(pieces)] = { 0 };
    struct seen seen[ARRAY_LEN(pieces)] = { 0 };
    struct journal_chunk none;
    struct journal *j = open_journal((struct journal_options){ .segments_kept = 3 });
    assert_int_equal(journal_tail(j, 0, 0, 100, &none), -ENOENT);
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    assert_int_equal(journal_rotate(j, &full, 0), 0);
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        str_init(&seen[i].text, seen[i].buf, sizeof(seen[i].buf));
    for (int turn = 0; turn < 3; turn++) {
        put_tick(j, turn + 1);
        assert_int_equal(journal_flush(j, 1), 0);
        for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
            follow(j, &seen[i], &at[i], pieces[i]);
        if (turn == 1)
            assert_int_equal(journal_rotate(j, &bare, 3), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++)
        assert_string_equal(seen[i].buf, "S2+cw e1 e2 S3+ e3");
    for (int i = 0; i < 3; i++)
        assert_int_equal(journal_rotate(j, &bare, 4), 0);
    assert_int_equal(journal_tail(j, 2, 0, 100, &none), -ENOENT);
    journal_close(j);
}

static void test_a_torn_end_is_not_handed_out(void **state)
{
    struct journal_chunk chunk;
    struct journal *j = open_journal((struct journal_options){ 0 });
    mkdir(scratch_path("journal"), 0700);
    scratch_write(scratch_path("journal/journal-00000001.jsonl"), "one\ntwo\nthr");
    assert_int_equal(journal_tail(j, 0, 0, 1, &chunk), 0);
    assert_int_equal(chunk.bytes, 4);
    free(chunk.text);
    assert_int_equal(journal_tail(j, 1, 4, 100, &chunk), 0);
    assert_int_equal(chunk.bytes, 4);
    assert_int_equal(chunk.segment, 1);
    assert_int_equal(chunk.offset, 8);
    free(chunk.text);
    assert_int_equal(journal_tail(j, 1, 8, 100, &chunk), 0);
    assert_int_equal(chunk.bytes, 0);
    free(chunk.text);
    scratch_write(scratch_path("journal/journal-00000002.jsonl"), "four\n");
    assert_int_equal(journal_tail(j, 1, 8, 100, &chunk), 0);
    assert_int_equal(chunk.bytes, 0); /* whoever was killed there never ended the line */
    assert_int_equal(chunk.segment, 2);
    assert_int_equal(chunk.offset, 0);
    free(chunk.text);
    assert_int_equal(journal_tail(j, 1, 99, 100, &chunk), 0); /* beyond it */
    assert_int_equal(chunk.segment, 2);
    free(chunk.text);
    journal_close(j);
}

/* Segments that no disk takes can be followed all the same; when one does again, its head begins
 * anew. */
static void test_a_journal_without_a_disk_can_be_followed(void **state)
{
    struct journal_chunk at = { 0 }, none;
    struct seen seen = { 0 };
    str_init(&seen.text, seen.buf, sizeof(seen.buf));
    signal(SIGXFSZ, SIG_IGN);
    struct journal *j = open_journal((struct journal_options){ .retry_us = 10 });
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    put_tick(j, 1);
    assert_int_equal(journal_flush(j, 1), 0);
    follow(j, &seen, &at, 1 << 20);
    set_file_limit(220);
    put_tick(j, 2);
    put_tick(j, 3);
    int broke = journal_flush(j, 3);
    bool at_once = journal_needs_rotation(j, 3);
    int into_memory = journal_rotate(j, &full, 3);
    bool soon = journal_needs_rotation(j, 12);
    put_tick(j, 4);
    follow(j, &seen, &at, 1 << 20);
    int again = journal_rotate(j, &full, 13); /* the follower need not begin anew */
    put_tick(j, 5);
    follow(j, &seen, &at, 1 << 20);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(broke, -EFBIG);
    assert_true(at_once);
    assert_int_equal(into_memory, -EFBIG);
    assert_false(soon);
    assert_int_equal(again, -EFBIG);
    assert_string_equal(seen.buf, "S1 e1 S2cw e4 e5");
    assert_int_equal(journal_rotate(j, &bare, 23), 0);
    assert_int_equal(journal_tail(j, at.segment, at.offset, 100, &none), -ENOENT);
    at = (struct journal_chunk){ 0 };
    follow(j, &seen, &at, 1 << 20);
    assert_string_equal(seen.buf, "S1 e1 S2cw e4 e5 S4");
    journal_close(j);
}

static void test_old_segments_go(void **state)
{
    struct journal *j = open_journal((struct journal_options){ .segments_kept = 2 });
    for (int i = 1; i <= 5; i++)
        assert_int_equal(journal_rotate(j, &bare, i), 0);
    journal_close(j);
    scratch_write(scratch_path("journal/journal-7.jsonl"), "not ours");
    assert_reads(scratch_path("journal"), false, "S4+ S5+");
}

static void test_torn_last_line_is_passed_over(void **state)
{
    const char *path = scratch_path("journal/journal-00000001.jsonl");
    struct journal *j = open_journal((struct journal_options){ 0 });
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    put_tick(j, 1);
    put_tick(j, 2);
    journal_close(j);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size - 1), 0); /* even if only the newline is missing */
    assert_reads(scratch_path("journal"), false, "S1 e1");
    assert_int_equal(truncate(path, st.st_size - 20), 0);
    assert_reads(scratch_path("journal"), false, "S1 e1");
    j = open_journal((struct journal_options){ 0 });
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    put_tick(j, 3);
    journal_close(j);
    assert_reads(scratch_path("journal"), false, "S1 e1 S2 e3");
    scratch_write(scratch_path("journal/journal-00000003.jsonl"), "{\"segment\":3,");
    assert_reads(scratch_path("journal"), true, "S2 e3");
}

static void test_nonsense_is_refused_with_its_place(void **state)
{
    static const char head[] = "{\"segment\":1,\"version\":\"1.2.3\",\"wall_us\":1,\"continues\":"
                               "false,\"snapshot\":{\"config\":null,\"words\":null}}\n";
    static const char *const cases[] = {
        "rubbish\n",
        "\n",
        "{}\n",
        "{\"event\":{\"type\":\"tick\"}}\n",
        "{\"event\":{\"type\":\"config\",\"now_us\":1,\"wall_us\":1,\"config\":{}}}\n",
        "{ \"decision\":{}}\n",
        head,
    };
    const char *path = scratch_path("j.jsonl");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct seen seen = { 0 };
        struct err err = { 0 };
        char text[512];
        snprintf(text, sizeof(text), "%s%s", head, cases[i]);
        scratch_write(path, text);
        assert_int_equal(read_to(&seen, path, false, &err), -EPROTO);
        assert_string_equal(seen.buf, "S1");
        assert_non_null(strstr(err.place, "j.jsonl:2"));
    }
    struct seen seen = { 0 };
    struct err err = { 0 };
    scratch_write(path, "{\"event\":{\"type\":\"tick\",\"now_us\":1,\"wall_us\":1}}\n");
    assert_int_equal(read_to(&seen, path, false, &err), -EPROTO); /* no head */
    assert_int_equal(read_to(&seen, scratch_path("none"), false, &err), -ENOENT);
    assert_int_equal(read_to(&seen, scratch_dir, true, &err), -ENOENT);
}

static void test_reader_can_stop(void **state)
{
    struct seen seen = { .stop_after = 2 };
    struct journal *j = open_journal((struct journal_options){ 0 });
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    put_tick(j, 1);
    put_tick(j, 2);
    journal_close(j);
    assert_int_equal(read_to(&seen, scratch_path("journal"), false, NULL), -ECANCELED);
    assert_string_equal(seen.buf, "S1 e1");
}

static void test_directory_that_cannot_be(void **state)
{
    char text[400];
    scratch_write(scratch_path("file"), "");
    struct journal *j = open_journal((struct journal_options){
        .directory = scratch_path("file/journal"), .retry_us = 5 * US_PER_S });
    assert_false(journal_trouble(j, text, sizeof(text)));
    assert_int_equal(journal_rotate(j, &bare, 0), -ENOTDIR);
    put_tick(j, 1);
    assert_int_equal(journal_flush(j, 1), 0);
    assert_true(journal_trouble(j, text, sizeof(text)));
    assert_int_equal(journal_dropped(j), 1);
    assert_false(journal_needs_rotation(j, 5 * US_PER_S - 1));
    assert_true(journal_needs_rotation(j, 5 * US_PER_S));
    assert_int_equal(unlink(scratch_path("file")), 0);
    assert_int_equal(mkdir(scratch_path("file"), 0700), 0);
    assert_int_equal(journal_rotate(j, &full, 5 * US_PER_S), 0);
    assert_false(journal_trouble(j, text, sizeof(text)));
    journal_close(j);
    assert_reads(scratch_path("file/journal"), false, "S1cw");
}

static void test_full_disk(void **state)
{
    signal(SIGXFSZ, SIG_IGN);
    struct journal *j = open_journal((struct journal_options){ .retry_us = 1 });
    assert_int_equal(journal_rotate(j, &bare, 0), 0);
    put_tick(j, 1);
    assert_int_equal(journal_flush(j, 1), 0);
    set_file_limit(220);
    for (int i = 2; i < 10; i++)
        put_tick(j, i);
    int rc = journal_flush(j, 10);
    int again = journal_rotate(j, &full, 11);
    put_tick(j, 12);
    set_file_limit(RLIM_INFINITY);
    assert_int_equal(rc, -EFBIG);
    assert_int_equal(again, -EFBIG);
    assert_int_equal(journal_dropped(j), 9);
    assert_int_equal(journal_rotate(j, &full, 13), 0);
    put_tick(j, 14);
    journal_close(j);
    assert_reads(scratch_path("journal"), false, "S1 e1 S3cw e14");
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_segments_follow_each_other),
        SCRATCH_TEST(test_all_comes_back_exactly),
        SCRATCH_TEST(test_journals_of_older_versions_are_read),
        SCRATCH_TEST(test_afresh_continues_nothing),
        SCRATCH_TEST(test_a_journal_can_be_followed),
        SCRATCH_TEST(test_a_torn_end_is_not_handed_out),
        SCRATCH_TEST(test_a_journal_without_a_disk_can_be_followed),
        SCRATCH_TEST(test_old_segments_go),
        SCRATCH_TEST(test_torn_last_line_is_passed_over),
        SCRATCH_TEST(test_nonsense_is_refused_with_its_place),
        SCRATCH_TEST(test_reader_can_stop),
        SCRATCH_TEST(test_directory_that_cannot_be),
        SCRATCH_TEST(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
