/* One small file that is ours and nobody else's to read; what is not so is never believed. */
#include "keeper/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.h"
#include "sys/log.h"
#include "sys/mem.h"

static int read_from(const char *path, struct token_key *key)
{
    struct stat st;
    uint8_t secret[TOKEN_SECRET_BYTES];
    _cleanup_close_ int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077) != 0 ||
        read(fd, secret, sizeof(secret)) != sizeof(secret))
        return -EPERM;
    memcpy(key->secret, secret, sizeof(secret));
    return 0;
}

static int write_to(const char *path, const struct token_key *key)
{
    return file_replace(path, key->secret, sizeof(key->secret), 0600, true);
}

/* false = there is no directory that is ours for as long as the machine runs. */
static bool runtime_path(const struct token_key *key, char path[PATH_MAX])
{
    const char *directory = geteuid() == 0 ? "/run" : getenv("XDG_RUNTIME_DIR");
    if (!directory || directory[0] != '/')
        return false;
    snprintf(path, PATH_MAX, "%s/plimsoll-%s.secret", directory, key->identity);
    return true;
}

static int read_or_make(const char *path, struct token_key *key)
{
    int rc = read_from(path, key);
    return rc == 0 ? 0 : write_to(path, key);
}

void secret_load(const char *state_dir, struct token_key *key)
{
    char path[PATH_MAX];
    if (getrandom(key->secret, sizeof(key->secret), 0) != sizeof(key->secret)) {
        log_error("the kernel gives no random numbers: %s", strerror(errno));
        abort();
    }
    snprintf(path, sizeof(path), "%s/keeper/.secret", state_dir);
    int rc = read_or_make(path, key);
    if (rc < 0 && runtime_path(key, path))
        rc = read_or_make(path, key);
    if (rc < 0)
        log_warn("cannot keep a secret in %s: %s; should this keeper be killed, the next one takes "
                 "over only what is on record",
                 path, strerror(-rc));
}

void secret_forget(const struct token_key *key)
{
    char path[PATH_MAX];
    if (runtime_path(key, path))
        unlink(path);
}
