/* plimsoll version, and plimsoll help. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"
#include "cli/remote.h"
#include "controller/controller.h"
#include "core/rule.h"
#include "sys/mem.h"

/* A line for each family of features. */
static void print_features(FILE *out)
{
    fputs("rules:", out);
    for (unsigned k = 0; k < RULE_KIND_MAX; k++)
        fprintf(out, " %s", rule_kind_name((enum rule_kind)k));
    fputc('\n', out);
    controller_features(out);
}

/* "rules: target threshold" -> "rules": ["target", "threshold"] */
static void add_feature_line(json_t *root, char *line)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return;
    *colon = 0;
    json_t *list = json_array();
    char *save = NULL;
    for (char *w = strtok_r(colon + 1, " ,", &save); w; w = strtok_r(NULL, " ,", &save))
        json_array_append_new(list, json_string(w));
    json_object_set_new(root, line, list);
}

static int print_json(void)
{
    _cleanup_free_ char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return command_fail(COMMAND_FAILED, "out of memory");
    print_features(f);
    fclose(f);
    _cleanup_json_ json_t *root =
        json_pack("{s:s, s:s}", "version", PLIMSOLL_VERSION, "built", PLIMSOLL_BUILD_INFO);
    char *save = NULL;
    for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
        add_feature_line(root, l);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
    return COMMAND_OK;
}

static int run_version(const struct options *o)
{
    if (options_flag(o, "json"))
        return print_json();
    printf("plimsoll %s\nbuilt: %s\n", PLIMSOLL_VERSION, PLIMSOLL_BUILD_INFO);
    print_features(stdout);
    return COMMAND_OK;
}

static int run_help(const struct options *o)
{
    if (o->word_count == 0) {
        command_print_list();
        return COMMAND_OK;
    }
    const struct command *c = command_find(o->words[0]);
    if (!c)
        return command_fail_unknown(o->words[0]);
    command_print_help(c);
    return COMMAND_OK;
}

const struct command command_version = {
    .name = "version",
    .summary = "the version, and what is built in",
    .arguments = "",
    .examples = "  plimsoll version\n"
                "  plimsoll --version\n",
    .run = run_version,
};

const struct command command_help = {
    .name = "help",
    .summary = "this list, or what a command does",
    .arguments = "[COMMAND]",
    .examples = "  plimsoll help why\n",
    .words_max = 1,
    .run = run_help,
};
