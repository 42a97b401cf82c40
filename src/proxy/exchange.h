/* One request and its answer, from the parsed head to the last byte: who asked, which service,
 * which instance, how far both directions are. Belongs to one loop. The files: exchange.c  life:
 * start, states, end       dispatch.c  finding an instance, waiting, retrying send.c      client ->
 * instance             receive.c   instance -> client reply.c     answers of the proxy's own
 * tunnel.c    after Upgrade, and plain TCP */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proxy/client.h"
#include "proxy/eject.h"
#include "proxy/headers.h"
#include "proxy/http1.h"
#include "proxy/queue.h"

struct buf;
struct loop;
struct service;
struct backend;
struct upstream;

#define EXCHANGE_TRIED_MAX 8

enum exchange_state {
    EXCHANGE_NEW,
    EXCHANGE_QUEUED,     /* waits in the service's queue for an instance */
    EXCHANGE_PARKED,     /* every instance refused the connection; tries again soon */
    EXCHANGE_CONNECTING, /* has an instance, not yet a connection */
    EXCHANGE_ACTIVE,     /* both directions flow */
    EXCHANGE_REPLY,      /* the proxy answers itself: no instance any more */
    EXCHANGE_TUNNEL,     /* bytes both ways, unread */
    EXCHANGE_DONE,       /* freed when the loop's turn ends */
    EXCHANGE_STATE_MAX,
};

/* What the access log tells, cut to size. */
struct exchange_note {
    char method[16];
    char host[128];
    char target[256];
    char agent[128];
    char instance[64];
};

/* Body bytes still to come in one direction. */
struct exchange_body {
    enum http1_body kind;
    uint64_t left; /* HTTP1_BODY_LENGTH */
    struct http1_chunked chunked;
    bool done;
};

struct exchange {
    enum exchange_state state;
    struct client *client;
    struct service *service; /* a reference; NULL when no route was found */
    struct backend *backend; /* while counted in flight on it */
    struct upstream *upstream;
    struct exchange *dead_next;
    struct waiter waiter;
    struct list parked; /* in service->parked */

    enum http1_method method;
    uint8_t minor;
    bool keep_alive; /* the client's wish, until something forbids it */
    bool idempotent;
    bool expects; /* Expect: 100-continue: the body may not come before the instance answers */
    bool asked_upgrade;
    bool tcp; /* plain L4: no HTTP at all */
    bool counted_queued, counted_tunnel;
    bool probed; /* the client was asked, by an interim answer, whether it is still there */

    struct exchange_body request;
    struct buf *request_out; /* head and body as the instance gets them */
    uint32_t request_sent;   /* how much of it has been written to the present connection */
    bool replayable;         /* request_out still begins with the request's first byte */

    struct exchange_body response;
    struct buf *response_in;  /* from the instance */
    struct buf *response_out; /* heads, and bodies that needed another framing */
    size_t response_direct;   /* bytes at response_in's start that go to the client as they are */
    size_t response_scanned;
    bool response_any;     /* a byte of an answer has arrived */
    bool response_started; /* a final head is on its way to the client */
    bool response_acknowledged;
    bool response_chunk, response_dechunk;
    bool response_reusable; /* the instance's connection may carry another */
    bool upstream_eof, client_eof, upstream_shut, client_shut; /* tunnels: who has ended */

    uint32_t tried[EXCHANGE_TRIED_MAX]; /* instance numbers not to choose again */
    uint32_t tried_count, retries;
    uint32_t resends; /* of the retries, those that an instance may already have seen */

    int status;
    const char *reason; /* for the log and the answer's body; static, or the service's */
    int64_t start_us, queue_since_us, queue_us, sent_us, first_byte_us;
    uint64_t bytes_in, bytes_out;
    struct exchange_note note;
    uint32_t request_id_bytes;
    char request_id[HEADERS_REQUEST_ID_MAX];
};

/* exchange.c */
void exchange_move(struct exchange *x, enum exchange_state to); /* asserts that it is allowed */
/* A request head has been parsed from client->in (which it consumes). */
void exchange_start(struct loop *l, struct client *c, const struct http1_request *request);
/* A request head was refused. */
void exchange_start_bad(struct loop *l, struct client *c, const struct http1_request *request,
                        const struct http1_error *error);
void exchange_start_tcp(struct loop *l, struct client *c);
/* Whatever can go on, does. */
void exchange_pump(struct loop *l, struct exchange *x);
/* The response is whole and sent: reuse or close both connections. */
void exchange_complete(struct loop *l, struct exchange *x);
/* Give up without an answer (any more): close both. */
void exchange_abort(struct loop *l, struct exchange *x, const char *reason);
void exchange_on_client_timer(struct loop *l, struct exchange *x);

/* dispatch.c */
void exchange_dispatch(struct loop *l, struct exchange *x);
/* Taken from the queue: true when it needs no place in it any more. */
bool exchange_resume(struct loop *l, struct exchange *x);
void exchange_unpark(struct loop *l, struct exchange *x);
void exchange_connected(struct loop *l, struct exchange *x);
void exchange_connect_failed(struct loop *l, struct exchange *x, bool timed_out);
/* The instance broke off, or answered nonsense. */
void exchange_upstream_failed(struct loop *l, struct exchange *x, const char *reason);
void exchange_upstream_slow(struct loop *l, struct exchange *x);
/* The drain deadline: end it now. */
void exchange_cut(struct loop *l, struct exchange *x);
/* No longer in flight on its instance. */
void exchange_leave_backend(struct loop *l, struct exchange *x);
/* No longer waiting, for whatever reason. */
void exchange_leave_queue(struct loop *l, struct exchange *x);

/* send.c, receive.c, tunnel.c: move what can be moved. */
void exchange_send(struct loop *l, struct exchange *x);
void exchange_receive(struct loop *l, struct exchange *x);
bool exchange_request_sent(const struct exchange *x);
/* The instance has taken all there is, and the client owes more. */
bool exchange_waits_for_body(const struct exchange *x);
void tunnel_start(struct loop *l, struct exchange *x);
void tunnel_pump(struct loop *l, struct exchange *x);

/* reply.c: answer with an error; drops the instance if there is one. */
void exchange_reply(struct loop *l, struct exchange *x, int status, const char *reason);
void exchange_unavailable(struct loop *l, struct exchange *x, const char *reason);
