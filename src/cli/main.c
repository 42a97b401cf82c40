/* The program's door: finds the subcommand, or the hidden role that the keeper has started this
 * program in, and hands over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "base/num.h"
#include "base/str.h"
#include "base/util.h"
#include "cli/command.h"
#include "cli/remote.h"
#include "controller/controller.h"
#include "proxy/proxy.h"

const struct command *const command_all[] = {
    &command_run,     &command_check,    &command_diff,
    &command_status,  &command_why,      &command_events,
    &command_logs,    &command_scale,    &command_pause,
    &command_resume,  &command_drain,    &command_protect,
    &command_restart, &command_reload,   &command_stop,
    &command_backup,  &command_restore,  &command_replay,
    &command_test,    &command_simulate, &command_tune,
    &command_score,   &command_capacity, &command_config_reference,
    &command_version, &command_help,     NULL,
};

/* `plimsoll --controller --config FILE --state DIR [--admin ADDR]`, started by the keeper. */
static int role_controller(int argc, char **argv)
{
    static const struct option_spec table[] = {
        { "config", 0, "FILE", "" },
        { "state", 0, "DIR", "" },
        { "admin", 0, "ADDR", "" },
        { 0 },
    };
    struct options o;
    struct err err = { 0 };
    options_init(&o);
    options_add_table(&o, table);
    if (options_parse(&o, argc, argv, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    struct controller_options options = {
        .config_path = options_text(&o, "config"),
        .state_dir = options_text(&o, "state"),
        .admin = options_text(&o, "admin"),
    };
    if (!options.config_path || !options.state_dir)
        return command_fail(COMMAND_USAGE, "--controller needs --config and --state");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    return controller_main(&options);
}

/* `plimsoll --proxy`, started by the keeper; the socket to it is in PLIMSOLL_KEEPER_FD. */
static int role_proxy(void)
{
    const char *text = getenv("PLIMSOLL_KEEPER_FD");
    int64_t fd = -1;
    if (text && num_parse_i64(slice_of(text), &fd) < 0)
        return command_fail(COMMAND_USAGE, "PLIMSOLL_KEEPER_FD is \"%s\", no descriptor", text);
    return proxy_main((int)fd);
}

static int check_words(const struct command *c, const struct options *o)
{
    if (o->rest && !c->takes_command)
        return command_fail(COMMAND_USAGE, "%s takes nothing behind `--`", c->name);
    if (o->word_count >= c->words_min && o->word_count <= c->words_max)
        return 0;
    return command_fail(COMMAND_USAGE, "usage: plimsoll %s%s%s [OPTIONS]%s; --help says more",
                        c->name, c->arguments[0] ? " " : "", c->arguments,
                        c->takes_command ? " [-- COMMAND ...]" : "");
}

static int run_command(const struct command *c, int argc, char **argv)
{
    struct options o;
    struct err err = { 0 };
    options_init(&o);
    options_add_table(&o, c->options);
    if (c->remote)
        options_add_table(&o, remote_options);
    options_add_table(&o, command_common_options);
    int rc = options_parse(&o, argc, argv, &err);
    if (rc == 0 && options_flag(&o, "help")) {
        command_print_help(c);
        return COMMAND_OK;
    }
    if (rc < 0)
        return command_fail(COMMAND_USAGE, "%s: %s", c->name, err.text);
    rc = check_words(c, &o);
    return rc != 0 ? rc : c->run(&o);
}

/* --help and --version where a command is expected. */
static const char *command_word(const char *word)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        return "help";
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0)
        return "version";
    return word;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        command_print_list();
        return COMMAND_USAGE;
    }
    if (strcmp(argv[1], "--controller") == 0)
        return role_controller(argc - 2, argv + 2);
    if (strcmp(argv[1], "--proxy") == 0)
        return role_proxy();
    const struct command *c = command_find(command_word(argv[1]));
    return c ? run_command(c, argc - 2, argv + 2) : command_fail_unknown(argv[1]);
}
