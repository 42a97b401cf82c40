/* The two processes of our own that the keeper runs beside itself: controller and proxy. Whichever
 * dies is started again at once; after several quick deaths in a row, with a growing delay. Private
 * to keeper/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/channel.h"

#define ROLE_PROXY_RECORD ".proxy" /* no instance's name begins with a dot */
#define ROLE_CONTROLLER_TOKEN "/controller"
#define ROLE_PROXY_TOKEN "/proxy"

struct keeper;

struct watch {
    int fd;
    void (*ready)(struct keeper *k, struct watch *w, uint32_t events);
};

struct role {
    const char *name;
    pid_t pid; /* 0 = does not run */
    bool wanted;
    bool adopted;      /* not our child: `exit` watches its pidfd */
    struct watch exit; /* fd -1 when not adopted */
    struct watch link; /* of channel.fd */
    struct channel channel;
    int64_t started_us;
    int64_t restart_us;    /* not before */
    unsigned quick_deaths; /* in a row */
};

void roles_init(struct keeper *k);
/* Starts what is wanted, does not run, and may. */
void roles_start(struct keeper *k);
/* When roles_start() has something to do; US_NEVER. */
int64_t roles_next_us(const struct keeper *k);
void role_adopt_proxy(struct keeper *k, pid_t pid, int link_fd);
/* It is over (reaped, or its pidfd says so). */
void role_died(struct keeper *k, struct role *r, int status);
void role_kill(struct role *r);
void role_close(struct keeper *k, struct role *r); /* its link */
/* Never fails: a peer that cannot be told anything is killed, and the next one asks. */
void role_send(struct keeper *k, struct role *r, const struct link_msg *m);
/* The proxy learns of all sockets. */
void role_send_listeners(struct keeper *k);
