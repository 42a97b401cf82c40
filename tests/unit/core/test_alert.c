/* Alerts: a small script a case. Each line is a second of time: what is so, what the targets
 * answer, and what they are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/alert.h"

/* At second `at`: the services with something wrong ("shop,blog"; kind 0, group = service unless
 * the case says otherwise), and what target 0 is told: "+shop -blog" (firing, resolved); "" =
 * nothing. `refuse`: it does not take it. */
struct moment {
    int at;
    const char *so;
    const char *told;
    bool refuse;
};

struct script {
    const char *name;
    int for_s, keep_s, wait_s, interval_s, repeat_s;
    bool one_group;
    struct moment moments[16];
};

static const struct script scripts[] = {
    { "fires at once", 0, 0, 0, 60, 3600, false, { { 1, "shop", "+shop" }, { 2, "shop", "" } } },
    { "for, and a break begins it anew",
      3,
      0,
      0,
      60,
      3600,
      false,
      { { 1, "shop", "" }, { 3, "shop", "" }, { 4, "shop", "+shop" } } },
    { "a break",
      3,
      0,
      0,
      60,
      3600,
      false,
      { { 1, "shop", "" },
        { 3, "", "" },
        { 4, "shop", "" },
        { 6, "shop", "" },
        { 7, "shop", "+shop" } } },
    { "resolved at the next look",
      0,
      0,
      0,
      10,
      3600,
      false,
      { { 1, "shop", "+shop" },
        { 2, "", "" },
        { 10, "", "" },
        { 11, "", "-shop" },
        { 30, "", "" } } },
    { "keeps firing",
      0,
      5,
      0,
      1,
      3600,
      false,
      { { 1, "shop", "+shop" }, { 2, "", "" }, { 5, "", "" }, { 6, "", "-shop" } } },
    { "flapping within keep is one",
      0,
      5,
      0,
      1,
      3600,
      false,
      { { 1, "shop", "+shop" },
        { 3, "", "" },
        { 5, "shop", "" },
        { 9, "", "" },
        { 12, "", "" },
        { 13, "", "-shop" } } },
    { "never told, never resolved",
      0,
      0,
      5,
      10,
      3600,
      false,
      { { 1, "shop", "" }, { 2, "", "" }, { 30, "", "" } } },
    { "group-wait gathers",
      0,
      0,
      5,
      60,
      3600,
      true,
      { { 1, "shop", "" }, { 3, "shop,blog", "" }, { 6, "shop,blog", "+shop +blog" } } },
    { "group-wait begins when the first fires",
      4,
      0,
      3,
      60,
      3600,
      false,
      { { 1, "shop", "" }, { 5, "shop", "" }, { 7, "shop", "" }, { 8, "shop", "+shop" } } },
    { "group-interval holds the next back",
      0,
      0,
      0,
      30,
      3600,
      true,
      { { 1, "shop", "+shop" },
        { 2, "shop,blog", "" },
        { 30, "shop,blog", "" },
        { 31, "shop,blog", "+shop +blog" },
        { 32, "shop,blog", "" } } },
    { "two groups do not wait for one another",
      0,
      0,
      0,
      30,
      3600,
      false,
      { { 1, "shop", "+shop" }, { 2, "shop,blog", "+blog" } } },
    { "repeat",
      0,
      0,
      0,
      10,
      60,
      false,
      { { 1, "shop", "+shop" },
        { 59, "shop", "" },
        { 61, "shop", "+shop" },
        { 90, "shop", "" },
        { 121, "shop", "+shop" } } },
    { "resolved and firing in one message",
      0,
      0,
      0,
      10,
      3600,
      true,
      { { 1, "shop", "+shop" },
        { 2, "blog", "" },
        { 11, "blog", "-shop +blog" },
        { 21, "", "-blog" } } },
    { "one that fires again before that was told is no news",
      0,
      0,
      0,
      10,
      3600,
      false,
      { { 1, "shop", "+shop" }, { 2, "", "" }, { 4, "shop", "" }, { 30, "shop", "" } } },
    { "back-off doubles and says what is true then",
      0,
      0,
      0,
      1,
      3600,
      false,
      { { 1, "shop", "+shop", true },
        { 2, "shop", "+shop", true },
        { 3, "shop", "" },
        { 4, "shop", "+shop", true },
        { 7, "shop", "" },
        { 8, "shop", "+shop" } } },
    { "gone before anybody took it",
      0,
      0,
      0,
      1,
      3600,
      false,
      { { 1, "shop", "+shop", true }, { 2, "", "" }, { 60, "", "" } } },
    { "a resolution waits for the target",
      0,
      0,
      0,
      1,
      3600,
      false,
      { { 1, "shop", "+shop" },
        { 2, "", "-shop", true },
        { 3, "", "-shop", true },
        { 4, "", "" },
        { 5, "", "-shop" },
        { 60, "", "" } } },
};

static struct alert_book book;

static void round_of(const struct script *s, const char *so, int64_t now_us)
{
    char names[64], *rest = names;
    snprintf(names, sizeof(names), "%s", so);
    alert_begin(&book);
    for (char *name; (name = strsep(&rest, ","));) {
        struct alert_fact f = { .service = name,
                                .what = "",
                                .group = s->one_group ? "" : name,
                                .text = "so",
                                .for_us = s->for_s * US_PER_S,
                                .keep_us = s->keep_s * US_PER_S };
        if (name[0])
            alert_say(&book, &f, now_us);
    }
    alert_end(&book, now_us);
}

static void hear(uint32_t target, bool refuse, int64_t now_us, char *told, size_t cap)
{
    static struct alert_message m;
    size_t n = strlen(told);
    while (alert_due(&book, target, NULL, now_us, &m)) {
        uint32_t firing = 0;
        for (uint32_t i = 0; i < m.count; i++) {
            bool fires = alert_fires(m.alerts[i]);
            firing += fires;
            n += (size_t)snprintf(told + n, cap - n, "%s%c%s", n ? " " : "", fires ? '+' : '-',
                                  m.alerts[i]->service);
        }
        assert_int_equal(firing, m.firing);
        alert_sent(&book, target, !refuse, now_us);
    }
}

static void begin(const struct script *s)
{
    const uint64_t id = 7;
    const struct alert_timing timing = { s->wait_s * US_PER_S, s->interval_s * US_PER_S,
                                         s->repeat_s * US_PER_S };
    memset(&book, 0, sizeof(book));
    alert_set_targets(&book, &id, &timing, 1, 0);
}

/* Between two moments of a script it stays as it was, and nothing may be told. */
static void test_scripts(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        const struct script *s = &scripts[i];
        const char *so = "";
        begin(s);
        for (size_t k = 0; k < ARRAY_LEN(s->moments) && s->moments[k].so; k++) {
            const struct moment *m = &s->moments[k];
            char told[256] = "";
            int now = k > 0 ? s->moments[k - 1].at + 1 : 0;
            for (; now <= m->at; now++) {
                if (now == m->at)
                    so = m->so;
                round_of(s, so, now * US_PER_S);
                if (now < m->at)
                    hear(0, false, now * US_PER_S, told, sizeof(told));
                if (now < m->at && told[0])
                    fail_msg("%s: told \"%s\" at %d already", s->name, told, now);
            }
            hear(0, m->refuse, m->at * US_PER_S, told, sizeof(told));
            if (strcmp(told, m->told) != 0)
                fail_msg("%s: at %d told \"%s\", not \"%s\"", s->name, m->at, told, m->told);
        }
    }
}

static void test_nothing_is_left(void **state)
{
    begin(&scripts[0]);
    char told[256] = "";
    round_of(&scripts[0], "shop", US_PER_S);
    hear(0, false, US_PER_S, told, sizeof(told));
    for (int now = 2; now < 70; now++) {
        round_of(&scripts[0], "", now * US_PER_S);
        hear(0, false, now * US_PER_S, told, sizeof(told));
    }
    assert_string_equal(told, "+shop -shop");
    for (size_t i = 0; i < ALERT_MAX; i++) {
        assert_int_equal(book.alerts[i].state, ALERT_FREE);
        assert_false(book.groups[i].used);
    }
}

static void test_without_targets(void **state)
{
    memset(&book, 0, sizeof(book));
    round_of(&scripts[0], "shop", US_PER_S);
    assert_int_equal(book.alerts[0].state, ALERT_FIRING);
    round_of(&scripts[0], "", 2 * US_PER_S);
    assert_int_equal(book.alerts[0].state, ALERT_FREE);
}

/* A target that stays, in whatever place, is not told twice; a new one is told what fires. */
static void test_targets_change(void **state)
{
    const uint64_t first[] = { 7 }, then[] = { 9, 7 };
    const struct alert_timing timing[] = { { 0, US_PER_S, US_PER_HOUR },
                                           { 0, US_PER_S, US_PER_HOUR } };
    char told[256] = "";
    memset(&book, 0, sizeof(book));
    alert_set_targets(&book, first, timing, 1, 0);
    round_of(&scripts[0], "shop", US_PER_S);
    hear(0, false, US_PER_S, told, sizeof(told));
    assert_string_equal(told, "+shop");
    alert_set_targets(&book, then, timing, 2, 2 * US_PER_S);
    round_of(&scripts[0], "shop", 3 * US_PER_S);
    told[0] = '\0';
    hear(1, false, 3 * US_PER_S, told, sizeof(told));
    assert_string_equal(told, "");
    hear(0, false, 3 * US_PER_S, told, sizeof(told));
    assert_string_equal(told, "+shop");
}

/* One is on its way: what changes meanwhile is told after it has arrived. */
static void test_changes_on_the_way(void **state)
{
    static struct alert_message m;
    char told[256] = "";
    struct script s = { .interval_s = 1, .repeat_s = 3600 };
    begin(&s);
    round_of(&s, "shop", US_PER_S);
    assert_true(alert_due(&book, 0, NULL, US_PER_S, &m));
    round_of(&s, "", 2 * US_PER_S);
    assert_false(alert_due(&book, 0, NULL, 2 * US_PER_S, &(struct alert_message){ 0 }));
    alert_sent(&book, 0, true, 2 * US_PER_S);
    round_of(&s, "", 3 * US_PER_S);
    hear(0, false, 3 * US_PER_S, told, sizeof(told));
    assert_string_equal(told, "-shop");
}

static void test_restored(void **state)
{
    const struct script *s = &scripts[0];
    struct alert_fact f = { .service = "shop", .what = "", .group = "shop", .text = "was" };
    char told[256] = "";
    begin(s);
    alert_restore(&book, &f, -100 * US_PER_S, BIT(0), -90 * US_PER_S, 60 * US_PER_S, 0);
    round_of(s, "", US_PER_S); /* it is not known yet */
    hear(0, false, US_PER_S, told, sizeof(told));
    round_of(s, "shop", 2 * US_PER_S);
    hear(0, false, 2 * US_PER_S, told, sizeof(told));
    assert_string_equal(told, "");
    assert_int_equal(book.alerts[0].fired_us, -100 * US_PER_S);
    for (int now = 60; now < 130; now++) {
        round_of(s, "", now * US_PER_S);
        hear(0, false, now * US_PER_S, told, sizeof(told));
    }
    assert_string_equal(told, "-shop");
}

/* Who does not lead any more knows of nothing but that: the rest stays, and is not told. */
static void test_frozen(void **state)
{
    struct script s = { .interval_s = 1, .repeat_s = 3600 };
    static struct alert_message m;
    char told[256] = "";
    begin(&s);
    round_of(&s, "shop", US_PER_S);
    hear(0, false, US_PER_S, told, sizeof(told));
    struct alert_fact lost = { .kind = 1, .service = "", .what = "", .group = "lost", .text = "" };
    alert_begin(&book);
    alert_say(&book, &lost, 9 * US_PER_S);
    alert_freeze(&book, "lost");
    alert_end(&book, 9 * US_PER_S);
    assert_int_equal(book.alerts[0].state, ALERT_FIRING);
    assert_true(alert_due(&book, 0, "lost", 9 * US_PER_S, &m));
    assert_int_equal(m.count, 1);
    alert_sent(&book, 0, true, 9 * US_PER_S);
    assert_false(alert_due(&book, 0, "lost", 7200 * US_PER_S, &m) && m.alerts[0]->kind == 0);
}

/* More than there is room for: the oldest that is over makes room, never one that fires. */
static void test_full(void **state)
{
    struct script s = { .interval_s = 1, .repeat_s = 3600 };
    char name[16];
    begin(&s);
    alert_begin(&book);
    for (int i = 0; i < ALERT_MAX + 5; i++) {
        snprintf(name, sizeof(name), "s%d", i);
        struct alert_fact f = { .service = name, .what = "", .group = name, .text = "" };
        alert_say(&book, &f, US_PER_S);
    }
    alert_end(&book, US_PER_S);
    assert_int_equal(book.lost, 5);
    assert_string_equal(book.alerts[ALERT_MAX - 1].service, "s255");
    for (int i = 0; i < ALERT_MAX; i++)
        book.alerts[i].told = 1;
    round_of(&s, "", 2 * US_PER_S);
    round_of(&s, "new", 3 * US_PER_S);
    assert_string_equal(book.alerts[0].service, "new");
}

static void test_pause_is_bounded(void **state)
{
    struct script s = { .interval_s = 1, .repeat_s = 3600 };
    static struct alert_message m;
    int64_t now_us = 0, before_us = 0;
    begin(&s);
    for (int i = 0; i < 40; i++) {
        round_of(&s, "shop", now_us);
        assert_true(alert_due(&book, 0, NULL, now_us, &m));
        alert_sent(&book, 0, false, now_us);
        before_us = now_us;
        now_us = book.targets[0].retry_us;
    }
    assert_int_equal(now_us - before_us, ALERT_RETRY_LAST_US);
    assert_int_equal(book.targets[0].failed, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scripts),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_without_targets),
        cmocka_unit_test(test_targets_change),
        cmocka_unit_test(test_changes_on_the_way),
        cmocka_unit_test(test_restored),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_frozen),
        cmocka_unit_test(test_pause_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
