/* plimsoll restore: a state directory from a backup. It is made beside its place, whole, and then
 * moved there: what was in its place before is set aside, never removed. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "base/us.h"
#include "cli/command.h"
#include "cli/show.h"
#include "cli/state_dir.h"
#include "keeper/keeper.h"
#include "store/backup.h"
#include "sys/clock.h"

#define DYING_US (2 * US_PER_S) /* a killed process lets go of what it has open at its very end */
#define DYING_LOOK_MS 10

struct places {
    char state[PATH_MAX], making[PATH_MAX], aside[PATH_MAX];
};

static int find_places(const struct options *o, struct places *p, struct err *err)
{
    const char *given = options_text(o, "state");
    struct str s;
    int rc = given ? 0 : state_dir_default(p->state, sizeof(p->state), err);
    if (given && !str_copy(p->state, sizeof(p->state), given))
        rc = err_set(err, -ENAMETOOLONG, "the state directory's path is too long");
    if (rc < 0)
        return rc;
    for (size_t n = strlen(p->state); n > 1 && p->state[n - 1] == '/';)
        p->state[--n] = '\0';
    str_init(&s, p->making, sizeof(p->making));
    str_putf(&s, "%s.restoring-%d", p->state, (int)getpid());
    str_init(&s, p->aside, sizeof(p->aside));
    str_putf(&s, "%s.aside-%lld", p->state, (long long)time(NULL));
    return s.cut ? err_set(err, -ENAMETOOLONG, "the state directory's path is too long") : 0;
}

/* Nothing there counts as empty. */
static bool is_empty(const char *path)
{
    size_t count = 0;
    DIR *dir = opendir(path);
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count <= 2;
}

/* A plimsoll whose directory was moved or removed under it runs on, and would share its instances
 * with what is restored. Its admin socket is still bound to the path. */
static bool is_bound(const char *state_dir)
{
    char socket[PATH_MAX], line[PATH_MAX + 128];
    struct str s;
    bool found = false;
    FILE *f = fopen("/proc/net/unix", "re");
    str_init(&s, socket, sizeof(socket));
    str_putf(&s, "%s/admin.sock", state_dir);
    while (f && !found && fgets(line, sizeof(line), f)) {
        line[strcspn(line, "\n")] = '\0';
        const char *path = strchr(line, '/');
        found = path && strcmp(path, socket) == 0;
    }
    if (f)
        fclose(f);
    return found;
}

/* One that was killed a moment ago has it until nothing is left of it. */
static bool is_served(const char *state_dir)
{
    int64_t until_us = clock_now_us() + DYING_US;
    while (is_bound(state_dir)) {
        if (clock_now_us() >= until_us)
            return true;
        poll(NULL, 0, DYING_LOOK_MS);
    }
    return false;
}

/* 1 = there is something that is to be set aside. */
static int check_place(const struct places *p, bool force, struct err *err)
{
    if (access(p->state, F_OK) < 0)
        return 0;
    int rc = keeper_is_free(p->state, err);
    if (rc < 0 || is_empty(p->state))
        return rc;
    if (!force)
        return err_at(err, -EEXIST, p->state,
                      "has something in it; --force sets it aside (as %s) and restores",
                      strrchr(p->aside, '/') ? strrchr(p->aside, '/') + 1 : p->aside);
    return 1;
}

static int move_in(const struct places *p, bool set_aside, struct err *err)
{
    if (set_aside && rename(p->state, p->aside) < 0)
        return err_at(err, -errno, p->state, "cannot be set aside: %s", strerror(errno));
    if (rename(p->making, p->state) == 0)
        return 0;
    int rc = err_at(err, -errno, p->state, "cannot be made: %s; the restored state is in %s",
                    strerror(errno), p->making);
    if (set_aside)
        rename(p->aside, p->state);
    return rc;
}

static int restore(const char *file, const struct places *p, bool force, struct backup_facts *ret,
                   bool *ret_aside, struct err *err)
{
    int rc = backup_check(file, ret, err);
    if (rc == 0 && is_served(ret->state_dir))
        return err_at(
            err, -EBUSY, ret->state_dir,
            "the plimsoll of this directory, of which the backup was made, still runs, and "
            "%s would take its instances over: stop it first",
            p->state);
    int aside = rc < 0 ? rc : check_place(p, force, err);
    if (aside < 0)
        return aside;
    rc = backup_extract(file, p->making, err);
    if (rc == 0)
        rc = keeper_inherit(p->making, ret->identity, err);
    if (rc == 0)
        rc = move_in(p, aside == 1, err);
    *ret_aside = aside == 1;
    return rc;
}

static int run(const struct options *o)
{
    struct places p;
    struct err err = { 0 };
    struct backup_facts f;
    bool aside = false;
    int rc = find_places(o, &p, &err);
    if (rc == 0)
        rc = restore(o->words[0], &p, options_flag(o, "force"), &f, &aside, &err);
    if (rc < 0)
        return command_fail_err(rc == -EEXIST || rc == -EBUSY ? COMMAND_USAGE : COMMAND_FAILED,
                                &err);
    if (options_flag(o, "json")) {
        printf("{\"files\":%lld,\"aside\":%s%s%s}\n", (long long)f.files, aside ? "\"" : "",
               aside ? p.aside : "null", aside ? "\"" : "");
        return COMMAND_OK;
    }
    time_t made = (time_t)(f.wall_us / 1000000);
    char when[64];
    strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&made));
    printf("%s: as it was on %s on %s, by plimsoll %s\n", p.state, f.host, when, f.version);
    if (aside)
        printf("what was there before is in %s\n", p.aside);
    printf("`plimsoll run --state %s` and the same configuration go on from there\n", p.state);
    return COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "state", 0, "DIR", "the state directory to make (default: the one that run has by default)" },
    { "force", 0, NULL, "set aside what is there already" },
    { 0 },
};

const struct command command_restore = {
    .name = "restore",
    .summary = "make a state directory from a backup",
    .arguments = "FILE",
    .details =
        "The next `plimsoll run` with that directory goes on from where the backup was made\n"
        "and takes over what runs. Refused while the plimsoll that was backed up runs here, also\n"
        "into another directory: both would have the same instances.\n",
    .examples = "  plimsoll restore /backup/plimsoll-2026-11-20.db\n"
                "  plimsoll restore shop.db --state /srv/shop/state --force\n",
    .options = own_options,
    .words_min = 1,
    .words_max = 1,
    .run = run,
};
