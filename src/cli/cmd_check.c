/* plimsoll check: is this configuration right, and if not, where and why. */
#include <jansson.h>
#include <stdio.h>

#include "base/str.h"
#include "cli/load.h"
#include "cli/remote.h"
#include "config/config.h"
#include "controller/controller.h"
#include "sys/mem.h"

static bool step_asks_in(const struct rule_step_conf *s)
{
    for (uint32_t i = 0; i < s->step_count; i++)
        if (s->type == RULE_STEP_EXACT || s->steps[i].adjustment < 0)
            return true;
    return false;
}

/* Can it ever lead to fewer instances? */
static bool asks_in(const struct rule_conf *r)
{
    switch (r->kind) {
    case RULE_PREDICTIVE:
        return false;
    case RULE_THRESHOLD:
        return r->threshold.has_below;
    case RULE_STEP:
        return step_asks_in(&r->step);
    case RULE_SCHEDULE:
        return r->schedule.max >= 0 || r->schedule.count >= 0;
    default:
        return true;
    }
}

static bool never_shrinks(const struct service_conf *s)
{
    for (uint32_t i = 0; i < s->rule_count; i++)
        if (asks_in(&s->rules[i]))
            return false;
    return s->rule_count > 0 && s->min < s->max;
}

static void add_notes(const struct config *config, json_t *notes)
{
    for (uint32_t i = 0; i < config->service_count; i++) {
        const struct config_service *s = &config->services[i];
        if (s->scale_defaulted)
            json_array_append_new(
                notes, json_sprintf("%s: no rule given, so: target concurrency 70 and cpu 70%% per "
                                    "instance, min %d, max %d",
                                    s->name, (int)s->scale->min, (int)s->scale->max));
        if (never_shrinks(s->scale))
            json_array_append_new(
                notes, json_sprintf("%s: no rule ever asks for fewer instances, so it grows and "
                                    "does not shrink; add one that does, such as a target",
                                    s->name));
        if (s->scale->mode == SERVICE_ADVISE)
            json_array_append_new(notes, json_sprintf("%s: mode advise: decides and explains, and "
                                                      "acts on nothing",
                                                      s->name));
    }
}

/* Of `tops`: what a section itself has to say. */
static void add_notes_of_tops(const struct config *config, json_t *notes)
{
    const struct schema_section *const *tops = controller_sections()->tops;
    for (size_t i = 0; tops[i]; i++) {
        const char *note = tops[i]->note ? tops[i]->note(config_top(config, tops[i])) : NULL;
        if (note)
            json_array_append_new(notes, json_sprintf("%s: %s", tops[i]->name, note));
    }
}

static int print_json(const struct err *errors, size_t count, json_t *notes)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(
            list, json_pack("{s:s, s:s}", "place", errors[i].place, "text", errors[i].text));
    _cleanup_json_ json_t *root =
        json_pack("{s:b, s:o, s:O}", "ok", (int)(count == 0), "errors", list, "notes", notes);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    return count == 0 ? COMMAND_OK : COMMAND_USAGE;
}

static int run(const struct options *o)
{
    const char *path = o->words[0];
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, LOAD_ARENA_BYTES);
    _cleanup_json_ json_t *notes = json_array();
    struct err errors[LOAD_ERRORS_MAX] = { 0 };
    struct config *config = NULL;
    size_t count = 0;
    int rc = controller_load_config(&arena, path, &config, errors, ARRAY_LEN(errors), &count);
    if (rc == 0) {
        add_notes(config, notes);
        add_notes_of_tops(config, notes);
    }
    if (options_flag(o, "json"))
        return print_json(errors, count, notes);
    for (size_t i = 0; i < count; i++)
        load_print_error(path, &errors[i]);
    if (rc < 0)
        return command_fail(COMMAND_USAGE, "%s: %zu error%s", path, count, count == 1 ? "" : "s");
    const json_t *note;
    size_t i;
    json_array_foreach(notes, i, note) printf("note: %s\n", json_string_value(note));
    printf("%s: fine, %u service%s\n", path, config->service_count,
           config->service_count == 1 ? "" : "s");
    return COMMAND_OK;
}

const struct command command_check = {
    .name = "check",
    .summary = "say what is wrong with a configuration, and where",
    .arguments = "FILE",
    .details = "\"-\" is standard input. Exit status 2 when something is wrong.\n",
    .examples = "  plimsoll check plimsoll.yaml\n"
                "  plimsoll check --json plimsoll.yaml\n",
    .words_min = 1,
    .words_max = 1,
    .run = run,
};

#define REFERENCE_BYTES_MAX ((size_t)256 * 1024)

static int run_reference(const struct options *o)
{
    _cleanup_free_ char *buf = malloc(REFERENCE_BYTES_MAX);
    if (!buf)
        return command_fail(COMMAND_FAILED, "out of memory");
    struct str out;
    str_init(&out, buf, REFERENCE_BYTES_MAX);
    config_print_reference(controller_sections(), &out);
    if (options_flag(o, "json")) {
        _cleanup_json_ json_t *root = json_pack("{s:s}", "markdown", out.p);
        json_dumpf(root, stdout, JSON_COMPACT);
        putchar('\n');
    } else {
        fputs(out.p, stdout);
    }
    return COMMAND_OK;
}

const struct command command_config_reference = {
    .name = "config-reference",
    .summary = "every key of the configuration, as Markdown",
    .arguments = "",
    .examples = "  plimsoll config-reference | less\n",
    .run = run_reference,
};
