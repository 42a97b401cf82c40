/* A configuration's tree of YAML nodes with other values in it, and back to text. What a search
 * changes is what a person would: the text. So what was simulated is what is pasted. */
#pragma once

#include "base/arena.h"
#include "base/str.h"
#include "config/node.h"

/* The node at "rules.0.target.value" below `root`; "" is root itself. NULL = there is none. */
const struct schema_node *tune_yaml_find(const struct schema_node *root, const char *path);
/* A tree that has `text` at the path and shares all else with `root`. Maps on the way are made;
 * what is no map where one must be gives way to one; items of lists must be there. NULL = no
 * memory, or no such item. */
const struct schema_node *tune_yaml_set(struct arena *arena, const struct schema_node *root,
                                        const char *path, const char *text);
/* Block style, `indent` spaces deep; maps and lists of nothing but scalars on one line. */
void tune_yaml_write(const struct schema_node *node, uint32_t indent, struct str *out);
