/* Keeping a plugin running, and what it is asked: a queue, of which it gets as much at once as it
 * can take, each with an id and a deadline. */
#include "drivers/plugin/plugin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fmt.h"
#include "base/list.h"
#include "base/us.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define PAUSE_US_MIN (US_PER_S / 2)
#define PAUSE_US_MAX (60 * US_PER_S)
#define STEADY_US (10 * US_PER_S) /* who ran for so long begins with the least pause again */
#define HELLO_US (10 * US_PER_S)
#define LATE_US (1 * US_PER_S) /* an answer in the last moment is on its way */
#define COMMAND_BYTES_MAX ((size_t)256 * 1024)
#define LABEL_MAX 96
#define COMPLAINTS_A_SECOND 50 /* lines on stderr that go to the log */

struct call {
    struct list link;
    enum plugin_do what;
    uint64_t id;
    json_t *json;        /* until it is written */
    int64_t deadline_us; /* of the answer; until it is written, how long it may take */
    plugin_done *done;   /* NULL = nobody waits for it any more */
    void *ctx;
};

struct plugin {
    uv_loop_t *loop;
    struct plugin_client client;
    struct arena arena; /* what follows */
    const char *owner, *directory;
    char **argv, **env;
    char label[LABEL_MAX];
    struct plugin_life *life; /* NULL = it does not run */
    bool up;
    unsigned can, at_once, written;
    uint64_t next_id;
    struct list calls; /* written ones first */
    int64_t began_us, pause_us;
    char why[PLUGIN_TEXT_MAX]; /* we ended it ourselves, and this is why; "" = we did not */
    int64_t complaints_us;     /* the second that they are counted in */
    unsigned complaints;
    uv_timer_t timer;      /* until the next start, or hello */
    uv_timer_t call_timer; /* until the next deadline */
    unsigned open;         /* timers */
};

static void begin(struct plugin *p);
static void write_calls(struct plugin *p);

bool plugin_is_up(const struct plugin *p)
{
    return p->up;
}

unsigned plugin_can(const struct plugin *p)
{
    return p->can;
}

const char *plugin_label(const struct plugin *p)
{
    return p->label;
}

static void start_timer(uv_timer_t *timer, uv_timer_cb cb, int64_t us)
{
    uv_update_time(timer->loop);
    uv_timer_start(timer, cb, (uint64_t)((MAX(us, 0) + US_PER_MS - 1) / US_PER_MS), 0);
}

/* --- requests --- */

static bool is_written(const struct call *c)
{
    return c->json == NULL;
}

static void drop_call(struct plugin *p, struct call *c)
{
    list_remove(&c->link);
    p->written -= is_written(c);
    json_decref(c->json);
    free(c);
}

static void finish_call(struct plugin *p, struct call *c, const struct plugin_said *answer)
{
    plugin_done *done = c->done;
    void *ctx = c->ctx;
    drop_call(p, c);
    if (done)
        done(ctx, answer);
}

/* Written ones come first. */
static struct call *first_unwritten(const struct plugin *p)
{
    LIST_FOR_EACH (it, &p->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (!is_written(c))
            return c;
    }
    return NULL;
}

static struct call *soonest(const struct plugin *p)
{
    struct call *found = NULL;
    LIST_FOR_EACH (it, &p->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (is_written(c) && (!found || c->deadline_us < found->deadline_us))
            found = c;
    }
    return found;
}

static void on_deadline(uv_timer_t *timer)
{
    struct plugin *p = timer->data;
    struct call *c = soonest(p);
    if (c && c->deadline_us <= clock_now_us())
        finish_call(p, c, NULL);
    write_calls(p);
}

static void watch_deadlines(struct plugin *p)
{
    const struct call *c = soonest(p);
    if (c)
        start_timer(&p->call_timer, on_deadline, c->deadline_us - clock_now_us());
    else
        uv_timer_stop(&p->call_timer);
}

static bool changes_something(enum plugin_do what)
{
    return what == PLUGIN_START || what == PLUGIN_STOP || what == PLUGIN_RESIZE;
}

/* Until this moment each of them can be held back; what lies in the pipe can grow old, too. */
static void write_calls(struct plugin *p)
{
    struct call *c;
    while (p->up && p->written < p->at_once && (c = first_unwritten(p)) != NULL) {
        int64_t now_us = clock_wall_us(); /* first: time only shortens what is left */
        int64_t left_us = changes_something(c->what) ? p->client.may_act_us(p->client.ctx) : 1;
        if (left_us <= 0) {
            finish_call(p, c, NULL);
            continue;
        }
        int64_t until_us = us_add(now_us, MIN(left_us, c->deadline_us));
        c->deadline_us = us_add(clock_now_us(), us_add(c->deadline_us, LATE_US));
        p->written++;
        plugin_life_write(p->life, plugin_line(TAKE_PTR(c->json), until_us));
    }
    watch_deadlines(p);
}

void plugin_depose(struct plugin *p)
{
    LIST_FOR_EACH (it, &p->calls) {
        const struct call *c = LIST_ENTRY(it, struct call, link);
        if (is_written(c) && changes_something(c->what)) {
            plugin_restart(p, "is started again, for it might still do what it was asked to by one "
                              "who does not lead any more");
            return;
        }
    }
}

int plugin_ask(struct plugin *p, const struct plugin_request *r, plugin_done *done, void *ctx)
{
    if (!p->up)
        return -ENOTCONN;
    struct call *c = calloc(1, sizeof(*c));
    json_t *json = c ? plugin_encode(r, p->next_id) : NULL;
    if (!json) {
        free(c);
        return -ENOMEM;
    }
    *c = (struct call){ .what = r->what,
                        .id = p->next_id++,
                        .json = json,
                        .deadline_us = r->deadline_us,
                        .done = done,
                        .ctx = ctx };
    struct call *before = r->what == PLUGIN_LIST ? first_unwritten(p) : NULL;
    list_insert_before(before ? &before->link : &p->calls, &c->link);
    write_calls(p);
    return 0;
}

void plugin_forget(struct plugin *p, const void *ctx)
{
    LIST_FOR_EACH (it, &p->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (c->ctx == ctx)
            c->done = NULL;
    }
}

static void lose_calls(struct plugin *p)
{
    while (!list_empty(&p->calls))
        finish_call(p, LIST_ENTRY(p->calls.next, struct call, link), NULL);
    watch_deadlines(p);
}

static void on_odd(void *ctx, const char *text)
{
    struct plugin *p = ctx;
    char line[PLUGIN_TEXT_MAX];
    fmt(line, sizeof(line), "%s %s", p->label, text);
    p->client.odd(p->client.ctx, line);
}

static void take_answer(struct plugin *p, const struct plugin_said *said)
{
    char text[96];
    LIST_FOR_EACH (it, &p->calls) {
        struct call *c = LIST_ENTRY(it, struct call, link);
        if (c->id != said->id || !is_written(c))
            continue;
        finish_call(p, c, said);
        write_calls(p);
        return;
    }
    fmt(text, sizeof(text), "answers request %llu, which is not open: unknown, late, or twice",
        (unsigned long long)said->id);
    on_odd(p, text);
}

/* --- its life --- */

/* What it calls itself, once it has said so, and how it is run: of a script the first word of that
 * is only the interpreter. */
static void set_label(struct plugin *p, const char *name)
{
    char words[LABEL_MAX], command[LABEL_MAX / 2], shown[36];
    struct str s;
    str_init(&s, words, sizeof(words));
    for (size_t i = 0; p->argv[i]; i++)
        str_putf(&s, "%s%s", i > 0 ? " " : "", p->argv[i]);
    plugin_copy(command, sizeof(command), words);
    plugin_copy(shown, sizeof(shown), name);
    fmt(p->label, sizeof(p->label), "plugin %s%s(%s)", shown, name[0] ? " " : "", command);
}

static void on_begin(uv_timer_t *timer)
{
    begin(timer->data);
}

/* Another one is started, after a pause that grows for as long as they do not last. */
static void go_down(struct plugin *p, const char *text)
{
    char line[PLUGIN_TEXT_MAX];
    bool lasted = p->up && clock_now_us() - p->began_us >= STEADY_US;
    p->up = false;
    p->life = NULL;
    p->pause_us = p->pause_us == 0 || lasted ? PAUSE_US_MIN : MIN(2 * p->pause_us, PAUSE_US_MAX);
    fmt(line, sizeof(line), "%s %s", p->label, p->why[0] ? p->why : text);
    p->why[0] = '\0';
    start_timer(&p->timer, on_begin, p->pause_us);
    p->client.down(p->client.ctx, line);
    lose_calls(p);
}

static void on_ended(void *ctx, const char *text)
{
    go_down(ctx, text);
}

void plugin_restart(struct plugin *p, const char *why)
{
    if (!p->life)
        return;
    str_copy(p->why, sizeof(p->why), why);
    plugin_life_kill(p->life);
}

static void on_hello_late(uv_timer_t *timer)
{
    plugin_restart(timer->data, "does not say hello: {\"plimsoll\":1,\"name\":...}");
}

static void take_hello(struct plugin *p, const struct plugin_said *said)
{
    if (p->up) {
        on_odd(p, "says hello twice");
        return;
    }
    uv_timer_stop(&p->timer);
    set_label(p, said->text);
    p->can = said->can;
    p->at_once = said->at_once;
    p->up = true;
    p->client.up(p->client.ctx);
}

static void on_line(void *ctx, char *text, size_t bytes)
{
    struct plugin *p = ctx;
    struct plugin_said said;
    char why[PLUGIN_TEXT_MAX], line[PLUGIN_TEXT_MAX];
    if (plugin_decode(text, bytes, &said, why, sizeof(why)) < 0) {
        fmt(line, sizeof(line), "wrote a line that %s", why);
        if (p->up)
            on_odd(p, line);
        else /* no plugin, or one of another version */
            plugin_restart(p, line);
        return;
    }
    if (said.type == PLUGIN_HELLO)
        take_hello(p, &said);
    else if (!p->up)
        on_odd(p, "speaks before it has said hello");
    else if (said.type == PLUGIN_ANSWER)
        take_answer(p, &said);
    else
        p->client.heard(p->client.ctx, &said);
    plugin_said_done(&said);
}

static void on_complaint(void *ctx, const char *line)
{
    struct plugin *p = ctx;
    int64_t second_us = clock_now_us() / US_PER_S * US_PER_S;
    if (p->complaints_us != second_us) {
        if (p->complaints > COMPLAINTS_A_SECOND)
            log_warn("%s: %u more lines", p->label, p->complaints - COMPLAINTS_A_SECOND);
        p->complaints_us = second_us;
        p->complaints = 0;
    }
    if (++p->complaints <= COMPLAINTS_A_SECOND)
        log_info("%s: %s", p->label, line);
}

static void begin(struct plugin *p)
{
    const struct plugin_life_client client = {
        .line = on_line, .complaint = on_complaint, .odd = on_odd, .ended = on_ended, .ctx = p
    };
    char text[128];
    p->began_us = clock_now_us();
    int rc = plugin_life_begin(p->loop, p->argv, p->env, p->directory, &client, &p->life);
    if (rc < 0) {
        fmt(text, sizeof(text), "cannot be run: %s", uv_strerror(rc));
        go_down(p, text);
        return;
    }
    start_timer(&p->timer, on_hello_late, HELLO_US);
    plugin_life_write(p->life, plugin_line(plugin_encode_hello(p->owner), 0));
}

/* --- the thing itself --- */

static int copy_command(struct plugin *p, const struct schema_list *command)
{
    const char *const shell[] = { "/bin/sh", "-c" };
    bool is_text = command->count == 1 && strpbrk(command->items[0], " ;&|<>()`$\n");
    size_t n = 0;
    p->argv = ARENA_ARRAY(&p->arena, char *, command->count + ARRAY_LEN(shell) + 1);
    for (size_t i = 0; p->argv && is_text && i < ARRAY_LEN(shell); i++)
        p->argv[n++] = arena_strdup(&p->arena, shell[i]);
    for (size_t i = 0; p->argv && i < command->count; i++)
        if (!(p->argv[n++] = arena_strdup(&p->arena, command->items[i])))
            return -ENOMEM;
    return p->argv ? 0 : -ENOMEM;
}

static bool is_replaced(const char *entry, const struct schema_map *env)
{
    size_t n = strcspn(entry, "=");
    for (size_t i = 0; env && i < env->count; i++)
        if (strlen(env->names[i]) == n && strncmp(env->names[i], entry, n) == 0)
            return true;
    return false;
}

/* Our own, but for what is meant for us alone: tokens by which the keeper knows its children. */
static int copy_environment(struct plugin *p, const struct schema_map *env)
{
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    p->env = ARENA_ARRAY(&p->arena, char *, count + env->count + 1);
    for (size_t i = 0; p->env && i < count; i++)
        if (strncmp(environ[i], "PLIMSOLL_", 9) != 0 && !is_replaced(environ[i], env) &&
            !(p->env[n++] = arena_strdup(&p->arena, environ[i])))
            return -ENOMEM;
    for (size_t i = 0; p->env && i < env->count; i++) {
        size_t bytes = strlen(env->names[i]) + strlen(env->values[i]) + 2;
        char *entry = arena_alloc(&p->arena, bytes);
        if (!entry)
            return -ENOMEM;
        fmt(entry, bytes, "%s=%s", env->names[i], env->values[i]);
        p->env[n++] = entry;
    }
    return p->env ? 0 : -ENOMEM;
}

static int copy_options(struct plugin *p, const struct plugin_options *o)
{
    int rc = copy_command(p, o->command);
    if (rc == 0)
        rc = copy_environment(p, o->env);
    p->owner = arena_strdup(&p->arena, o->owner);
    p->directory = o->directory ? arena_strdup(&p->arena, o->directory) : NULL;
    return rc < 0 || !p->owner || (o->directory && !p->directory) ? -ENOMEM : 0;
}

int plugin_new(const struct plugin_options *options, struct plugin **ret, struct err *err)
{
    struct plugin *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "no memory for a plugin");
    mem_arena_init(&p->arena, COMMAND_BYTES_MAX);
    if (copy_options(p, options) < 0) {
        arena_done(&p->arena);
        free(p);
        return err_set(err, -ENOMEM, "no memory for a plugin's command and environment");
    }
    p->loop = options->loop;
    p->client = options->client;
    p->next_id = 1;
    list_init(&p->calls);
    set_label(p, "");
    uv_timer_init(p->loop, &p->timer);
    uv_timer_init(p->loop, &p->call_timer);
    p->timer.data = p->call_timer.data = p;
    p->open = 2;
    start_timer(&p->timer, on_begin, 0);
    *ret = p;
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    struct plugin *p = handle->data;
    if (--p->open > 0)
        return;
    arena_done(&p->arena);
    free(p);
}

void plugin_free(struct plugin *p)
{
    if (!p)
        return;
    while (!list_empty(&p->calls))
        drop_call(p, LIST_ENTRY(p->calls.next, struct call, link));
    if (p->life)
        plugin_life_forget(p->life);
    uv_close((uv_handle_t *)&p->timer, on_closed);
    uv_close((uv_handle_t *)&p->call_timer, on_closed);
}
