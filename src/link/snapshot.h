/* The snapshot: everything the proxy needs to know to serve, as the controller sees it now: limits,
 * listeners, services, instances. A snapshot is whole and idempotent; a newer generation replaces
 * an older one, whatever lay between. It travels as a memfd in LINK_SNAPSHOT (any size). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

#define SNAPSHOT_VERSION 1u
#define SNAPSHOT_NAME_MAX 64
#define SNAPSHOT_ADDRESS_MAX 128 /* "tcp:127.0.0.1:8080", "tcp:[::1]:8080", "unix:/path" */
#define SNAPSHOT_LISTENERS_MAX 64
#define SNAPSHOT_SERVICE_LISTENERS_MAX 8
#define SNAPSHOT_HOSTS_MAX 16
#define SNAPSHOT_TRUST_MAX 32

enum snapshot_protocol { SNAPSHOT_HTTP, SNAPSHOT_TCP };

struct snapshot_network {
    uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
    uint8_t prefix_bits; /* 0..128, of the 16-byte form */
};

struct snapshot_instance {
    char name[SNAPSHOT_NAME_MAX]; /* "shop-3" */
    uint32_t number;              /* unique within the service, never used again */
    uint32_t slot;                /* of gauges.instance */
    uint32_t weight;              /* 1..1000 */
    bool draining;                /* finish what it has, give it nothing new */
    int64_t ready_us; /* CLOCK_MONOTONIC when it became ready: slow start counts from it */
    char address[SNAPSHOT_ADDRESS_MAX];
};

struct snapshot_service {
    char name[SNAPSHOT_NAME_MAX];
    uint32_t slot; /* of gauges.service, stable for the service's life */
    enum snapshot_protocol protocol;
    char balance[24]; /* name of a balance_ops */
    uint32_t listener_count;
    uint32_t listener[SNAPSHOT_SERVICE_LISTENERS_MAX]; /* indices into snapshot.listeners */
    uint32_t host_count;
    char host[SNAPSHOT_HOSTS_MAX][SNAPSHOT_NAME_MAX * 2]; /* lower case, without port; "*.x" = any
                                                             subdomain; none = any host */
    char path[SNAPSHOT_NAME_MAX * 2]; /* prefix on whole segments; "" or "/" = any */
    uint32_t max_concurrency;         /* per instance; 0 = no limit */
    uint32_t queue_length;            /* requests that may wait; 0 = none */
    int64_t queue_deadline_us;
    int64_t header_timeout_us; /* whole request header, from its first byte */
    int64_t body_timeout_us; /* between two reads of a request body, and two writes of a response */
    int64_t idle_timeout_us; /* client keep-alive, and a tunnel without traffic */
    int64_t connect_timeout_us;
    int64_t response_timeout_us; /* from the request sent to the first response header byte, and
                                    between two reads of a response */
    int64_t upstream_idle_us;    /* an idle upstream connection is closed after this */
    uint32_t retry_attempts;     /* other instances tried after the first */
    uint32_t header_bytes_max;   /* 431 */
    uint32_t header_count_max;   /* 431 */
    uint32_t uri_bytes_max;      /* 414 */
    uint32_t eject_failures;     /* consecutive failures until ejection; 0 = never */
    int64_t eject_us;
    int64_t slow_start_us;
    int64_t drain_us;      /* a draining instance's connections are cut after this */
    bool starting;         /* an instance is on its way: with none ready, queue rather than 503 */
    char unavailable[160]; /* the 503's body, for anybody to read; "" = no special reason */
    uint32_t instance_count;
    struct snapshot_instance *instances;
};

struct snapshot {
    uint64_t generation;
    bool stopping; /* accept nothing new, finish what there is, answer with Connection: close */
    uint32_t connections_max; /* client connections, over all loops */
    uint32_t listener_count;
    char listeners[SNAPSHOT_LISTENERS_MAX][SNAPSHOT_ADDRESS_MAX]; /* as in LINK_LISTENERS */
    uint32_t trust_count;
    struct snapshot_network trust[SNAPSHOT_TRUST_MAX]; /* whose forwarding headers are believed */
    uint32_t service_count;
    struct snapshot_service *services;
};

/* Bytes the encoding takes. */
size_t snapshot_size(const struct snapshot *s);
/* Writes snapshot_size() bytes; -ENOBUFS when `cap` is smaller. */
int snapshot_encode(const struct snapshot *s, void *buf, size_t cap, size_t *ret_bytes);
/* Into `arena` (which owns services and instances). -EPROTO with a text for anything that is not
 * exactly a snapshot of this version: counts over their caps, texts not terminated, numbers out of
 * range, bytes left over. */
int snapshot_decode(const void *buf, size_t bytes, struct arena *arena, struct snapshot *ret,
                    struct err *err);
