/* The instances of a simulated service: ordered, starting, ready, gone; and what they cost. A
 * policy orders by number (as plimsoll's core does) or by count (as its peers do). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/rng.h"

#define FLEET_MAX 2000

struct fleet_conf {
    int64_t boot_us;        /* from the order to ready */
    double boot_spread;     /* ready within boot * (1 +- spread), evenly drawn */
    double start_failures;  /* share of starts that fail, at the time they would be ready */
    double crashes_per_day; /* of one ready instance, on average */
    double noisy_share;     /* of instances; these do their work `noisy_slowdown` times as slow */
    double noisy_slowdown;
};

struct fleet_instance {
    uint32_t number;
    bool ready, draining;
    double slowness; /* 1 = as it should be */
    int64_t ordered_us, ready_us, crash_us;
};

enum fleet_news_kind { FLEET_READY, FLEET_START_FAILED, FLEET_CRASHED, FLEET_GONE };

struct fleet_news {
    enum fleet_news_kind kind;
    uint32_t number;
};

struct fleet {
    struct fleet_conf conf;
    struct rng rng;
    int64_t now_us;
    uint32_t count; /* of `items`, in the order they were ordered */
    struct fleet_instance items[FLEET_MAX];
    int32_t ready, starting; /* draining ones are neither */
    uint32_t number;         /* the highest given out by fleet_set_count() */
    int64_t boot_seen_us;    /* the longest START to ready of the last 8; boot when none was */
    int64_t boots_us[8];     /* those 8 */
    uint32_t boot_count;     /* of all there were */
    double paid_s;           /* instance-seconds, from order to stop */
    uint64_t moves, starts, stops, failed_starts, crashes;
    int64_t next_us; /* when something happens by itself: ready, failure, crash; US_NEVER */
    struct fleet_news news[FLEET_MAX];
    uint32_t news_count; /* whoever runs the simulation clears them after each step of the policy */
    bool drains; /* draining takes time: fleet_drain() leaves it to whoever runs the simulation to
                    call fleet_stop() when nothing is in flight any more */
};

void fleet_init(struct fleet *f, const struct fleet_conf *conf, uint64_t seed, int64_t now_us);
/* These many are there and ready from the begin. */
void fleet_begin(struct fleet *f, int32_t count);
/* Time passes: what was due until now happens, and is news. */
void fleet_advance(struct fleet *f, int64_t now_us);
/* 0, or -ENOBUFS. */
int fleet_start(struct fleet *f, uint32_t number);
/* Gets no more requests, and is gone once it has none: at once where nothing drains, as in the
 * fluid model. An instance that is not ready yet is stopped. Unknown numbers are ignored, here and
 * below.
 */
void fleet_drain(struct fleet *f, uint32_t number);
void fleet_stop(struct fleet *f, uint32_t number);
/* For policies that know counts only: starts what is missing; drains what is too many, those that
 * start first, then the newest. */
void fleet_set_count(struct fleet *f, int32_t count);
