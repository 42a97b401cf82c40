/* The listening sockets. Addresses are "tcp:HOST:PORT", "tcp:[v6]:PORT", "tcp:*:PORT" (both
 * families on one socket where the machine has IPv6) and "unix:/path". LINK_LISTENING answers with
 * text = the address as bound and name = the address as asked for (they differ for port 0); on
 * failure number = errno, text = the address as asked for, and name = the reason for a person.
 * A TCP listener has as many sockets as were asked for first; a Unix one always has one, because
 * SO_REUSEPORT is TCP's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "link/msg.h"

#define LISTEN_ADDRESS_MAX 128 /* as snapshot.h's */
#define LISTEN_MAX 64

struct listener {
    char asked[LISTEN_ADDRESS_MAX];
    char bound[LISTEN_ADDRESS_MAX];
    int fd_count;
    int fds[LINK_FDS_MAX];
};

struct listeners {
    size_t count;
    struct listener items[LISTEN_MAX];
};

/* The listener of that address, held already or bound now with `sockets` sockets: 0, or -errno with
 * a text that names the way out. */
int listeners_open(struct listeners *l, const char *address, int sockets,
                   const struct listener **ret, struct err *err);
/* Takes a socket that is bound and listening, from an earlier life. The fd is ours on success. */
int listeners_adopt(struct listeners *l, const char *address, int fd);
/* false = no such address. Removes a Unix socket's file. */
bool listeners_close(struct listeners *l, const char *address);
/* Closes all; `unlink_files` = nobody else holds them. */
void listeners_done(struct listeners *l, bool unlink_files);
/* As LINK_LISTENERS; the texts stay ours. */
void listeners_fill(const struct listeners *l, struct link_msg *m);
