/* plimsoll events: what happened, one line each. */
#include <stdio.h>

#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"

static void print_event(const json_t *event)
{
    char when[64];
    show_time(when, sizeof(when), show_text(event, "time"));
    const char *instance = show_text(event, "instance");
    const char *who = instance[0] ? instance : show_text(event, "service");
    printf("%s  %-10s %s%s%s\n", when, show_text(event, "kind"), who, who[0] ? ": " : "",
           show_text(event, "text"));
}

static int run(const struct options *o)
{
    char path[512], service[256] = "";
    struct err err = { 0 };
    int64_t limit = 50;
    if (options_int(o, "limit", 1, 10000, &limit, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    if (o->word_count > 0 &&
        remote_path(service, sizeof(service), "&service=", o->words[0], "") != 0)
        return COMMAND_USAGE;
    struct str s;
    str_init(&s, path, sizeof(path));
    str_putf(&s, "/v1/events?limit=%lld%s", (long long)limit, service);
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_simple(o, "GET", path, NULL, &root);
    const json_t *event;
    size_t i;
    json_array_foreach(json_object_get(root, "events"), i, event) print_event(event);
    return rc;
}

static const struct option_spec own_options[] = {
    { "limit", 'n', "N", "how many (default 50)" },
    { 0 },
};

const struct command command_events = {
    .name = "events",
    .summary = "what happened: starts, stops, failures, operators, reloads",
    .arguments = "[SERVICE]",
    .examples = "  plimsoll events\n"
                "  plimsoll events shop --limit 200\n",
    .options = own_options,
    .remote = true,
    .words_max = 1,
    .run = run,
};
