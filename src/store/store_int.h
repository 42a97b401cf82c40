/* The store's inside, shared by its three sides: putting and health (store.c), writing on its own
 * thread (writer.c), reading (store_read.c). Private to store/. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "store/db.h"
#include "store/mailbox.h"
#include "store/rollup.h"
#include "store/store.h"

#define STORE_BATCH 500 /* records of one transaction */

struct store {
    struct store_options options; /* path is the store's own copy, defaults are filled in */
    char *path;
    struct mailbox box;
    pthread_t writer;

    /* The writer's. */
    struct db db;
    struct rollup rollup;
    struct record *batch;
    int point_rc;        /* first error of the points put in this transaction */
    int64_t retry_at_us; /* monotonic */
    int64_t upkeep_at_us;
    int64_t prune_series; /* the last series pruned */
    unsigned pressure;    /* how often what is kept was halved, to stay below bytes_max */

    /* Both sides'. */
    atomic_uint generation; /* counts the databases opened; 0 = none yet */
    atomic_bool open;
    atomic_ullong written, dropped;
    pthread_mutex_t lock; /* of the three below */
    uint32_t set_aside;
    char trouble[320];
    char aside_path[256];

    /* The reader's. */
    sqlite3 *reader;
    unsigned reader_generation;
};

void *store_writer_main(void *store);
