/* StatsD over UDP: "name:12|g" sets, "name:+3|g" changes, "name:1|c|@0.1" counts
 * (github.com/statsd/ statsd, docs/metric_types.md). Packets come from anybody who can reach the
 * port, so they are read within bounds, and what is not understood is nobody's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "base/str.h"

#define STATSD_PACKET_MAX 65536

enum statsd_type {
    STATSD_GAUGE,  /* value */
    STATSD_CHANGE, /* of a gauge, by value */
    STATSD_COUNT,  /* value, the sample rate undone */
    STATSD_BAD,    /* a gauge or a count without a value that can be one: text */
    STATSD_END,    /* of a packet; no metric */
};

struct statsd_metric {
    struct slice name;
    enum statsd_type type;
    double value;
    struct slice text; /* what stood for the value */
    int64_t at_us;     /* of the end: when the packet came, monotonic */
};

/* The next metric of a packet, and the packet shortened by it; lines of other types (timers, sets)
 * and lines without any sense are passed over. False = no more. Pure. */
bool statsd_next(struct slice *packet, struct statsd_metric *ret);

/* Counters become a rate: what came in an interval, divided by it. Packets belong to the interval
 * that they end, so the one that opens the first is in none. All zero = no interval is open. */
struct statsd_rate {
    int64_t since_us; /* the open interval's begin; 0 = none is open */
    int64_t last_us;  /* the newest packet that counted */
    double sum;
    bool counts; /* the packet that is being read has some of it */
};

void statsd_rate_count(struct statsd_rate *r, double n);
/* A packet has been read. True = it has ended an interval, and that is its rate a second. It ends
 * one of `every_us` or more, and a shorter one when another packet as far off as this one was would
 * come too late: a rate is known for `held_us`. After a silence of over `held_us` a new interval
 * begins, which does not count the silence. Pure. */
bool statsd_rate_end(struct statsd_rate *r, int64_t at_us, int64_t every_us, int64_t held_us,
                     double *ret);

/* The ports that are listened on, each once, however many want to hear from it. */
struct statsd;
struct statsd_listener; /* one who wants to hear */

/* What a packet says of one's own name, and then, of every packet, its end. */
typedef void statsd_heard(void *ctx, const struct statsd_metric *m);

int statsd_new(uv_loop_t *loop, struct statsd **ret, struct err *err);
/* All have left. The loop must run once more to close the handles. */
void statsd_free(struct statsd *s);
/* `name` stays the caller's and lives as long. 0; -EINVAL, -EADDRINUSE and the like with a text. */
int statsd_listen(struct statsd *s, const char *address, const char *name, statsd_heard *heard,
                  void *ctx, struct statsd_listener **ret, struct err *err);
void statsd_leave(struct statsd_listener *l); /* NULL is fine */
