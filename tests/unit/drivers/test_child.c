/* A program that is run once: what it is given, what it says, and that it ends, whatever it does.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/child.h"

static uv_loop_t loop;
static unsigned told;
static struct {
    int status, signal;
    bool well, timed_out, out_over;
    size_t out_bytes;
    char out[100], text[256];
} end;

static void on_done(void *ctx, const struct child_end *e)
{
    told++;
    end.status = e->status;
    end.signal = e->signal;
    end.well = child_ended_well(e);
    end.timed_out = e->timed_out;
    end.out_over = e->out_over;
    end.out_bytes = e->out.n;
    fmt(end.out, sizeof(end.out), "%.*s", (int)MIN(e->out.n, sizeof(end.out) - 1), e->out.p);
    child_describe(e, end.text, sizeof(end.text));
}

static struct child *start(const char *script, const char *input, int64_t timeout_us)
{
    char *argv[] = { (char[]){ "/bin/sh" }, (char[]){ "-c" }, (char *)script, NULL };
    const struct child_options o = { .argv = argv, .input = input, .timeout_us = timeout_us };
    struct child *c = NULL;
    told = 0;
    assert_int_equal(child_start(&loop, &o, on_done, NULL, &c), 0);
    assert_int_equal(told, 0);
    return c;
}

static void finish(unsigned expected)
{
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(told, expected);
}

static const struct {
    const char *script, *input, *out, *text; /* `text` NULL = it ends well */
} runs[] = {
    { "echo ' a b '; echo", NULL, " a b", NULL },
    { "cat", "given\n", "given", NULL },
    { "cat", NULL, "", NULL },
    { "exit 0", "nobody reads it", "", NULL },
    { "echo out; echo first >&2; echo last >&2; exit 3", NULL, "out",
      "exited with status 3: last" },
    { "head -c 16384 /dev/zero | tr '\\0' ' '; echo", NULL, "", NULL },
    { "exit 4", NULL, "", "exited with status 4" },
    { "kill -9 $$", NULL, "", "was killed by signal 9" },
    { "(sleep 0.05; echo late) & echo early", NULL, "early\nlate", NULL },
};

static void test_ends(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(runs); i++) {
        start(runs[i].script, runs[i].input, 30 * US_PER_S);
        finish(1);
        assert_int_equal(end.well, runs[i].text == NULL);
        assert_string_equal(end.out, runs[i].out);
        if (runs[i].text)
            assert_string_equal(end.text, runs[i].text);
    }
}

static void test_too_much_output(void **state)
{
    start("head -c 100000 /dev/zero | tr '\\0' x; exit 5", NULL, 30 * US_PER_S);
    finish(1);
    assert_int_equal(end.status, 5);
    assert_true(end.out_over);
    assert_int_equal(end.out_bytes, CHILD_OUTPUT_MAX);
}

static void test_time_is_up(void **state)
{
    start("echo begun; echo why >&2; while :; do sleep 1; done", NULL, 2 * US_PER_S);
    finish(1);
    assert_true(end.timed_out && !end.well);
    assert_string_equal(end.text, "did not end in time: why");
}

/* Who was let go in a group of its own is not killed, and keeps its output open. */
static void test_who_was_let_go_holds_nobody_up(void **state)
{
    start("setsid sh -c 'sleep 30' & echo begun", NULL, 20 * US_PER_S);
    finish(1);
    assert_true(end.well);
    assert_string_equal(end.out, "begun");
}

static void test_cancel(void **state)
{
    child_cancel(start("while :; do sleep 1; done", "x", 0));
    finish(0);
    child_cancel(NULL);
}

static void test_cannot_be_run(void **state)
{
    char *argv[] = { (char[]){ "/no/such/program" }, NULL };
    const struct child_options o = { .argv = argv, .input = "x" };
    struct child *c = NULL;
    told = 0;
    assert_int_equal(child_start(&loop, &o, on_done, NULL, &c), UV_ENOENT);
    assert_null(c);
    finish(0);
}

static int begin(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    return uv_loop_init(&loop);
}

static int leave(void **state)
{
    return uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),       cmocka_unit_test(test_too_much_output),
        cmocka_unit_test(test_time_is_up), cmocka_unit_test(test_who_was_let_go_holds_nobody_up),
        cmocka_unit_test(test_cancel),     cmocka_unit_test(test_cannot_be_run),
    };
    return cmocka_run_group_tests(tests, begin, leave);
}
