/* A bounded queue of records between the thread that puts and the thread that writes. Putting never
 * waits: a full box refuses. Private to store/. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAILBOX_NAME_BYTES 64

enum record_type { RECORD_DECISION, RECORD_EVENT, RECORD_SAMPLE, RECORD_INSTANCE };

/* One put, whatever its type; fields that a type does not name are 0. */
struct record {
    enum record_type type;
    int kind;        /* event: enum store_event_kind */
    uint32_t number; /* sample, instance */
    int64_t wall_us;
    int64_t pid;   /* instance */
    uint64_t word; /* decision: sequence; instance: template */
    double value;  /* sample */
    char service[MAILBOX_NAME_BYTES];
    char name[MAILBOX_NAME_BYTES + 12]; /* event: instance; sample: metric; instance: state */
    char *text; /* decision: JSON; event: text; instance: address; malloc'd */
};

struct mailbox {
    pthread_mutex_t lock;
    pthread_cond_t filled, handled;
    struct record *ring;
    uint32_t cap, head, count;
    uint64_t posted;  /* records put in, ever */
    uint64_t taken;   /* of those, handled: written or dropped */
    uint64_t refused; /* found the box full */
    bool hurry;       /* somebody waits for a flush */
    bool closing;
};

int mailbox_init(struct mailbox *m, uint32_t cap); /* 0 or -ENOMEM */
void mailbox_done(struct mailbox *m);
/* Takes over `r->text`; frees it when the box is full. */
void mailbox_put(struct mailbox *m, const struct record *r);
/* Waits until there is something, but not after `deadline_us` (monotonic). True = closing. */
bool mailbox_wait(struct mailbox *m, int64_t deadline_us);
/* Waits on, for more to come, until `deadline_us`, `enough` records, a flush or the end. */
void mailbox_gather(struct mailbox *m, uint32_t enough, int64_t deadline_us);
/* Moves up to `cap` records out; the texts are then the caller's. */
uint32_t mailbox_take(struct mailbox *m, struct record *records, uint32_t cap);
/* Those taken are dealt with. */
void mailbox_handled(struct mailbox *m, uint32_t count);
/* 0 when all that was put before is handled, else -ETIMEDOUT. */
int mailbox_flush(struct mailbox *m, int64_t deadline_us);
void mailbox_close(struct mailbox *m);
uint64_t mailbox_refused(struct mailbox *m);
