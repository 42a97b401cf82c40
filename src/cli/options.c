/* Reads a command line by the tables of options.h. It must never print or end the program: what is
 * wrong goes back as a text. */
#include "cli/options.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"

void options_init(struct options *o)
{
    *o = (struct options){ 0 };
}

void options_add_table(struct options *o, const struct option_spec *table)
{
    assert(o->table_count < OPTIONS_TABLES_MAX);
    if (table)
        o->tables[o->table_count++] = table;
}

const char *options_nearest(const char *wrong, const char *const *names, size_t count)
{
    const char *best = NULL;
    unsigned best_distance = 1 + (unsigned)strlen(wrong) / 2;
    for (size_t i = 0; i < count; i++) {
        unsigned distance = str_distance(wrong, names[i]);
        if (distance < best_distance) {
            best = names[i];
            best_distance = distance;
        }
    }
    return best;
}

static const struct option_spec *find(const struct options *o, const char *name, size_t n)
{
    for (size_t t = 0; t < o->table_count; t++)
        for (const struct option_spec *s = o->tables[t]; s->name; s++)
            if (strlen(s->name) == n && memcmp(s->name, name, n) == 0)
                return s;
    return NULL;
}

static const struct option_spec *find_letter(const struct options *o, char letter)
{
    for (size_t t = 0; t < o->table_count; t++)
        for (const struct option_spec *s = o->tables[t]; s->name; s++)
            if (s->letter == letter)
                return s;
    return NULL;
}

static int refuse_unknown(const struct options *o, const char *written, struct err *err)
{
    const char *names[OPTIONS_GIVEN_MAX];
    size_t count = 0;
    for (size_t t = 0; t < o->table_count; t++)
        for (const struct option_spec *s = o->tables[t]; s->name && count < ARRAY_LEN(names); s++)
            names[count++] = s->name;
    char name[64];
    const char *bare = written + strspn(written, "-");
    size_t n = strcspn(bare, "=");
    n = MIN(n, sizeof(name) - 1);
    memcpy(name, bare, n);
    name[n] = 0;
    const char *nearest = options_nearest(name, names, count);
    if (nearest)
        return err_set(err, -EINVAL, "unknown option %s; did you mean --%s?", written, nearest);
    return err_set(err, -EINVAL, "unknown option %s; --help lists them", written);
}

/* The help of an option that makes a list says so; that is what this goes by. */
static bool is_list(const struct option_spec *spec)
{
    static const char word[] = "repeatable";
    size_t n = strlen(spec->help);
    return n >= sizeof(word) - 1 && strcmp(spec->help + n - (sizeof(word) - 1), word) == 0;
}

/* Of two values one would be dropped, and which one is anybody's guess. A switch is on or off. */
static int refuse_twice(const struct options *o, const struct option_spec *spec, struct err *err)
{
    for (size_t i = 0; i < o->given_count; i++)
        if (o->given[i].spec == spec && spec->value && !is_list(spec))
            return err_set(err, -EINVAL, "--%s is given twice", spec->name);
    return 0;
}

static int take(struct options *o, const struct option_spec *spec, const char *value,
                struct err *err)
{
    int rc = refuse_twice(o, spec, err);
    if (rc < 0)
        return rc;
    if (o->given_count == OPTIONS_GIVEN_MAX)
        return err_set(err, -EINVAL, "too many options");
    o->given[o->given_count++] = (struct option_given){ spec, value };
    return 0;
}

/* One argument that begins with '-'. Returns how many arguments behind it were used (0 or 1). */
static int parse_option(struct options *o, char **argv, struct err *err)
{
    const char *text = argv[0];
    const struct option_spec *spec;
    const char *value = NULL;
    if (text[1] == '-') {
        size_t n = strcspn(text + 2, "=");
        spec = find(o, text + 2, n);
        value = text[2 + n] == '=' ? text + 2 + n + 1 : NULL;
    } else {
        spec = find_letter(o, text[1]);
        value = text[2] ? text + 2 : NULL;
    }
    if (!spec)
        return refuse_unknown(o, text, err);
    if (!spec->value && value)
        return err_set(err, -EINVAL, "--%s takes no value", spec->name);
    int used = 0;
    if (spec->value && !value) {
        value = argv[1];
        used = 1;
        if (!value || strcmp(value, "--") == 0)
            return err_set(err, -EINVAL, "--%s needs a value: --%s %s", spec->name, spec->name,
                           spec->value);
    }
    int rc = take(o, spec, value, err);
    return rc < 0 ? rc : used;
}

/* A number is a word: no option's letter is a digit. */
static bool is_negative(const char *text)
{
    return text[0] == '-' && text[1] >= '0' && text[1] <= '9';
}

int options_parse(struct options *o, int argc, char **argv, struct err *err)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            o->rest = argv + i + 1;
            o->rest_count = (size_t)(argc - i - 1);
            return 0;
        }
        if (argv[i][0] == '-' && argv[i][1] && !is_negative(argv[i])) {
            int used = parse_option(o, argv + i, err);
            if (used < 0)
                return used;
            i += used;
            continue;
        }
        if (o->word_count == OPTIONS_GIVEN_MAX)
            return err_set(err, -EINVAL, "too many arguments");
        o->words[o->word_count++] = argv[i];
    }
    return 0;
}

static const struct option_given *find_given(const struct options *o, const char *name)
{
    const struct option_spec *spec = find(o, name, strlen(name));
    assert(spec);
    for (size_t i = 0; i < o->given_count; i++)
        if (o->given[i].spec == spec)
            return &o->given[i];
    return NULL;
}

const char *options_text(const struct options *o, const char *name)
{
    const struct option_given *g = find_given(o, name);
    return g ? g->value : NULL;
}

bool options_flag(const struct options *o, const char *name)
{
    return find_given(o, name) != NULL;
}

int options_int(const struct options *o, const char *name, int64_t min, int64_t max, int64_t *ret,
                struct err *err)
{
    const char *text = options_text(o, name);
    int64_t value;
    if (!text)
        return 0;
    if (num_parse_i64(slice_of(text), &value) < 0 || value < min || value > max)
        return err_set(err, -EINVAL, "--%s is \"%s\", and must be a whole number from %lld to %lld",
                       name, text, (long long)min, (long long)max);
    *ret = value;
    return 0;
}
