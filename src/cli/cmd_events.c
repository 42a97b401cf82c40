/* plimsoll events: what happened, one line each. */
#include <stdio.h>
#include <time.h>

#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"

#define EVENTS_MAX 10000
#define EVENTS_POLL_NS 250000000L

struct events {
    struct remote *remote;
    const char *service; /* "&service=NAME", or "" */
    int64_t after;       /* the newest that has been printed */
    bool json;
};

static void print_event(const struct events *e, const json_t *event)
{
    char text[1024];
    if (e->json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    show_event(text, sizeof(text), event);
    printf("%s\n", text);
}

static int ask(struct events *e, int64_t limit, json_t **ret)
{
    char path[512];
    struct str s;
    str_init(&s, path, sizeof(path));
    str_putf(&s, "/v1/events?limit=%lld&after=%lld%s", (long long)limit, (long long)e->after,
             e->service);
    return remote_call_json(e->remote, "GET", path, NULL, ret);
}

static int print_new(struct events *e, int64_t limit)
{
    _cleanup_json_ json_t *root = NULL;
    const json_t *event;
    size_t i;
    int rc = ask(e, limit, &root);
    json_array_foreach(json_object_get(root, "events"), i, event)
    {
        print_event(e, event);
        e->after = show_i64(event, "id");
    }
    fflush(stdout);
    return rc;
}

static int follow(struct events *e, int64_t limit)
{
    for (int rc = print_new(e, limit);; rc = print_new(e, EVENTS_MAX)) {
        struct timespec pause = { .tv_nsec = EVENTS_POLL_NS };
        if (rc != 0)
            return rc;
        nanosleep(&pause, NULL);
    }
}

/* With --json the answer as it is; following, a line for each. */
static int print_once(struct events *e, int64_t limit)
{
    _cleanup_json_ json_t *root = NULL;
    if (!e->json)
        return print_new(e, limit);
    int rc = ask(e, limit, &root);
    if (rc == 0)
        json_dumpf(root, stdout, JSON_COMPACT);
    if (rc == 0)
        putchar('\n');
    return rc;
}

static int run(const struct options *o)
{
    char service[256] = "";
    struct err err = { 0 };
    int64_t limit = 50;
    _cleanup_remote_ struct remote *remote = NULL;
    if (options_int(o, "limit", 1, EVENTS_MAX, &limit, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    if (o->word_count > 0 &&
        remote_path(service, sizeof(service), "&service=", o->words[0], "") != 0)
        return COMMAND_USAGE;
    int rc = remote_open(o, &remote);
    if (rc != 0)
        return rc;
    struct events e = { .remote = remote, .service = service, .json = options_flag(o, "json") };
    return options_flag(o, "follow") ? follow(&e, limit) : print_once(&e, limit);
}

static const struct option_spec own_options[] = {
    { "follow", 'f', NULL, "go on printing what happens" },
    { "limit", 'n', "N", "how many to begin with (default 50)" },
    { 0 },
};

const struct command command_events = {
    .name = "events",
    .summary = "what happened: starts, stops, failures, operators, reloads",
    .arguments = "[SERVICE]",
    .examples = "  plimsoll events\n"
                "  plimsoll events shop --limit 200\n"
                "  plimsoll events --follow\n",
    .options = own_options,
    .remote = true,
    .words_max = 1,
    .run = run,
};
