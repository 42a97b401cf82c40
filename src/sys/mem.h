/* malloc for arenas, the clean-up helpers, and allocation that can be made to fail in tests. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/util.h"

/* arena_init() with malloc and free behind it. */
void mem_arena_init(struct arena *a, size_t cap_bytes);

static inline void mem_freep(void *p)
{
    free(*(void **)p);
}

static inline void mem_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static inline void mem_fclosep(FILE **f)
{
    if (*f)
        fclose(*f);
}

#define _cleanup_free_ _cleanup_(mem_freep)
#define _cleanup_close_ _cleanup_(mem_closep)
#define _cleanup_fclose_ _cleanup_(mem_fclosep)
#define _cleanup_arena_ _cleanup_(arena_done)

/* Give up the pointer or descriptor: what a `ret_` gets on success. */
#define TAKE_PTR(p)                 \
    ({                              \
        __typeof__(p) taken_ = (p); \
        (p) = NULL;                 \
        taken_;                     \
    })
#define TAKE_FD(fd)        \
    ({                     \
        int taken_ = (fd); \
        (fd) = -1;         \
        taken_;            \
    })
