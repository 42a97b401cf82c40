/* Text in the caller's memory, and the few comparisons the product needs. */
#include "base/str.h"

#include <assert.h>
#include <string.h>

#include "base/fmt.h"

void str_init(struct str *s, char *buf, size_t cap)
{
    assert(cap > 0);
    *s = (struct str){ .p = buf, .cap = cap };
    buf[0] = '\0';
}

void str_clear(struct str *s)
{
    s->len = 0;
    s->cut = false;
    s->p[0] = '\0';
}

void str_put_n(struct str *s, const char *text, size_t n)
{
    size_t room = s->cap - 1 - s->len;
    if (n > room) {
        n = room;
        s->cut = true;
    }
    if (n > 0)
        memcpy(s->p + s->len, text, n);
    s->len += n;
    s->p[s->len] = '\0';
}

void str_put(struct str *s, const char *text)
{
    str_put_n(s, text, strlen(text));
}

void str_put_char(struct str *s, char c)
{
    str_put_n(s, &c, 1);
}

void str_putv(struct str *s, const char *format, va_list args)
{
    size_t room = s->cap - s->len;
    size_t n = fmt_v(s->p + s->len, room, format, args);
    if (n >= room) {
        s->cut = true;
        n = strlen(s->p + s->len);
    }
    s->len += n;
}

void str_putf(struct str *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    str_putv(s, format, args);
    va_end(args);
}

struct slice slice_of(const char *text)
{
    return (struct slice){ text, strlen(text) };
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

size_t str_control_bytes(const char *text)
{
    unsigned char first = (unsigned char)text[0], second = first ? (unsigned char)text[1] : 0;
    if (first == 0xc2 && second >= 0x80 && second < 0xa0)
        return 2;
    return first != '\0' && (first < ' ' || first == 127);
}

void str_clean(char *text)
{
    for (; *text; text++)
        for (size_t bytes = str_control_bytes(text); bytes > 0; bytes--)
            text[bytes - 1] = ' ';
}

bool str_is_clean(const char *text)
{
    while (*text && str_control_bytes(text) == 0)
        text++;
    return *text == '\0';
}

bool str_copy(char *dst, size_t cap, const char *src)
{
    size_t n = strlen(src);
    if (n >= cap) {
        dst[0] = '\0';
        return false;
    }
    memcpy(dst, src, n + 1);
    return true;
}

/* Three rows of the table are enough: a swap of neighbours looks two back. */
unsigned str_distance(const char *a, const char *b)
{
    unsigned rows[3][65] = { 0 }, *before = rows[0], *above = rows[1], *row = rows[2];
    size_t an = strlen(a), bn = strlen(b);
    if (an > 63 || bn > 63)
        return 64;
    for (size_t j = 0; j <= bn; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= an; i++) {
        unsigned *oldest = before;
        before = above;
        above = row;
        row = oldest;
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= bn; j++) {
            unsigned keep = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = MIN(keep, MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = MIN(row[j], before[j - 2] + 1);
        }
    }
    return row[bn];
}
