/* Requests that wait, first come, first out: in a ring that grows with them. */
#pragma once

#include <stdint.h>

struct request {
    int64_t arrived_ns;
    double work_ns; /* how long it takes when nothing is in its way */
};

struct request_queue {
    struct request *items;
    uint32_t cap; /* a power of two, or 0 */
    uint32_t first, count;
};

void request_queue_done(struct request_queue *q);
int request_queue_put(struct request_queue *q, struct request r);       /* 0 or -ENOMEM */
const struct request *request_queue_top(const struct request_queue *q); /* NULL when empty */
const struct request *request_queue_get(const struct request_queue *q, uint32_t n); /* n < count */
struct request request_queue_take(struct request_queue *q); /* must not be empty */
