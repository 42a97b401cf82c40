/* What a keeper that is gone has left running. For who asks and finds nobody: it only looks. */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>

#include "keeper/keeper.h"
#include "keeper/procfs.h"
#include "keeper/record.h"

size_t keeper_left_running(const char *state_dir)
{
    char path[PATH_MAX];
    size_t count = 0;
    snprintf(path, sizeof(path), "%s/keeper", state_dir);
    DIR *dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct record r;
        struct procfs_process p;
        if (e->d_name[0] != '.' && record_read(state_dir, e->d_name, &r) == 0 &&
            procfs_read(r.pid, &p) == 0 && p.start_ticks == r.start_ticks && !p.zombie)
            count++;
    }
    if (dir)
        closedir(dir);
    return count;
}
