/* The reference of all keys as Markdown, printed from the tables that read them, so that it cannot
 * say anything else than the program does. */
#include "config/tables.h"

static void put_heading(const char *path, int depth, struct str *out)
{
    str_put(out, "\n");
    for (int i = 0; i < MIN(depth + 2, 5); i++)
        str_put_char(out, '#');
    str_putf(out, " %s\n\n", path);
}

/* A bar would end the table's cell. */
static void put_escaped(const char *text, struct str *out)
{
    for (; *text; text++) {
        if (*text == '|')
            str_put_char(out, '\\');
        str_put_char(out, *text);
    }
}

static void put_type(const struct schema_key *key, struct str *out)
{
    static const char *const types[] = {
        [SCHEMA_BOOL] = "true or false", [SCHEMA_INT] = "whole number",
        [SCHEMA_DURATION] = "duration",  [SCHEMA_SIZE] = "size",
        [SCHEMA_RATIO] = "ratio",        [SCHEMA_NUMBER] = "number",
        [SCHEMA_TEXT] = "text",          [SCHEMA_ENUM] = "",
        [SCHEMA_LIST] = "list of texts", [SCHEMA_MAP] = "map of texts",
        [SCHEMA_SECTION] = "map",        [SCHEMA_CUSTOM] = "see right",
    };
    bool words = key->type == SCHEMA_ENUM || key->type == SCHEMA_TEXT;
    if (!words || !key->names)
        str_put(out, types[key->type]);
    for (int i = 0; key->names && key->names[i]; i++)
        str_putf(out, "%s`%s`", i > 0 ? ", " : words ? "" : " or ", key->names[i]);
}

static void put_range(const struct schema_key *key, struct str *out)
{
    if (key->min == 0 && key->max == 0)
        return;
    str_put(out, ", ");
    schema_print_bound(key->type, key->min, out);
    str_put(out, " to ");
    schema_print_bound(key->type, key->max, out);
}

static void put_key(const struct schema_key *key, struct str *out)
{
    str_putf(out, "| `%s` | ", key->name);
    put_type(key, out);
    put_range(key, out);
    str_put(out, " | ");
    if (key->required)
        str_put(out, "required");
    else if (key->fallback)
        str_putf(out, "`%s`", key->fallback);
    str_put(out, " | ");
    const char *help = !key->help && key->section ? key->section->help : key->help;
    put_escaped(help ? help : "", out);
    str_put(out, " |\n");
}

#define SECTIONS_MAX 128

/* What is shared between places is printed at the first of them. */
struct printer {
    struct str *out;
    const struct schema_section *const *tops; /* beside the keys of the top */
    size_t count;
    const struct schema_section *printed[SECTIONS_MAX];
};

static bool is_new(struct printer *p, const struct schema_section *section)
{
    for (size_t i = 0; i < p->count; i++)
        if (p->printed[i] == section)
            return false;
    if (p->count < SECTIONS_MAX)
        p->printed[p->count++] = section;
    return true;
}

static void put_section(struct printer *p, const struct schema_section *section, const char *path,
                        int depth)
{
    if (!is_new(p, section))
        return;
    put_heading(path[0] ? path : "Top of the file", depth, p->out);
    if (section->help)
        str_putf(p->out, "%s\n\n", section->help);
    str_put(p->out, "| key | value | default | |\n|---|---|---|---|\n");
    for (const struct schema_key *k = section->keys; k->name; k++)
        put_key(k, p->out);
    for (size_t i = 0; section == &config_section_top && p->tops && p->tops[i]; i++)
        put_key(&(struct schema_key){ .name = p->tops[i]->name,
                                      .type = SCHEMA_SECTION,
                                      .help = p->tops[i]->help },
                p->out);
    for (const struct schema_key *k = section->keys; k->name; k++) {
        char inner[128];
        struct str s;
        if (!k->section)
            continue;
        str_init(&s, inner, sizeof(inner));
        str_putf(&s, "%s%s%s%s", path, path[0] ? "." : "", k->name,
                 k->section->named ? ".NAME" : "");
        put_section(p, k->section, inner, depth + 1);
    }
}

static void put_metrics(struct str *out)
{
    str_put(out, "\n## Metrics\n\n| name | unit | |\n|---|---|---|\n");
    for (int i = 0; i < METRIC_BUILTIN_MAX; i++) {
        const struct metric_info *m = metric_info((enum metric)i);
        str_putf(out, "| `%s` | %s | ", m->name, m->ratio ? "%" : m->unit);
        put_escaped(m->help, out);
        str_put(out, " |\n");
    }
}

static void put_drivers(struct printer *p, const struct schema_section *const *sections,
                        const char *path, int depth)
{
    for (size_t i = 0; sections && sections[i]; i++) {
        char inner[96];
        struct str s;
        str_init(&s, inner, sizeof(inner));
        str_putf(&s, "%s%s%s", path, path[0] ? "." : "", sections[i]->name);
        put_section(p, sections[i], inner, depth);
    }
}

void config_print_reference(const struct config_sections *sections, struct str *out)
{
    str_put(
        out,
        "# Configuration\n\nThis page is printed by `plimsoll config-reference` from the "
        "tables that read the file.\n\nThe file is YAML. Every number has a unit where it could "
        "have several: durations `250ms`, `10s`, `5m`, `1h30m`; sizes `64KiB`, `10MB`; ratios "
        "`80%` or `0.8`. Unknown keys and keys written twice are errors.\n");
    struct printer p = { .out = out, .tops = sections->tops };
    put_section(&p, &config_section_top, "", 0);
    put_drivers(&p, sections->provisioners, "services.NAME", 2);
    put_drivers(&p, sections->sources, "services.NAME.sources.NAME", 3);
    put_drivers(&p, sections->tops, "", 0);
    put_metrics(out);
}
