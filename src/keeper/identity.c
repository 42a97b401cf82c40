/* STATE/keeper/.identity: the inherited name, and the own one of the directory that inherited it. A
 * copy of that directory is another one and inherits nothing: two keepers would adopt the same
 * instances. */
#include "keeper/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "keeper/keeper.h"
#include "sys/mem.h"

static void make_path(char path[PATH_MAX], const char *state_dir)
{
    snprintf(path, PATH_MAX, "%s/keeper/.identity", state_dir);
}

static void make_own(const struct stat *st, char ret[LOCK_IDENTITY_MAX])
{
    snprintf(ret, LOCK_IDENTITY_MAX, "%llx-%llx", (unsigned long long)st->st_dev,
             (unsigned long long)st->st_ino);
}

bool identity_inherited(const char *state_dir, const char *own, char ret[LOCK_IDENTITY_MAX])
{
    char path[PATH_MAX], text[2 * LOCK_IDENTITY_MAX + 2] = "";
    struct stat st;
    make_path(path, state_dir);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        read(fd, text, sizeof(text) - 1) <= 0)
        return false;
    text[strcspn(text, "\n")] = '\0';
    char *space = strchr(text, ' ');
    if (!space || strcmp(space + 1, own) != 0)
        return false;
    *space = '\0';
    return str_copy(ret, LOCK_IDENTITY_MAX, text);
}

int keeper_identity(const char *state_dir, char *ret, size_t cap, struct err *err)
{
    char identity[LOCK_IDENTITY_MAX];
    int rc = lock_identify(state_dir, identity, err);
    if (rc == 0 && !str_copy(ret, cap, identity))
        rc = err_set(err, -ENAMETOOLONG, "the identity of %s is too long", state_dir);
    return rc;
}

int keeper_inherit(const char *state_dir, const char *identity, struct err *err)
{
    char path[PATH_MAX], own[LOCK_IDENTITY_MAX], text[2 * LOCK_IDENTITY_MAX + 2];
    struct stat st;
    make_path(path, state_dir);
    if (stat(state_dir, &st) < 0)
        return err_at(err, -errno, state_dir, "%s", strerror(errno));
    make_own(&st, own);
    char folder[PATH_MAX];
    snprintf(folder, sizeof(folder), "%s/keeper", state_dir);
    mkdir(folder, 0700);
    if (strlen(identity) >= LOCK_IDENTITY_MAX)
        return err_set(err, -EINVAL, "\"%.80s\" is no identity", identity);
    int n = snprintf(text, sizeof(text), "%s %s\n", identity, own);
    _cleanup_close_ int fd =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, text, (size_t)n) != n)
        return err_at(err, fd < 0 ? -errno : -ENOSPC, path, "cannot be written: %s",
                      strerror(fd < 0 ? errno : ENOSPC));
    return 0;
}
