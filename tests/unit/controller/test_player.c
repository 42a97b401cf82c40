/* A journal played: the core, the fleet, the configurations, and what becomes of a head that cannot
 * be read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/controller_int.h"
#include "controller/player.h"

static const char text[] = "services:\n"
                           "  shop:\n"
                           "    run: {command: [sleep, \"9\"]}\n"
                           "    scale: {min: 2, max: 4, rules: [{target: {metric: cpu, value: "
                           "70%}}]}\n";
static const char own_text[] = "admin: \"off\"\n"
                               "services:\n"
                               "  shop:\n"
                               "    run: {command: [sleep, \"9\"]}\n"
                               "    scale: {rules: [{target: {metric: cpu, value: 70%}}]}\n";

struct scene {
    struct player player;
    struct fleet fleet;
    int heads, events, steps, records;
};

static int on_head(void *ctx)
{
    ((struct scene *)ctx)->heads++;
    return 0;
}

static int on_event(void *ctx, const struct event *e, const struct journal_config *config)
{
    ((struct scene *)ctx)->events++;
    return 0;
}

static int on_action(void *ctx, const struct action *a)
{
    ((struct scene *)ctx)->records += a->type == ACTION_RECORD;
    return 0;
}

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    s->fleet.cap = 64;
    s->fleet.items = calloc(s->fleet.cap, sizeof(*s->fleet.items));
    assert_int_equal(player_init(&s->player), 0);
    s->player.fleet = &s->fleet;
    s->player.generation = 1;
    s->player.on_head = on_head;
    s->player.on_event = on_event;
    s->player.on_action = on_action;
    s->player.ctx = s;
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;
    player_done(&s->player);
    free(s->fleet.items);
    free(s);
    return 0;
}

static struct journal_config config_of(const char *what)
{
    return (struct journal_config){ .path = "x.yaml", .text = what, .text_bytes = strlen(what) };
}

static void head(struct scene *s, const struct journal_snapshot *snapshot, uint64_t segment,
                 int expected)
{
    struct journal_record r = { .type = JOURNAL_SEGMENT, .segment = segment };
    r.snapshot = *snapshot;
    assert_int_equal(player_record(&s->player, &r), expected);
}

static void event(struct scene *s, struct event e)
{
    struct journal_record r = { .type = JOURNAL_EVENT, .event = e };
    assert_int_equal(player_record(&s->player, &r), 0);
}

static void begin(struct scene *s)
{
    struct journal_config config = config_of(text);
    struct journal_place place = {
        .service = 0, .number = 5, .driver = "process", .address = "a:1"
    };
    struct journal_snapshot snapshot = { .config = &config,
                                         .places = &place,
                                         .place_count = 1,
                                         .clock = { .boot = "b", .now_us = 1000 } };
    head(s, &snapshot, 1, 0);
}

static void test_places_follow_the_events(void **state)
{
    struct scene *s = *state;
    begin(s);
    assert_int_equal(s->heads, 1);
    assert_string_equal(fleet_find(&s->fleet, 0, 5)->address, "a:1");
    assert_ptr_equal(fleet_find(&s->fleet, 0, 5)->driver, &provision_process);
    event(s, (struct event){ .type = EVENT_RESTART, .now_us = 2000, .service = -1 });
    event(s, (struct event){ .type = EVENT_FOUND,
                             .now_us = 2001,
                             .number = 5,
                             .flag = true,
                             .address = "b:2",
                             .ref = "r" });
    assert_string_equal(fleet_find(&s->fleet, 0, 5)->address, "b:2");
    assert_string_equal(fleet_find(&s->fleet, 0, 5)->ref, "r");
    event(s, (struct event){ .type = EVENT_FOUND, .now_us = 2002, .number = 9, .flag = true });
    event(s, (struct event){ .type = EVENT_FOUND_ALL, .now_us = 2003 });
    assert_non_null(fleet_find(&s->fleet, 0, 9));
    event(s, (struct event){ .type = EVENT_EXITED, .now_us = 2004, .number = 9 });
    assert_null(fleet_find(&s->fleet, 0, 9));
    assert_non_null(fleet_find(&s->fleet, 0, 5));
    assert_int_equal(s->player.now_us, 2004);
    event(s, (struct event){
                 .type = EVENT_OPERATOR, .now_us = 2005, .op = OPERATOR_SCALE, .count = 3 });
    assert_int_equal(s->events, 6);
    assert_true(s->records > 0);
}

static void test_a_head_that_continues_is_passed_over(void **state)
{
    struct scene *s = *state;
    begin(s);
    const struct control *before = s->player.control;
    struct journal_record r = { .type = JOURNAL_SEGMENT, .segment = 2, .continues = true };
    assert_int_equal(player_record(&s->player, &r), 0);
    assert_ptr_equal(s->player.control, before);
    assert_int_equal(s->heads, 1);
}

/* What was known goes on: a standby must not lose its pool to a leader that it cannot understand.
 */
static void test_a_head_that_cannot_be_read_changes_nothing(void **state)
{
    struct scene *s = *state;
    begin(s);
    const struct control *before = s->player.control;
    struct journal_config bad = config_of("services: {shop: {ruun: {}}}");
    struct journal_snapshot snapshot = { .config = &bad };
    head(s, &snapshot, 2, -EINVAL);
    uint64_t words[] = { 1, 2, 3 };
    struct journal_config good = config_of(text);
    snapshot = (struct journal_snapshot){ .config = &good, .words = words, .word_count = 3 };
    head(s, &snapshot, 3, -ENOTSUP);
    assert_ptr_equal(s->player.control, before);
    assert_int_equal(control_find(s->player.control, "shop"), 0);
    assert_non_null(fleet_find(&s->fleet, 0, 5));
    assert_int_equal(s->heads, 1);
}

static void test_what_is_this_machines_is_kept_apart(void **state)
{
    struct scene *s = *state;
    struct journal_config config = config_of(text), own = config_of(own_text);
    struct journal_snapshot snapshot = { .config = &config, .own = &own };
    head(s, &snapshot, 1, 0);
    assert_string_equal(s->player.own->admin, "off");
    assert_string_equal(s->player.config->text, text);
    snapshot.own = NULL;
    head(s, &snapshot, 2, 0);
    assert_null(s->player.own);
}

/* Its files were there when it was taken, on the machine that took it. */
static void test_a_configuration_of_another_machine(void **state)
{
    static const char group_text[] =
        "lease: {cluster: a, advertise: \"http://10.0.0.1:1\", etcd: {endpoints: "
        "[\"http://10.0.0.1:2379\"], ca: /not/here.pem}}\n"
        "services:\n"
        "  shop:\n"
        "    run: {command: [sleep, \"9\"]}\n"
        "    scale: {rules: [{target: {metric: cpu, value: 70%}}]}\n";
    struct journal_config config = config_of(group_text);
    struct journal_snapshot snapshot = { .config = &config };
    head(*state, &snapshot, 1, 0);
}

static int on_stepped(void *ctx, const struct event *e)
{
    struct scene *s = ctx;
    struct service_view v;
    s->steps++;
    assert_true(control_view(s->player.control, 0, &v));
    if (e->type == EVENT_CONFIG) /* the one before is freed by now */
        assert_string_equal(s->player.config->text, own_text);
    return 0;
}

static void test_a_configuration_is_there_when_its_event_was_stepped(void **state)
{
    struct scene *s = *state;
    struct journal_config config = config_of(own_text);
    struct journal_record r = { .type = JOURNAL_EVENT, .config = &config };
    begin(s);
    s->player.on_stepped = on_stepped;
    r.event = (struct event){ .type = EVENT_CONFIG, .now_us = 2000, .service = -1 };
    assert_int_equal(player_record(&s->player, &r), 0);
    event(s, (struct event){ .type = EVENT_RESTART, .now_us = 2001, .service = -1 });
    assert_int_equal(s->steps, 2);
}

static void test_numbers_are_given_once(void **state)
{
    static struct controller c;
    struct scene *s = *state;
    begin(s);
    event(s, (struct event){ .type = EVENT_RESTART, .now_us = 2000, .service = -1 });
    event(s, (struct event){ .type = EVENT_FOUND, .now_us = 2001, .number = 5, .ref = "five" });
    c = (struct controller){ .control = s->player.control, .fleet = s->fleet };
    assert_int_equal(controller_number_of(&c, 0, "five"), 5);
    assert_int_equal(controller_number_of(&c, 0, "six"), 6);
    assert_int_equal(controller_number_of(&c, 0, "six"), 6); /* its FOUND is still on its way */
    assert_int_equal(controller_number_of(&c, 0, "seven"), 7);
    fleet_remove(&c.fleet, fleet_find(&c.fleet, 0, 7), 1);
    assert_int_equal(controller_number_of(&c, 0, "eight"), 8); /* nobody gets the number again */
    assert_int_equal(controller_number_of(&c, 3, "six"), 1);
}

#define WITH(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(test_places_follow_the_events),
        WITH(test_a_head_that_continues_is_passed_over),
        WITH(test_a_head_that_cannot_be_read_changes_nothing),
        WITH(test_what_is_this_machines_is_kept_apart),
        WITH(test_a_configuration_of_another_machine),
        WITH(test_a_configuration_is_there_when_its_event_was_stepped),
        WITH(test_numbers_are_given_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
