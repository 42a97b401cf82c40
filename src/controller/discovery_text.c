/* What engines describe and what runs of it, as lines; and the text that is made of them. Knows
 * nothing of what is wrong with it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/table.h"
#include "controller/controller_int.h"
#include "controller/discovery_int.h"
#include "sys/mem.h"

#define MARK_LINES 4
/* Before each service: who it is in its engine, and a hash of the whole that it was made of. */
#define HEAD "  # "
#define SERVICE_INDENT 2
#define HEAD_HASH ", described as "
#define HEAD_BYTES_MAX 320
#define LINES_MAX 131072

void discovery_empty(struct arena *arena)
{
    arena_done(arena);
    mem_arena_init(arena, DISCOVERY_ARENA_BYTES);
}

/* --- the lines --- */

static int add_line(struct discovery *d, const char *text, size_t bytes, const char *place)
{
    if (d->line_count == LINES_MAX || !place)
        return -ENOMEM;
    d->lines[d->line_count++] =
        (struct line){ .text = text, .bytes = bytes, .indent = strspn(text, " "), .place = place };
    return 0;
}

/* The place of a description's first line says who it is; comments are no lines of it. */
static int add_described(struct discovery *d, const struct driver_discovery *item)
{
    struct found *f = &d->founds[d->found_count];
    const char *p = item->text;
    *f = (struct found){ .rank = FOUND_NEW,
                         .origin = item->line_count > 0 ? item->places[0] : "a service",
                         .hash = table_hash(slice_of(p)),
                         .described.first = d->line_count };
    for (size_t n = 0; *p; n++) {
        size_t bytes = strcspn(p, "\n");
        const char *place = n < item->line_count ? item->places[n] : f->origin;
        int rc = p[strspn(p, " ")] == '#' ? 0 : add_line(d, p, bytes, place);
        if (rc < 0)
            return rc;
        p += bytes + (p[bytes] == '\n');
    }
    f->described.count = d->line_count - f->described.first;
    d->found_count += f->described.count > 0;
    return 0;
}

/* "  # service shop, described as 0123456789abcdef" */
static bool read_head(struct discovery *d, const char *line, size_t bytes, struct found *ret)
{
    char text[HEAD_BYTES_MAX];
    if (bytes >= sizeof(text) || strncmp(line, HEAD, strlen(HEAD)) != 0)
        return false;
    fmt(text, sizeof(text), "%.*s", (int)(bytes - strlen(HEAD)), line + strlen(HEAD));
    char *hash = strstr(text, HEAD_HASH);
    if (!hash)
        return false;
    *hash = '\0';
    *ret = (struct found){ .origin = arena_strdup(&d->arena, text),
                           .running.first = d->line_count,
                           .running_hash = strtoull(hash + strlen(HEAD_HASH), NULL, 16) };
    return ret->origin;
}

/* Texts of 0.2 have no heads: nobody knows whose it is, but it is there until the engines have been
 * heard. */
static bool read_headless(const struct discovery *d, const char *line, size_t bytes,
                          struct found *olds, size_t count)
{
    bool begins = bytes > SERVICE_INDENT && strspn(line, " ") == SERVICE_INDENT;
    if (!begins || line[SERVICE_INDENT] == '#' || (count > 0 && olds[count - 1].running.count == 0))
        return false;
    olds[count] =
        (struct found){ .origin = "a service found before", .running.first = d->line_count };
    return true;
}

/* What of the configuration that runs was found in engines, into `olds`. */
static int read_running(struct discovery *d, struct found *olds, size_t *ret_count)
{
    const struct config *config = d->controller->config;
    const char *mark = config ? strstr(config->text, DISCOVERY_MARK) : NULL;
    const char *p = mark ? arena_strdup(&d->arena, mark + strlen(DISCOVERY_MARK)) : "";
    size_t count = 0;
    int rc = p ? 0 : -ENOMEM;
    while (rc == 0 && *p) {
        size_t bytes = strcspn(p, "\n");
        if (count < MODEL_SERVICES_MAX &&
            (read_head(d, p, bytes, &olds[count]) || read_headless(d, p, bytes, olds, count)))
            count++;
        if (count > 0 && bytes > 0 && p[strspn(p, " ")] != '#') {
            rc = add_line(d, p, bytes, olds[count - 1].origin);
            olds[count - 1].running.count += rc == 0;
        }
        p += bytes + (p[bytes] == '\n');
    }
    *ret_count = count;
    return rc;
}

bool discovery_has_line(const struct discovery *d, struct part part, const struct line *line)
{
    for (size_t n = part.first; n < part.first + part.count; n++)
        if (d->lines[n].bytes == line->bytes &&
            memcmp(d->lines[n].text, line->text, line->bytes) == 0)
            return true;
    return false;
}

/* What a service that runs is described as now, against what it runs as. */
static void compare(struct discovery *d, struct found *f, const struct found *old)
{
    f->running = old->running;
    f->running_hash = old->running_hash;
    f->rank = f->hash != old->running_hash              ? FOUND_CHANGED
              : f->described.count > old->running.count ? FOUND_WANTING
                                                        : FOUND_HELD;
    for (size_t n = f->running.first; n < f->running.first + f->running.count; n++)
        for (size_t k = 0; k < f->described.count; k++) {
            struct line *line = &d->lines[f->described.first + k];
            if (line->bytes == d->lines[n].bytes &&
                memcmp(line->text, d->lines[n].text, line->bytes) == 0)
                d->lines[n].place = line->place;
        }
}

static int describe_all(struct discovery *d, const struct found *olds, size_t old_count)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->item_count; i++)
        rc = add_described(d, &d->items[i]);
    for (size_t i = 0; rc == 0 && i < d->found_count; i++)
        for (size_t k = 0; k < old_count; k++)
            if (strcmp(d->founds[i].origin, olds[k].origin) == 0)
                compare(d, &d->founds[i], &olds[k]);
    return rc;
}

/* Engines have not been heard yet: what they said when the configuration that ran was made. */
static void recall(struct discovery *d, const struct found *olds, size_t old_count)
{
    for (size_t i = 0; i < old_count; i++) {
        struct found *f = &d->founds[d->found_count++];
        *f = olds[i];
        f->hash = f->running_hash;
        f->described = f->running;
    }
}

/* Everything anew, from what was heard and what runs. */
int discovery_prepare(struct discovery *d)
{
    static struct found olds[MODEL_SERVICES_MAX];
    size_t old_count = 0;
    discovery_empty(&d->arena);
    d->line_count = d->found_count = d->faults.count = 0;
    d->round = 1;
    d->lines = ARENA_ARRAY(&d->arena, struct line, LINES_MAX);
    int rc = d->lines ? read_running(d, olds, &old_count) : -ENOMEM;
    if (rc == 0 && d->known)
        rc = describe_all(d, olds, old_count);
    else if (rc == 0)
        recall(d, olds, old_count);
    return rc;
}

/* --- one text --- */

struct part found_part(const struct found *f)
{
    return f->kept ? f->running : f->described;
}

void discovery_put_in_order(struct discovery *d)
{
    for (size_t i = 0; i < d->found_count; i++) {
        size_t at = i;
        while (at > 0 && d->order[at - 1]->rank > d->founds[i].rank) {
            d->order[at] = d->order[at - 1];
            at--;
        }
        d->order[at] = &d->founds[i];
    }
}

static uint32_t count_lines(const char *text)
{
    uint32_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void put_service(struct discovery *d, const struct found *f, uint32_t *number, struct str *s)
{
    struct part part = found_part(f);
    str_putf(s, "%s%.200s%s%016" PRIx64 "\n", HEAD, f->origin, HEAD_HASH,
             f->kept ? f->running_hash : f->hash);
    ++*number;
    for (size_t n = part.first; n < part.first + part.count; n++) {
        struct line *l = &d->lines[n];
        if (l->out)
            continue;
        l->number = ++*number;
        str_put_n(s, l->text, l->bytes);
        str_put_char(s, '\n');
    }
}

/* malloc'd; NULL = no memory. `by_age`, or in the order of the ranks. */
char *discovery_compose(struct discovery *d, const char *base, bool by_age, size_t *ret_bytes)
{
    uint32_t number = count_lines(base) + MARK_LINES;
    size_t cap = strlen(base) + sizeof(DISCOVERY_MARK) + d->found_count * HEAD_BYTES_MAX;
    struct str s;
    bool any = false;
    for (size_t n = 0; n < d->line_count; n++) {
        d->lines[n].number = 0;
        cap += d->lines[n].bytes + 1;
    }
    char *buf = malloc(cap);
    if (!buf)
        return NULL;
    str_init(&s, buf, cap);
    str_put(&s, base);
    for (size_t i = 0; i < d->found_count; i++) {
        const struct found *f = by_age ? &d->founds[i] : d->order[i];
        if (f->out)
            continue;
        str_put(&s, any ? "" : DISCOVERY_MARK);
        any = true;
        put_service(d, f, &number, &s);
    }
    *ret_bytes = s.len;
    return buf;
}
