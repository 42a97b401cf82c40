/* plimsoll replay: the recorded events through a fresh core; out come the decisions. */
#include <stdio.h>

#include "cli/command.h"
#include "controller/controller.h"

static int run(const struct options *o)
{
    struct err err = { 0 };
    int rc = controller_replay(o->words[0], options_flag(o, "compare"), stdout, &err);
    if (rc < 0)
        return command_fail_err(COMMAND_FAILED, &err);
    return rc == 0 ? COMMAND_OK : COMMAND_FAILED;
}

static const struct option_spec own_options[] = {
    { "compare", 0, NULL,
      "hold each decision against the one recorded; exit status 1 if one differs" },
    { 0 },
};

const struct command command_replay = {
    .name = "replay",
    .summary = "a journal's decisions again, as JSON lines",
    .arguments = "JOURNAL",
    .details = "JOURNAL is a file, or the directory `journal` in a state directory. The output is\n"
               "JSON with and without --json.\n",
    .examples = "  plimsoll replay /var/lib/plimsoll/journal\n"
                "  plimsoll replay --compare /var/lib/plimsoll/journal\n",
    .options = own_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
