/* Of discovery_*.c alone: what engines describe, as lines of one text, and whose lines they are.
 *
 *   discovery.c        hears the engines, and makes what they describe the running configuration
 *   discovery_text.c   the lines: as described, as they run, as one text
 *   discovery_blame.c  whose line is wrong, and what becomes of it
 *
 * Who was there first stays. Services are put down in the order of enum found_rank, so that of two
 * that want the same the error is the newcomer's. A service that runs is replaced whole by what it
 * is described as now, or goes on whole as it runs; only of one that is seen for the first time
 * the lines that are wrong are left out, and the rest is taken. What runs, and what it was made of,
 * is read from the text of the running configuration: so a restart remembers it too. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "core/model.h"
#include "drivers/driver.h"

/* Where the services of engines begin in the text of a configuration. */
#define DISCOVERY_MARK "\n---\n# found in engines\nservices:\n"
#define DISCOVERY_ARENA_BYTES ((size_t)64 * 1024 * 1024)
#define FAULTS_MAX 32 /* those beyond are told when some of these are put right */
#define FAULT_BYTES 700

struct config;
struct controller;

struct line {
    const char *text; /* without its end */
    size_t bytes, indent;
    const char *place; /* for people */
    bool out;          /* wrong, or below something that is */
    uint32_t number;   /* in the text composed last; 0 = not in it */
};

/* Lines of one service. */
struct part {
    size_t first, count;
};

/* Whose claim is older, when two want the same. */
enum found_rank {
    FOUND_HELD,    /* runs, as it is put down here */
    FOUND_CHANGED, /* runs, and is described otherwise now */
    FOUND_WANTING, /* runs without those of its lines that were wrong, which are tried again */
    FOUND_NEW,
};

/* A service that an engine describes. */
struct found {
    const char *origin; /* who it is there: "service stack_shop" */
    uint64_t hash;      /* of all that it is described as */
    struct part described;
    struct part running; /* as in the configuration that runs; count 0 = it does not run */
    uint64_t running_hash;
    enum found_rank rank;
    bool keeping; /* it is to be `kept` when all of this round's errors are told */
    bool kept;    /* put down as it runs, not as it is described */
    bool out;     /* nothing of it is put down */
    /* In which round something of it was first wrong; 0 = nothing was. */
    uint32_t round;
};

/* A text for each place where something is wrong. */
struct faults {
    size_t count;
    char text[FAULTS_MAX][FAULT_BYTES];
};

struct discovery {
    struct controller *controller;
    uv_timer_t timer;   /* the change waits for a quiet moment */
    bool known;         /* the engines have said what there is */
    struct arena heard; /* what they said: */
    struct driver_discovery items[MODEL_SERVICES_MAX];
    size_t item_count;
    struct arena arena; /* of what follows: what is made of it */
    struct line *lines;
    size_t line_count;
    struct found founds[MODEL_SERVICES_MAX]; /* the oldest first */
    struct found *order[MODEL_SERVICES_MAX]; /* in the order of their ranks, then of their age */
    size_t found_count;
    uint32_t round;             /* of reading and leaving out */
    struct faults faults, told; /* as it is, and as the events have it */
};

/* discovery_text.c */
void discovery_empty(struct arena *arena);
/* Everything anew, from what was heard and what runs. -ENOMEM */
int discovery_prepare(struct discovery *d);
/* The lines of a service that are put down when it is. */
struct part found_part(const struct found *f);
bool discovery_has_line(const struct discovery *d, struct part part, const struct line *line);
void discovery_put_in_order(struct discovery *d);
/* The text of the base, and of the services `by_age` or in the order of their ranks. malloc'd; NULL
 * = no memory. */
char *discovery_compose(struct discovery *d, const char *base, bool by_age, size_t *ret_bytes);

/* discovery_blame.c */
/* Of two that want the same name here the newer claim is blamed. */
void discovery_settle_names(struct discovery *d);
/* False = nothing was left to leave out. */
bool discovery_blame(struct discovery *d, const struct err *errors, size_t count);
