/* What an election says to etcd and hears from it, as the JSON of etcd's gateway: 64-bit numbers as
 * texts, keys and values in base64, zeros left out. No I/O. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "core/elect.h"
#include "drivers/lease/lease.h"

#define ETCD_KEY_MAX 512
#define ETCD_ERROR_MAX 256

/* Where in etcd one cluster's election lies, and who we are in it. */
struct etcd_names {
    char directory[ETCD_KEY_MAX]; /* PREFIX/CLUSTER/ */
    const char *member, *url;
    int64_t lease; /* ours at this moment; 0 = none */
};

/* Everything below the directory. Each member has a key of its own, members/NAME/LEASE; so two of
 * one name are both there, the second as NAME~2. Ourselves is who has our name and our URL: a
 * leader key may be from before we were started again. */
struct etcd_group {
    bool has_leader;
    bool has_twin; /* a key of our name is under another lease than ours */
    struct lease_member leader;
    struct lease_member members[LEASE_MEMBERS_MAX];
    size_t count;
};

/* `prefix` with or without its last "/". -ENAMETOOLONG. */
int etcd_names_init(struct etcd_names *n, const struct lease_conf *conf, const char *member,
                    const char *url);

/* The request's path behind the endpoint's URL, and its body (malloc'd; NULL = no memory). */
const char *etcd_path(enum elect_op op);
char *etcd_body(const struct etcd_names *n, const struct elect_request *q);
char *etcd_body_login(const char *user, const char *password);

/* Does somebody speak here who knows etcd's language? Says so in `error` if not. */
bool etcd_is_answer(struct slice body, char error[ETCD_ERROR_MAX]);
/* Reads the answer to `op` into `ret` (type, lease, ttl_us, term, view) and, where it says what
 * keys there are, into `group`. 0; -EREMOTEIO: etcd refused, and says why; -EPROTO: not etcd's
 * language. `error` is filled on failure. */
int etcd_read(const struct etcd_names *n, enum elect_op op, struct slice body,
              struct elect_event *ret, struct etcd_group *group, char error[ETCD_ERROR_MAX]);
/* 0 and the token of later requests, or as above. */
int etcd_read_login(struct slice body, char *ret, size_t cap, char error[ETCD_ERROR_MAX]);

/* A line of the watch's stream. */
enum etcd_watch_line { ETCD_WATCH_OPEN, ETCD_WATCH_CHANGED, ETCD_WATCH_ALIVE, ETCD_WATCH_OVER };
enum etcd_watch_line etcd_read_watch(struct slice line, char error[ETCD_ERROR_MAX]);
