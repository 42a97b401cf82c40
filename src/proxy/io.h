/* A descriptor in a loop's epoll set, with what its last edges said. A descriptor is registered
 * once; reading and writing keep the flags true, so that no call is made only to hear EAGAIN. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct loop;

enum io_kind { IO_LETTERBOX, IO_LISTENER, IO_CLIENT, IO_UPSTREAM };

struct io {
    int fd; /* -1 = closed; its memory goes when the loop's turn ends */
    uint8_t kind;
    bool readable, writable;
    bool hup;         /* the peer has closed or reset: read until told so */
    bool gone;        /* both directions are over, or it was reset */
    bool local;       /* a Unix socket: see io_add() */
    bool out_watched; /* EPOLLOUT is asked for */
    struct io *dead_next;
};

/* Register. A Unix socket reports "writable" each time its peer reads, so there EPOLLOUT is asked
 * for only when a write did not go through. 0 or -errno. */
int io_add(struct loop *l, struct io *io, int fd, enum io_kind kind, bool local);
/* Close now, free at the end of the loop's turn: other events of this turn may still point here. */
void io_close(struct loop *l, struct io *io);
void io_note_events(struct io *io, uint32_t events);

/* > 0; 0 = end; -EAGAIN; another -errno. */
int io_recv(struct io *io, void *buf, size_t cap);
/* Bytes taken (possibly 0 when it would block); -errno. */
int io_send(struct loop *l, struct io *io, const struct iovec *iov, int iov_count);
