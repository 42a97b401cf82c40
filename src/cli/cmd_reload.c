/* plimsoll reload, and what it would change: plimsoll diff. Both answer with the same lines. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/load.h"
#include "cli/remote.h"
#include "config/config.h"
#include "sys/mem.h"

#define DIFF_BYTES_MAX 65536

static int print_changes(const struct options *o, const char *path)
{
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_simple(o, "POST", path, NULL, &root);
    if (rc != 0 || !root)
        return rc;
    const json_t *changes = json_object_get(root, "changes"), *change;
    size_t i;
    json_array_foreach(changes, i, change) printf("%s\n", json_string_value(change));
    if (json_array_size(changes) == 0)
        printf("nothing changes\n");
    return COMMAND_OK;
}

static int run_reload(const struct options *o)
{
    return print_changes(o, "/v1/reload");
}

static void print_lines(const struct options *o, const char *text)
{
    if (!options_flag(o, "json")) {
        fputs(text[0] ? text : "nothing changes\n", stdout);
        return;
    }
    json_t *lines = json_array();
    while (*text) {
        size_t n = strcspn(text, "\n");
        json_array_append_new(lines, json_stringn(text, n));
        text += n + (text[n] == '\n');
    }
    _cleanup_json_ json_t *root = json_pack("{s:o}", "changes", lines);
    json_dumpf(root, stdout, JSON_COMPACT);
    putchar('\n');
}

/* Two files, without a running plimsoll. */
static int diff_files(const struct options *o)
{
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, LOAD_ARENA_BYTES);
    struct config *before = NULL, *after = NULL;
    if (load_config(&arena, o->words[0], &before) < 0 ||
        load_config(&arena, o->words[1], &after) < 0)
        return COMMAND_USAGE;
    _cleanup_free_ char *buf = malloc(DIFF_BYTES_MAX);
    if (!buf)
        return command_fail(COMMAND_FAILED, "out of memory");
    struct str out;
    str_init(&out, buf, DIFF_BYTES_MAX);
    config_diff(before, after, &out);
    print_lines(o, out.p);
    return COMMAND_OK;
}

static int run_diff(const struct options *o)
{
    if (o->word_count == 1)
        return command_fail(COMMAND_USAGE, "diff takes no file (the running configuration against "
                                           "its file), or two files");
    return o->word_count == 2 ? diff_files(o) : print_changes(o, "/v1/diff");
}

const struct command command_reload = {
    .name = "reload",
    .summary = "read the configuration file again",
    .arguments = "",
    .details = "A broken file is refused whole, with the places of its errors, and the running\n"
               "configuration goes on. SIGHUP to the keeper does the same.\n",
    .examples = "  plimsoll diff && plimsoll reload\n",
    .remote = true,
    .run = run_reload,
};

const struct command command_diff = {
    .name = "diff",
    .summary = "what a reload would change, and what that does",
    .arguments = "[OLD NEW]",
    .details = "Without files: the running configuration against its file as it is now.\n",
    .examples = "  plimsoll diff\n"
                "  plimsoll diff plimsoll.yaml plimsoll.new.yaml\n",
    .remote = true,
    .words_max = 2,
    .run = run_diff,
};
