/* The election's state machine, one event at a time. Whole elections are simulated (tests/sim). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/us.h"
#include "core/elect.h"

#define TTL_US (5 * US_PER_S)
#define MARGIN_US (500 * US_PER_MS)
#define LEASE 77
#define OTHER 88
#define TOKEN 42

static struct elect e;
static struct elect_out out;
static struct elect_request asked[ELECT_OP_MAX]; /* the newest of each */

static void step(struct elect_event v)
{
    elect_step(&e, &v, &out);
    for (size_t i = 0; i < out.count; i++)
        asked[out.requests[i].op] = out.requests[i];
}

static void tick(int64_t now_us)
{
    step((struct elect_event){ .type = ELECT_TIMER, .now_us = now_us });
}

static bool sent(enum elect_op op)
{
    for (size_t i = 0; i < out.count; i++)
        if (out.requests[i].op == op)
            return true;
    return false;
}

static void refuse(enum elect_op op, int64_t now_us)
{
    step((struct elect_event){ .type = ELECT_FAILED, .now_us = now_us, .id = asked[op].id });
}

static void answer(enum elect_op op, int64_t now_us, struct elect_event v)
{
    v.type = ELECT_ANSWER;
    v.now_us = now_us;
    v.id = asked[op].id;
    step(v);
}

static void answer_keep(int64_t now_us, int64_t ttl_us, uint64_t term)
{
    answer(ELECT_KEEP, now_us, (struct elect_event){ .ttl_us = ttl_us, .term = term });
}

static void answer_view(enum elect_op op, int64_t now_us, int64_t leader, uint64_t term)
{
    struct elect_view view = { .leader_lease = leader,
                               .leader_token = leader ? TOKEN : 0,
                               .self_lease = LEASE };
    answer(op, now_us, (struct elect_event){ .term = term, .view = view });
}

/* A member whose lease was asked for at `at_us`, that has registered. */
static void join(int64_t at_us)
{
    memset(asked, 0, sizeof(asked));
    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1 });
    tick(at_us);
    answer(ELECT_GRANT, at_us, (struct elect_event){ .lease = LEASE, .ttl_us = TTL_US, .term = 2 });
    answer(ELECT_REGISTER, at_us, (struct elect_event){ .term = 2 });
}

static void lead(int64_t at_us)
{
    join(at_us);
    answer_view(ELECT_READ, at_us, 0, 2);
    answer_view(ELECT_CAMPAIGN, at_us, LEASE, 2);
    assert_int_equal(out.news, ELECT_GAINED);
}

static void test_margin(void **state)
{
    static const struct {
        int64_t ttl_us, margin_us;
    } rows[] = {
        { 2 * US_PER_S, 500 * US_PER_MS },
        { 5 * US_PER_S, 500 * US_PER_MS },
        { 6 * US_PER_S, 600 * US_PER_MS },
        { 60 * US_PER_S, 6 * US_PER_S },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(elect_margin_us(rows[i].ttl_us), rows[i].margin_us);
}

static void test_way_to_the_lead(void **state)
{
    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1 });
    tick(1000);
    assert_int_equal(out.count, 1);
    assert_true(sent(ELECT_GRANT));
    assert_int_equal(out.requests[0].ttl_us, TTL_US);
    answer(ELECT_GRANT, 2000, (struct elect_event){ .lease = LEASE, .ttl_us = TTL_US });
    assert_int_equal(out.count, 3);
    assert_true(sent(ELECT_READ) && sent(ELECT_REGISTER) && sent(ELECT_WATCH));
    answer_view(ELECT_READ, 3000, 0, 2);
    assert_true(sent(ELECT_CAMPAIGN));
    assert_int_equal(asked[ELECT_CAMPAIGN].lease, LEASE);
    assert_false(elect_may_act(&e, 3000));
    answer_view(ELECT_CAMPAIGN, 4000, LEASE, 2);
    assert_int_equal(out.news, ELECT_GAINED);
    assert_int_equal(e.token, TOKEN);
    /* From the moment at which the lease was asked for. */
    assert_true(elect_may_act(&e, 1000 + TTL_US - MARGIN_US - 1));
    assert_false(elect_may_act(&e, 1000 + TTL_US - MARGIN_US));
}

static void test_another_leads(void **state)
{
    join(1000);
    answer_view(ELECT_READ, 2000, OTHER, 2);
    assert_int_equal(out.news, ELECT_NOTHING);
    assert_false(sent(ELECT_CAMPAIGN));
    assert_false(elect_may_act(&e, 2000));
}

static void test_a_change_is_looked_at(void **state)
{
    join(1000);
    answer(ELECT_WATCH, 1000, (struct elect_event){ 0 });
    answer_view(ELECT_READ, 2000, OTHER, 2);
    answer_view(ELECT_READ, 2000, OTHER, 2); /* what changed before the watch was open */
    tick(300 * US_PER_MS);
    uint64_t before = asked[ELECT_READ].id;
    step((struct elect_event){
        .type = ELECT_CHANGED, .now_us = 400 * US_PER_MS, .id = asked[ELECT_WATCH].id });
    assert_true(asked[ELECT_READ].id > before);
    /* Another one while that is under way: it may have been too early to see it. */
    before = asked[ELECT_READ].id;
    step((struct elect_event){
        .type = ELECT_CHANGED, .now_us = 401 * US_PER_MS, .id = asked[ELECT_WATCH].id });
    assert_int_equal(asked[ELECT_READ].id, before);
    answer_view(ELECT_READ, 402 * US_PER_MS, OTHER, 2);
    assert_true(sent(ELECT_READ));
}

static void test_without_a_watch_it_polls(void **state)
{
    join(1000);
    answer_view(ELECT_READ, 2000, OTHER, 2);
    refuse(ELECT_WATCH, 2000);
    tick(2000 + 750 * US_PER_MS);
    assert_true(sent(ELECT_READ) && sent(ELECT_WATCH));
}

/* A keep-alive counts when a read that was sent later has answered in the same term. */
static void test_keep_alive_is_proven(void **state)
{
    static const struct {
        uint64_t keep_term, read_term;
        bool read_sent_before, proves;
    } rows[] = {
        { 2, 2, false, true },
        { 2, 2, true, false },
        { 2, 3, false, false },
        { 3, 2, false, false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t kept_us = 1000 + TTL_US / 3;
        lead(1000);
        tick(kept_us);
        assert_true(sent(ELECT_KEEP));
        if (rows[i].read_sent_before)
            tick(kept_us + US_PER_S);
        answer_keep(kept_us + US_PER_S + 1, TTL_US, rows[i].keep_term);
        assert_int_equal(sent(ELECT_READ), !rows[i].read_sent_before);
        answer_view(ELECT_READ, kept_us + US_PER_S + 2, LEASE, rows[i].read_term);
        int64_t until_us = (rows[i].proves ? kept_us : 1000) + TTL_US - MARGIN_US;
        assert_true(elect_may_act(&e, until_us - 1));
        assert_false(elect_may_act(&e, until_us));
    }
}

static void test_lost_at_once(void **state)
{
    int64_t until_us = 1000 + TTL_US - MARGIN_US;
    lead(1000);
    assert_true(out.next_us <= until_us);
    tick(until_us - 1);
    assert_int_equal(out.news, ELECT_NOTHING);
    tick(until_us);
    assert_int_equal(out.news, ELECT_LOST);
    assert_string_equal(out.why, "the lease could not be renewed in time");
    assert_true(sent(ELECT_GRANT));
}

/* As after SIGCONT: whatever comes first, it is over, though the answers say otherwise. */
static void test_waking_up(void **state)
{
    static const enum elect_op first[] = { ELECT_KEEP, ELECT_READ };
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        lead(1000);
        tick(1000 + TTL_US / 2); /* both are sent */
        assert_true(sent(ELECT_KEEP) && sent(ELECT_READ));
        if (first[i] == ELECT_KEEP)
            answer_keep(1000 + 3 * TTL_US, TTL_US, 2);
        else
            answer_view(ELECT_READ, 1000 + 3 * TTL_US, LEASE, 2);
        assert_int_equal(out.news, ELECT_LOST);
        assert_false(elect_may_act(&e, 1000 + 3 * TTL_US));
    }
}

static void test_expired_in_etcd(void **state)
{
    lead(1000);
    tick(1000 + TTL_US / 3);
    answer_keep(2000 + TTL_US / 3, 0, 2);
    assert_int_equal(out.news, ELECT_LOST);
    assert_string_equal(out.why, "the lease has expired in etcd");
    assert_true(sent(ELECT_GRANT));
}

/* Whether the campaign happened is not known: it is read. */
static void test_unknown_outcome(void **state)
{
    join(1000);
    answer_view(ELECT_READ, 1000, 0, 2);
    refuse(ELECT_CAMPAIGN, 2000);
    assert_int_equal(out.news, ELECT_NOTHING);
    tick(US_PER_S);
    assert_true(sent(ELECT_READ) && !sent(ELECT_CAMPAIGN));
    answer_view(ELECT_READ, US_PER_S + 1, LEASE, 2);
    assert_int_equal(out.news, ELECT_GAINED);
    assert_int_equal(e.token, TOKEN);
}

static void test_answers_that_are_not_taken(void **state)
{
    lead(1000);
    tick(1000 + TTL_US / 3);
    uint64_t keep = asked[ELECT_KEEP].id;
    int64_t deadline_us = asked[ELECT_KEEP].deadline_us;
    step((struct elect_event){
        .type = ELECT_ANSWER, .now_us = 2000 + TTL_US / 3, .id = keep + 1000, .ttl_us = 0 });
    assert_int_equal(e.state, ELECT_LEADING);
    step(
        (struct elect_event){ .type = ELECT_ANSWER, .now_us = deadline_us, .id = keep, .term = 2 });
    assert_int_equal(e.state, ELECT_LEADING);
    step((struct elect_event){
        .type = ELECT_ANSWER, .now_us = deadline_us + 1, .id = keep, .term = 2 });
    assert_int_equal(e.state, ELECT_LEADING);
    assert_int_equal(e.unproven.sent_us, 0);
}

static void test_a_grant_that_came_too_late(void **state)
{
    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1 });
    tick(1000);
    uint64_t first = asked[ELECT_GRANT].id;
    answer(ELECT_GRANT, 2000, (struct elect_event){ .lease = LEASE, .ttl_us = 400 * US_PER_MS });
    assert_int_equal(e.state, ELECT_OUT);
    assert_int_equal(out.count, 0); /* an etcd that grants nothing is not asked without a pause */
    tick(out.next_us);
    assert_true(asked[ELECT_GRANT].id > first);
}

static void test_key_was_removed(void **state)
{
    lead(1000);
    tick(1000 + TTL_US / 2);
    answer_view(ELECT_READ, 2000 + TTL_US / 2, OTHER, 2);
    assert_int_equal(out.news, ELECT_LOST);
    assert_int_equal(e.state, ELECT_IN);
}

/* What is no key of etcd's making must not make us ask without a pause. */
static void test_a_campaign_that_changes_nothing(void **state)
{
    join(1000);
    answer_view(ELECT_READ, 1000, 0, 2);
    answer_view(ELECT_CAMPAIGN, 2000, 0, 2);
    assert_int_equal(out.count, 0);
    assert_true(out.next_us >= 2000 + 50 * US_PER_MS);
}

static void test_retries_wait_longer(void **state)
{
    int64_t now_us = 1000, pause_us = 0;
    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1 });
    tick(now_us);
    for (int i = 0; i < 8; i++) {
        refuse(ELECT_GRANT, now_us);
        assert_int_equal(out.count, 0);
        pause_us = out.next_us - now_us;
        assert_in_range(pause_us, 70 * US_PER_MS, US_PER_S);
        now_us = out.next_us;
        tick(now_us);
        assert_true(sent(ELECT_GRANT));
    }
    assert_true(pause_us > 700 * US_PER_MS);
}

static void test_resign(void **state)
{
    struct elect_event resign = { .type = ELECT_RESIGN, .now_us = US_PER_S };
    lead(1000);
    step(resign);
    assert_int_equal(out.news, ELECT_LOST);
    assert_string_equal(out.why, "resigned");
    assert_true(sent(ELECT_REVOKE) && !out.resigned);
    assert_int_equal(asked[ELECT_REVOKE].lease, LEASE);
    answer(ELECT_REVOKE, US_PER_S + 1, (struct elect_event){ 0 });
    assert_true(out.resigned);
    assert_int_equal(out.next_us, US_NEVER);
    tick(10 * US_PER_S);
    assert_int_equal(out.count, 0);

    join(1000); /* etcd does not answer */
    step(resign);
    tick(asked[ELECT_REVOKE].deadline_us);
    assert_true(out.resigned);

    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1 });
    step(resign); /* there is nothing to give up */
    assert_true(out.resigned);
}

/* What it gave up when etcd did not answer may still hold the key when etcd is back: it is ended
 * now, so that nobody waits for its end; once, unless it is seen again. */
static void test_own_old_lease(void **state)
{
    int64_t now_us = 1000 + TTL_US;
    struct elect_event grant = { .lease = LEASE + 1, .ttl_us = TTL_US, .term = 2 };
    lead(1000);
    tick(now_us);
    assert_int_equal(out.news, ELECT_LOST);
    answer(ELECT_GRANT, now_us, grant);
    answer_view(ELECT_READ, now_us, LEASE, 2);
    assert_int_equal(out.news, ELECT_NOTHING);
    assert_true(sent(ELECT_REVOKE));
    assert_int_equal(asked[ELECT_REVOKE].lease, LEASE);
    refuse(ELECT_REVOKE, now_us);
    assert_false(sent(ELECT_REVOKE));
    tick(now_us + US_PER_S);
    answer_view(ELECT_READ, now_us + US_PER_S, LEASE, 2);
    assert_true(sent(ELECT_REVOKE));
    answer(ELECT_REVOKE, now_us + US_PER_S, (struct elect_event){ 0 });
    assert_false(out.resigned);
    assert_int_equal(e.state, ELECT_IN);
    tick(now_us + 2 * US_PER_S);
    answer_view(ELECT_READ, now_us + 2 * US_PER_S, OTHER, 2);
    assert_false(sent(ELECT_REVOKE));
}

/* What a dead process of the same member holds is ended as soon as it is seen to lead. */
static void test_left_lease(void **state)
{
    elect_init(&e, &(struct elect_conf){ .ttl_us = TTL_US, .seed = 1, .left_lease = OTHER });
    tick(1000);
    assert_int_equal(out.count, 1);
    answer(ELECT_GRANT, 2000, (struct elect_event){ .lease = LEASE, .ttl_us = TTL_US, .term = 2 });
    assert_true(sent(ELECT_READ) && !sent(ELECT_REVOKE));
    answer_view(ELECT_READ, 3000, OTHER, 2);
    assert_true(sent(ELECT_REVOKE));
    assert_int_equal(asked[ELECT_REVOKE].lease, OTHER);
    assert_false(elect_may_act(&e, 3000));
    refuse(ELECT_REVOKE, 3000);
    tick(3000 + US_PER_S);
    answer_view(ELECT_READ, 3000 + US_PER_S, OTHER, 2);
    assert_true(sent(ELECT_REVOKE));
    answer(ELECT_REVOKE, 4000 + US_PER_S, (struct elect_event){ 0 });
    tick(4000 + 2 * US_PER_S);
    answer_view(ELECT_READ, 4000 + 2 * US_PER_S, 0, 2);
    answer_view(ELECT_CAMPAIGN, 5000 + 2 * US_PER_S, LEASE, 2);
    assert_int_equal(out.news, ELECT_GAINED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_margin),
        cmocka_unit_test(test_way_to_the_lead),
        cmocka_unit_test(test_another_leads),
        cmocka_unit_test(test_a_change_is_looked_at),
        cmocka_unit_test(test_without_a_watch_it_polls),
        cmocka_unit_test(test_keep_alive_is_proven),
        cmocka_unit_test(test_lost_at_once),
        cmocka_unit_test(test_waking_up),
        cmocka_unit_test(test_expired_in_etcd),
        cmocka_unit_test(test_unknown_outcome),
        cmocka_unit_test(test_answers_that_are_not_taken),
        cmocka_unit_test(test_a_grant_that_came_too_late),
        cmocka_unit_test(test_key_was_removed),
        cmocka_unit_test(test_a_campaign_that_changes_nothing),
        cmocka_unit_test(test_retries_wait_longer),
        cmocka_unit_test(test_resign),
        cmocka_unit_test(test_own_old_lease),
        cmocka_unit_test(test_left_lease),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
