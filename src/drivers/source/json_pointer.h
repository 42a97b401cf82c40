/* JSON pointers (RFC 6901): "/queue/depth", "/items/0/n"; "" is the whole document. */
#pragma once

#include <jansson.h>
#include <stdbool.h>

bool json_pointer_valid(const char *pointer);
/* NULL = there is nothing at it. */
const json_t *json_pointer_get(const json_t *root, const char *pointer);
/* For people: "a text". */
const char *json_pointer_type_name(const json_t *json);
