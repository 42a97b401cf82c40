/* What the journal's writer and reader agree on. Private to store/journal*.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define JOURNAL_NAME_FORMAT "journal-%08llu.jsonl"
#define JOURNAL_NAME_BYTES 48
#define JOURNAL_DECISION_HEAD "{\"decision\":"

/* The numbers of the segments in a directory, ascending, malloc'd; 0 or -errno. */
int journal_list(const char *directory, uint64_t **ret_numbers, size_t *ret_count);
/* malloc'd path of a segment, NULL when memory is short. */
char *journal_path(const char *directory, uint64_t number);
