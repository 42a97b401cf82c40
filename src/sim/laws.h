/* DESIGN.md's laws, seen from outside: what the core does is compared with a book of its own, kept
 * from events and actions alone. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "core/control.h"
#include "sim/scenario.h"
#include "sim/world.h"

#define LAWS_INSTANCES_MAX 512
#define LAWS_NUMBERS_MAX 8192 /* those above are not watched */

/* What is known of one instance from the actions. */
struct laws_entry {
    bool used;
    uint32_t service; /* of the world */
    uint32_t number;
    bool told_drain, told_stop, was_ready, drained;
    bool found;    /* since the restart */
    bool is_ready; /* as of the step before */
    int64_t drain_deadline_us;
};

struct laws {
    struct laws_entry entries[LAWS_INSTANCES_MAX];
    uint64_t used[WORLD_SERVICES_MAX][LAWS_NUMBERS_MAX / 64]; /* numbers ever started */
    uint64_t pool[WORLD_SERVICES_MAX];                        /* hash of what was published last */
    bool lease_lost, stopping, stopped;
    uint64_t token;
    bool fresh;   /* the controller has no memory of before its restart */
    bool amnesia; /* nor had one before it */
    bool listing[WORLD_SERVICES_MAX];
    int32_t found[WORLD_SERVICES_MAX];     /* since the restart */
    int64_t behind_us[WORLD_SERVICES_MAX]; /* since when it has not got all it wants; 0 = has */
    int64_t now_us;                        /* of the newest event */
    bool calm;                             /* nothing may move any more */
    int64_t at_us;
    char law[32];
    char text[320]; /* "" = all held so far */
};

void laws_init(struct laws *l);
/* After each step: what came, what was said. */
void laws_check(struct laws *l, const struct world *w, const struct control *c,
                const struct event *e, const struct actions *actions);
/* The controller is another one. Without memory, numbers that are gone may come again. */
void laws_restart(struct laws *l, bool amnesia);
/* At the very end, calm and settled. */
void laws_check_end(struct laws *l, const struct world *w, const struct scenario *x,
                    const struct control *c);
void laws_break(struct laws *l, const char *law, const char *format, ...) _printf_(3, 4);
