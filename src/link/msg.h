/* What keeper, controller and proxy say to each other: one packet of a Unix SEQPACKET socket is one
 * message. A table per type says which fields it has, so that encoding, decoding and printing are
 * one walk over that table. No behaviour lives here. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

#define LINK_VERSION 1u
#define LINK_BYTES_MAX (128 * 1024) /* of one message */
#define LINK_FDS_MAX 64
#define LINK_LIST_MAX 512 /* items of a string list: argv, environment */

enum link_type {
    LINK_NONE,
    /* controller -> keeper */
    LINK_LISTEN,       /* text = address, number = sockets wanted: bind it (see keeper/listen.h) */
    LINK_UNLISTEN,     /* text = address */
    LINK_START,        /* start an instance or a task: struct link_start's fields */
    LINK_SIGNAL,       /* name = instance, number = signal, sent to its process group */
    LINK_LIST,         /* tell me everything: LINK_RUNNING*, LINK_LISTENING*, LINK_LIST_END */
    LINK_PROXY_CONFIG, /* text = user for the proxy ("" = as the keeper), number = loops; starts it
                        */
    LINK_READY,        /* text = status line for the service manager */
    LINK_EXIT, /* all is stopped: number = the keeper's exit status, text = reason; flag = detach:
                  leave proxy and instances running */
    /* keeper -> controller */
    LINK_KEEPER, /* number = keeper's pid, text = state directory's identity; flag = first start */
    LINK_LISTENING, /* text = address as bound; number = 0 or errno, name = the reason for a person
                     */
    LINK_STARTED, /* name = instance, number = pid; flag = false: failed, status = errno, text = why
                   */
    LINK_RUNNING, /* name, number = pid, text = meta; flag = adopted */
    LINK_EXITED,  /* name, number = pid, status = wait status, flag = status unknown (adopted) */
    LINK_LIST_END,
    LINK_PROXY, /* number = pid of the proxy; fds[0] = the controller's end of the link to it */
    LINK_TERM,  /* number = how often a stop was asked for by signal (1: orderly, 2: at once) */
    LINK_HUP,   /* reload */
    /* keeper -> proxy */
    LINK_LISTENERS, /* list = address once per socket, fds in the same order; replaces all before */
    LINK_CONTROLLER, /* fds[0] = the proxy's end of a new link to a controller */
    LINK_QUIT,       /* exit now */
    /* proxy -> keeper, over the rendezvous socket */
    LINK_HANDOVER, /* number = pid; list + fds as in LINK_LISTENERS */
    /* controller -> proxy */
    LINK_SNAPSHOT, /* number = generation; fds[0] = memfd */
    LINK_LOG,      /* fds[0] = access log, O_APPEND; no fd = no log */
    /* proxy -> controller */
    LINK_HELLO,   /* number = pid; fds[0] = gauges memfd, fds[1] = doorbell eventfd */
    LINK_APPLIED, /* number = generation that every loop has applied */
    LINK_DRAINED, /* name = service, number = instance: nothing in flight on it any more */
    LINK_EJECTED, /* name = service, number = instance, text = reason; flag = false: back again */
    LINK_IDLE,    /* stopping, and nothing is in flight any more */
    LINK_REFUSED, /* number = generation, text = why a snapshot was not applied */
    LINK_TYPE_MAX,
};

/* Everything an instance or a task needs to run. All text; the keeper parses nothing. */
struct link_start {
    struct slice name;   /* "shop-3"; unique among what runs */
    struct slice meta;   /* kept and told back in LINK_RUNNING: see drivers/process/process.h */
    bool task;           /* an exec probe: not an instance, not adopted, killed at its deadline */
    int64_t deadline_us; /* task only: kill after this long */
    struct slice directory; /* "" = the keeper's own */
    struct slice user;      /* "" = the keeper's own */
    struct slice group;
    struct slice log_path;    /* stdout and stderr, O_APPEND */
    int64_t open_files_max;   /* RLIMIT_NOFILE; -1 = leave */
    int64_t memory_bytes_max; /* RLIMIT_AS; -1 = leave */
    int64_t processes_max;    /* RLIMIT_NPROC; -1 = leave */
    int64_t core_bytes_max;   /* RLIMIT_CORE; -1 = leave */
    uint32_t argc;
    uint32_t envc;
    struct slice argv[LINK_LIST_MAX];
    struct slice env[LINK_LIST_MAX]; /* NAME=value; the whole environment */
};

/* One message, decoded. Texts point into the packet. */
struct link_msg {
    enum link_type type;
    struct slice name;
    struct slice text;
    int64_t number;
    int64_t status;
    bool flag;
    uint32_t list_count;
    struct slice list[LINK_FDS_MAX];
    struct link_start *start; /* LINK_START: where to decode to, or what to encode */
    uint32_t fd_count;
    int fds[LINK_FDS_MAX]; /* received ones belong to the receiver, close-on-exec */
};

/* Returns the length, or -EMSGSIZE. */
int link_encode(const struct link_msg *m, void *buf, size_t cap);
/* 0, or -EPROTO with a text. Descriptors travel beside the bytes: fd_count comes back 0, and the
 * caller puts in those that fdpass_recv() gave. `start` receives a LINK_START's fields (may be
 * NULL: such a message is then refused). Never reads outside the packet; refuses what it does not
 * know whole. */
int link_decode(const void *buf, size_t bytes, struct link_start *start, struct link_msg *ret,
                struct err *err);
const char *link_type_name(enum link_type type);
