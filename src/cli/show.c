/* Tables, times and sizes as people read them. It prints to stdout and knows no command. */
#include "cli/show.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/us.h"

void show_table_init(struct show_table *t, const char *const *heads)
{
    *t = (struct show_table){ 0 };
    for (size_t i = 0; heads[i]; i++)
        t->right[t->column_count++] = heads[i][0] == '>';
    for (size_t i = 0; heads[i]; i++)
        show_table_add(t, heads[i] + (heads[i][0] == '>'));
}

void show_table_add(struct show_table *t, const char *text)
{
    if (t->cell_count == t->cell_cap) {
        size_t cap = t->cell_cap ? t->cell_cap * 2 : 64;
        void *grown = realloc(t->cells, cap * SHOW_CELL_BYTES);
        if (!grown)
            abort();
        t->cells = grown;
        t->cell_cap = cap;
    }
    struct str s;
    str_init(&s, t->cells[t->cell_count++], SHOW_CELL_BYTES);
    str_put(&s, text);
}

void show_table_add_i64(struct show_table *t, int64_t value)
{
    char buf[32];
    fmt(buf, sizeof(buf), "%lld", (long long)value);
    show_table_add(t, buf);
}

static int column_width(const struct show_table *t, size_t column)
{
    size_t width = 0;
    for (size_t i = column; i < t->cell_count; i += t->column_count)
        width = MAX(width, strlen(t->cells[i]));
    return (int)width;
}

static void print_row(const struct show_table *t, size_t first, const int *widths)
{
    size_t last = MIN(first + t->column_count, t->cell_count);
    while (last > first && !t->cells[last - 1][0])
        last--; /* no blanks at the end of a line */
    for (size_t i = first; i < last; i++) {
        int width = widths[i - first];
        if (i > first)
            fputs("  ", stdout);
        if (t->right[i - first])
            printf("%*s", width, t->cells[i]);
        else
            printf("%-*s", i + 1 == last ? 0 : width, t->cells[i]);
    }
    putchar('\n');
}

void show_table_print(const struct show_table *t, const char *indent)
{
    int widths[SHOW_COLUMNS_MAX];
    for (size_t c = 0; c < t->column_count; c++)
        widths[c] = column_width(t, c);
    for (size_t i = 0; i < t->cell_count; i += t->column_count) {
        fputs(indent, stdout);
        print_row(t, i, widths);
    }
}

void show_table_done(struct show_table *t)
{
    free(t->cells);
    *t = (struct show_table){ 0 };
}

/* Some of it was said by engines, plugins and programs. */
const char *show_string(json_t *value)
{
    const char *text = json_string_value(value);
    if (!text || str_is_clean(text))
        return text ? text : "";
    char *clean = strdup(text);
    if (!clean)
        abort();
    str_clean(clean);
    json_string_set(value, clean);
    free(clean);
    return json_string_value(value);
}

const char *show_text(const json_t *object, const char *key)
{
    return show_string(json_object_get(object, key));
}

int64_t show_i64(const json_t *object, const char *key)
{
    return (int64_t)json_number_value(json_object_get(object, key));
}

double show_double(const json_t *object, const char *key, double fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

int64_t show_parse_time(const char *iso)
{
    struct tm tm = { 0 };
    if (!strptime(iso, "%Y-%m-%dT%H:%M:%S", &tm))
        return -1;
    return timegm(&tm);
}

void show_age(char *buf, size_t cap, const char *iso)
{
    int64_t then = show_parse_time(iso);
    buf[0] = 0;
    if (then < 0)
        return;
    int64_t age_s = MAX(time(NULL) - then, 0);
    if (age_s >= 86400)
        age_s -= age_s % 3600;
    else if (age_s >= 3600)
        age_s -= age_s % 60;
    if (age_s == 0)
        (void)str_copy(buf, cap, "0s");
    else
        num_format_duration(buf, cap, age_s * 1000000);
}

void show_time(char *buf, size_t cap, const char *iso)
{
    time_t then = show_parse_time(iso), now = time(NULL);
    struct tm then_tm, now_tm;
    buf[0] = 0;
    if (then < 0)
        return;
    localtime_r(&then, &then_tm);
    localtime_r(&now, &now_tm);
    bool today = then_tm.tm_yday == now_tm.tm_yday && then_tm.tm_year == now_tm.tm_year;
    strftime(buf, cap, today ? "%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &then_tm);
}

void show_bytes(char *buf, size_t cap, int64_t bytes)
{
    static const char *const units[] = { "B", "K", "M", "G", "T" };
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < ARRAY_LEN(units)) {
        value /= 1024;
        unit++;
    }
    char number[32];
    fmt_double(number, sizeof(number), value, value < 10 && unit > 0 ? 1 : 0);
    fmt(buf, cap, "%s%s", number, units[unit]);
}

void show_number(char *buf, size_t cap, const json_t *value, int decimals)
{
    if (json_is_number(value))
        fmt_double(buf, cap, json_number_value(value), decimals);
    else
        str_copy(buf, cap, "-");
}

void show_source(char *buf, size_t cap, const json_t *source)
{
    char value[64], age[64];
    const char *trouble = show_text(source, "trouble");
    const json_t *number = json_object_get(source, "value");
    show_number(value, sizeof(value), number, 3);
    show_age(age, sizeof(age), show_text(source, "trouble_since"));
    fmt(buf, cap, "%s (%s) %s%s%s%s%s", show_text(source, "name"), show_text(source, "kind"),
        json_is_number(number) ? value : "unknown", trouble[0] ? ": " : "", trouble,
        age[0] ? ", for " : "", age);
}

void show_alert(char *buf, size_t cap, const json_t *alert)
{
    char age[64];
    const char *service = show_text(alert, "service");
    show_age(age, sizeof(age), show_text(alert, "since"));
    fmt(buf, cap, "%s%s%s %s %s: %s", service, service[0] ? ": " : "", show_text(alert, "kind"),
        show_text(alert, "state"), age, show_text(alert, "text"));
}

void show_member(char *buf, size_t cap, const json_t *member)
{
    char heard[64] = "";
    const char *trouble = show_text(member, "trouble");
    const json_t *heard_s = json_object_get(member, "heard_s");
    bool silent = json_is_true(json_object_get(member, "silent"));
    if (silent && json_is_number(heard_s))
        num_format_duration_short(heard, sizeof(heard),
                                  (int64_t)(json_number_value(heard_s) * 1e6));
    fmt(buf, cap, "%s%s%s%s%s%s%s%s%s", show_text(member, "name"),
        show_text(member, "url")[0] ? " " : "", show_text(member, "url"),
        json_is_true(json_object_get(member, "leads")) ? ", leads" : "",
        json_is_true(json_object_get(member, "self")) ? ", this one" : "",
        !silent    ? ""
        : heard[0] ? ", silent for "
                   : ", never heard",
        heard, trouble[0] ? ": " : "", trouble);
}

void show_engine(char *buf, size_t cap, const json_t *engine)
{
    static const char said[] = "the engine does not answer: "; /* as its services have it */
    const char *trouble = show_text(engine, "trouble");
    bool up = json_is_true(json_object_get(engine, "up"));
    if (strncmp(trouble, said, sizeof(said) - 1) == 0)
        trouble += sizeof(said) - 1;
    fmt(buf, cap, "engine %s %s%s%s", show_text(engine, "name"), up ? "answers" : "does not answer",
        trouble[0] ? ": " : "", trouble);
}

void show_event(char *buf, size_t cap, const json_t *event)
{
    char when[64];
    const char *instance = show_text(event, "instance");
    const char *who = instance[0] ? instance : show_text(event, "service");
    show_time(when, sizeof(when), show_text(event, "time"));
    fmt(buf, cap, "%s  %-10s %s%s%s", when, show_text(event, "kind"), who, who[0] ? ": " : "",
        show_text(event, "text"));
}

void show_note(char *buf, size_t cap, const json_t *service)
{
    struct str s;
    const json_t *operator_ = json_object_get(service, "operator");
    const char *trouble = show_text(service, "trouble");
    str_init(&s, buf, cap);
    if (strcmp(show_text(service, "mode"), "advise") == 0)
        str_put(&s, "advises only; ");
    if (json_is_true(json_object_get(service, "paused")))
        str_put(&s, "paused; ");
    if (json_is_object(operator_))
        str_putf(&s, "held at %lld by the operator%s; ", (long long)show_i64(operator_, "count"),
                 json_is_true(json_object_get(operator_, "forced")) ? " (forced)" : "");
    str_put(&s, trouble);
    if (!trouble[0] && s.len >= 2)
        s.p[s.len - 2] = 0;
}
