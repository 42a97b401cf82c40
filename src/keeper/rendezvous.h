/* Where a new keeper finds the proxy that an old one left behind. The proxy listens, from its
 * start, on an abstract SEQPACKET socket; its name (without the leading NUL) is in the proxy's
 * environment as PLIMSOLL_RENDEZVOUS. On accepting a peer whose uid is root's or its parent's it
 * sends LINK_HANDOVER, and that connection is its link to the keeper from then on. Private to
 * keeper/, but for this protocol. */
#pragma once

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include "keeper/listen.h"
#include "keeper/token.h"

#define RENDEZVOUS_NAME_MAX 96

socklen_t rendezvous_address(const char *name, struct sockaddr_un *ret);
void rendezvous_name(const char *identity, char ret[RENDEZVOUS_NAME_MAX]);
/* Takes the sockets over into `l`. Returns the proxy's pid and the link to it; 0 = nobody there. */
pid_t rendezvous_meet(const char *state_dir, const struct token_key *key, const char *name,
                      struct listeners *l, int *ret_fd);
