/* The lease: the right to act, held by one controller at a time. A lease driver gets and keeps it,
 * says who leads and who else is there, and proves at any moment that it is still ours. All on the
 * controller's loop, never blocking. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "config/schema.h"

#define LEASE_NAME_MAX 64
#define LEASE_URL_MAX 256
#define LEASE_MEMBERS_MAX 64

/* The section `lease`, at the top of the file. */
struct lease_conf {
    const char *cluster; /* name of the group, the owner of what runs; NULL = the state directory's
                            own */
    const char *member;  /* of this machine in it; NULL = its host name */
    const char *advertise; /* "http://10.0.0.1:7575": where members reach this one's admin API */
    struct lease_etcd_conf {
        struct schema_list endpoints; /* URLs; none = the lease is the keeper's lock file */
        const char *prefix;           /* of all keys; default "/plimsoll/" */
        int64_t ttl_us;               /* 2 s .. 60 s, default 5 s */
        const char *user, *password_file;
        const char *ca, *cert, *key; /* files */
    } etcd;
};
extern const struct schema_section lease_section;

struct lease_member {
    char name[LEASE_NAME_MAX];
    char url[LEASE_URL_MAX]; /* of its admin API; "" = it has none */
    bool self;
};

/* What the controller is told. Never calls back into the driver. */
struct lease_listener {
    void *ctx;
    /* Gained with its token, or lost with the reason: resigned, expired, not provable any more. */
    void (*held)(void *ctx, bool held, uint64_t token, const char *why);
    /* Who leads and who is there, whenever that changes. `leader` NULL = nobody, as far as is
     * known; it is one of the members, or a member that has gone. */
    void (*group)(void *ctx, const struct lease_member *leader, const struct lease_member *members,
                  size_t count);
    /* Something a person should know: a trouble, or that it is over. */
    void (*note)(void *ctx, bool trouble, const char *text);
};

struct lease_options {
    uv_loop_t *loop;
    const struct lease_conf *conf; /* lives as long as the lease */
    const char *member;            /* this one's name and URL, defaults filled in */
    const char *url;
    const char *state_dir;
    struct lease_listener listener;
};

struct lease_ops {
    const char *name; /* "file" */
    bool shared;      /* between machines: others may hold it, and there are members */
    int (*open)(const struct lease_options *options, void **ret, struct err *err);
    /* Proven to be ours at this moment. */
    bool (*may_act)(void *self);
    /* For how long that is proven already. NULL = for ever. */
    int64_t (*left_us)(void *self);
    /* Give it up now, so that another need not wait for its end; `done` comes once, soon. */
    void (*resign)(void *self, void (*done)(void *ctx), void *ctx);
    void (*close)(void *self);
};

extern const struct lease_ops lease_file, lease_etcd;
/* The one that the section asks for. */
const struct lease_ops *lease_choose(const struct lease_conf *conf);
