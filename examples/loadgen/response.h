/* An HTTP/1.1 response as it arrives, in pieces of any size. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RESPONSE_LINE_MAX 8192

struct response {
    int phase; /* response.c's */
    int code;
    bool close, chunked, sized;
    uint64_t left; /* of the body, or of this chunk */
    size_t line_bytes;
    char line[RESPONSE_LINE_MAX];
};

void response_clear(struct response *r);
/* 1 = whole, 0 = more to come, -1 = not HTTP. */
int response_feed(struct response *r, const char *data, size_t bytes);
/* The server has closed: 1 = that was the end of the body, -1 = something is missing. */
int response_end(const struct response *r);
bool response_begun(const struct response *r);
