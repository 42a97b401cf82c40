/* Processes as trees: who belongs to an instance, what they use, and whether they listen. One look
 * at /proc answers for all instances; it is taken anew when it is too old. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proctree;

struct proctree_use {
    uint64_t cpu_ticks; /* user and system, of those who live and of those they waited for */
    int64_t rss_bytes;
};

struct proctree *proctree_new(void); /* NULL = no memory */
void proctree_free(struct proctree *t);
/* Look again, unless the last look is younger than `age_us_max`. 0 or -errno. */
int proctree_refresh(struct proctree *t, int64_t now_us, int64_t age_us_max);
int64_t proctree_at_us(const struct proctree *t); /* when that look was taken; 0 = never */
/* What the process and all that belong to it (descendants, its session, its group) use. false = it
 * is not there. */
bool proctree_read(struct proctree *t, pid_t root, struct proctree_use *ret);
/* Does one of them listen on "tcp:HOST:PORT" or "unix:/path"? 1 yes, 0 no, -EACCES: nobody here may
 * look into its descriptors. */
int proctree_listens(struct proctree *t, pid_t root, const char *address);
