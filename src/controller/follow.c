/* A standby follows: it asks the leader for what its journal has got since, and steps a core of its
 * own with it. What the core wants is thrown away, for the leader does it; but its decisions,
 * samples and notes go into this machine's store, its events into this machine's journal, and its
 * pool to this machine's proxy. So the standby knows all that the leader does, and when it leads
 * itself it only goes on. While the leader does not answer, what is known goes on being served. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"
#include "controller/follow_fetch.h"
#include "controller/player.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define PAUSE_MS 250
#define RETRY_MS 1000      /* after an answer that was none */
#define PUZZLED_MS 5000    /* after one that says nothing to us: of another version, perhaps */
#define SILENT_US US_PER_S /* who has answered since then has been there to the end */

struct follow {
    struct controller *c;
    struct follow_fetcher *fetcher;
    struct lease_member leader; /* who is followed; name "" = nobody */
    uint64_t segment, offset;   /* what to ask for next */
    struct player player;
    bool playing;     /* the player is there */
    bool catching_up; /* the core is at some moment of the past, with the pool of then */
    bool in_vain;     /* the journal says that its lease is lost */
    bool news;        /* the event being played is not in the store yet */
    bool asking;      /* an answer is on its way */
    bool rung;        /* since it was asked for, so it may not have everything */
    int64_t kept_us, kept_wall_us; /* of the newest event that is */
    enum instance_state before;    /* of the event's instance */
    char last[LEASE_NAME_MAX];     /* who was followed last; "" = nobody yet */
    int64_t heard_us;              /* when */
    uv_timer_t timer;
    char trouble[256];
};

/* --- what a player's walk means for the controller --- */

/* The player's core is what the controller shows and publishes, and whose slots drivers go by. */
static void show(struct follow *f)
{
    struct controller *c = f->c;
    c->control = f->player.control;
    c->core_config = f->player.config;
    controller_tell_drivers(c);
    own_file_compare(c);
}

static int on_head(void *ctx)
{
    struct follow *f = ctx;
    struct controller *c = f->c;
    c->followed = c->knows_pool = true;
    show(f);
    free(c->control_memory); /* the core before, if it was our own */
    c->control_memory = NULL;
    controller_drop_arena(&c->core_arena);
    core_time_set(c, f->player.now_us);
    controller_rotate_journal(c, true);
    c->publish = true;
    f->catching_up = true;
    return 0;
}

/* Clocks may have been put back, and a core's time begins anew with a journal: an event that both
 * say is older is one that was kept. */
static bool is_news(const struct follow *f, const struct event *e)
{
    return e->now_us > f->kept_us || e->wall_us > f->kept_wall_us;
}

static int on_event(void *ctx, const struct event *e, const struct journal_config *config)
{
    struct follow *f = ctx;
    struct controller *c = f->c;
    core_time_set(c, e->now_us);
    f->news = is_news(f, e);
    f->before = controller_state_of(c, e);
    if (journal_needs_rotation(c->journal, e->now_us))
        controller_rotate_journal(c, false);
    journal_put_event(c->journal, e, config);
    c->totals.events++;
    if (!f->news)
        return 0;
    f->kept_us = MAX(f->kept_us, e->now_us);
    f->kept_wall_us = MAX(f->kept_wall_us, e->wall_us);
    controller_note_event(c, e);
    if (e->type == EVENT_SAMPLES && e->service >= 0 && e->service < MODEL_SERVICES_MAX)
        sampling_keep(c, e);
    return 0;
}

static int on_stepped(void *ctx, const struct event *e)
{
    struct follow *f = ctx;
    if (e->type == EVENT_CONFIG)
        show(f);
    if (e->type == EVENT_LEASE)
        f->in_vain = !e->flag;
    if (e->type == EVENT_PROBE && e->service >= 0 && f->news)
        controller_note_health(f->c, e, f->before);
    return 0;
}

static int on_action(void *ctx, const struct action *a)
{
    struct follow *f = ctx;
    struct controller *c = f->c;
    c->publish |= a->type == ACTION_PUBLISH || a->type == ACTION_DRAIN;
    if (a->type == ACTION_RECORD)
        journal_put_decision(c->journal, a->decision);
    if (!f->news)
        return 0;
    if (a->type == ACTION_RECORD)
        controller_keep_decision(c, a->decision);
    if (a->type == ACTION_DRAIN)
        controller_note_draining(c, a->service, a->number);
    if (a->type == ACTION_ALERT)
        controller_note_trouble(c, a->service, a->flag, a->text);
    return 0;
}

static int begin_playing(struct follow *f)
{
    if (f->playing)
        return 0;
    int rc = player_init(&f->player);
    if (rc < 0)
        return rc;
    f->player.fleet = &f->c->fleet;
    f->player.on_head = on_head;
    f->player.on_event = on_event;
    f->player.on_action = on_action;
    f->player.on_stepped = on_stepped;
    f->player.ctx = f;
    f->playing = true;
    return 0;
}

static int play(struct follow *f, const struct follow_answer *a, struct err *err)
{
    struct controller *c = f->c;
    int rc = begin_playing(f);
    if (rc < 0)
        return err_set(err, rc, "no memory for a core");
    f->player.generation = c->generation + 1;
    rc = journal_read_lines(a->text, a->bytes, "its journal", f->offset == 0 ? 1 : 2, player_record,
                            &f->player, err);
    journal_flush(c->journal, controller_now(c));
    return rc;
}

/* --- asking --- */

static void ask(struct follow *f);

static void on_timer(uv_timer_t *timer)
{
    ask(timer->data);
}

static void ask_in(struct follow *f, uint64_t ms)
{
    uv_timer_start(&f->timer, on_timer, ms, 0);
}

static void ask(struct follow *f)
{
    uv_timer_stop(&f->timer);
    if (!f->leader.name[0])
        return;
    f->rung = false;
    f->asking =
        follow_fetch(f->fetcher, f->leader.url, f->c->admin_token, f->segment, f->offset) == 0;
    if (!f->asking)
        ask_in(f, RETRY_MS);
}

static void stop_asking(struct follow *f)
{
    follow_fetch_cancel(f->fetcher);
    uv_timer_stop(&f->timer);
    f->asking = false;
}

static void from_newest(struct follow *f)
{
    f->segment = f->offset = 0;
    f->player.segment = 0; /* whatever its head says, it continues nothing that we have */
}

static void say_trouble(struct follow *f, const char *why, uint64_t retry_ms)
{
    bool was = f->trouble[0];
    f->catching_up = false; /* there is nothing newer to be had */
    fmt(f->trouble, sizeof(f->trouble), "%s leads and cannot be followed: %s", f->leader.name, why);
    if (!was)
        log_warn("%s", f->trouble);
    ask_in(f, retry_ms);
}

static void on_lines(struct follow *f, const struct follow_answer *a)
{
    struct err err = { 0 };
    char text[sizeof(err.text) + 64];
    int rc = play(f, a, &err);
    if (rc < 0) {
        fmt(text, sizeof(text), "its journal is not understood here: %s",
            rc == -ENOTSUP ? "it is of another version"
            : err.text[0]  ? err.text
                           : strerror(-rc));
        from_newest(f);
        say_trouble(f, text, PUZZLED_MS);
        return;
    }
    if (f->trouble[0])
        log_info("%s is followed again", f->leader.name);
    f->trouble[0] = '\0';
    f->catching_up &= a->bytes > 0;
    bool more = a->bytes > 0 || a->segment != f->segment || f->rung;
    f->segment = a->segment;
    f->offset = a->offset;
    if (f->c->publish)
        proxy_link_publish(f->c);
    if (more)
        ask(f);
    else
        ask_in(f, PAUSE_MS);
}

static void on_answer(void *ctx, const struct follow_answer *a)
{
    struct follow *f = ctx;
    char text[256];
    f->asking = false;
    if (a->status != 0)
        f->heard_us = clock_now_us();
    if (a->status == 200 && a->segment > 0) {
        on_lines(f, a);
    } else if (a->status == 404 && f->segment > 0) { /* rotated away, or there only in memory */
        from_newest(f);
        ask_in(f, PAUSE_MS);
    } else if (a->status == 404) {
        say_trouble(f, "it has no journal yet", RETRY_MS);
    } else if (a->status == 401) {
        leader_explain_refusal(f->c, text, sizeof(text));
        say_trouble(f, text, RETRY_MS);
    } else {
        fmt(text, sizeof(text), "it answers with status %d", a->status);
        say_trouble(f, a->status == 0 ? a->error : text, RETRY_MS);
    }
}

/* --- whom --- */

static struct follow *follow_new(struct controller *c)
{
    struct err err;
    struct follow *f = calloc(1, sizeof(*f));
    if (!f || follow_fetcher_new(&c->loop, on_answer, f, &f->fetcher, &err) < 0) {
        log_error("no memory to follow the leader");
        free(f);
        return NULL;
    }
    f->c = c;
    f->kept_us = c->recovered_us;
    f->kept_wall_us = c->recovered_wall_us;
    uv_timer_init(&c->loop, &f->timer);
    f->timer.data = f;
    return f;
}

void follow_leader(struct controller *c)
{
    const struct lease_member *leader = &c->lead.leader;
    c->follow = c->follow ? c->follow : follow_new(c);
    struct follow *f = c->follow;
    bool is_other = leader->name[0] && !leader->self && leader->url[0];
    if (!f || (is_other && strcmp(leader->name, f->leader.name) == 0 &&
               strcmp(leader->url, f->leader.url) == 0))
        return;
    stop_asking(f);
    f->leader = is_other ? *leader : (struct lease_member){ 0 };
    if (is_other) {
        str_copy(f->last, sizeof(f->last), leader->name);
        f->heard_us = clock_now_us();
    }
    f->trouble[0] = '\0';
    from_newest(f);
    f->catching_up = f->in_vain = false;
    ask(f);
}

bool follow_now(struct controller *c, const char *leader)
{
    struct follow *f = c->follow;
    if (!f || !f->leader.name[0] || strcmp(f->leader.name, leader) != 0)
        return false;
    f->rung = true;
    if (!f->asking && !f->trouble[0])
        ask(f);
    return true;
}

void follow_end(struct controller *c)
{
    struct follow *f = c->follow;
    if (!f)
        return;
    stop_asking(f);
    f->leader = (struct lease_member){ 0 };
    f->trouble[0] = '\0';
    f->catching_up = f->in_vain = false;
    f->last[0] = '\0';
    f->kept_us = controller_now(c);
    f->kept_wall_us = clock_wall_us();
    if (f->playing && c->followed) {
        c->control_memory = TAKE_PTR(f->player.memory);
        c->core_arena = f->player.arena;
        f->player.arena = (struct arena){ 0 };
        if (f->player.config)
            f->player.config->arena = &c->core_arena;
    }
    if (f->playing)
        player_done(&f->player);
    f->playing = false;
}

bool follow_is_catching_up(const struct controller *c)
{
    return c->follow && c->follow->catching_up;
}

const char *follow_trouble(const struct controller *c)
{
    return c->follow ? c->follow->trouble : "";
}

bool follow_is_in_vain(const struct controller *c)
{
    return c->follow && c->follow->in_vain;
}

void follow_say_last(const struct controller *c, char *ret, size_t cap)
{
    const struct follow *f = c->follow;
    char since[32];
    ret[0] = '\0';
    if (!f || !f->last[0])
        return;
    int64_t silent_us = us_sub(clock_now_us(), f->heard_us);
    num_format_duration_short(since, sizeof(since), silent_us);
    if (f->in_vain || silent_us < SILENT_US)
        fmt(ret, cap, "%s, which gave the lease up", f->last);
    else
        fmt(ret, cap, "%s, not heard of for %s", f->last, since);
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void follow_close(struct controller *c)
{
    struct follow *f = c->follow;
    if (!f)
        return;
    follow_end(c);
    follow_fetcher_free(f->fetcher);
    uv_close((uv_handle_t *)&f->timer, on_closed);
    c->follow = NULL;
}
