/* When feeds are asked, how long an answer is held, and what is said of a source that fails. It
 * believes no number that a metric cannot have, and says once that a source stopped answering,
 * again when it is for another reason, and once that it answers again. It never asks twice at a
 * time. */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/table.h"
#include "base/us.h"
#include "config/read.h"
#include "drivers/fetch.h"
#include "drivers/source/feed.h"
#include "drivers/source/json_pointer.h"
#include "drivers/source/statsd.h"
#include "sys/clock.h"

#define FINGERPRINT_BYTES 16384

struct feeds {
    struct feed_tools tools;
    struct list all;     /* struct feed */
    uint64_t undigested; /* counts the sections that are too long for a fingerprint */
};

/* --- the cycle of one feed --- */

static void on_timer(uv_timer_t *timer);

static void wake_in(struct feed *f, int64_t us)
{
    uv_timer_start(&f->timer, on_timer, (uint64_t)(MAX(us, 0) / US_PER_MS), 0);
}

int64_t feed_held_us(const struct feed *f)
{
    return us_add(f->conf.every_us, f->conf.timeout_us);
}

static bool is_known(const struct feed *f, int64_t now_us)
{
    return f->answered_us != 0 && us_sub(now_us, f->answered_us) <= feed_held_us(f);
}

bool feed_is_current(const struct feed *f)
{
    return f->trouble[0] == '\0' && is_known(f, clock_now_us());
}

static void note(struct feed *f, bool trouble, const char *text)
{
    char line[FEED_TROUBLE_MAX + 96];
    struct driver_env *env = &f->tools->env;
    fmt(line, sizeof(line), "source %s (%s) %s", f->conf.name, f->ops->name, text);
    env->note(env->ctx, f->conf.slot, trouble, line);
}

/* An answer or a failure has come: when to look again. One that is not asked is looked at when its
 * next value is overdue. */
static void plan_next(struct feed *f)
{
    f->asking = false;
    if (f->ops->ask)
        wake_in(f, us_sub(us_add(f->asked_us, f->conf.every_us), clock_now_us()));
    else
        wake_in(f, feed_held_us(f));
}

static const char *skip_number(const char *text)
{
    return text + strspn(text, "0123456789.+-");
}

/* The same but for the numbers in it. */
static bool is_same_fault(const char *a, const char *b)
{
    for (a = skip_number(a), b = skip_number(b); *a && *a == *b;) {
        a = skip_number(a + 1);
        b = skip_number(b + 1);
    }
    return *a == *b;
}

bool feed_is_news(const struct feed *f, const char *trouble, int64_t now_us)
{
    return f->trouble[0] == '\0' ||
           (us_sub(now_us, f->told_us) >= FEED_NEWS_US && !is_same_fault(f->told, trouble));
}

void feed_fail(struct feed *f, const char *format, ...)
{
    char text[FEED_TROUBLE_MAX];
    va_list args;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++) /* others wrote some of it */
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = ' ';
    int64_t now_us = clock_now_us();
    bool news = feed_is_news(f, text, now_us);
    if (f->trouble[0] == '\0')
        f->trouble_us = now_us;
    str_copy(f->trouble, sizeof(f->trouble), text);
    plan_next(f);
    if (!news)
        return;
    f->told_us = now_us;
    str_copy(f->told, sizeof(f->told), text);
    note(f, true, text);
}

static bool is_possible(double value)
{
    return isfinite(value) && value >= 0 && value <= FEED_VALUE_MAX;
}

void feed_answer(struct feed *f, double value)
{
    char text[40];
    if (!is_possible(value)) {
        fmt_double(text, sizeof(text), value, 6);
        feed_fail(f, "says %s, which no metric can be", text);
        return;
    }
    bool over = f->trouble[0] != '\0';
    f->trouble[0] = '\0';
    f->value = value;
    f->answered_us = clock_now_us();
    plan_next(f);
    if (over)
        note(f, false, "answers again");
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

bool feed_number(const char *text, size_t bytes, double *ret)
{
    while (bytes > 0 && is_blank(text[0])) {
        text++;
        bytes--;
    }
    while (bytes > 0 && is_blank(text[bytes - 1]))
        bytes--;
    return num_parse_double((struct slice){ text, bytes }, ret) == 0;
}

static void begin(struct feed *f)
{
    f->asking = true;
    f->asked_us = clock_now_us();
    wake_in(f, f->conf.timeout_us);
    f->ops->ask(f);
}

static void time_is_up(struct feed *f)
{
    char took[32];
    int64_t waited_us = f->ops->ask ? f->conf.timeout_us : feed_held_us(f);
    num_format_duration_short(took, sizeof(took), waited_us);
    if (f->asking)
        f->ops->cancel(f);
    feed_fail(f, f->ops->ask ? "does not answer within %s" : "has been told nothing for %s", took);
}

/* What could not be opened is tried again, as often as it would be asked. */
static bool is_open(struct feed *f)
{
    struct err err = { 0 };
    if (f->open || !f->ops->open)
        return true;
    f->open = f->ops->open(f, &err) == 0;
    if (!f->open) {
        f->asked_us = clock_now_us();
        feed_fail(f, "%s", err.text);
        wake_in(f, f->conf.every_us);
    }
    return f->open;
}

static void on_timer(uv_timer_t *timer)
{
    struct feed *f = CONTAINER_OF(timer, struct feed, timer);
    if (!is_open(f))
        return;
    if (f->asking || !f->ops->ask)
        time_is_up(f);
    else
        begin(f);
}

/* --- the list --- */

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct feed, timer));
}

static void drop(struct feed *f)
{
    if (f->asking)
        f->ops->cancel(f);
    if (f->open && f->ops->close)
        f->ops->close(f);
    list_remove(&f->link);
    uv_close((uv_handle_t *)&f->timer, on_closed);
}

static const struct feed_ops *ops_of(const struct feed_conf *conf)
{
    for (size_t i = 0; feed_all[i]; i++)
        if (feed_all[i]->section == conf->section)
            return feed_all[i];
    return NULL;
}

static void print_section(const struct schema_section *section, const void *conf, struct str *out)
{
    for (const struct schema_key *k = section->keys; k->name; k++) {
        const void *field = (const char *)conf + k->offset;
        if (k->type == SCHEMA_SECTION)
            print_section(k->section, field, out);
        else
            schema_print_value(k, field, out);
        str_put_char(out, '\n');
    }
}

static uint64_t fingerprint_of(struct feeds *s, const struct feed_conf *conf)
{
    char text[FINGERPRINT_BYTES];
    struct str out;
    str_init(&out, text, sizeof(text));
    str_putf(&out, "%s\n%lld %lld\n", conf->section->name, (long long)conf->every_us,
             (long long)conf->timeout_us);
    print_section(conf->section, conf->conf, &out);
    return out.cut ? ++s->undigested : table_hash((struct slice){ out.p, out.len });
}

static struct feed *find(const struct feeds *s, const char *service, const char *name)
{
    LIST_FOR_EACH (it, &s->all) {
        struct feed *f = LIST_ENTRY(it, struct feed, link);
        if (strcmp(f->conf.service, service) == 0 && strcmp(f->conf.name, name) == 0)
            return f;
    }
    return NULL;
}

static void add(struct feeds *s, const struct feed_conf *conf, uint64_t fingerprint)
{
    const struct feed_ops *ops = ops_of(conf);
    struct feed *f = ops ? calloc(1, sizeof(*f)) : NULL;
    if (!f)
        return; /* unknown for ever, as law 1 wants it */
    *f = (struct feed){
        .ops = ops, .tools = &s->tools, .conf = *conf, .fingerprint = fingerprint, .kept = true
    };
    f->since_us = clock_now_us();
    uv_timer_init(s->tools.env.loop, &f->timer);
    list_push_back(&s->all, &f->link);
    if (is_open(f))
        wake_in(f, ops->ask ? 0 : feed_held_us(f));
}

/* Texts of the configuration before may be compared here for the last time. */
void feeds_set(struct feeds *s, const struct feed_conf *items, size_t count)
{
    LIST_FOR_EACH (it, &s->all)
        LIST_ENTRY(it, struct feed, link)->kept = false;
    for (size_t i = 0; i < count; i++) {
        uint64_t fingerprint = fingerprint_of(s, &items[i]);
        struct feed *f = find(s, items[i].service, items[i].name);
        if (f && f->fingerprint == fingerprint) {
            f->conf = items[i];
            f->kept = true;
        } else {
            if (f)
                drop(f);
            add(s, &items[i], fingerprint);
        }
    }
    LIST_FOR_EACH (it, &s->all) {
        struct feed *f = LIST_ENTRY(it, struct feed, link);
        if (!f->kept)
            drop(f);
    }
}

int feeds_new(const struct driver_env *env, struct feeds **ret, struct err *err)
{
    struct feeds *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, -ENOMEM, "no memory for sources");
    list_init(&s->all);
    s->tools.env = *env;
    int rc = fetcher_new(env->loop, &s->tools.fetcher, err);
    if (rc == 0)
        rc = statsd_new(env->loop, &s->tools.statsd, err);
    if (rc < 0) {
        feeds_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void feeds_free(struct feeds *s)
{
    if (!s)
        return;
    LIST_FOR_EACH (it, &s->all)
        drop(LIST_ENTRY(it, struct feed, link));
    statsd_free(s->tools.statsd);
    fetcher_free(s->tools.fetcher);
    free(s);
}

/* --- answers --- */

void feeds_sample(struct feeds *s, uint32_t slot, int64_t now_us, struct source_sink *sink)
{
    LIST_FOR_EACH (it, &s->all) {
        struct feed *f = LIST_ENTRY(it, struct feed, link);
        if (f->conf.slot == slot)
            source_add(sink, f->conf.metric, 0, is_known(f, now_us) ? f->value : (double)NAN);
    }
}

/* One of a service that is told. */
static int find_told(const struct feeds *s, uint32_t slot, const char *name, struct feed **ret,
                     struct err *err)
{
    LIST_FOR_EACH (it, &s->all) {
        struct feed *f = LIST_ENTRY(it, struct feed, link);
        if (f->conf.slot != slot || strcmp(f->conf.name, name) != 0)
            continue;
        if (f->ops->ask)
            return err_set(err, -EPERM, "source %s is asked (%s), not told", name, f->ops->name);
        *ret = f;
        return 0;
    }
    return err_set(err, -ENOENT, "there is no source %s", name);
}

/* Can it be taken? What no metric can be is a failure of its feed even so. */
static int check_push(const struct feeds *s, uint32_t slot, const char *name, const json_t *value,
                      struct err *err)
{
    struct feed *f;
    int rc = find_told(s, slot, name, &f, err);
    if (rc < 0)
        return rc;
    if (!json_is_number(value))
        feed_fail(f, "is told %s where a number is wanted", json_pointer_type_name(value));
    else if (!is_possible(json_number_value(value)))
        feed_answer(f, json_number_value(value)); /* it knows what to say */
    else
        return 0;
    return err_set(err, -EINVAL, "%s: %s", name, f->trouble);
}

int feeds_push(struct feeds *s, uint32_t slot, const json_t *values, struct err *err)
{
    const char *name;
    json_t *value, *all = (json_t *)(uintptr_t)values; /* the loops want it without const */
    struct feed *f;
    int rc = 0;
    json_object_foreach(all, name, value)
    {
        int one = check_push(s, slot, name, value, rc == 0 ? err : NULL);
        rc = rc < 0 ? rc : one;
    }
    if (rc < 0)
        return rc;
    json_object_foreach(all, name, value)
    {
        if (find_told(s, slot, name, &f, NULL) == 0)
            feed_answer(f, json_number_value(value));
    }
    return 0;
}

/* Why there is no value of now. */
static void put_why(const struct feed *f, int64_t now_us, struct feed_view *v)
{
    v->why = v->trouble;
    v->why_us = v->trouble_us;
    if (v->known || v->trouble[0])
        return;
    if (f->answered_us != 0) { /* by a moment, so that nobody has noticed */
        v->why = "is overdue";
        v->why_us = us_sub(now_us, f->answered_us);
        return;
    }
    v->why = f->ops->ask ? "has not answered yet" : "has been told no value yet";
    v->why_us = us_sub(now_us, f->since_us);
}

size_t feeds_view(const struct feeds *s, uint32_t slot, int64_t now_us, struct feed_view *ret,
                  size_t cap)
{
    size_t n = 0;
    LIST_FOR_EACH (it, &s->all) {
        const struct feed *f = LIST_ENTRY(it, struct feed, link);
        if (f->conf.slot != slot)
            continue;
        if (n < cap)
            ret[n] = (struct feed_view){ .name = f->conf.name,
                                         .kind = f->ops->name,
                                         .known = is_known(f, now_us),
                                         .value = f->value,
                                         .trouble = f->trouble,
                                         .trouble_us =
                                             f->trouble[0] ? us_sub(now_us, f->trouble_us) : 0 };
        if (n < cap)
            put_why(f, now_us, &ret[n]);
        n++;
    }
    return n;
}
