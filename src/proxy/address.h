/* Addresses as the link writes them: "tcp:127.0.0.1:8080", "tcp:[::1]:8080", "unix:/path". */
#pragma once

#include <sys/socket.h>

struct address {
    socklen_t bytes;
    struct sockaddr_storage sa;
};

/* 0 or -EINVAL. Numeric only: the proxy asks no resolver. */
int address_parse(const char *text, struct address *ret);
