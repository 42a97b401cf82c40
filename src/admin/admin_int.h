/* The admin's inside: a request on its way to a handler, an answer on its way back. Private to
 * admin/. */
#pragma once

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

#include "admin/admin.h"

#define ADMIN_BODY_MAX ((size_t)64 * 1024)
#define ADMIN_TOKEN_MAX 256

/* One listening socket and what it may. */
struct admin_side {
    struct admin *admin;
    struct admin_side *next; /* of those retired */
    struct MHD_Daemon *daemon;
    bool trusted;      /* the Unix socket: who may open it may do everything */
    char address[160]; /* TCP: as configured */
    char host[128];    /* its part without the port */
    char token[ADMIN_TOKEN_MAX];
};

struct admin {
    struct admin_backend backend;
    int epoll;             /* holds the daemons' own epoll descriptors */
    char socket_path[108]; /* sun_path's size */
    char trouble[256];     /* why there is no Unix socket; "" = there is */
    int64_t retry_us, retry_at_us;
    struct admin_side *local;   /* NULL = could not be made yet */
    struct admin_side *tcp;     /* NULL = off */
    struct admin_side *retired; /* accept nobody, but finish what they have */
};

struct admin_route;

struct admin_request {
    struct admin_side *side;
    struct MHD_Connection *connection;
    const struct admin_route *route;
    char name[128]; /* what stood for the * of the route's pattern */
    char *body;
    size_t body_bytes;
    bool too_large;
};

struct admin_answer {
    unsigned status;  /* 0 counts as 200 */
    const char *type; /* NULL = JSON */
    char *body;       /* malloc'd */
    size_t body_bytes;
    struct admin_header {
        const char *name; /* NULL = no more */
        char value[24];
    } headers[2];
    const char *allow; /* of a 405 */
};

struct admin_route {
    const char *method;  /* GET (HEAD goes along) or POST */
    const char *pattern; /* * stands for one segment */
    void (*handle)(struct admin_request *q, struct admin_answer *a);
    bool changes;
    bool secret; /* looking at it needs the token as well: what it shows may have secrets in it */
    enum admin_command_type command; /* of those that change */
    const char *help;
};

/* The answers. Both free or keep what they are given. */
void admin_answer_json(struct admin_answer *a, unsigned status, json_t *json);
void admin_answer_error(struct admin_answer *a, unsigned status, const char *format, ...)
    _printf_(3, 4);
void admin_answer_text(struct admin_answer *a, unsigned status, const char *text);

/* NULL, and *ret_other the method that would do or NULL, when there is none. */
const struct admin_route *admin_route_find(const char *method, const char *path, char *name,
                                           size_t name_cap, const char **ret_other);
const struct admin_route *admin_routes(size_t *ret_count);

/* A whole number from the query; `fallback` when it is absent. False: not a number in min..max, and
 * the answer says so. */
bool admin_query_number(struct admin_request *q, struct admin_answer *a, const char *key,
                        int64_t min, int64_t max, int64_t fallback, int64_t *ret);
void admin_answer_header(struct admin_answer *a, const char *name, uint64_t value);
const char *admin_query_text(struct admin_request *q, const char *key); /* NULL = absent */
/* "shop-3" in two. */
bool admin_split_instance(const char *id, char *service, size_t service_cap, uint32_t *ret_number);

/* Handlers: view.c */
void admin_get_index(struct admin_request *q, struct admin_answer *a);
void admin_get_why(struct admin_request *q, struct admin_answer *a);
void admin_get_events(struct admin_request *q, struct admin_answer *a);
void admin_get_series(struct admin_request *q, struct admin_answer *a);
void admin_get_logs(struct admin_request *q, struct admin_answer *a);
void admin_get_health(struct admin_request *q, struct admin_answer *a);
void admin_get_ready(struct admin_request *q, struct admin_answer *a);
/* status.c, metrics.c */
json_t *admin_sources_json(const struct admin_service_facts *f);
void admin_get_status(struct admin_request *q, struct admin_answer *a);
void admin_get_metrics(struct admin_request *q, struct admin_answer *a);
/* group.c */
void admin_get_gauges(struct admin_request *q, struct admin_answer *a);
void admin_get_journal(struct admin_request *q, struct admin_answer *a);
/* alerts.c */
void admin_get_alerts(struct admin_request *q, struct admin_answer *a);
/* change.c */
void admin_post_scale(struct admin_request *q, struct admin_answer *a);
void admin_post_bell(struct admin_request *q, struct admin_answer *a);
void admin_post_metrics(struct admin_request *q, struct admin_answer *a);
void admin_post_service(struct admin_request *q, struct admin_answer *a);
void admin_post_instance(struct admin_request *q, struct admin_answer *a);
void admin_post_program(struct admin_request *q, struct admin_answer *a);

/* http.c: MHD's callbacks. */
enum MHD_Result admin_http_accept(void *side, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *data_bytes, void **request);
void admin_http_done(void *side, struct MHD_Connection *connection, void **request,
                     enum MHD_RequestTerminationCode code);
