/* The gauges: what the proxy counts, in memory that the controller reads while it runs. One sealed
 * memfd per proxy life, made by the proxy and handed to the controller in LINK_HELLO. The layout is
 * fixed for that life; the reader checks magic, version and size before it believes anything.
 * All fields are written with relaxed atomics by the one loop that owns them unless said otherwise;
 * a reader may see two fields of different moments, never half a number. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#define GAUGES_MAGIC 0x504c5347u /* "PLSG" */
#define GAUGES_VERSION 2u
#define GAUGES_LOOPS_MAX 16
#define GAUGES_SERVICES_MAX 256
#define GAUGES_INSTANCES_MAX 4096
#define GAUGES_LINE 64

/* Latency buckets: log-linear, 8 per octave. Bucket i < 8 holds i us; bucket 8 + 8*o + k holds from
 * (8 + k) << o us on, o = 0..31. See gauges_bucket() and gauges_bucket_floor_us(). */
#define GAUGES_BUCKETS (8 + 8 * 32)

enum gauges_error {
    GAUGES_ERROR_BAD_REQUEST, /* refused by the parser: 400, 414, 431, 501, 505 */
    GAUGES_ERROR_NO_ROUTE,    /* 404/421: no service for this host or path */
    GAUGES_ERROR_CONNECT,     /* every attempt to reach an instance failed: 502 */
    GAUGES_ERROR_UPSTREAM,    /* an instance broke off or answered nonsense: 502 */
    GAUGES_ERROR_TIMEOUT,     /* an instance did not answer in time: 504 */
    GAUGES_ERROR_QUEUE_FULL,  /* shed, queue at its length: 503 */
    GAUGES_ERROR_DEADLINE,    /* shed, waited too long in the queue: 503 */
    GAUGES_ERROR_SHED,        /* shed, a fixed pool was full: 503 */
    GAUGES_ERROR_CLIENT,      /* the client went away or was too slow (408) */
    GAUGES_ERROR_MAX,
};

/* Of one service, shared by all loops. */
struct gauges_service {
    _Alignas(
        GAUGES_LINE) _Atomic uint32_t in_flight; /* requests given to an instance, unanswered */
    _Atomic uint32_t queued;                     /* requests waiting for an instance */
    _Atomic uint32_t mark; /* written by the controller: ring when in_flight + queued exceeds it */
    _Atomic uint32_t tunnels; /* open Upgrade tunnels and tcp connections */
};

/* Of one service, as one loop counted it. Counters only grow during a proxy's life. */
struct gauges_service_loop {
    _Alignas(GAUGES_LINE) _Atomic uint64_t requests; /* answered or given up, any outcome */
    _Atomic uint64_t arrivals;     /* requests and tcp connections that came to be served */
    _Atomic uint64_t responses[6]; /* by class: [1] 1xx .. [5] 5xx */
    _Atomic uint64_t errors[GAUGES_ERROR_MAX];
    _Atomic uint64_t retries;
    _Atomic uint64_t bytes_in;  /* from clients */
    _Atomic uint64_t bytes_out; /* to clients */
    _Atomic uint64_t latency_sum_us;
    _Atomic uint64_t latency[GAUGES_BUCKETS]; /* from the request's last header byte to the last
                                                 byte of the response; tunnels are not in it */
    /* Integral of (in_flight + queued) over time on this loop, request-microseconds, up to
     * busy_at_us (CLOCK_MONOTONIC); the reader adds busy_now * (now - busy_at_us). */
    _Atomic uint64_t busy_us;
    _Atomic int64_t busy_at_us;
    _Atomic uint32_t busy_now;
};

/* Of one instance, shared by all loops. A slot belongs to one instance until the proxy has applied
 * a snapshot without it; then the controller may give it to another, and the proxy zeroes it. */
struct gauges_instance {
    _Alignas(GAUGES_LINE) _Atomic uint32_t in_flight;
    _Atomic uint32_t tunnels;
    _Atomic uint32_t ejected; /* 1 while passively ejected */
    _Atomic uint32_t number;  /* which instance the slot holds; 0 = none */
    _Atomic uint32_t
        service; /* and of which gauges.service slot: a new controller reads both back */
    _Atomic uint64_t requests;
    _Atomic uint64_t errors; /* connect failures, broken responses, timeouts and 5xx */
};

struct gauges {
    uint32_t magic;
    uint32_t version;
    uint64_t size_bytes;
    int32_t pid;
    uint32_t loops;
    int64_t started_us;          /* CLOCK_MONOTONIC */
    _Atomic uint64_t generation; /* newest snapshot that every loop has applied */
    _Atomic uint64_t
        dirty[GAUGES_SERVICES_MAX / 64]; /* doorbell: who rang. The proxy sets a bit and
                         then writes the eventfd; the controller exchanges it with 0 */
    _Atomic uint32_t client_connections; /* open now, all services */
    _Atomic uint64_t client_accepted;
    _Atomic uint64_t client_refused; /* shed at accept */
    _Atomic uint64_t log_dropped;    /* access log lines that found the buffer full */
    struct gauges_service service[GAUGES_SERVICES_MAX];
    struct gauges_instance instance[GAUGES_INSTANCES_MAX];
    struct gauges_service_loop loop[GAUGES_LOOPS_MAX][GAUGES_SERVICES_MAX];
};

static inline unsigned gauges_bucket(uint64_t us)
{
    if (us < 8)
        return (unsigned)us;
    unsigned octave = 60u - (unsigned)__builtin_clzll(us); /* us >> octave is 8..15 */
    unsigned bucket = 8 * octave + (unsigned)(us >> octave);
    return bucket < GAUGES_BUCKETS ? bucket : GAUGES_BUCKETS - 1;
}

static inline uint64_t gauges_bucket_floor_us(unsigned bucket)
{
    return bucket < 8 ? bucket : (uint64_t)(8 + (bucket & 7)) << ((bucket - 8) / 8);
}
