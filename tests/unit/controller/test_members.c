/* The group: sums over all proxies, who is unknown, what is drained everywhere, whose mark is what.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "controller/members_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

static const char text[] = "services:\n"
                           "  shop:\n"
                           "    listen: [\":18080\"]\n"
                           "    run: {command: [\"true\"]}\n"
                           "    scale: {min: 2, max: 4}\n"
                           "  blog:\n"
                           "    listen: [\":18081\"]\n"
                           "    run: {command: [\"true\"]}\n"
                           "    scale: {min: 1, max: 4}\n";

static struct controller c;
static const struct control_caps caps = { .services = 4, .instances = 16, .points = 64 };

static void step(struct event e)
{
    static struct action items[CONTROL_ACTIONS_MIN];
    struct actions actions = { .items = items, .cap = CONTROL_ACTIONS_MIN };
    static int64_t now_us = 1000000;
    e.now_us = ++now_us;
    assert_int_equal(control_step(c.control, &e, &actions), 0);
}

static void make_core(void)
{
    c.control_memory = aligned_alloc(64, (control_bytes(&caps) + 63) / 64 * 64);
    memset(c.control_memory, 0, control_bytes(&caps));
    c.control = control_init(c.control_memory, &caps);
    step((struct event){ .type = EVENT_CONFIG, .service = -1, .conf = &c.config->model });
    step((struct event){ .type = EVENT_TICK, .service = -1 });
}

static int setup(void **state)
{
    struct err errors[4];
    size_t count;
    memset(&c, 0, sizeof(c));
    uv_loop_init(&c.loop);
    c.events = calloc(CONTROLLER_EVENTS_MAX, sizeof(*c.events));
    c.fleet.cap = GAUGES_INSTANCES_MAX;
    c.fleet.items = calloc(c.fleet.cap, sizeof(*c.fleet.items));
    c.gauges = calloc(1, sizeof(*c.gauges));
    c.gauges->loops = 1;
    c.gauges->pid = 7;
    c.pumping = true; /* events stay in the queue, for the test to look at */
    c.phase = PHASE_LIVE;
    mem_arena_init(&c.config_arena, 64 * 1024 * 1024);
    if (controller_parse_config(&c.config_arena, "test", text, sizeof(text) - 1, &c.config, errors,
                                4, &count) < 0)
        fail_msg("%s: %s", errors[0].place, errors[0].text);
    make_core();
    return members_open(&c, &errors[0]);
}

static void on_walk(uv_handle_t *handle, void *ctx)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static int teardown(void **state)
{
    members_close(&c);
    uv_walk(&c.loop, on_walk, NULL);
    uv_run(&c.loop, UV_RUN_DEFAULT);
    uv_loop_close(&c.loop);
    arena_done(&c.config_arena);
    free(c.control_memory);
    free(c.events);
    free(c.fleet.items);
    free(c.gauges);
    return 0;
}

/* --- the others --- */

/* We are "a"; the others are named by a letter each. */
static void join(const char *others)
{
    c.lead.members[0] = (struct lease_member){ .name = "a", .url = "http://a", .self = true };
    c.lead.leader = c.lead.members[0];
    c.lead.member_count = 1;
    for (; *others; others++)
        c.lead.members[c.lead.member_count++] = (struct lease_member){ .name = { *others } };
    members_set(&c);
}

static struct member *member(char name)
{
    for (size_t i = 0; i < c.members->count; i++)
        if (c.members->items[i]->info.name[0] == name)
            return c.members->items[i];
    fail_msg("no member %c", name);
    return NULL;
}

/* It says that its proxy serves shop and has this to do. */
static struct proxy_report_service *says(char name, uint32_t in_flight, uint32_t queued)
{
    struct member *m = member(name);
    proxy_report_free(m->now);
    m->now = proxy_report_new(1);
    m->now->pid = 9;
    m->now->service_count = 1;
    m->now->at_us = m->heard_us = clock_now_us();
    strcpy(m->now->services[0].name, "shop");
    m->now->services[0].reading.at_us = m->now->at_us;
    m->now->services[0].reading.in_flight = in_flight;
    m->now->services[0].reading.queued = queued;
    return &m->now->services[0];
}

static void says_drained(char name, uint32_t number)
{
    struct proxy_report_service *s = says(name, 0, 0);
    s->drained = malloc(sizeof(*s->drained));
    s->drained[0] = number;
    s->drained_count = 1;
}

/* Nobody listens there any more. */
static void forget(char name)
{
    member(name)->gone = true;
    c.lead.members[0].url[0] = '\0';
    for (size_t i = 0; i < c.members->count; i++)
        c.members->items[i]->info.url[0] = '\0';
    members_tick(&c);
}

static bool sum(uint32_t slot, struct proxy_share *ret)
{
    *ret = (struct proxy_share){ .rates = true };
    return c.members->others.add(c.members->others.ctx, slot, ret);
}

static void test_who_is_there(void **state)
{
    join("");
    assert_int_equal(c.members->count, 0);
    join("bc");
    struct member *b = member('b');
    says('b', 1, 0);
    join("cbd");
    assert_int_equal(c.members->count, 3);
    assert_ptr_equal(member('b'), b);
    assert_non_null(b->now);
    join("d");
    forget('b');
    forget('c');
    assert_int_equal(c.members->count, 1);
}

static void test_sum(void **state)
{
    struct proxy_share s;
    join("bc");
    says('b', 3, 1);
    says('c', 4, 0);
    assert_true(sum(0, &s));
    assert_int_equal(s.in_flight, 7);
    assert_int_equal(s.queued, 1);
    assert_false(s.rates); /* of none there were two */
    struct member *b = member('b');
    b->before = b->now;
    b->now = NULL;
    says('b', 5, 0)->reading.requests = 10;
    b->now->services[0].reading.at_us = b->before->at_us + US_PER_S;
    join("b");
    forget('c');
    assert_true(sum(0, &s));
    assert_true(s.rates);
    assert_true(s.requests == 10);
    assert_int_equal(s.in_flight, 5);
}

static void test_silence_is_unknown(void **state)
{
    struct proxy_share s;
    join("b");
    assert_false(sum(0, &s)); /* never heard: it may serve anything */
    assert_false(sum(1, &s));
    says('b', 3, 0);
    assert_true(sum(0, &s));
    assert_true(sum(1, &s)); /* of which it has said nothing */
    member('b')->heard_us = clock_now_us() - MEMBERS_SILENT_US - US_PER_S;
    assert_false(sum(0, &s));
    assert_true(sum(1, &s));
    join(""); /* it may hang, or be cut off from the lease, and serve */
    assert_false(sum(0, &s));
    member('b')->left_us = member('b')->heard_us = clock_now_us() - MEMBERS_LINGER_US - US_PER_S;
    members_tick(&c);
    assert_false(sum(0, &s)); /* we have only begun to ask */
    c.members->asking_us = member('b')->left_us;
    members_tick(&c);
    assert_true(sum(0, &s));
    assert_int_equal(c.members->count, 0);
}

/* --- for people --- */

/* What status says of the one that is not in the group any more. */
static struct admin_member_facts told_of_left(void)
{
    static struct admin_group_facts f;
    f = (struct admin_group_facts){ 0 };
    members_facts(&c, &f);
    assert_int_equal(f.member_count, c.lead.member_count + 1);
    return f.members[f.member_count - 1];
}

static void assert_told(const char *part)
{
    const char *said = told_of_left().trouble;
    if (!strstr(said, part))
        fail_msg("not \"%s\": %s", part, said);
}

/* Why it is not in the group any more is not known: only what is seen is said. */
static void test_left_and_lost(void **state)
{
    join("b");
    says('b', 1, 0);
    join("");
    member('b')->left_us = clock_now_us() - 2 * US_PER_S;
    assert_told("out of the group for 2"); /* nobody is asked yet */
    c.members->asking = true;
    assert_told("but it answers");
    member('b')->heard_us = clock_now_us() - 60 * US_PER_S;
    c.members->asking_us = clock_now_us();
    assert_told("out of the group for 2"); /* it may be about to answer */
    assert_null(strstr(told_of_left().trouble, "lost"));
    strcpy(member('b')->trouble, "Connection refused");
    assert_told("it is lost: out of the group for 2");
    assert_told(" (Connection refused)");
    member('b')->trouble[0] = '\0';
    member('b')->left_us = c.members->asking_us = clock_now_us() - 60 * US_PER_S;
    assert_told(" (it does not answer)");
}

/* The one that was lost and its successor may have one name. */
static void test_lost_of_our_name(void **state)
{
    join("b");
    c.lead.members[0] = (struct lease_member){ .name = "b", .url = "http://a", .self = true };
    c.lead.leader = c.lead.members[0];
    c.lead.member_count = 1;
    members_set(&c);
    assert_string_equal(told_of_left().name, "b");
    assert_false(told_of_left().leads);
}

/* --- drained --- */

static size_t drained_events(void)
{
    size_t n = 0;
    for (size_t i = 0; i < c.event_count; i++)
        n += c.events[(c.event_head + i) % CONTROLLER_EVENTS_MAX].event.type == EVENT_DRAINED;
    return n;
}

/* Instance 1 of shop is ready and then drains. */
static void drain(void)
{
    step((struct event){ .type = EVENT_STARTED, .service = 0, .number = 1, .pid = 1 });
    step((struct event){ .type = EVENT_PROBE, .service = 0, .number = 1, .flag = true });
    step((struct event){ .type = EVENT_OPERATOR, .op = OPERATOR_DRAIN, .number = 1 });
    assert_int_equal(control_instance(c.control, 0, 1)->state, INSTANCE_DRAINING);
}

static void test_drained_when_all_say_so(void **state)
{
    join("bcd");
    drain();
    members_drained(&c, 0, 1);
    assert_int_equal(drained_events(), 0);
    says_drained('b', 1);
    says_drained('c', 2); /* another one */
    says('d', 0, 0);
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 0);
    says_drained('c', 1);
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 0);
    join("bc"); /* d has left, but is heard */
    assert_int_equal(drained_events(), 0);
    member('d')->heard_us = 1;
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 1);
    members_drained(&c, 0, 1);
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 1);
}

static void test_drained_alone(void **state)
{
    join("");
    drain();
    members_drained(&c, 0, 1);
    assert_int_equal(drained_events(), 1);
    members_drained(&c, 1, 1); /* drains nowhere */
    assert_int_equal(drained_events(), 1);
}

static void test_drained_of_a_standby(void **state)
{
    join("b");
    drain();
    c.phase = PHASE_STANDBY;
    members_drained(&c, 0, 1);
    says_drained('b', 1);
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 0);
    json_t *report = members_report(&c), *services = json_object_get(report, "services");
    json_t *list = json_object_get(json_object_get(services, "shop"), "drained");
    assert_int_equal(json_array_size(list), 1);
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 1);
    json_decref(report);
    c.phase = PHASE_LIVE; /* it leads now, and knows what all have said */
    members_check_drained(c.members);
    assert_int_equal(drained_events(), 1);
}

/* --- marks and bells --- */

static void test_marks(void **state)
{
    assert_int_equal(members_mark(&c, 0, 12), 12);
    join("bc");
    assert_int_equal(members_mark(&c, 0, UINT32_MAX), UINT32_MAX);
    assert_int_equal(members_mark(&c, 0, 12), 12); /* they have nothing, as far as is known */
    says('b', 5, 0);
    says('c', 1, 1);
    assert_int_equal(members_mark(&c, 0, 12), 5);
    says('b', 9, 9);
    assert_int_equal(members_mark(&c, 0, 12), 4);
    c.phase = PHASE_STANDBY;
    assert_int_equal(members_mark(&c, 0, 12), 4);
    c.members->bells[0].mark = 10; /* what the leader said */
    c.members->bells[0].mark_until_us = clock_now_us() + 60 * US_PER_S;
    assert_int_equal(members_mark(&c, 0, 12), 10);
}

static void test_bell_of_another(void **state)
{
    struct admin_command bell = {
        .type = ADMIN_BELL, .service = "shop", .member = "b", .in_flight = 20, .queued = 3
    };
    struct admin_reply reply = { 0 };
    join("bc");
    says('b', 1, 0);
    says('c', 4, 2);
    c.gauges->service[0].in_flight = 100;
    members_rung(&c, &bell, &reply);
    assert_int_equal(reply.status, 0);
    assert_true(json_is_integer(json_object_get(reply.body, "mark")));
    json_decref(reply.body);
    assert_int_equal(c.event_count, 1);
    const struct event *e = &c.events[c.event_head].event;
    assert_int_equal(e->type, EVENT_DOORBELL);
    assert_int_equal(e->in_flight, 124);
    assert_int_equal(e->queued, 5);
    assert_int_equal(members_demand(&c, 0).in_flight, 124); /* and it is remembered */
    bell.member = "x";
    reply = (struct admin_reply){ 0 };
    members_rung(&c, &bell, &reply);
    assert_int_equal(reply.status, 404);
    json_decref(reply.body);
    assert_int_equal(c.event_count, 1);
}

static void test_demand(void **state)
{
    join("b");
    struct proxy_report_service *s = says('b', 5, 1);
    s->instances = calloc(1, sizeof(*s->instances));
    s->instances[0] = (struct proxy_instance){ .number = 3, .in_flight = 5 };
    s->instance_count = 1;
    c.gauges->service[0].in_flight = 2;
    assert_int_equal(members_demand(&c, 0).in_flight, 7);
    assert_int_equal(members_instance_demand(&c, 0, 3), 5);
    assert_int_equal(members_instance_demand(&c, 0, 4), 0);
    c.phase = PHASE_STANDBY; /* whose mirrors are old */
    assert_int_equal(members_demand(&c, 0).in_flight, 2);
    assert_int_equal(members_instance_demand(&c, 0, 3), 0);
}

/* One bell at a time for each, another behind it when there is more, and none that hangs for ever.
 */
static void test_tell(void **state)
{
    join("bc");
    strcpy(member('b')->info.url, "http://127.0.0.1:1");
    members_tell(&c, 0);
    struct fetch *first = member('b')->tell;
    assert_non_null(first);
    assert_null(member('c')->tell); /* nobody knows where it is */
    assert_false(member('b')->tell_again);
    members_tell(&c, 1);
    assert_ptr_equal(member('b')->tell, first);
    assert_true(member('b')->tell_again);
    member('b')->tell_us = clock_now_us() - 2 * US_PER_S;
    members_tell(&c, 0);
    assert_non_null(member('b')->tell);
    assert_false(member('b')->tell_again);
    assert_true(clock_now_us() - member('b')->tell_us < US_PER_S);
    members_end_tell(member('b'));
    c.phase = PHASE_STANDBY;
    members_tell(&c, 0);
    assert_null(member('b')->tell);
    c.phase = PHASE_LIVE;
    member('b')->left = true;
    members_tell(&c, 0);
    assert_null(member('b')->tell);
}

#define GROUP_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        GROUP_TEST(test_who_is_there),
        GROUP_TEST(test_sum),
        GROUP_TEST(test_silence_is_unknown),
        GROUP_TEST(test_left_and_lost),
        GROUP_TEST(test_lost_of_our_name),
        GROUP_TEST(test_drained_when_all_say_so),
        GROUP_TEST(test_drained_alone),
        GROUP_TEST(test_drained_of_a_standby),
        GROUP_TEST(test_marks),
        GROUP_TEST(test_bell_of_another),
        GROUP_TEST(test_demand),
        GROUP_TEST(test_tell),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
