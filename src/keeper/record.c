/* Two lines: pid, start time and boot; what the driver wants to know again. */
#include "keeper/record.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/procfs.h"
#include "sys/clock.h"
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
    char path[PATH_MAX], text[sizeof(r->meta) + 128];
    make_path(path, state_dir, name);
    int n = snprintf(text, sizeof(text), "%d %llu %s\n%s\n", (int)r->pid,
                     (unsigned long long)r->start_ticks, clock_boot_id(), r->meta);
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    ssize_t written = write(fd, text, (size_t)n);
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
    struct record r = { 0 };
    make_path(path, state_dir, name);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f || fscanf(f, "%d %llu %39s%*1[\n]", &pid, &start, boot) != 3 ||
        strcmp(boot, clock_boot_id()) != 0)
        return -ENOENT;
    if (!fgets(r.meta, sizeof(r.meta), f) || !strchr(r.meta, '\n'))
        return -ENOENT; /* cut off by a full disk */
    r.meta[strcspn(r.meta, "\n")] = '\0';
    r.pid = pid;
    r.start_ticks = start;
    *ret = r;
    return 0;
}
