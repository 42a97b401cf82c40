/* The outside of a policy's test: instances that start, drain and exit as the test says, and a core
 * that is told of it. */
#pragma once

#include "core/control.h"
#include "sim/policytest/policytest.h"

#define POLICYTEST_DUE_MAX 4096

/* Something that happens by itself: a probe passes, a drain is over. */
struct policytest_due {
    int64_t at_us;
    enum event_type type;
    uint32_t service, number;
};

struct policytest_world {
    const struct policytest *test;
    struct control *core;
    void *memory;
    int64_t now_us;
    int64_t wall_offset_us;    /* wall = now + this */
    struct service_conf *bare; /* the services before the test: counts and no policy */
    uint32_t due_count;
    struct policytest_due due[POLICYTEST_DUE_MAX];
    struct decision *recorded;        /* the newest that was, of each slot */
    struct policytest_result *result; /* its trail is written here */
};

/* 0, or -ENOMEM. */
int policytest_world_init(struct policytest_world *w, const struct policytest *t,
                          struct policytest_result *result);
void policytest_world_done(struct policytest_world *w);
/* Brings the services to where the test begins, and its clock to `past_us` before that: no instance
 * is younger. */
void policytest_world_begin(struct policytest_world *w, int64_t past_us);

/* An event of this moment; service -1 = none. */
struct event policytest_event(const struct policytest_world *w, enum event_type type,
                              int32_t service);
/* Into the core, and all that follows at once. */
void policytest_send(struct policytest_world *w, const struct event *e);
/* Time passes up to then: what is due happens. */
void policytest_advance(struct policytest_world *w, int64_t to_us);
/* What the core has recorded since policytest_forget(), or would decide now; NULL = nothing yet. */
void policytest_forget(struct policytest_world *w);
const struct decision *policytest_decision(const struct policytest_world *w, uint32_t slot);
/* Why that means nothing for this instance as it is: "it cannot fail"; NULL = it does not. */
const char *policytest_cannot(enum policytest_what what, const struct instance *i);
void policytest_happen(struct policytest_world *w, uint32_t service,
                       const struct policytest_happening *h);
