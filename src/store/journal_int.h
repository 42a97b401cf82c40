/* What the journal's writer and reader agree on. Private to store/journal*.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/journal.h"

#define JOURNAL_NAME_FORMAT "journal-%08llu.jsonl"
#define JOURNAL_NAME_BYTES 48
#define JOURNAL_DECISION_HEAD "{\"decision\":"

/* The numbers of the segments in a directory, ascending, malloc'd; 0 or -errno. */
int journal_list(const char *directory, uint64_t **ret_numbers, size_t *ret_count);
/* malloc'd path of a segment, NULL when memory is short. */
char *journal_path(const char *directory, uint64_t number);

/* What the writer has beside its files: the segment that none of them takes. */
struct journal_memory {
    const char *directory;
    uint64_t segment; /* 0 = none */
    const char *text;
    size_t bytes;
    bool lost; /* there should be one, but memory is short as well */
};
struct journal_memory journal_memory(const struct journal *j);

/* A configuration that was read; `config` points at the rest. */
struct journal_config_copy {
    struct journal_config config;
    char *path, *text;
    uint64_t *templates, *shapes;
    struct zone_conf *zones;
};

json_t *journal_config_json(const struct journal_config *c);
/* 0 or -EPROTO; either way journal_config_done() frees it. */
int journal_config_decode(const json_t *json, struct journal_config_copy *ret);
void journal_config_done(struct journal_config_copy *c);
