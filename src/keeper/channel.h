/* The keeper's end of a link: messages go out without blocking; what the peer is too busy to take
 * waits in a queue of bounded length. Private to keeper/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "link/msg.h"

struct channel {
    int fd; /* -1 = closed */
    struct list queue;
    size_t queued;
};

void channel_init(struct channel *c);
void channel_open(struct channel *c, int fd); /* takes the fd */
void channel_close(struct channel *c);
/* 0 (sent or queued), -EPIPE (closed), -ENOBUFS (the peer has not read for long: give it up). The
 * message's fds stay the caller's. */
int channel_send(struct channel *c, const struct link_msg *m);
bool channel_waits(const struct channel *c); /* for the socket to become writable */
int channel_flush(struct channel *c);
/* 1 = a message; 0 = the peer is gone; -EAGAIN; -EPROTO with a text. `ret`'s texts are valid until
 * the next call of any channel's receive. Its fds are the caller's. */
int channel_receive(struct channel *c, struct link_start *start, struct link_msg *ret,
                    struct err *err);
