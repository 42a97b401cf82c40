/* plimsoll why: the last decisions on a service, each opinion and each limit that led to them. */
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"

static void print_opinions(const json_t *decision)
{
    static const char *const heads[] = { "RULE", ">OUT", ">IN", "WHY", NULL };
    const json_t *opinions = json_object_get(decision, "opinions");
    if (json_array_size(opinions) == 0)
        return;
    struct show_table t;
    show_table_init(&t, heads);
    const json_t *opinion;
    size_t i;
    json_array_foreach(opinions, i, opinion)
    {
        char buf[SHOW_CELL_BYTES];
        show_table_add(&t, show_text(opinion, "rule"));
        show_number(buf, sizeof(buf), json_object_get(opinion, "out"), 0);
        show_table_add(&t, buf);
        show_number(buf, sizeof(buf), json_object_get(opinion, "in"), 0);
        show_table_add(&t, buf);
        fmt(buf, sizeof(buf), "%s%s", show_text(opinion, "text"),
            json_is_true(json_object_get(opinion, "block_in")) ? " (blocks scale-in)" : "");
        show_table_add(&t, buf);
    }
    show_table_print(&t, "    ");
    show_table_done(&t);
}

static void print_steps(const json_t *decision)
{
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(decision, "steps"), i, step) printf(
        "    %-10s %lld -> %lld  %s\n", show_text(step, "limit"), (long long)show_i64(step, "from"),
        (long long)show_i64(step, "to"), show_text(step, "text"));
}

/* What made the core look, in a person's words; others are clear as they are. */
static const char *cause_words(const char *cause)
{
    static const struct {
        const char *cause, *words;
    } table[] = {
        { "tick", "looked at every second" },
        { "doorbell", "the moment demand rose" },
        { "found-all", "after a start, when it was known what runs" },
        { "lease", "after a start, when it was known what runs" },
        { "operator", "a command" },
        { "config", "a new configuration" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (strcmp(table[i].cause, cause) == 0)
            return table[i].words;
    return cause;
}

static void print_decision(const json_t *decision)
{
    char when[64], in_flight[32], queued[32];
    show_time(when, sizeof(when), show_text(decision, "time"));
    show_number(in_flight, sizeof(in_flight), json_object_get(decision, "in_flight"), 0);
    show_number(queued, sizeof(queued), json_object_get(decision, "queued"), 0);
    printf("  %s  %lld -> %lld  (%s%s); %s in flight, %s queued, %lld ready, %lld starting, "
           "%lld draining\n",
           when, (long long)show_i64(decision, "before"), (long long)show_i64(decision, "desired"),
           cause_words(show_text(decision, "cause")),
           json_is_true(json_object_get(decision, "advise")) ? ", advice only" : "", in_flight,
           queued, (long long)show_i64(decision, "ready"),
           (long long)show_i64(decision, "starting"), (long long)show_i64(decision, "draining"));
    if (show_text(decision, "summary")[0])
        printf("    %s\n", show_text(decision, "summary"));
    print_opinions(decision);
    print_steps(decision);
}

/* An opinion that says "unknown" does not say why: its source does. */
static void print_source_troubles(const json_t *sources)
{
    const json_t *source;
    size_t i;
    json_array_foreach(sources, i, source)
    {
        char text[512];
        show_source(text, sizeof(text), source);
        if (show_text(source, "trouble")[0])
            printf("    source %s\n", text);
    }
}

static void print_why(const json_t *root)
{
    const json_t *current = json_object_get(root, "current");
    const json_t *decisions = json_object_get(root, "decisions");
    const json_t *decision;
    size_t i;
    if (json_is_object(current)) {
        printf("%s now:\n", show_text(root, "service"));
        print_decision(current);
        print_source_troubles(json_object_get(root, "sources"));
    } else {
        printf("%s: not evaluated yet\n", show_text(root, "service"));
    }
    printf("\nlast decisions, newest first:\n");
    if (json_array_size(decisions) == 0)
        printf("  none yet\n");
    json_array_foreach(decisions, i, decision) print_decision(decision);
}

static int run(const struct options *o)
{
    char path[512], query[64];
    struct err err = { 0 };
    int64_t limit = 5;
    if (options_int(o, "limit", 1, 1000, &limit, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    fmt(query, sizeof(query), "/why?limit=%lld", (long long)limit);
    int rc = remote_path(path, sizeof(path), "/v1/services/", o->words[0], query);
    _cleanup_json_ json_t *root = NULL;
    if (rc == 0)
        rc = remote_simple(o, "GET", path, NULL, &root);
    if (rc != 0 || !root)
        return rc;
    print_why(root);
    return COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "limit", 'n', "N", "how many decisions (default 5)" },
    { 0 },
};

const struct command command_why = {
    .name = "why",
    .summary = "why a service runs as many instances as it does",
    .arguments = "SERVICE",
    .details =
        "OUT is the count a rule needs at least, IN the count it would be content with; \"-\"\n"
        "is no opinion in that direction. Below the rules stand the limits, in the order in\n"
        "which they were applied.\n",
    .examples = "  plimsoll why shop\n"
                "  plimsoll why shop --limit 20 --json\n",
    .options = own_options,
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
