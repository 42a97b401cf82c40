/* The access log: loops format a line into a ring of their own, one thread writes them out. A ring
 * that is full drops the line and counts it: nobody waits for a disk. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "link/gauges.h"

struct loop;
struct exchange;

#define ACCESSLOG_RING_BYTES (1u << 20) /* a power of two */

#define ACCESSLOG_NO_MAIL (-2)

/* One writer (the loop), one reader (the log thread). Positions only grow. */
struct accesslog_ring {
    _Alignas(GAUGES_LINE) _Atomic size_t head; /* written up to here */
    _Alignas(GAUGES_LINE) _Atomic size_t tail; /* read up to here */
    char *data;
};

struct accesslog {
    _Atomic bool on;
    _Atomic bool asleep; /* the thread waits for event_fd */
    _Atomic bool quit;
    int event_fd;
    uint32_t ring_count;
    pthread_t thread;
    int fd;           /* the log thread's alone; -1 = none */
    _Atomic int mail; /* the descriptor it is to take instead; ACCESSLOG_NO_MAIL = none came */
    struct accesslog_ring rings[GAUGES_LOOPS_MAX];
};

int accesslog_init(struct accesslog *log, uint32_t ring_count);
void accesslog_stop(struct accesslog *log); /* writes what is left and ends the thread */
/* Take over the descriptor; -1 = no log. Any thread; waits for nobody: what the old one's reader
 * has not taken by then is lost. */
void accesslog_set_fd(struct accesslog *log, int fd);
/* One finished request, by its loop. Does nothing without a log. */
void accesslog_note(struct loop *l, const struct exchange *x);
void accesslog_wake(struct accesslog *log);
/* Append a whole line, or return false when there is no room. */
bool accesslog_ring_put(struct accesslog_ring *r, const char *line, size_t n);
