/* A player feeds a journal to a core: recovery and `replay` are the same walk. */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "core/control.h"
#include "store/journal.h"

extern const struct control_caps player_caps;

struct player {
    void *memory; /* the caller's, or owned */
    bool owns_memory;
    size_t control_bytes;
    struct control *control;
    struct config *config; /* NULL until the first; lies in `arena` */
    struct arena arena;
    uint64_t segment; /* of the newest head, 0 = none yet */
    /* For replay; NULL in recovery. */
    int (*on_decision)(void *ctx, const struct decision *d);
    int (*on_recorded)(void *ctx, const struct journal_record *r);
    void *ctx;
    struct action *actions;
};

/* `memory`: control_bytes(&player_caps) zeroed bytes, or NULL to allocate. */
int player_init(struct player *p, void *memory);
void player_done(struct player *p);
/* For journal_read(). */
int player_record(void *player, const struct journal_record *r);
