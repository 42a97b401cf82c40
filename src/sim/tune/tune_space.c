/* The knobs, as a table. Bounds are wide enough for every load that the score knows, and no wider
 * than what `check` accepts. */
#include "sim/tune/tune_space.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/math.h"
#include "base/num.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/tune/tune_yaml.h"

enum tune_unit {
    TUNE_FACTOR, /* of the number that is written */
    TUNE_PERCENT,
    TUNE_RATIO_PERCENT, /* a percentage where equal factors matter, not equal steps */
    TUNE_SECONDS,       /* equal factors too; from the lowest on */
    TUNE_SWITCH,        /* two words */
};

struct tune_knob_kind {
    const char *rule; /* of each rule of this kind; NULL = of `scale` itself */
    const char *path;
    enum tune_unit unit;
    double low, high, fallback;
    const char *words[2];
};

/* What is not written counts as `fallback`. */
static const struct tune_knob_kind kinds[] = {
    { "target", "value", TUNE_FACTOR, 0.5, 1.5, 1 },
    { "target", "headroom", TUNE_SWITCH, 0, 1, 0, { "none", "auto" } },
    { "target", "tolerance.up", TUNE_PERCENT, 0, 0.3, 0.1 },
    { "target", "tolerance.down", TUNE_PERCENT, 0, 0.3, 0.1 },
    { "target", "window-down", TUNE_SECONDS, 5, 600, 60 },
    { "concurrency", "utilization", TUNE_PERCENT, 0.4, 1, 0.7 },
    { "concurrency", "stable", TUNE_SECONDS, 10, 300, 60 },
    { "concurrency", "panic", TUNE_SECONDS, 2, 10, 6 },
    { "concurrency", "panic-threshold", TUNE_RATIO_PERCENT, 1.1, 5, 2 },
    { "concurrency", "delay", TUNE_SECONDS, 1, 600, 1 },
    { "queue", "length", TUNE_FACTOR, 0.3, 3, 1 },
    { "predictive", "value", TUNE_FACTOR, 0.5, 1.5, 1 },
    { "predictive", "mode", TUNE_SWITCH, 0, 1, 1, { "forecast-only", "auto" } },
    { "predictive", "margin", TUNE_SECONDS, 5, 600, 60 },
    { NULL, "headroom", TUNE_PERCENT, 0, 0.4, 0 },
    { NULL, "change-cost", TUNE_SECONDS, 1, 600, 1 },
    { NULL, "behavior.down.stabilize", TUNE_SECONDS, 1, 900, 60 },
};

/* -- finding ------------------------------------------------------------------------------------
 */

/* A plain number, or a percentage. */
static bool parse_number(const char *text, double *ret, bool *ret_percent)
{
    *ret_percent = strchr(text, '%') && num_parse_percent(slice_of(text), ret) == 0;
    return *ret_percent || num_parse_double(slice_of(text), ret) == 0;
}

/* Bounds that are factors of what is written. False when that is no number. */
static bool multiply(const struct tune_space *s, struct tune_knob *k)
{
    const struct schema_node *node = tune_yaml_find(s->root, k->path);
    double base;
    if (!node || node->kind != NODE_SCALAR || !parse_number(node->text, &base, &k->percent) ||
        !(base > 0))
        return false;
    k->low *= base;
    k->high *= base;
    return true;
}

static void add(struct tune_space *s, const struct tune_knob_kind *kind, const char *rule)
{
    struct tune_knob *k = &s->knobs[s->count];
    struct str path;
    if (s->count == TUNE_KNOBS_MAX)
        return;
    *k = (struct tune_knob){ .kind = kind, .low = kind->low, .high = kind->high };
    str_init(&path, k->path, sizeof(k->path));
    str_putf(&path, "%s.%s%s", s->scale, rule, kind->path);
    if (!path.cut && (kind->unit != TUNE_FACTOR || multiply(s, k)))
        s->count++;
}

static bool is_rule(const struct tune_space *s, const char *rule, const char *kind)
{
    char path[sizeof(s->knobs[0].path)];
    struct str out;
    str_init(&out, path, sizeof(path));
    str_putf(&out, "%s.%s%s", s->scale, rule, kind);
    return tune_yaml_find(s->root, path);
}

static void add_of_rule(struct tune_space *s, uint32_t n)
{
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        char rule[64];
        struct str out;
        str_init(&out, rule, sizeof(rule));
        str_putf(&out, "rules.%u.", n);
        if (!kinds[k].rule || !is_rule(s, rule, kinds[k].rule))
            continue;
        str_putf(&out, "%s.", kinds[k].rule);
        add(s, &kinds[k], rule);
    }
}

int tune_space_init(struct tune_space *s, const struct schema_node *root, const char *service)
{
    *s = (struct tune_space){ .root = root };
    struct str path;
    str_init(&path, s->scale, sizeof(s->scale));
    str_putf(&path, "services.%s.scale", service);
    const struct schema_node *scale = tune_yaml_find(root, s->scale);
    if (path.cut || !scale || scale->kind != NODE_MAP)
        return -ENOENT;
    const struct schema_node *rules = tune_yaml_find(scale, "rules");
    for (uint32_t n = 0; rules && rules->kind == NODE_LIST && n < rules->count; n++)
        add_of_rule(s, n);
    if (s->count == 0)
        return -EINVAL;
    for (size_t k = 0; k < ARRAY_LEN(kinds); k++) {
        if (!kinds[k].rule)
            add(s, &kinds[k], "");
    }
    return 0;
}

const char *tune_space_name(const struct tune_space *s, uint32_t knob)
{
    return s->knobs[knob].path + strlen(s->scale) + 1;
}

/* -- a point of it ------------------------------------------------------------------------------
 */

/* Half-way between the bounds is half-way for steps, or for factors. */
static double value_at(const struct tune_knob *k, double at)
{
    if (k->kind->unit == TUNE_PERCENT || k->kind->unit == TUNE_SWITCH)
        return k->low + at * (k->high - k->low);
    return k->low * math_pow(k->high / k->low, at);
}

static double place_of(const struct tune_knob *k, double value)
{
    double at = k->kind->unit == TUNE_PERCENT || k->kind->unit == TUNE_SWITCH
                    ? (value - k->low) / (k->high - k->low)
                    : math_log(value / k->low) / math_log(k->high / k->low);
    return CLAMP(at, 0, 1);
}

/* What is written, in the knob's unit; false when it cannot be told. */
static bool written(const struct tune_knob *k, const char *text, double *ret)
{
    struct slice s = slice_of(text);
    int64_t us;
    bool percent;
    switch (k->kind->unit) {
    case TUNE_SECONDS:
        if (num_parse_duration(s, &us) < 0)
            return false;
        *ret = (double)us / (double)US_PER_S;
        return true;
    case TUNE_SWITCH:
        *ret = strcmp(text, k->kind->words[1]) == 0;
        return true;
    default:
        return parse_number(text, ret, &percent);
    }
}

void tune_space_locate(const struct tune_space *s, double *ret_at)
{
    for (uint32_t n = 0; n < s->count; n++) {
        const struct tune_knob *k = &s->knobs[n];
        const struct schema_node *node = tune_yaml_find(s->root, k->path);
        double value = k->kind->fallback;
        if (node && node->kind == NODE_SCALAR)
            (void)written(k, node->text, &value);
        ret_at[n] = place_of(k, MAX(value, k->low));
    }
}

static void put_number(double value, struct str *out)
{
    char text[32];
    fmt_double(text, sizeof(text), value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 4);
    str_put(out, text);
}

/* Rounded to what a person would write: three digits of a number, whole percent and seconds. */
void tune_space_format(const struct tune_knob *k, double at, struct str *out)
{
    double value = value_at(k, CLAMP(at, 0, 1));
    switch (k->kind->unit) {
    case TUNE_FACTOR:
        put_number(k->percent ? 100 * value : value, out);
        str_put(out, k->percent ? "%" : "");
        break;
    case TUNE_PERCENT:
    case TUNE_RATIO_PERCENT:
        str_putf(out, "%lld%%", (long long)floor(100 * value + 0.5));
        break;
    case TUNE_SECONDS:
        str_putf(out, "%llds", (long long)floor(value + 0.5));
        break;
    case TUNE_SWITCH:
        str_put(out, k->kind->words[value >= 0.5]);
        break;
    }
}

const struct schema_node *tune_space_apply(const struct tune_space *s, struct arena *arena,
                                           const double *at)
{
    const struct schema_node *root = s->root;
    for (uint32_t n = 0; n < s->count && root; n++) {
        char text[64];
        struct str out;
        str_init(&out, text, sizeof(text));
        tune_space_format(&s->knobs[n], at[n], &out);
        root = tune_yaml_set(arena, root, s->knobs[n].path, text);
    }
    return root;
}
