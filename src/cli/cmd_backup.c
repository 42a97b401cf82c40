/* plimsoll backup: the state directory as one file, while everything runs. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/show.h"
#include "cli/state_dir.h"
#include "keeper/keeper.h"
#include "store/backup.h"
#include "store/codec.h"

static int run(const struct options *o)
{
    char state[512], identity[64], host[64] = "", size[32], when[CODEC_TIME_BYTES];
    struct err err = { 0 };
    struct backup_facts f;
    const char *given = options_text(o, "state");
    int rc = given ? 0 : state_dir_default(state, sizeof(state), &err);
    if (given && !str_copy(state, sizeof(state), given))
        return command_fail(COMMAND_USAGE, "the state directory's path is too long");
    if (rc == 0)
        rc = keeper_identity(state, identity, sizeof(identity), &err);
    gethostname(host, sizeof(host) - 1);
    if (rc == 0)
        rc = backup_write(state, o->words[0], identity, host, &f, &err);
    if (rc < 0)
        return command_fail_err(COMMAND_FAILED, &err);
    codec_time_format(f.wall_us, when);
    show_bytes(size, sizeof(size), f.bytes);
    if (options_flag(o, "json"))
        printf("{\"bytes\":%lld,\"files\":%lld,\"time\":\"%s\"}\n", (long long)f.bytes,
               (long long)f.files, when);
    else
        printf("%s: %s, the database and %lld files of %s\n", o->words[0], size, (long long)f.files,
               state);
    return COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "state", 0, "DIR", "the state directory (default: the one that run has by default)" },
    { 0 },
};

const struct command command_backup = {
    .name = "backup",
    .summary = "save the state directory as one file, while everything runs",
    .arguments = "FILE",
    .details = "FILE is an SQLite database that only you can read: it has the history (decisions,\n"
               "events, series), the newest of the journal, and what identifies the instances.\n"
               "Not in it: the configuration file, logs. `plimsoll restore` reads it.\n",
    .examples = "  plimsoll backup /backup/plimsoll-$(date +%F).db\n"
                "  plimsoll backup shop.db --state /srv/shop/state\n",
    .options = own_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
