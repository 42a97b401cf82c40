/* Single values: text to field and back, for every type that a table can name. Says what is wrong
 * with a value and what would be right; where it stands is the reader's business. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "config/read.h"

/* Above this a ratio without a percent sign is more likely a forgotten sign than 1,000 %. */
#define PLAIN_RATIO_MAX 10.0

static int wrong(struct err *err, const char *text, const char *what)
{
    return err_set(err, -EINVAL, "\"%.60s\" is not %s", text, what);
}

void schema_print_bound(enum schema_type type, double bound, struct str *out)
{
    char text[48];
    if (type == SCHEMA_DURATION)
        num_format_duration(text, sizeof(text), (int64_t)(bound * (double)US_PER_S));
    else if (type == SCHEMA_SIZE)
        num_format_size(text, sizeof(text), (int64_t)bound);
    else if (type == SCHEMA_RATIO)
        fmt_double(text, sizeof(text), bound * 100, 6);
    else
        fmt_double(text, sizeof(text), bound, 6);
    str_put(out, text);
    if (type == SCHEMA_RATIO)
        str_put_char(out, '%');
}

static int check_range(const struct schema_key *key, const char *text, double value,
                       struct err *err)
{
    char bound[64];
    struct str s;
    if (key->min == 0 && key->max == 0)
        return 0;
    str_init(&s, bound, sizeof(bound));
    if (value < key->min) {
        schema_print_bound(key->type, key->min, &s);
        return err_set(err, -EINVAL, "%.60s is too small; give at least %s", text, bound);
    }
    if (value > key->max) {
        schema_print_bound(key->type, key->max, &s);
        return err_set(err, -EINVAL, "%.60s is too large; give at most %s", text, bound);
    }
    return 0;
}

static int read_bool(const char *text, bool *field, struct err *err)
{
    static const char *const yes[] = { "true", "yes", "on" }, *const no[] = { "false", "no",
                                                                              "off" };
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *field = strcmp(text, yes[i]) == 0;
            return 0;
        }
    }
    return wrong(err, text, "true or false");
}

/* The words that stand for numbers: names[0] for zero, and for a duration, for never. */
static bool read_word(const struct schema_key *key, const char *text, int64_t *field)
{
    if (!key->names || strcmp(text, key->names[0]) != 0)
        return false;
    *field = key->type == SCHEMA_DURATION ? US_NEVER : 0;
    return true;
}

static int read_integer(const struct schema_key *key, const char *text, int64_t *field,
                        struct err *err)
{
    static const struct {
        int (*parse)(struct slice text, int64_t *ret);
        const char *what;
    } how[] = {
        [SCHEMA_INT] = { num_parse_i64, "a whole number" },
        [SCHEMA_DURATION] = { num_parse_duration,
                              "a duration; write a number and its unit: 250ms, 10s, 5m, 1h30m" },
        [SCHEMA_SIZE] = { num_parse_size,
                          "a size; write a number and its unit: 512B, 64KiB, 10MB" },
    };
    int64_t value;
    if (read_word(key, text, field))
        return 0;
    int rc = how[key->type].parse(slice_of(text), &value);
    if (rc == -ERANGE)
        return err_set(err, -EINVAL, "%.60s is too large", text);
    if (rc < 0)
        return wrong(err, text, how[key->type].what);
    double scaled = (double)value / (key->type == SCHEMA_DURATION ? (double)US_PER_S : 1.0);
    rc = check_range(key, text, scaled, err);
    if (rc == 0)
        *field = value;
    return rc;
}

int schema_forgotten_percent(const char *text, double value, struct err *err)
{
    char percent[64];
    struct str s;
    str_init(&s, percent, sizeof(percent));
    schema_print_bound(SCHEMA_RATIO, value, &s);
    return err_set(err, -EINVAL, "%.60s would be %s; write %.60s%%", text, percent, text);
}

static int read_ratio(const char *text, double *ret, struct err *err)
{
    if (num_parse_percent(slice_of(text), ret) == 0)
        return 0;
    if (num_parse_double(slice_of(text), ret) < 0)
        return wrong(err, text, "a ratio; write 80% or 0.8");
    if (fabs(*ret) > PLAIN_RATIO_MAX)
        return schema_forgotten_percent(text, *ret, err);
    return 0;
}

static int read_real(const struct schema_key *key, const char *text, double *field, struct err *err)
{
    double value;
    int rc;
    if (key->type == SCHEMA_RATIO)
        rc = read_ratio(text, &value, err);
    else
        rc = num_parse_double(slice_of(text), &value) < 0 ? wrong(err, text, "a number") : 0;
    if (rc == 0)
        rc = check_range(key, text, value, err);
    if (rc == 0)
        *field = value;
    return rc;
}

/* One of a table's words. */
static int read_name(const struct schema_key *key, const char *text, int *ret, struct err *err)
{
    char names[256];
    struct str s;
    str_init(&s, names, sizeof(names));
    for (int i = 0; key->names[i]; i++) {
        if (strcmp(text, key->names[i]) == 0) {
            *ret = i;
            return 0;
        }
        str_putf(&s, "%s%s", i > 0 ? ", " : "", key->names[i]);
    }
    const char *near = schema_nearest(key->names, text);
    return err_set(err, -EINVAL, "\"%.60s\" is not one of %s%s%s%s", text, names,
                   near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
}

static int read_text(struct arena *arena, const struct schema_key *key, const char *text,
                     const char **field, struct err *err)
{
    int index;
    int rc = key->names ? read_name(key, text, &index, err) : 0;
    if (rc < 0)
        return rc;
    const char *copy = arena_strdup(arena, text);
    if (!copy)
        return -ENOMEM;
    *field = copy;
    return 0;
}

static int read_single(struct arena *arena, const char *text, struct schema_list *field)
{
    const char **items = ARENA_ARRAY(arena, const char *, 1);
    char *copy = arena_strdup(arena, text);
    if (!items || !copy)
        return -ENOMEM;
    items[0] = copy;
    *field = (struct schema_list){ .count = 1, .items = items };
    return 0;
}

int schema_read_value(struct arena *arena, const struct schema_key *key, const char *text,
                      void *field, struct err *err)
{
    switch (key->type) {
    case SCHEMA_BOOL:
        return read_bool(text, field, err);
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        return read_integer(key, text, field, err);
    case SCHEMA_RATIO:
    case SCHEMA_NUMBER:
        return read_real(key, text, field, err);
    case SCHEMA_ENUM:
        return read_name(key, text, field, err);
    case SCHEMA_TEXT:
        return read_text(arena, key, text, field, err);
    case SCHEMA_LIST:
        return read_single(arena, text, field);
    default:
        return wrong(err, text, "a map");
    }
}

static void print_integer(const struct schema_key *key, int64_t value, struct str *out)
{
    char text[64];
    if (key->names && value == (key->type == SCHEMA_DURATION ? US_NEVER : 0))
        str_put(out, key->names[0]);
    else if (key->type == SCHEMA_INT)
        str_putf(out, "%lld", (long long)value);
    else if (key->type == SCHEMA_DURATION)
        str_put_n(out, text, num_format_duration(text, sizeof(text), value));
    else
        str_put_n(out, text, num_format_size(text, sizeof(text), value));
}

static void print_list(const struct schema_list *list, struct str *out)
{
    if (list->count == 1) {
        str_put(out, list->items[0]);
        return;
    }
    str_put_char(out, '[');
    for (size_t i = 0; i < list->count; i++)
        str_putf(out, "%s%s", i > 0 ? ", " : "", list->items[i]);
    str_put_char(out, ']');
}

static void print_map(const struct schema_map *map, struct str *out)
{
    str_put_char(out, '{');
    for (size_t i = 0; i < map->count; i++)
        str_putf(out, "%s%s: %s", i > 0 ? ", " : "", map->names[i], map->values[i]);
    str_put_char(out, '}');
}

void schema_print_value(const struct schema_key *key, const void *field, struct str *out)
{
    switch (key->type) {
    case SCHEMA_BOOL:
        str_put(out, *(const bool *)field ? "true" : "false");
        return;
    case SCHEMA_INT:
    case SCHEMA_DURATION:
    case SCHEMA_SIZE:
        print_integer(key, *(const int64_t *)field, out);
        return;
    case SCHEMA_RATIO:
    case SCHEMA_NUMBER:
        schema_print_bound(key->type, *(const double *)field, out);
        return;
    case SCHEMA_ENUM:
        str_put(out, key->names[*(const int *)field]);
        return;
    case SCHEMA_TEXT:
        str_put(out, *(const char *const *)field ? *(const char *const *)field : "not set");
        return;
    case SCHEMA_LIST:
        print_list(field, out);
        return;
    case SCHEMA_MAP:
        print_map(field, out);
        return;
    default:
        return;
    }
}
