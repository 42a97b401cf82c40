/* Packets with descriptors over a Unix SEQPACKET socket. */
#pragma once

#include <stddef.h>

#define FDPASS_MAX 64

/* 0, -EAGAIN (would block), -EPIPE (peer gone) or another -errno. The fds stay the sender's. */
int fdpass_send(int fd, const void *buf, size_t bytes, const int *fds, size_t n_fds);
/* Length > 0; 0 = peer closed; -EAGAIN; -EMSGSIZE (too long, dropped, its fds closed); other
 * -errno. Received fds are close-on-exec and the caller's. */
int fdpass_recv(int fd, void *buf, size_t cap, int *ret_fds, size_t *ret_n_fds);
