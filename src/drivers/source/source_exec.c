/* A command that prints a number. */
#include <string.h>

#include "base/fmt.h"
#include "drivers/child.h"
#include "drivers/command.h"
#include "drivers/source/feed.h"

struct exec_conf {
    struct schema_list command;
    const char *directory;
};

static void on_done(void *ctx, const struct child_end *end)
{
    struct feed *f = ctx;
    char text[FEED_TROUBLE_MAX];
    double value;
    f->self = NULL;
    if (!child_ended_well(end)) {
        child_describe(end, text, sizeof(text));
        feed_fail(f, "%s", text);
    } else if (end->out_over) {
        feed_fail(f, "prints more than %d bytes", CHILD_OUTPUT_MAX);
    } else if (feed_number(end->out.p, end->out.n, &value)) {
        feed_answer(f, value);
    } else {
        feed_fail(f, "prints \"%.*s\", which is no number", (int)MIN(end->out.n, (size_t)40),
                  end->out.p);
    }
}

static void exec_cancel(struct feed *f)
{
    child_cancel(f->self);
    f->self = NULL;
}

static void exec_ask(struct feed *f)
{
    const struct exec_conf *conf = f->conf.conf;
    struct child *child = NULL;
    char *argv[COMMAND_ARGV_MAX];
    command_words(&conf->command, argv);
    const struct child_options options = { .argv = argv, .directory = conf->directory };
    int rc = child_start(f->tools->env.loop, &options, on_done, f, &child);
    f->self = child;
    if (rc < 0)
        feed_fail(f, "cannot be run: %s", uv_strerror(rc));
}

static int exec_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct exec_conf *conf = section;
    if (conf->command.count == 0 || !conf->command.items[0][0])
        return schema_error(ctx, "command", err, "is empty; write a command that prints a number");
    if (conf->command.count > COMMAND_WORDS_MAX)
        return schema_error(ctx, "command", err, "has over %d words", COMMAND_WORDS_MAX);
    return 0;
}

#define AT(member) .offset = offsetof(struct exec_conf, member)

static const struct schema_key keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .required = true,
      .help = "program and arguments; prints one number and ends with status 0; a single text is "
              "run by a shell" },
    { .name = "directory", .type = SCHEMA_TEXT, AT(directory), .help = "working directory" },
    { 0 },
};

static const struct schema_section section = {
    .name = "exec",
    .help = "Runs a command that prints a number, with plimsoll's own rights.",
    .size_bytes = sizeof(struct exec_conf),
    .keys = keys,
    .check = exec_check,
};

const struct feed_ops source_exec = {
    .name = "exec",
    .section = &section,
    .ask = exec_ask,
    .cancel = exec_cancel,
};
