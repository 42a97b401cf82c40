/* Behaviour: how fast the count may move, per direction. HPA v2's policies, select policy and
 * stabilization windows (autoscaling/v2 HPAScalingRules; see behavior.c for the formulas). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BEHAVIOR_POLICIES_MAX 8

enum behavior_select { BEHAVIOR_MAX_CHANGE, BEHAVIOR_MIN_CHANGE, BEHAVIOR_DISABLED };

struct behavior_policy {
    bool percent;
    int32_t value;     /* instances, or percent of the count at the period's start; > 0 */
    int64_t period_us; /* 1 s .. 30 min */
};

struct behavior_direction {
    int64_t stabilize_us; /* 0 .. 1 h; default 0 up, 60 s down */
    /* After a move in this direction none in it for so long; never blocks the other direction. 0 =
     * none. */
    int64_t cooldown_us;
    enum behavior_select select;
    uint32_t policy_count; /* 0 = no limit */
    struct behavior_policy policy[BEHAVIOR_POLICIES_MAX];
};

struct behavior_conf {
    struct behavior_direction up, down;
};

/* What behavior remembers. Plain words: save and restore it as an array of int64_t. Zeroed = first
 * seen; the first evaluation then counts the current count as recommended all along. */
#define BEHAVIOR_SLICES 64 /* of a ring; a power of two, more than a window has */
#define BEHAVIOR_MOVES_MAX 32

/* The recommendations of a window that are still the extreme of all since: a queue, oldest first,
 * of at most one for each slice of the window. */
struct behavior_history {
    int64_t slice_us; /* a 60th of the window; 0 = empty */
    int64_t newest;   /* slice (time / slice_us) of the last one */
    int64_t head, count;
    int64_t item[BEHAVIOR_SLICES]; /* the recommendation and, in the lowest bits, its slice */
};

struct behavior_moves { /* changes of the count in one direction, oldest first */
    int64_t count;
    struct {
        int64_t at_us;
        int64_t change; /* > 0 */
    } move[BEHAVIOR_MOVES_MAX];
};

struct behavior_state {
    struct behavior_history lowest;  /* over up.stabilize_us */
    struct behavior_history highest; /* over down.stabilize_us */
    struct behavior_moves up, down;
};
#define BEHAVIOR_STATE_WORDS (sizeof(struct behavior_state) / sizeof(int64_t))
/* Words from a file may be anything: are these a state? */
bool behavior_state_is_sane(const struct behavior_state *state);

struct behavior_result {
    int32_t stabilized; /* after the stabilization windows */
    int32_t limited;    /* and after the rate policies: the count that may be had now */
    bool cooling;       /* limited by a cooldown */
    int64_t next_us;    /* when the same want may give another result; US_NEVER = never */
};

/* Remembers `want` as recommended at `now_us` and says what may be had of it. `want` is what the
 * rules and the projection made; min and max come after. Twice at one instant is as once. */
void behavior_apply(const struct behavior_conf *conf, struct behavior_state *state, int64_t now_us,
                    int32_t current, int32_t want, struct behavior_result *ret);
/* Why stabilized differs from want, and limited from stabilized. Each "" when it does not. */
void behavior_say_stabilized(const struct behavior_conf *conf, int32_t want,
                             const struct behavior_result *r, char *buf, size_t cap);
void behavior_say_limited(const struct behavior_conf *conf, int32_t current,
                          const struct behavior_result *r, char *buf, size_t cap);
/* The desired count did change, for whatever reason: the rate policies count it. */
void behavior_moved(struct behavior_state *state, int64_t now_us, int32_t from, int32_t to);
