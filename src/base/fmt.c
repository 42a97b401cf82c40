/* The formatter behind err, str and the explanations. Integers, strings and short decimals; it
 * never allocates and never reads a locale. */
#include "base/fmt.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

struct out {
    char *buf;
    size_t cap;
    size_t len;
};

struct spec {
    bool zero;
    bool left;
    int width;
    int precision;
    int longs; /* number of l's; z counts as two */
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->cap)
        o->buf[o->len] = c;
    o->len++;
}

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t n)
{
    size_t pad = s->width > 0 && (size_t)s->width > n ? (size_t)s->width - n : 0;
    if (s->zero && n > 0 && text[0] == '-') {
        put(o, *text++);
        n--;
    }
    for (size_t i = 0; i < pad && !s->left; i++)
        put(o, s->zero ? '0' : ' ');
    for (size_t i = 0; i < n; i++)
        put(o, text[i]);
    for (size_t i = 0; i < pad && s->left; i++)
        put(o, ' ');
}

static void put_number(struct out *o, const struct spec *s, uint64_t value, bool negative,
                       unsigned base)
{
    char digits[24];
    size_t at = sizeof(digits);
    do {
        digits[--at] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value > 0);
    if (negative)
        digits[--at] = '-';
    put_padded(o, s, digits + at, sizeof(digits) - at);
}

static void put_signed(struct out *o, const struct spec *s, int64_t value)
{
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    put_number(o, s, magnitude, value < 0, 10);
}

/* For 0 <= x < 2^63. Adding a half first would round 0.49999999999999994 up. */
static uint64_t round_half_up(double x)
{
    uint64_t whole = (uint64_t)x;
    return whole + (x - (double)whole >= 0.5);
}

/* fixed / scale, scale being a power of ten, without trailing zeros. */
static void put_decimal(struct out *o, bool negative, uint64_t fixed, uint64_t scale)
{
    const struct spec plain = { 0 };
    put_number(o, &plain, fixed / scale, negative && fixed > 0, 10);
    uint64_t fraction = fixed % scale;
    if (fraction > 0)
        put(o, '.');
    while (fraction > 0) {
        scale /= 10;
        put(o, (char)('0' + fraction / scale));
        fraction %= scale;
    }
}

/* Magnitudes below 1e18. The fraction is split off first, which is exact, so that large numbers do
 * not lose their decimals in the product. */
static void put_plain(struct out *o, bool negative, double magnitude, uint64_t scale)
{
    while (magnitude * (double)scale >= 9e18) /* such magnitudes have no such decimals */
        scale /= 10;
    uint64_t whole = (uint64_t)magnitude;
    double fraction = magnitude - (double)whole;
    put_decimal(o, negative, whole * scale + round_half_up(fraction * (double)scale), scale);
}

/* d.ddde123 for magnitudes that have no place for decimals. */
static void put_scientific(struct out *o, bool negative, double magnitude, uint64_t scale)
{
    const struct spec plain = { 0 };
    unsigned exponent = 0;
    for (; magnitude >= 1e17; magnitude /= 1e16)
        exponent += 16;
    for (; magnitude >= 10; magnitude /= 10)
        exponent++;
    uint64_t fixed = round_half_up(magnitude * (double)scale);
    if (fixed >= 10 * scale) {
        fixed = scale;
        exponent++;
    }
    put_decimal(o, negative, fixed, scale);
    put(o, 'e');
    put_number(o, &plain, exponent, false, 10);
}

static void put_double(struct out *o, double value, int decimals)
{
    const struct spec plain = { 0 };
    bool negative = value < 0;
    double magnitude = negative ? -value : value;
    uint64_t scale = 1;
    for (int i = 0; i < MIN(decimals, 9); i++)
        scale *= 10;
    if (value != value)
        put_padded(o, &plain, "nan", 3);
    else if (magnitude > 1.7976931348623157e308)
        put_padded(o, &plain, negative ? "-inf" : "inf", negative ? 4 : 3);
    else if (magnitude >= 1e18)
        put_scientific(o, negative, magnitude, scale);
    else
        put_plain(o, negative, magnitude, scale);
}

size_t fmt_double(char *buf, size_t cap, double value, int decimals)
{
    struct out o = { .buf = buf, .cap = cap };
    put_double(&o, value, decimals);
    if (cap > 0)
        buf[MIN(o.len, cap - 1)] = '\0';
    return o.len;
}

static const char *parse_spec(const char *p, struct spec *s, va_list *args)
{
    *s = (struct spec){ .precision = -1 };
    for (; *p == '0' || *p == '-'; p++) {
        s->zero |= *p == '0';
        s->left |= *p == '-';
    }
    if (*p == '*') {
        s->width = va_arg(*args, int);
        s->left |= s->width < 0;
        s->width = s->width < 0 ? -s->width : s->width;
        p++;
    }
    for (; *p >= '0' && *p <= '9'; p++)
        s->width = s->width * 10 + (*p - '0');
    if (*p == '.') {
        p++;
        s->precision = 0;
        if (*p == '*') {
            s->precision = va_arg(*args, int);
            p++;
        }
        for (; *p >= '0' && *p <= '9'; p++)
            s->precision = s->precision * 10 + (*p - '0');
    }
    for (; *p == 'l' || *p == 'z'; p++)
        s->longs += *p == 'z' ? 2 : 1;
    return p;
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (!text)
        text = "(none)";
    size_t n = s->precision >= 0 ? strnlen(text, (size_t)s->precision) : strlen(text);
    struct spec spaces = *s;
    spaces.zero = false;
    put_padded(o, &spaces, text, n);
}

static void put_one(struct out *o, char kind, const struct spec *s, va_list *args)
{
    char text[48]; /* a sign, 18 digits, the point, 9 digits, or an exponent */
    switch (kind) {
    case 'd':
    case 'i':
        put_signed(o, s, s->longs > 0 ? va_arg(*args, long) : va_arg(*args, int));
        break;
    case 'u':
    case 'x':
        put_number(o, s, s->longs > 0 ? va_arg(*args, unsigned long) : va_arg(*args, unsigned),
                   false, kind == 'x' ? 16 : 10);
        break;
    case 'c':
        text[0] = (char)va_arg(*args, int);
        put_padded(o, s, text, 1);
        break;
    case 's':
        put_string(o, s, va_arg(*args, const char *));
        break;
    case 'g':
        fmt_double(text, sizeof(text), va_arg(*args, double), s->precision >= 0 ? s->precision : 3);
        put_string(o, &(struct spec){ .width = s->width, .left = s->left, .precision = -1 }, text);
        break;
    default:
        assert(kind == '%'); /* or its argument would be taken for the next one's */
        put(o, kind);
        break;
    }
}

static_assert(sizeof(long) == sizeof(long long), "%ld and %lld are read alike");

size_t fmt_whole(const char *text, size_t n)
{
    size_t more = 0; /* bytes at the end that go on with a character */
    while (more < MIN(n, 3) && ((unsigned char)text[n - 1 - more] & 0xc0) == 0x80)
        more++;
    if (more == n)
        return n;
    unsigned char first = (unsigned char)text[n - 1 - more];
    size_t wanted = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    return wanted > more ? n - 1 - more : n;
}

size_t fmt_v(char *buf, size_t cap, const char *format, va_list args)
{
    struct out o = { .buf = buf, .cap = cap };
    va_list copy;
    va_copy(copy, args);
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            put(&o, *p);
            continue;
        }
        struct spec s;
        p = parse_spec(p + 1, &s, &copy);
        if (!*p)
            break;
        put_one(&o, *p, &s, &copy);
    }
    va_end(copy);
    if (cap > 0)
        buf[o.len < cap ? o.len : fmt_whole(buf, cap - 1)] = '\0';
    return o.len;
}

size_t fmt(char *buf, size_t cap, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    size_t n = fmt_v(buf, cap, format, args);
    va_end(args);
    return n;
}
