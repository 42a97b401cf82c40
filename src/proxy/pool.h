/* A snapshot as it came from the controller: immutable, shared by all loops, freed when the last
 * has made its own tables of it (see service.h). */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "link/snapshot.h"

struct pool {
    _Atomic uint32_t refs;
    uint64_t sequence; /* the main thread's: generations may repeat, these do not */
    struct arena arena;
    struct snapshot snapshot;
};

/* Map and decode; checks what the link cannot know: that slots and addresses are usable. The
 * descriptor stays the caller's. One reference; 0 or -Exxx with a text. */
int pool_new(int memfd, struct pool **ret, struct err *err);
struct pool *pool_ref(struct pool *p);
void pool_unref(struct pool *p); /* takes NULL */
