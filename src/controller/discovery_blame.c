/* Whose line is wrong, what becomes of it, and how that is told. Of a service that runs nothing is
 * left out: it goes on as it was. */
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "controller/discovery_int.h"
#include "sys/log.h"

/* --- telling what is wrong --- */

static bool is_said(const struct discovery *d, const char *place)
{
    size_t bytes = strlen(place);
    for (size_t i = 0; i < d->faults.count; i++)
        if (strncmp(d->faults.text[i], place, bytes) == 0 && d->faults.text[i][bytes] == ':')
            return true;
    return false;
}

static _printf_(2, 3) void say(struct discovery *d, const char *format, ...)
{
    struct faults *f = &d->faults;
    va_list args;
    if (f->count == FAULTS_MAX)
        return;
    va_start(args, format);
    fmt_v(f->text[f->count++], FAULT_BYTES, format, args);
    va_end(args);
}

static const char *place_of_number(const struct discovery *d, int64_t number)
{
    for (size_t n = 0; number > 0 && n < d->line_count; n++)
        if (d->lines[n].number == number)
            return d->lines[n].place;
    return NULL;
}

/* Lines of a text that nobody has written are told by their places: "on line 47" is "label
 * plimsoll.min of service shop". */
static void name_lines(const struct discovery *d, const char *text, char *buf, size_t cap)
{
    static const char word[] = "line ";
    struct str s;
    str_init(&s, buf, cap);
    while (*text) {
        const char *at = strstr(text, word), *begin = at;
        int64_t number = 0;
        if (!at)
            break;
        size_t digits = strspn(at + strlen(word), "0123456789");
        num_parse_i64((struct slice){ at + strlen(word), digits }, &number);
        const char *place = digits > 0 ? place_of_number(d, number) : NULL;
        at += strlen(word) + digits;
        if (place && begin - text >= 3 && strncmp(begin - 3, "on ", 3) == 0)
            begin -= 3;
        str_put_n(&s, text, (size_t)((place ? begin : at) - text));
        str_put(&s, place ? place : digits > 0 ? " of the file" : "");
        text = at;
    }
    str_put(&s, text);
}

/* --- what is wrong --- */

/* A service's name here: its first line without the quotes. */
static struct slice name_of(const struct discovery *d, const struct found *f)
{
    const struct line *line = &d->lines[found_part(f).first];
    const char *p = line->text + line->indent, *end = line->text + line->bytes;
    p += p < end && *p == '"';
    const char *colon = memchr(p, ':', (size_t)(end - p));
    end = colon ? colon : end;
    end -= end > p && end[-1] == '"';
    return (struct slice){ p, (size_t)(end - p) };
}

/* With all that is below it. */
static void leave_out(struct discovery *d, struct found *f, size_t at)
{
    struct part part = found_part(f);
    size_t indent = d->lines[at].indent;
    d->lines[at].out = true;
    for (size_t n = at + 1; n < part.first + part.count && d->lines[n].indent > indent; n++)
        d->lines[n].out = true;
    f->out = at == part.first;
}

/* It runs, and what it runs as is not what is wrong. */
static bool may_keep(const struct discovery *d, const struct found *f, size_t at)
{
    return f->rank == FOUND_CHANGED ||
           (f->rank == FOUND_WANTING && discovery_has_line(d, f->running, &d->lines[at]));
}

/* That a line is left out may make others of its service wrong: they go without a word, unless
 * nothing is left of it. */
static void refuse(struct discovery *d, struct found *f, size_t at, const char *text)
{
    const char *place = d->lines[at].place;
    bool all = at == found_part(f).first;
    if (f->round == 0)
        f->round = d->round;
    bool follows = f->round != d->round;
    if (all && follows)
        say(d, "%.200s is left out, because %.450s", f->origin, text);
    else if (follows)
        log_debug("left out too: %s: %s", place, text);
    else if (!is_said(d, place))
        say(d, "%.250s: %.450s%s%.200s%s", place, text, all ? "; " : "", all ? f->origin : "",
            all ? " is left out" : "");
    leave_out(d, f, at);
}

static void blame(struct discovery *d, struct found *f, size_t at, const char *text)
{
    const char *place = d->lines[at].place;
    char named[480];
    name_lines(d, text, named, sizeof(named));
    if (!may_keep(d, f, at)) {
        refuse(d, f, at, named);
        return;
    }
    if (!is_said(d, place))
        say(d, "%.250s: %.450s; %.200s goes on as it was", place, named, f->origin);
    f->keeping = true;
}

/* As it runs, whatever it is described as. True = some are. */
static bool keep_those(struct discovery *d)
{
    bool any = false;
    for (size_t i = 0; i < d->found_count; i++) {
        struct found *f = &d->founds[i];
        any |= f->keeping;
        f->kept |= f->keeping;
        if (!f->keeping)
            continue;
        f->rank = FOUND_HELD;
        f->round = 0;
        f->keeping = false;
    }
    return any;
}

/* --- two of one name --- */

/* The older claim has it. */
static bool settle_name(struct discovery *d, const struct found *first, struct found *second)
{
    char text[700];
    struct slice name = name_of(d, second);
    if (first->out || first->keeping || second->out || !slice_eq(name_of(d, first), name))
        return false;
    fmt(text, sizeof(text), "%.200s and %.200s both want the name %.*s", first->origin,
        second->origin, (int)MIN(name.n, 64u), name.p);
    blame(d, second, found_part(second).first, text);
    return true;
}

/* Whoever is kept may have another name than before: so all of it again, until nothing changes. */
void discovery_settle_names(struct discovery *d)
{
    bool again = true;
    while (again) {
        discovery_put_in_order(d);
        for (size_t i = 0; i < d->found_count; i++)
            for (size_t k = 0; k < i; k++)
                if (!d->order[i]->keeping)
                    settle_name(d, d->order[k], d->order[i]);
        again = keep_those(d);
    }
}

/* --- whom an error is about --- */

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

static bool is_in(const struct discovery *d, struct part part, const struct line *l)
{
    size_t n = (size_t)(l - d->lines);
    return n >= part.first && n < part.first + part.count;
}

static struct found *owner_of(struct discovery *d, const struct line *l)
{
    for (size_t i = 0; i < d->found_count; i++)
        if (!d->founds[i].out && is_in(d, found_part(&d->founds[i]), l))
            return &d->founds[i];
    return NULL;
}

/* The line's key; empty for one of a list. */
static struct slice key_of(const struct line *l)
{
    const char *p = l->text + l->indent, *end = l->text + l->bytes;
    if (p < end && *p == '"')
        p++;
    size_t n = 0;
    while (p + n < end && !strchr("\":", p[n]))
        n++;
    return (struct slice){ p, n };
}

/* "services.shop.scale.max: ..." is about max, and so is "services.shop.scale: ... \"max\" ...". */
static bool is_about(const char *text, struct slice key)
{
    char quoted[80], last[80];
    size_t path = strcspn(text, ": ");
    fmt(quoted, sizeof(quoted), "\"%.*s\"", (int)MIN(key.n, 64u), key.p);
    fmt(last, sizeof(last), ".%.*s", (int)MIN(key.n, 64u), key.p);
    size_t n = strlen(last);
    return strstr(text, quoted) || (path >= n && strncmp(text + path - n, last, n) == 0);
}

/* A map has the place of its first key: which of the two is meant, the text says. */
static size_t or_parent(const struct discovery *d, struct part part, size_t at, const char *text)
{
    const struct line *l = &d->lines[at], *parent = l - 1;
    bool first = at > part.first + 1 && parent->indent < l->indent && !parent->out;
    return first && !is_about(text, key_of(l)) && is_about(text, key_of(parent)) ? at - 1 : at;
}

/* Where the address that an error is about stands: the newest claim to its port. */
static struct line *line_of_address(struct discovery *d, const char *address)
{
    const char *port = strrchr(address, ':');
    size_t n = port ? strlen(port) : 0;
    for (size_t i = d->found_count; n > 1 && i > 0; i--) {
        struct part part = found_part(d->order[i - 1]);
        for (size_t k = part.first; k < part.first + part.count; k++) {
            struct line *l = &d->lines[k];
            const char *at = memmem(l->text, l->bytes, port, n);
            bool whole = at && (at + n == l->text + l->bytes || !strchr("0123456789", at[n]));
            if (l->number > 0 && !l->out && whole)
                return l;
        }
    }
    return NULL;
}

/* "services.shop: ..." */
static struct found *found_of_path(struct discovery *d, const char *text)
{
    static const char services[] = "services.";
    size_t skip = strlen(services), n = strcspn(text, ": ");
    if (strncmp(text, services, skip) != 0)
        return NULL;
    struct slice name = { text + skip, strcspn(text + skip, ".: ") };
    for (size_t i = 0; n > skip && i < d->found_count; i++)
        if (!d->order[i]->out && slice_eq(name_of(d, d->order[i]), name))
            return d->order[i];
    return NULL;
}

/* The newest claim that is still in: for an error that nobody's line is to blame for. */
static struct found *last_found(struct discovery *d)
{
    for (size_t i = d->found_count; i > 0; i--)
        if (!d->order[i - 1]->out)
            return d->order[i - 1];
    return NULL;
}

static bool blame_line(struct discovery *d, const struct err *error)
{
    int64_t number = line_of(error);
    for (size_t n = 0; number > 0 && n < d->line_count; n++) {
        struct found *f = d->lines[n].number == number ? owner_of(d, &d->lines[n]) : NULL;
        if (!f || d->lines[n].out)
            continue;
        blame(d, f, or_parent(d, found_part(f), n, error->text), error->text);
        return true;
    }
    return false;
}

static bool blame_somebody(struct discovery *d, const struct err *error)
{
    struct line *l = line_of(error) > 0 ? NULL : line_of_address(d, error->place);
    struct found *f = l ? owner_of(d, l) : found_of_path(d, error->text);
    f = f ? f : last_found(d);
    if (!f)
        return false;
    blame(d, f, l ? (size_t)(l - d->lines) : found_part(f).first, error->text);
    return true;
}

/* False = nothing was left to leave out. */
bool discovery_blame(struct discovery *d, const struct err *errors, size_t count)
{
    bool any = false;
    d->round++;
    for (size_t i = 0; i < count; i++)
        any |= blame_line(d, &errors[i]);
    if (!any && count > 0)
        any = blame_somebody(d, &errors[0]);
    keep_those(d);
    return any;
}
