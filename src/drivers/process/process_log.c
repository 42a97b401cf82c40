/* The instances' output. The writer holds the file open with O_APPEND for as long as it lives, so a
 * log is rotated by copying its text away and cutting it to nothing: the next write of an O_APPEND
 * descriptor lands at the new end. (What is written between the copy's end and the cut is lost; a
 * rename would lose nothing and leave the writer in the renamed file for good.) */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/process/process.h"
#include "sys/mem.h"

#define KEPT_MAX 100

void process_log_path(const char *state_dir, const char *service, uint32_t number, char *buf,
                      size_t cap)
{
    snprintf(buf, cap, "%s/log/%s-%u.log", state_dir, service, number);
}

static void rotated_path(const char *path, int64_t number, char buf[PATH_MAX])
{
    snprintf(buf, PATH_MAX, "%s.%lld", path, (long long)number);
}

static int copy_to(int from, const char *path)
{
    _cleanup_close_ int to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (to < 0)
        return -errno;
    off_t at = 0;
    for (;;) { /* to the end as it is then, not as it was */
        ssize_t n = sendfile(to, from, &at, 1 << 20);
        if (n == 0)
            return 0;
        if (n < 0)
            return -errno;
    }
}

int process_log_rotate(const char *path, int64_t size_bytes, int64_t keep)
{
    char older[PATH_MAX], newer[PATH_MAX];
    struct stat st;
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (st.st_size <= size_bytes)
        return 0;
    for (int64_t i = keep; i > 1; i--) {
        rotated_path(path, i, older);
        rotated_path(path, i - 1, newer);
        rename(newer, older);
    }
    rotated_path(path, 1, newer);
    int rc = keep > 0 ? copy_to(fd, newer) : 0;
    if (rc < 0) /* no room for the copy: then the disk needs the original's all the more */
        unlink(newer);
    return ftruncate(fd, 0) < 0 ? -errno : rc;
}

void process_log_remove(const char *path)
{
    char rotated[PATH_MAX];
    unlink(path);
    for (int64_t i = 1; i <= KEPT_MAX; i++) {
        rotated_path(path, i, rotated);
        if (unlink(rotated) < 0)
            return;
    }
}
