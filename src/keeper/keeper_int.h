/* What the parts of the keeper share: one struct, one epoll loop, one thread. Private to keeper/.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/list.h"
#include "keeper/keeper.h"
#include "keeper/listen.h"
#include "keeper/rendezvous.h"
#include "keeper/role.h"
#include "keeper/token.h"

struct keeper {
    const struct keeper_options *options;
    struct token_key key; /* who this state directory is, and the secret of its tokens */
    char rendezvous[RENDEZVOUS_NAME_MAX];
    int epoll_fd;
    struct watch signals;
    struct role controller, proxy;
    struct listeners listeners;
    struct list children; /* struct child */
    size_t child_count;
    struct rlimit open_files; /* as we were given them: what children start with */
    char proxy_user[64];
    int proxy_loops;
    bool ready;     /* a controller has said so once */
    int stop_count; /* signals that asked for an end */
    bool leaving;   /* everything is being ended; nothing is started any more */
    bool forced;    /* whoever is still there has been killed */
    bool detach;    /* leave proxy and instances alone */
    int exit_status;
    int64_t leave_deadline_us;
    bool done;
};

/* The loop calls w->ready(). A watch must be removed before its fd is closed. */
void keeper_watch(struct keeper *k, struct watch *w, uint32_t events);
void keeper_watch_change(struct keeper *k, struct watch *w, uint32_t events);
void keeper_unwatch(struct keeper *k, struct watch *w);

/* End everything and exit with `status`. */
void keeper_leave(struct keeper *k, int status, bool detach);
/* Something that had to end has ended: perhaps that was the last. */
void keeper_check_left(struct keeper *k);

/* requests.c: one message from the controller. Its fds are closed by the caller. */
void keeper_request(struct keeper *k, const struct link_msg *m);
/* adopt.c: everything that an earlier keeper left running. Before anything is bound or started. */
void keeper_adopt(struct keeper *k);
