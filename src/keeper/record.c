/* One line: pid, start time, boot. */
#include "keeper/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/procfs.h"
#include "sys/mem.h"

static void make_path(char path[PATH_MAX], const char *state_dir, const char *name)
{
    snprintf(path, PATH_MAX, "%s/keeper/%s", state_dir, name);
}

int record_init(const char *state_dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/keeper", state_dir);
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

int record_write(const char *state_dir, const char *name, const struct record *r)
{
    char path[PATH_MAX], line[128];
    make_path(path, state_dir, name);
    int n = snprintf(line, sizeof(line), "%d %llu %s\n", (int)r->pid,
                     (unsigned long long)r->start_ticks, procfs_boot_id());
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, line, (size_t)n);
    if (written == n)
        return 0;
    int rc = written < 0 ? -errno : -ENOSPC;
    unlink(path); /* half a record is worse than none */
    return rc;
}

void record_remove(const char *state_dir, const char *name)
{
    char path[PATH_MAX];
    make_path(path, state_dir, name);
    unlink(path);
}

int record_read(const char *state_dir, const char *name, struct record *ret)
{
    char path[PATH_MAX], boot[40];
    int pid;
    unsigned long long start;
    make_path(path, state_dir, name);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d %llu %39s", &pid, &start, boot) != 3 ||
        strcmp(boot, procfs_boot_id()) != 0)
        return -ENOENT;
    *ret = (struct record){ .pid = pid, .start_ticks = start };
    return 0;
}
