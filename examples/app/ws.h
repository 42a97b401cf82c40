/* The WebSocket handshake's answer (RFC 6455, section 4.2.2). */
#pragma once

#include <stddef.h>

#define WS_ACCEPT_BYTES 29 /* 28 and the NUL */

/* base64(SHA-1(key + the protocol's GUID)). */
void ws_accept(const char *key, char ret[WS_ACCEPT_BYTES]);
