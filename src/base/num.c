/* Reading and writing numbers with units. */
#include "base/num.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit duration_units[] = {
    { "us", 1 },           { "ms", US_PER_MS },  { "s", US_PER_S },   { "m", US_PER_MIN },
    { "min", US_PER_MIN }, { "h", US_PER_HOUR }, { "d", US_PER_DAY },
};

static const struct unit size_units[] = {
    { "", 1 },
    { "B", 1 },
    { "k", INT64_C(1) << 10 },
    { "K", INT64_C(1) << 10 },
    { "Ki", INT64_C(1) << 10 },
    { "KiB", INT64_C(1) << 10 },
    { "m", INT64_C(1) << 20 },
    { "M", INT64_C(1) << 20 },
    { "Mi", INT64_C(1) << 20 },
    { "MiB", INT64_C(1) << 20 },
    { "g", INT64_C(1) << 30 },
    { "G", INT64_C(1) << 30 },
    { "Gi", INT64_C(1) << 30 },
    { "GiB", INT64_C(1) << 30 },
    { "Ti", INT64_C(1) << 40 },
    { "TiB", INT64_C(1) << 40 },
    { "kB", INT64_C(1000) },
    { "KB", INT64_C(1000) },
    { "MB", INT64_C(1000000) },
    { "GB", INT64_C(1000000000) },
    { "TB", INT64_C(1000000000000) },
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int num_parse_i64(struct slice text, int64_t *ret)
{
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+') ? 1 : 0;
    bool negative = i == 1 && text.p[0] == '-';
    int64_t value = 0;
    if (i == text.n)
        return -EINVAL;
    for (; i < text.n; i++) {
        if (!is_digit(text.p[i]))
            return -EINVAL;
        int digit = text.p[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return -ERANGE;
    }
    *ret = value;
    return 0;
}

/* 10^exponent, exact up to 10^22 and correctly repeatable beyond. */
static double scale_by(double value, int exponent)
{
    for (; exponent > 0; exponent--)
        value *= 10;
    double divisor = 1;
    for (; exponent < 0 && divisor < 1e22; exponent++)
        divisor *= 10;
    value /= divisor;
    for (; exponent < 0; exponent++)
        value /= 10;
    return value;
}

static int scan_exponent(struct slice text, size_t *at, int *exponent)
{
    if (*at >= text.n || (text.p[*at] | 0x20) != 'e')
        return 0;
    int64_t e;
    int rc = num_parse_i64((struct slice){ text.p + *at + 1, text.n - *at - 1 }, &e);
    if (rc < 0 || e > 400 || e < -400)
        return rc < 0 ? rc : -ERANGE;
    *exponent += (int)e;
    *at = text.n;
    return 0;
}

int num_parse_double(struct slice text, double *ret)
{
    size_t i = text.n > 0 && (text.p[0] == '-' || text.p[0] == '+') ? 1 : 0;
    bool negative = i == 1 && text.p[0] == '-', point = false;
    double value = 0;
    int exponent = 0, digits = 0;
    for (; i < text.n && (is_digit(text.p[i]) || (text.p[i] == '.' && !point)); i++) {
        if (text.p[i] == '.') {
            point = true;
            continue;
        }
        value = value * 10 + (text.p[i] - '0');
        exponent -= point;
        digits++;
    }
    if (digits == 0)
        return -EINVAL;
    int rc = scan_exponent(text, &i, &exponent);
    if (rc < 0 || i != text.n)
        return rc < 0 ? rc : -EINVAL;
    value = scale_by(value, exponent);
    if (value > 1.7976931348623157e308)
        return -ERANGE;
    *ret = negative ? -value : value;
    return 0;
}

static const struct unit *find_unit(const struct unit *units, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(slice_of(units[i].name), name))
            return &units[i];
    return NULL;
}

/* More digits behind the point than these are less than a thousandth of the smallest unit. */
#define FRACTION_DIGITS_MAX 15

/* "12", "12.5" or ".5" times `factor`, rounded to the nearest, but never to a zero that was not
 * written. The whole part is integers, so that large numbers stay exact. */
static int scan_scaled(struct slice text, int64_t factor, int64_t *ret)
{
    int64_t whole = 0;
    double fraction = 0, divisor = 1;
    bool zero = true;
    size_t i = 0;
    for (; i < text.n && text.p[i] != '.'; i++) {
        zero &= text.p[i] == '0';
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, text.p[i] - '0', &whole))
            return -ERANGE;
    }
    for (size_t point = i++; i < text.n; i++) {
        if (text.p[i] == '.')
            return -EINVAL;
        zero &= text.p[i] == '0';
        if (i - point <= FRACTION_DIGITS_MAX) {
            fraction = fraction * 10 + (text.p[i] - '0');
            divisor *= 10;
        }
    }
    int64_t part = (int64_t)(fraction * (double)factor / divisor + 0.5);
    if (__builtin_mul_overflow(whole, factor, &whole) ||
        __builtin_add_overflow(whole, part, &whole) || (whole == 0 && !zero))
        return -ERANGE;
    *ret = whole;
    return 0;
}

/* One "12.5h" from *at on; adds it to *sum and moves *at. */
static int scan_with_unit(struct slice text, size_t *at, const struct unit *units, size_t n_units,
                          int64_t *sum, const struct unit **ret_unit)
{
    size_t start = *at, i = start, digits = 0;
    for (; i < text.n && (is_digit(text.p[i]) || text.p[i] == '.'); i++)
        digits += is_digit(text.p[i]);
    struct slice number = { text.p + start, i - start };
    size_t unit_start = i;
    while (i < text.n && !is_digit(text.p[i]) && text.p[i] != '.')
        i++;
    struct slice name = slice_trim((struct slice){ text.p + unit_start, i - unit_start });
    const struct unit *unit = find_unit(units, n_units, name);
    if (!unit || digits == 0)
        return -EINVAL;
    int64_t scaled;
    int rc = scan_scaled(number, unit->factor, &scaled);
    if (rc < 0)
        return rc;
    if (__builtin_add_overflow(*sum, scaled, sum))
        return -ERANGE;
    *at = i;
    *ret_unit = unit;
    return 0;
}

int num_parse_duration(struct slice text, int64_t *ret_us)
{
    int64_t sum = 0;
    size_t at = 0;
    text = slice_trim(text);
    if (slice_eq(text, SLICE("0"))) {
        *ret_us = 0;
        return 0;
    }
    if (text.n == 0)
        return -EINVAL;
    for (const struct unit *unit = NULL, *last = NULL; at < text.n; last = unit) {
        int rc = scan_with_unit(text, &at, duration_units, ARRAY_LEN(duration_units), &sum, &unit);
        if (rc < 0)
            return rc;
        if (last && unit->factor >= last->factor) /* "5m1h", "5m5m": a slip of the pen */
            return -EINVAL;
    }
    *ret_us = sum;
    return 0;
}

int num_parse_size(struct slice text, int64_t *ret_bytes)
{
    int64_t sum = 0;
    size_t at = 0;
    text = slice_trim(text);
    const struct unit *unit;
    int rc = scan_with_unit(text, &at, size_units, ARRAY_LEN(size_units), &sum, &unit);
    if (rc < 0 || at != text.n)
        return rc < 0 ? rc : -EINVAL;
    *ret_bytes = sum;
    return 0;
}

int num_parse_percent(struct slice text, double *ret_ratio)
{
    double number;
    text = slice_trim(text);
    if (text.n < 2 || text.p[text.n - 1] != '%')
        return -EINVAL;
    int rc = num_parse_double(slice_trim((struct slice){ text.p, text.n - 1 }), &number);
    if (rc < 0)
        return rc;
    *ret_ratio = number / 100;
    return 0;
}

size_t num_format_duration(char *buf, size_t cap, int64_t us)
{
    static const struct unit order[] = {
        { "d", US_PER_DAY }, { "h", US_PER_HOUR }, { "m", US_PER_MIN },
        { "s", US_PER_S },   { "ms", US_PER_MS },  { "us", 1 },
    };
    struct str s;
    if (cap == 0)
        return 0;
    str_init(&s, buf, cap);
    if (us < 0)
        str_put_char(&s, '-');
    uint64_t rest = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    if (us == US_NEVER || rest == 0) {
        str_put(&s, us == US_NEVER ? "never" : "0s");
        return s.len;
    }
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        uint64_t n = rest / (uint64_t)order[i].factor;
        if (n > 0)
            str_putf(&s, "%lu%s", (unsigned long)n, order[i].name);
        rest %= (uint64_t)order[i].factor;
    }
    return s.len;
}

/* The unit in which so long a time is told: the smallest of two, or the third digit. */
static uint64_t grain_of(uint64_t us)
{
    uint64_t grain = 1;
    if (us >= US_PER_DAY)
        return US_PER_HOUR;
    if (us >= US_PER_HOUR)
        return US_PER_MIN;
    if (us >= US_PER_MIN)
        return US_PER_S;
    while (us / grain >= 1000)
        grain *= 10;
    return grain;
}

size_t num_format_duration_short(char *buf, size_t cap, int64_t us)
{
    static const struct unit units[] = { { "us", 1 }, { "ms", US_PER_MS }, { "s", US_PER_S } };
    char number[40];
    uint64_t rest = us < 0 ? 0 - (uint64_t)us : (uint64_t)us, grain = grain_of(rest);
    const struct unit *unit = &units[(rest >= US_PER_MS) + (rest >= US_PER_S)];
    rest = (rest + grain / 2) / grain * grain;
    if (us == US_NEVER || rest == 0 || rest >= US_PER_MIN)
        return num_format_duration(buf, cap,
                                   us == US_NEVER ? us
                                   : us < 0       ? (int64_t)(0 - rest)
                                                  : (int64_t)rest);
    unit += rest == 1000 * (uint64_t)unit->factor; /* rounded up to the next one */
    fmt_double(number, sizeof(number), (double)rest / (double)unit->factor, 2);
    return fmt(buf, cap, "%s%s%s", us < 0 ? "-" : "", number, unit->name);
}

size_t num_format_size(char *buf, size_t cap, int64_t bytes)
{
    static const struct unit order[] = { { "GiB", 1 << 30 }, { "MiB", 1 << 20 }, { "KiB", 1024 } };
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        if (bytes >= order[i].factor && bytes % order[i].factor == 0)
            return fmt(buf, cap, "%ld%s", (long)(bytes / order[i].factor), order[i].name);
    return fmt(buf, cap, "%ldB", (long)bytes);
}
