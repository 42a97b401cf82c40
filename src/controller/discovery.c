/* Collects what engines describe, makes one text of it and the file's, and leaves out what is
 * wrong, line by line, until the rest can be read. Decides nothing else: the text becomes the
 * running configuration as a reload does. */
#include "controller/discovery.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "controller/controller_int.h"
#include "sys/log.h"
#include "sys/mem.h"

/* Where the services of engines begin in the text of a configuration. */
#define MARK "\n---\n# found in engines\nservices:\n"
#define MARK_LINES 4
#define LINES_MAX 65536
#define ERRORS_MAX 16
#define ARENA_BYTES ((size_t)64 * 1024 * 1024)
#define WAIT_MS 100
#define FAULTS_MAX 32 /* those beyond are told when some of these are put right */
#define FAULT_BYTES 400

struct line {
    const char *text; /* without its end */
    size_t bytes, indent;
    const char *place; /* for people */
    bool out;          /* wrong, or below something that is */
    uint32_t number;   /* in the text composed last */
    uint32_t round;    /* a service: in which round its first line was left out; 0 = none was */
};

/* A text for each place where something is wrong. */
struct faults {
    size_t count;
    char text[FAULTS_MAX][FAULT_BYTES];
};

struct discovery {
    struct controller *controller;
    uv_timer_t timer; /* the change waits for a quiet moment */
    bool known;       /* the engines have said what there is */
    struct arena arena;
    struct line *lines;
    size_t line_count;
    uint32_t round;             /* of reading and leaving out */
    struct faults faults, told; /* as it is, and as the events have it */
};

/* --- the lines --- */

static struct discovery *discovery_of(struct controller *c)
{
    if (c->discovery)
        return c->discovery;
    struct discovery *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->controller = c;
    uv_timer_init(&c->loop, &d->timer);
    mem_arena_init(&d->arena, ARENA_BYTES);
    c->discovery = d;
    return d;
}

static int begin_lines(struct discovery *d)
{
    arena_done(&d->arena);
    mem_arena_init(&d->arena, ARENA_BYTES);
    d->line_count = 0;
    d->round = 0;
    d->faults.count = 0;
    d->lines = ARENA_ARRAY(&d->arena, struct line, LINES_MAX);
    return d->lines ? 0 : -ENOMEM;
}

/* A whole service or nothing of it. */
static int add_text(struct discovery *d, const char *text, const char *const *places, size_t count)
{
    size_t before = d->line_count;
    const char *copy = arena_strdup(&d->arena, text);
    for (size_t n = 0; copy && *copy; n++) {
        size_t bytes = strcspn(copy, "\n");
        const char *place =
            arena_strdup(&d->arena, n < count ? places[n] : "a service found before");
        if (d->line_count == LINES_MAX || !place) {
            d->line_count = before;
            return -ENOMEM;
        }
        d->lines[d->line_count++] = (struct line){
            .text = copy, .bytes = bytes, .indent = strspn(copy, " "), .place = place
        };
        copy += bytes + (copy[bytes] == '\n');
    }
    return copy ? 0 : -ENOMEM;
}

static int collect(struct discovery *d)
{
    static struct driver_discovery items[MODEL_SERVICES_MAX];
    struct controller *c = d->controller;
    int rc = begin_lines(d);
    for (size_t i = 0; rc == 0 && provision_all[i]; i++) {
        size_t n = 0;
        if (provision_all[i]->discover && c->provisioners[i])
            n = provision_all[i]->discover(c->provisioners[i], items, ARRAY_LEN(items));
        for (size_t k = 0; rc == 0 && k < n; k++)
            rc = add_text(d, items[k].text, items[k].places, items[k].line_count);
    }
    d->known |= rc == 0;
    return rc;
}

/* Engines have not been heard yet: what they said when the configuration that ran was made. */
static int recall(struct discovery *d)
{
    const char *mark = d->controller->config ? strstr(d->controller->config->text, MARK) : NULL;
    int rc = d->known ? 0 : begin_lines(d);
    return rc == 0 && mark && !d->known ? add_text(d, mark + strlen(MARK), NULL, 0) : rc;
}

/* With all that is below it. */
static void leave_out(struct discovery *d, size_t at)
{
    size_t indent = d->lines[at].indent;
    d->lines[at].out = true;
    for (size_t n = at + 1; n < d->line_count && d->lines[n].indent > indent; n++)
        d->lines[n].out = true;
}

/* --- one text --- */

static uint32_t count_lines(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static bool any_line(const struct discovery *d)
{
    for (size_t n = 0; n < d->line_count; n++)
        if (!d->lines[n].out)
            return true;
    return false;
}

/* malloc'd; NULL = no memory. */
static char *compose(struct discovery *d, const char *base, size_t *ret_bytes)
{
    uint32_t number = count_lines(base) + MARK_LINES;
    size_t cap = strlen(base) + sizeof(MARK) + 1;
    struct str s;
    for (size_t n = 0; n < d->line_count; n++)
        cap += d->lines[n].bytes + 1;
    char *buf = malloc(cap);
    if (!buf)
        return NULL;
    str_init(&s, buf, cap);
    str_put(&s, base);
    if (any_line(d))
        str_put(&s, MARK);
    for (size_t n = 0; n < d->line_count; n++) {
        struct line *l = &d->lines[n];
        l->number = 0;
        if (l->out)
            continue;
        l->number = ++number;
        str_put_n(&s, l->text, l->bytes);
        str_put_char(&s, '\n');
    }
    *ret_bytes = s.len;
    return buf;
}

/* --- what is wrong --- */

/* Once for each place. */
static void say(struct discovery *d, const char *place, const char *text)
{
    struct faults *f = &d->faults;
    size_t bytes = strlen(place);
    for (size_t i = 0; i < f->count; i++)
        if (strncmp(f->text[i], place, bytes) == 0 && f->text[i][bytes] == ':')
            return;
    if (f->count < FAULTS_MAX)
        fmt(f->text[f->count++], FAULT_BYTES, "%s: %s", place, text);
}

static int64_t line_of(const struct err *error)
{
    const char *end = strrchr(error->place, ':'), *begin = end;
    int64_t line = 0;
    while (begin > error->place && *--begin != ':')
        ;
    if (begin && end > begin)
        num_parse_i64((struct slice){ begin + 1, (size_t)(end - begin - 1) }, &line);
    return line;
}

/* The place that an error is about, or line_count. */
static size_t find_line(const struct discovery *d, const struct err *error)
{
    int64_t number = line_of(error);
    size_t n = 0;
    while (n < d->line_count && (d->lines[n].out || d->lines[n].number != number))
        n++;
    return n;
}

/* The last service that is still in: for an error that nobody's line is to blame for. */
static size_t last_service(const struct discovery *d)
{
    size_t at = d->line_count;
    for (size_t n = 0; n < d->line_count; n++)
        if (!d->lines[n].out && d->lines[n].indent == d->lines[0].indent)
            at = n;
    return at;
}

static struct line *service_of(struct discovery *d, size_t at)
{
    while (at > 0 && d->lines[at].indent > d->lines[0].indent)
        at--;
    return &d->lines[at];
}

/* That a line is left out may make others of its service wrong: they go without a word. */
static void refuse(struct discovery *d, size_t at, const char *text)
{
    struct line *service = service_of(d, at);
    if (service->round == 0)
        service->round = d->round;
    if (service->round == d->round)
        say(d, d->lines[at].place, text);
    else
        log_info("left out too: %s: %s", d->lines[at].place, text);
    leave_out(d, at);
}

/* False = nothing was left to leave out. */
static bool leave_out_wrong(struct discovery *d, const struct err *errors, size_t count)
{
    bool any = false;
    d->round++;
    for (size_t i = 0; i < count; i++) {
        size_t at = find_line(d, &errors[i]);
        if (at == d->line_count)
            continue;
        refuse(d, at, errors[i].text);
        any = true;
    }
    if (any || count == 0)
        return any;
    size_t at = last_service(d);
    if (at == d->line_count)
        return false;
    say(d, d->lines[at].place, errors[0].text);
    leave_out(d, at);
    return true;
}

/* The base and what of the lines can be read with it, into `arena`, which is empty. */
static int read_with(struct discovery *d, struct arena *arena, const char *path, const char *base,
                     struct config **ret, struct err *errors, size_t errors_cap, size_t *ret_count)
{
    for (;;) {
        size_t bytes = 0;
        _cleanup_free_ char *text = compose(d, base, &bytes);
        *ret_count = 0;
        if (!text)
            return -ENOMEM;
        int rc =
            controller_parse_config(arena, path, text, bytes, ret, errors, errors_cap, ret_count);
        if (rc == 0 || !leave_out_wrong(d, errors, *ret_count))
            return rc;
        arena_done(arena);
        mem_arena_init(arena, ARENA_BYTES);
    }
}

static void tell_new(struct discovery *d, enum store_event_kind kind, const struct faults *now,
                     const struct faults *before)
{
    for (size_t i = 0; i < now->count; i++) {
        size_t n = 0;
        while (n < before->count && strcmp(before->text[n], now->text[i]) != 0)
            n++;
        if (n == before->count)
            controller_note(d->controller, kind, "", "", "%s", now->text[i]);
    }
}

static void tell_faults(struct discovery *d)
{
    tell_new(d, STORE_EVENT_RESOLVED, &d->told, &d->faults);
    tell_new(d, STORE_EVENT_ALERT, &d->faults, &d->told);
    d->told = d->faults;
}

int discovery_load(struct controller *c, struct arena *arena, struct config **ret,
                   struct err *errors, size_t errors_cap, size_t *ret_error_count)
{
    int rc = controller_load_config(arena, c->options->config_path, ret, errors, errors_cap,
                                    ret_error_count);
    if (rc < 0 || !config_discovers(*ret))
        return rc;
    struct err own[ERRORS_MAX];
    size_t count;
    struct discovery *d = discovery_of(c);
    _cleanup_free_ char *base = strdup((*ret)->text);
    if (!d || !base || recall(d) < 0 || d->line_count == 0)
        return 0;
    arena_done(arena);
    mem_arena_init(arena, ARENA_BYTES);
    rc = read_with(d, arena, c->options->config_path, base, ret, own, ERRORS_MAX, &count);
    if (rc < 0) {
        *ret_error_count = MIN(count, errors_cap);
        memcpy(errors, own, *ret_error_count * sizeof(own[0]));
    }
    return rc;
}

/* --- the running configuration follows --- */

/* The file's part of the text that runs: an edit that nobody has asked to be read is none. */
static char *running_base(const struct config *config)
{
    const char *mark = strstr(config->text, MARK);
    return mark ? strndup(config->text, (size_t)(mark - config->text)) : strdup(config->text);
}

static void note_changes(struct controller *c, const struct config *config)
{
    static char buf[64 * 1024];
    char line[400];
    struct str changes, s;
    str_init(&changes, buf, sizeof(buf));
    str_init(&s, line, sizeof(line));
    config_diff(c->config, config, &changes);
    for (const char *p = changes.p; *p; p++)
        str_put(&s, *p == '\n' ? "; " : (char[]){ *p, '\0' });
    controller_note(c, STORE_EVENT_CONFIG, "", "", "discovered: %s",
                    s.len > 0 ? line : "nothing that changes anything");
}

/* A listener that cannot be had is its service's trouble alone. */
static int try_apply(struct discovery *d, const char *path, const char *base)
{
    struct controller *c = d->controller;
    struct err errors[ERRORS_MAX] = { 0 };
    struct arena arena;
    struct config *config;
    size_t count;
    mem_arena_init(&arena, ARENA_BYTES);
    int rc = read_with(d, &arena, path, base, &config, errors, ERRORS_MAX, &count);
    if (rc == 0 && config->hash != c->config->hash) {
        note_changes(c, config);
        rc = controller_apply(c, &arena, config, &errors[0]);
        if (rc == 0)
            return 0;
    }
    arena_done(&arena);
    if (rc < 0)
        log_info("discovered services are not taken: %s: %s", errors[0].place, errors[0].text);
    return rc < 0 && leave_out_wrong(d, errors, 1) ? -EAGAIN : rc;
}

static void follow_engines(struct discovery *d)
{
    struct controller *c = d->controller;
    _cleanup_free_ char *base = running_base(c->config);
    _cleanup_free_ char *path = strdup(c->config->path);
    if (!base || !path || collect(d) < 0)
        return;
    int rc;
    do
        rc = try_apply(d, path, base);
    while (rc == -EAGAIN);
    tell_faults(d);
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *d = CONTAINER_OF(timer, struct discovery, timer);
    enum controller_phase phase = d->controller->phase;
    if (phase == PHASE_FINDING)
        uv_timer_start(timer, on_timer, WAIT_MS, 0);
    else if (phase == PHASE_LIVE || phase == PHASE_STANDBY)
        follow_engines(d);
}

void controller_rediscover(void *ctx)
{
    struct discovery *d = discovery_of(ctx);
    if (d)
        uv_timer_start(&d->timer, on_timer, 0, 0);
}

const char *discovery_trouble(const struct controller *c, size_t n)
{
    const struct discovery *d = c->discovery;
    return d && n < d->faults.count ? d->faults.text[n] : NULL;
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct discovery, timer));
}

void discovery_close(struct controller *c)
{
    if (!c->discovery)
        return;
    arena_done(&c->discovery->arena);
    uv_close((uv_handle_t *)&c->discovery->timer, on_closed);
    c->discovery = NULL;
}
