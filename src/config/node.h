/* The YAML text as a tree in which every value knows where it was written. Aliases point at the
 * node they name, so a bomb of aliases costs nothing here; merge keys ("<<") are resolved. The tree
 * lies in the arena and outlives the YAML library's own structures. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

#define NODE_COUNT_MAX                                                        \
    100000 /* values in one file; a configuration of 256 services has ~20,000 \
            */
#define NODE_DEPTH_MAX 32
#define NODE_ANCHORS_MAX 1000
#define NODE_MERGED_MAX 1000 /* keys of one map that merges others */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP };

struct schema_node {
    enum node_kind kind;
    uint32_t line, column; /* from 1 */
    bool quoted;           /* scalar: in quotes or a block, so never null, a number or a bool */
    const char *text;      /* scalar: NUL-terminated; has no NUL inside */
    uint32_t count;        /* list: items; map: pairs */
    const struct schema_node **items; /* list */
    struct node_pair *pairs;          /* map, in the order written */
};

struct node_pair {
    const struct schema_node *key; /* a scalar */
    const struct schema_node *value;
};

struct node_place {
    uint32_t line, column;
};

#define NODE_DOCUMENTS_MAX 1024

/* Reads `text`. An empty document is an empty map. -EINVAL with ret_place set and the reason in
 * err->text; -ENOMEM. */
int node_parse(struct arena *arena, const char *text, size_t bytes, const struct schema_node **ret,
               struct node_place *ret_place, struct err *err);

/* The same for a text of several documents ("---"): at least one root, in the arena. */
int node_parse_all(struct arena *arena, const char *text, size_t bytes,
                   const struct schema_node *const **ret, size_t *ret_count,
                   struct node_place *ret_place, struct err *err);

/* The pair of a map, or NULL. */
const struct node_pair *node_find(const struct schema_node *map, const char *key);
/* Written as nothing, ~ or null. */
bool node_is_null(const struct schema_node *n);
/* "text", "a list", "a map", "nothing": for messages. */
const char *node_kind_name(const struct schema_node *n);
