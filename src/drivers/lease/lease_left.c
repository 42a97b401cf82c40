/* One line: the lease, the machine's boot, and the directory by its number, for a copy has another.
 */
#include "drivers/lease/lease_left.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fmt.h"
#include "drivers/lease/lease.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/mem.h"

#define LINE_BYTES_MAX 160

static int describe(const char *state_dir, int64_t lease, char line[LINE_BYTES_MAX])
{
    struct stat s;
    if (stat(state_dir, &s) < 0)
        return -errno;
    fmt(line, LINE_BYTES_MAX, "%lld %s %llu:%llu\n", (long long)lease, clock_boot_id(),
        (unsigned long long)s.st_dev, (unsigned long long)s.st_ino);
    return 0;
}

static void make_path(const char *state_dir, char path[512])
{
    fmt(path, 512, "%s/lease", state_dir);
}

int lease_left_lock(const char *state_dir)
{
    _cleanup_close_ int fd = open(state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    int kept = fd;
    fd = -1;
    return kept;
}

int64_t lease_left_read(const char *state_dir)
{
    char path[512], line[LINE_BYTES_MAX] = "", expected[LINE_BYTES_MAX];
    int64_t lease = 0;
    make_path(state_dir, path);
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    if (!f || !fgets(line, sizeof(line), f) || sscanf(line, "%" SCNd64 " ", &lease) != 1 ||
        describe(state_dir, lease, expected) < 0)
        return 0;
    bool sure = strcmp(clock_boot_id(), "unknown") != 0 && strcmp(line, expected) == 0;
    return sure && lease > 0 ? lease : 0;
}

int lease_left_write(const char *state_dir, int64_t lease)
{
    char path[512], line[LINE_BYTES_MAX];
    make_path(state_dir, path);
    int rc = describe(state_dir, lease, line);
    return rc < 0 ? rc : file_replace(path, line, strlen(line), 0600, false);
}
