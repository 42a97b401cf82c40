/* A player feeds a journal to a core: recovery, following a leader and `replay` are the same walk.
 */
#pragma once

#include "base/arena.h"
#include "config/config.h"
#include "core/control.h"
#include "store/journal.h"

struct fleet;

extern const struct control_caps player_caps;

struct player {
    void *memory; /* the core's; a caller that keeps the core takes it */
    struct control *control;
    struct config *config; /* the core's; NULL until the first; lies in `arena` */
    struct arena arena;
    struct config *own; /* this machine's, where it is another one; NULL = it is not */
    struct arena own_arena;
    uint64_t segment; /* of the newest head, 0 = none yet */
    /* The newest head's clock, and when the newest event or head was. */
    struct journal_clock clock;
    int64_t now_us, wall_us;
    /* Kept in step when there is one: places, events, what the core has given up. */
    struct fleet *fleet;
    uint64_t generation; /* of the next snapshot */
    /* Each may be NULL; < 0 ends the walk. A head whose snapshot was loaded; an event, before it is
     * stepped; an action that it led to; the same event, when the core, the configuration and the
     * fleet have it; a recorded decision. */
    int (*on_head)(void *ctx);
    int (*on_event)(void *ctx, const struct event *e, const struct journal_config *config);
    int (*on_action)(void *ctx, const struct action *a);
    int (*on_stepped)(void *ctx, const struct event *e);
    int (*on_recorded)(void *ctx, const struct journal_record *r);
    void *ctx;
    struct action *actions;
};

int player_init(struct player *p);
void player_done(struct player *p);
/* For journal_read(). -ENOTSUP: the head is of another version, whose core keeps its state
 * otherwise.
 */
int player_record(void *player, const struct journal_record *r);
