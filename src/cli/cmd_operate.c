/* The commands by which an operator steps in: scale, pause, resume, restart, drain, protect. Each
 * is one POST and one line of answer, so they share a file. */
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"

/* POSTs to BEFORE/NAME/ACTION and says `done` with the name in place of %s. */
static int post(const struct options *o, const char *before, const char *action, json_t *body,
                const char *done)
{
    char path[512];
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_path(path, sizeof(path), before, o->words[0], action);
    if (rc != 0) {
        json_decref(body);
        return rc;
    }
    rc = remote_simple(o, "POST", path, body, &root);
    if (rc == 0 && root)
        printf("%s: %s\n", o->words[0], done);
    return rc;
}

/* `asked` < 0: back to the rules. */
static void say_scaled(const struct options *o, int64_t desired, int64_t asked)
{
    const char *name = o->words[0], *s = desired == 1 ? "" : "s";
    if (asked < 0)
        printf("%s: %lld instance%s wanted, by its rules from now on\n", name, (long long)desired,
               s);
    else
        printf("%s: %lld instance%s wanted%s; `scale %s auto` takes this back\n", name,
               (long long)desired, s,
               desired < asked ? ", for max holds (--force goes beyond it)" : "", name);
}

static int run_scale(const struct options *o)
{
    char path[512];
    int64_t count = -1;
    json_t *body;
    if (strcmp(o->words[1], "auto") == 0)
        body = json_pack("{s:s}", "count", "auto");
    else if (num_parse_i64(slice_of(o->words[1]), &count) == 0 && count >= 0)
        body = json_pack("{s:I}", "count", (json_int_t)count);
    else
        return command_fail(COMMAND_USAGE, "\"%s\" is no count; give a number from 0 on, or auto",
                            o->words[1]);
    if (options_flag(o, "force"))
        json_object_set_new(body, "force", json_true());
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_path(path, sizeof(path), "/v1/services/", o->words[0], "/scale");
    if (rc != 0) {
        json_decref(body);
        return rc;
    }
    rc = remote_simple(o, "POST", path, body, &root);
    if (rc == 0 && root)
        say_scaled(o, show_i64(root, "desired"), count);
    return rc;
}

static int run_pause(const struct options *o)
{
    return post(o, "/v1/services/", "/pause", NULL, "paused; its count stays until `resume`");
}

static int run_resume(const struct options *o)
{
    return post(o, "/v1/services/", "/resume", NULL,
                "no longer paused; its rules decide, unless `scale` holds a count");
}

static int run_restart(const struct options *o)
{
    return post(o, "/v1/services/", "/restart", NULL,
                "its instances are being replaced one by one");
}

static int run_drain(const struct options *o)
{
    return post(o, "/v1/instances/", "/drain", NULL,
                "draining; it ends when its requests have ended");
}

static int run_protect(const struct options *o)
{
    bool on = !options_flag(o, "off");
    return post(o, "/v1/instances/", "/protect", json_pack("{s:b}", "on", (int)on),
                on ? "protected from scale-in" : "may be scaled in again");
}

static const struct option_spec scale_options[] = {
    { "force", 0, NULL, "go beyond the service's max" },
    { 0 },
};

const struct command command_scale = {
    .name = "scale",
    .summary = "hold a service at a count, or give it back to its rules",
    .arguments = "SERVICE N|auto",
    .details = "The count holds until `scale SERVICE auto`. The service's max still holds, unless\n"
               "forced.\n",
    .examples = "  plimsoll scale shop 6\n"
                "  plimsoll scale shop auto\n",
    .options = scale_options,
    .remote = true,
    .words_min = 2,
    .words_max = 2,
    .run = run_scale,
};

const struct command command_pause = {
    .name = "pause",
    .summary = "keep a service's count as it is",
    .arguments = "SERVICE",
    .details = "Instances that die are still replaced.\n",
    .examples = "  plimsoll pause shop\n",
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run_pause,
};

const struct command command_resume = {
    .name = "resume",
    .summary = "let a paused service follow its rules again",
    .arguments = "SERVICE",
    .examples = "  plimsoll resume shop\n",
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run_resume,
};

const struct command command_restart = {
    .name = "restart",
    .summary = "replace a service's instances one by one, without a failed request",
    .arguments = "SERVICE",
    .examples = "  plimsoll restart shop\n",
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run_restart,
};

const struct command command_drain = {
    .name = "drain",
    .summary = "take one instance out: no new requests, and it ends when idle",
    .arguments = "INSTANCE",
    .details = "If the count still calls for it, another one takes its place.\n",
    .examples = "  plimsoll drain shop-3\n",
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run_drain,
};

static const struct option_spec protect_options[] = {
    { "off", 0, NULL, "take the protection back" },
    { 0 },
};

const struct command command_protect = {
    .name = "protect",
    .summary = "keep scale-in from choosing an instance",
    .arguments = "INSTANCE",
    .examples = "  plimsoll protect shop-3\n"
                "  plimsoll protect shop-3 --off\n",
    .options = protect_options,
    .remote = true,
    .words_min = 1,
    .words_max = 1,
    .run = run_protect,
};
