/* Files, replaced in one step; what is half written is never found under its name. */
#include "sys/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/mem.h"

static int write_new(const char *path, const void *bytes, size_t count, mode_t mode, bool durable)
{
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return -errno;
    ssize_t n = write(fd, bytes, count);
    if (n < 0 || (size_t)n < count)
        return n < 0 ? -errno : -ENOSPC;
    return durable && fsync(fd) < 0 ? -errno : 0;
}

int file_replace(const char *path, const void *bytes, size_t count, mode_t mode, bool durable)
{
    char aside[PATH_MAX];
    if (snprintf(aside, sizeof(aside), "%s.new", path) >= (int)sizeof(aside))
        return -ENAMETOOLONG;
    unlink(aside);
    int rc = write_new(aside, bytes, count, mode, durable);
    if (rc == 0 && rename(aside, path) < 0)
        rc = -errno;
    if (rc < 0)
        unlink(aside);
    return rc;
}
