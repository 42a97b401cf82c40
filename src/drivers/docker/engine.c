/* The connection to an engine: whether it is there, which version is spoken, whose turn it is. A
 * ping now and then tells; one that fails is repeated with a growing pause until the engine is
 * back. While it is down, whoever asks is told so at once. Never decides what to ask. */
#include "drivers/docker/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "drivers/docker/engine_int.h"
#include "sys/clock.h"

#define PAUSE_US_MIN (250 * US_PER_MS)
#define PAUSE_US_MAX (10 * US_PER_S)
#define PING_EVERY_US (5 * US_PER_S)
#define PING_TIMEOUT_US (5 * US_PER_S)
/* API versions that we know, all of 1.x. */
#define OLDEST_MINOR 30
#define NEWEST_MINOR 47

static const unsigned lane_max[ENGINE_LANES] = {
    [ENGINE_QUICK] = 128,
    [ENGINE_SLOW] = 256,
    [ENGINE_STARTS] = 8,
    [ENGINE_ENDS] = 8,
};
#define ENDS_US US_PER_S /* from then on it is a slow one */

static void ping(struct engine *e);
static void on_turn(uv_timer_t *timer);

static int64_t timeout_of(const struct engine_conf *conf)
{
    return conf->timeout_us > 0 ? conf->timeout_us : 10 * US_PER_S;
}

/* --- up and down --- */

static void on_timer(uv_timer_t *timer)
{
    ping(timer->data);
}

static void ping_in(struct engine *e, int64_t us)
{
    uv_timer_start(&e->timer, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

static void ping(struct engine *e)
{
    const struct engine_request r = { .method = ENGINE_GET,
                                      .path = "/_ping",
                                      .timeout_us = MIN(e->timeout_us, PING_TIMEOUT_US) };
    if (e->ping)
        return;
    e->ping = call_new(e, CALL_ASK, &r);
    if (!e->ping) {
        ping_in(e, PAUSE_US_MAX);
        return;
    }
    e->ping->ping = true;
    list_push_back(&e->running, &e->ping->link);
    if (call_launch(e->ping) < 0)
        call_fail(e->ping, "no memory");
}

void engine_doubt(struct engine *e)
{
    if (e->state == ENGINE_UP)
        ping(e);
}

static void become(struct engine *e, enum engine_state state)
{
    bool change = e->state != state;
    e->state = state;
    engine_turn_soon(e);
    if (change && e->options.state)
        e->options.state(e->options.ctx, state == ENGINE_UP, e->error);
}

void engine_ping_failed(struct engine *e, const char *error)
{
    e->ping = NULL;
    str_copy(e->error, sizeof(e->error), error);
    e->pause_us = e->state == ENGINE_DOWN ? MIN(2 * e->pause_us, PAUSE_US_MAX) : PAUSE_US_MIN;
    ping_in(e, e->pause_us);
    become(e, ENGINE_DOWN);
}

/* "1.41" -> 41; -1 = no such version */
static int64_t minor_of(const char *version)
{
    int64_t minor;
    if (strncmp(version, "1.", 2) != 0 || num_parse_i64(slice_of(version + 2), &minor) < 0)
        return -1;
    return minor;
}

void engine_ping_answered(struct engine *e, const char *version)
{
    char error[ENGINE_ERROR_MAX];
    int64_t minor = minor_of(version);
    if (minor < OLDEST_MINOR) {
        fmt(error, sizeof(error),
            "what listens at %s is no Docker Engine with API 1.%d or newer (it says \"%.20s\")",
            e->place.host, OLDEST_MINOR, version);
        engine_ping_failed(e, error);
        return;
    }
    e->ping = NULL;
    e->error[0] = '\0';
    fmt(e->version, sizeof(e->version), "1.%lld", (long long)MIN(minor, NEWEST_MINOR));
    ping_in(e, PING_EVERY_US);
    become(e, ENGINE_UP);
}

/* --- whose turn it is --- */

/* Streams have no limit: whoever opens them does. */
static unsigned *count_of(struct engine *e, const struct engine_call *c)
{
    return c->kind != CALL_ASK || c->ping ? NULL : &e->counts[c->lane];
}

static bool has_room(struct engine *e, const struct engine_call *c)
{
    const unsigned *count = count_of(e, c);
    return !count || *count < lane_max[c->lane];
}

void engine_call_ended(struct engine *e, const struct engine_call *c)
{
    unsigned *count = c->transfer.easy ? count_of(e, c) : NULL;
    if (count)
        --*count;
    if (!list_empty(&e->waiting))
        engine_turn_soon(e);
}

static int launch(struct engine_call *c)
{
    struct engine *e = c->engine;
    unsigned *count = count_of(e, c);
    int rc = call_launch(c);
    if (rc < 0)
        return rc;
    list_remove(&c->link);
    list_push_back(&e->running, &c->link);
    c->launched_us = clock_now_us();
    if (count)
        ++*count;
    return 0;
}

static void let_pass(struct engine *e)
{
    int64_t now_us = clock_now_us();
    LIST_FOR_EACH (it, &e->running) {
        struct engine_call *c = LIST_ENTRY(it, struct engine_call, link);
        bool long_enough = now_us - c->launched_us >= ENDS_US;
        if (c->kind != CALL_ASK || c->lane != ENGINE_ENDS || !long_enough)
            continue;
        if (e->counts[ENGINE_SLOW] == lane_max[ENGINE_SLOW])
            return;
        e->counts[c->lane]--;
        c->lane = ENGINE_SLOW;
        e->counts[c->lane]++;
    }
}

static void serve_waiting(struct engine *e)
{
    let_pass(e);
    LIST_FOR_EACH (it, &e->waiting) {
        struct engine_call *c = LIST_ENTRY(it, struct engine_call, link);
        if (!has_room(e, c) || launch(c) == 0)
            continue;
        call_fail(c, "no memory"); /* whoever is told may cancel others: the next turn goes on */
        engine_turn_soon(e);
        return;
    }
    if (e->counts[ENGINE_ENDS] == lane_max[ENGINE_ENDS] && !list_empty(&e->waiting) &&
        !uv_is_active((uv_handle_t *)&e->turn))
        uv_timer_start(&e->turn, on_turn, ENDS_US / US_PER_MS / 4, 0);
}

/* Those who are told may ask again: that is for the next turn. */
static void fail_waiting(struct engine *e)
{
    struct list told;
    list_init(&told);
    while (!list_empty(&e->waiting)) {
        struct list *first = e->waiting.next;
        list_remove(first);
        list_push_back(&told, first);
    }
    while (!list_empty(&told))
        call_fail(LIST_ENTRY(told.next, struct engine_call, link), e->error);
}

static void tell_streams(struct engine *e)
{
    for (bool more = true; more;) { /* a callback may take any call out of the list */
        more = false;
        LIST_FOR_EACH (it, &e->running) {
            struct engine_call *c = LIST_ENTRY(it, struct engine_call, link);
            bool news = c->over || c->pending_bytes > 0 || c->opened != c->opened_told;
            if (c->kind == CALL_ASK || !news)
                continue;
            call_tell_stream(c);
            more = true;
            break;
        }
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct engine *e = timer->data;
    tell_streams(e);
    if (e->state == ENGINE_UP)
        serve_waiting(e);
    else if (e->state == ENGINE_DOWN)
        fail_waiting(e);
}

void engine_turn_soon(struct engine *e)
{
    uv_timer_start(&e->turn, on_turn, 0, 0);
}

/* --- asking --- */

static struct engine_call *enqueue(struct engine *e, enum call_kind kind,
                                   const struct engine_request *r, void *ctx)
{
    struct engine_call *c = call_new(e, kind, r);
    if (!c)
        return NULL;
    c->ctx = ctx;
    list_push_back(&e->waiting, &c->link);
    engine_turn_soon(e);
    return c;
}

struct engine_call *engine_ask(struct engine *e, const struct engine_request *r, engine_done *done,
                               void *ctx)
{
    struct engine_call *c = enqueue(e, CALL_ASK, r, ctx);
    if (c)
        c->done = done;
    return c;
}

struct engine_call *engine_listen(struct engine *e, const char *path, engine_heard *heard,
                                  void *ctx)
{
    const struct engine_request r = { .path = path, .timeout_us = US_NEVER };
    struct engine_call *c = enqueue(e, CALL_LISTEN, &r, ctx);
    if (c)
        c->heard = heard;
    return c;
}

struct engine_call *engine_read(struct engine *e, const char *path, engine_bytes *bytes, void *ctx)
{
    const struct engine_request r = { .path = path, .timeout_us = US_NEVER };
    struct engine_call *c = enqueue(e, CALL_READ, &r, ctx);
    if (c)
        c->bytes = bytes;
    return c;
}

bool engine_has_begun(const struct engine_call *c)
{
    return c->opened;
}

bool engine_is_waiting(const struct engine_call *c)
{
    return !c->transfer.easy;
}

void engine_cancel(struct engine_call *c)
{
    if (!c)
        return;
    if (c->telling)
        c->cancelled = true;
    else
        call_free(c);
}

bool engine_is_at(const struct engine *e, const struct engine_conf *conf)
{
    struct engine_place place;
    return engine_place_set(&place, conf, NULL) == 0 &&
           memcmp(&place, &e->place, sizeof(place)) == 0 && e->timeout_us == timeout_of(conf);
}

bool engine_is_up(const struct engine *e)
{
    return e->state == ENGINE_UP;
}

bool engine_is_down(const struct engine *e)
{
    return e->state == ENGINE_DOWN;
}

const char *engine_error(const struct engine *e)
{
    return e->error;
}

const char *engine_version(const struct engine *e)
{
    return e->version;
}

/* --- life --- */

int engine_new(const struct engine_options *options, struct engine **ret, struct err *err)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (!e)
        return err_set(err, -ENOMEM, "no memory for an engine");
    e->options = *options;
    e->timeout_us = timeout_of(options->conf);
    list_init(&e->waiting);
    list_init(&e->running);
    int rc = engine_place_set(&e->place, options->conf, err);
    if (rc == 0)
        rc = curl_loop_new(options->loop, &e->curl, err);
    if (rc < 0) {
        free(e);
        return rc;
    }
    uv_timer_init(options->loop, &e->timer);
    uv_timer_init(options->loop, &e->turn);
    e->timer.data = e->turn.data = e;
    e->handles = 2;
    ping_in(e, 0);
    *ret = e;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct engine *e = handle->data;
    if (--e->handles == 0)
        free(e);
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    LIST_FOR_EACH (it, &e->waiting)
        call_free(LIST_ENTRY(it, struct engine_call, link));
    LIST_FOR_EACH (it, &e->running)
        call_free(LIST_ENTRY(it, struct engine_call, link));
    curl_loop_free(e->curl);
    uv_close((uv_handle_t *)&e->timer, on_closed);
    uv_close((uv_handle_t *)&e->turn, on_closed);
}
