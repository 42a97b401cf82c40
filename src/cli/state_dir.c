/* The state directory: which one, and that it is there. It never looks at what lies inside. */
#include "cli/state_dir.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

#define STATE_DIR_SYSTEM "/var/lib/plimsoll"
/* The proxy runs as another user and walks through here to the instances' sockets; what is secret
 * inside has modes of its own. */
#define STATE_DIR_MODE 0755

int state_dir_default(char *ret, size_t cap, struct err *err)
{
    struct str s;
    str_init(&s, ret, cap);
    const char *xdg = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        str_put(&s, STATE_DIR_SYSTEM);
    else if (xdg && xdg[0] == '/')
        str_putf(&s, "%s/plimsoll", xdg);
    else if (home && home[0] == '/')
        str_putf(&s, "%s/.local/state/plimsoll", home);
    else
        return err_set(err, -ENOENT, "HOME is not set; say where to keep state with --state DIR");
    if (s.cut)
        return err_set(err, -ENAMETOOLONG, "the state directory's path is too long");
    return 0;
}

static int make_one(const char *path)
{
    if (mkdir(path, STATE_DIR_MODE) < 0 && errno != EEXIST)
        return -errno;
    return 0;
}

int state_dir_make(const char *path, struct err *err)
{
    char part[PATH_MAX];
    struct stat st;
    if (!str_copy(part, sizeof(part), path))
        return err_set(err, -ENAMETOOLONG, "the state directory's path is too long");
    int rc = 0;
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)make_one(part); /* a parent that cannot be made shows below */
        *p = '/';
    }
    rc = make_one(part);
    if (stat(path, &st) < 0)
        return err_at(err, rc < 0 ? rc : -errno, path, "cannot make the state directory: %s",
                      strerror(rc < 0 ? -rc : errno));
    if (!S_ISDIR(st.st_mode))
        return err_at(err, -ENOTDIR, path, "is not a directory; state needs one");
    return access(path, W_OK | X_OK) < 0 ? 1 : 0;
}
