/* What --help prints, and how commands complain. All of it comes from the commands' tables. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/remote.h"

const struct option_spec command_common_options[] = {
    { "json", 0, NULL, "print JSON for programs" },
    { "help", 'h', NULL, "print this" },
    { 0 },
};

const struct command *command_find(const char *name)
{
    for (size_t i = 0; command_all[i]; i++)
        if (strcmp(command_all[i]->name, name) == 0)
            return command_all[i];
    return NULL;
}

void command_print_list(void)
{
    printf("plimsoll %s: a load balancer that runs as many instances as the load needs\n\n"
           "usage: plimsoll COMMAND [OPTIONS]\n\n",
           PLIMSOLL_VERSION);
    for (size_t i = 0; command_all[i]; i++)
        printf("  %-17s %s\n", command_all[i]->name, command_all[i]->summary);
    printf("\nbegin with one command:\n"
           "  plimsoll run --listen :8080 --max 8 -- node server.js\n"
           "\n`plimsoll COMMAND --help` says more, with examples.\n");
}

static void print_options(const struct option_spec *table)
{
    for (const struct option_spec *s = table; s && s->name; s++) {
        char left[64];
        struct str out;
        str_init(&out, left, sizeof(left));
        if (s->letter)
            str_putf(&out, "-%c, ", s->letter);
        str_putf(&out, "--%s%s%s", s->name, s->value ? " " : "", s->value ? s->value : "");
        printf("  %-24s %s\n", left, s->help);
    }
}

void command_print_help(const struct command *c)
{
    printf("plimsoll %s: %s\n\nusage: plimsoll %s%s%s [OPTIONS]%s\n\n", c->name, c->summary,
           c->name, c->arguments[0] ? " " : "", c->arguments,
           c->takes_command ? " [-- COMMAND ...]" : "");
    if (c->details)
        printf("%s\n", c->details);
    printf("options:\n");
    print_options(c->options);
    if (c->remote)
        print_options(remote_options);
    print_options(command_common_options);
    printf("\nexamples:\n%s", c->examples);
}

int command_fail(int exit_status, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("plimsoll: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return exit_status;
}

int command_fail_err(int exit_status, const struct err *err)
{
    if (err->place[0])
        return command_fail(exit_status, "%s: %s", err->place, err->text);
    return command_fail(exit_status, "%s", err->text);
}

int command_fail_unknown(const char *name)
{
    const char *names[64];
    size_t count = 0;
    while (command_all[count] && count < ARRAY_LEN(names)) {
        names[count] = command_all[count]->name;
        count++;
    }
    const char *nearest = options_nearest(name, names, count);
    if (nearest)
        return command_fail(COMMAND_USAGE, "unknown command \"%s\"; did you mean \"%s\"?", name,
                            nearest);
    return command_fail(COMMAND_USAGE, "unknown command \"%s\"; `plimsoll help` lists them", name);
}
