/* What the files of the group share: a mirror of each other member's proxy, who has drained what,
 * and the bells on their way. Private to members*.c. */
#pragma once

#include "controller/controller_int.h"
#include "drivers/fetch.h"
#include "drivers/source/proxy_report.h"
#include "drivers/source/source_proxy.h"

/* Whoever has said nothing for so long is unknown. */
#define MEMBERS_SILENT_US (3 * US_PER_S)
/* A member that left the group may still serve: its controller hangs, or is cut off from the lease.
 * It is asked on until nobody listens there, or it has been silent for so long. */
#define MEMBERS_LINGER_US (15 * US_PER_S)

struct member {
    struct members *group;
    struct lease_member info;
    struct proxy_report *now;    /* the newest; NULL = none */
    struct proxy_report *before; /* of the same proxy life, a moment earlier; NULL = none */
    int64_t joined_us, heard_us; /* heard_us 0 = never */
    struct fetch *fetch;         /* under way since asked_us */
    int64_t asked_us;
    char trouble[160]; /* why there was no report; "" = there was */
    bool silent;       /* and people have been told */
    bool left, gone;   /* of the group, since left_us; nobody listens there any more */
    int64_t left_us;
    struct fetch *tell; /* our bell to it is under way since tell_us */
    int64_t tell_us;
    uint32_t tell_slot;
    bool tell_again;       /* there was something new meanwhile */
    char whereabouts[224]; /* for people, written when somebody looks */
};

/* An instance on which our own proxy has nothing in flight any more. */
struct members_drained {
    uint32_t slot, number;
    bool told; /* the core knows */
};

/* Our proxy's bell of one service, on its way to the one who leads. */
struct members_bell {
    struct fetch *fetch;
    int64_t sent_us;
    bool again;    /* it rang meanwhile */
    uint32_t mark; /* what the leader said to it; good until then */
    int64_t mark_until_us;
    struct members *group;
};

struct members {
    struct controller *c;
    struct fetcher *fetcher;
    struct member *items[LEASE_MEMBERS_MAX]; /* without ourselves */
    size_t count;
    bool asking; /* we lead, since asking_us */
    int64_t asking_us;
    struct members_drained drained[GAUGES_INSTANCES_MAX];
    size_t drained_count;
    struct members_bell bells[MODEL_SERVICES_MAX];
    struct proxy_others others;
};

/* Heard of lately enough to be believed. */
bool members_known(const struct member *m, int64_t now_us);
/* What its proxy said of a service, however long ago; NULL = nothing. */
const struct proxy_report_service *members_said(const struct member *m, uint32_t slot);
struct fetch *members_request(struct members *g, const char *url, const char *body,
                              fetch_done *done, void *ctx);

void members_end_tell(struct member *m);

/* Lets the core know of what nobody has in flight any more. */
void members_check_drained(struct members *g);
