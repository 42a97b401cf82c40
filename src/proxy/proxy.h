/* The data plane: the process that parses bytes from the internet, and holds nothing worth
 * stealing. It runs until the keeper says LINK_QUIT. */
#pragma once

/* Serve. `keeper_fd` is a SEQPACKET socket to the keeper, or -1 when there is none any more.
 * PLIMSOLL_LOOPS and PLIMSOLL_RENDEZVOUS come from the environment. Returns the exit status. */
int proxy_main(int keeper_fd);
