/* What came of the requests: latencies, failures by kind, and both per second. */
#pragma once

#include <stdint.h>
#include <stdio.h>

enum stats_failure {
    STATS_CONNECT,   /* no connection */
    STATS_CLOSED,    /* closed or reset before the answer was whole */
    STATS_TIMEOUT,   /* no whole answer in time */
    STATS_MALFORMED, /* not HTTP */
    STATS_STATUS,    /* an answer, but 4xx or 5xx */
    STATS_CROWDED,   /* no connection free to send it on before it was too late */
    STATS_FAILURE_MAX,
};

#define STATS_SECONDS_MAX 86400
#define STATS_CODE_MAX 600

struct stats_second {
    uint32_t sent, ok, failed;
    uint32_t in_flight; /* at its end */
    double rate;        /* the curve's, at its end */
};

struct stats {
    uint64_t sent, ok, failed;
    uint64_t failures[STATS_FAILURE_MAX];
    uint64_t codes[STATS_CODE_MAX];
    uint64_t latency_count, latency_cap;
    struct stats_latency *latencies; /* of answered requests, in the order of the answers */
    uint64_t latency_sum_us;
    uint32_t second_count;
    struct stats_second seconds[STATS_SECONDS_MAX];
};

/* `second` is the one in which the request should have been sent. */
void stats_ok(struct stats *s, uint32_t second, uint32_t latency_us, int code);
void stats_failed(struct stats *s, uint32_t second, enum stats_failure kind, int code);
void stats_sent(struct stats *s, uint32_t second);
/* Sorts; call after the last answer. */
void stats_finish(struct stats *s);
void stats_write_summary(const struct stats *s, double seconds, FILE *out); /* JSON */
void stats_write_seconds(const struct stats *s, FILE *out);                 /* CSV */
void stats_done(struct stats *s);
