/* A player feeds a journal to a core: recovery and `replay` are the same walk. */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "core/control.h"
#include "store/journal.h"

extern const struct control_caps player_caps;

struct player {
    void *memory; /* the core's; a caller that keeps the core takes it */
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

int player_init(struct player *p);
void player_done(struct player *p);
/* For journal_read(). */
int player_record(void *player, const struct journal_record *r);
