/* Vector files: finding and reading them, and values out of them. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The file's root; ends the program when it is not there. */
static inline json_t *vectors_load(const char *name)
{
    char path[512];
    const char *tests = getenv("PLIMSOLL_TESTS");
    json_error_t error;
    snprintf(path, sizeof(path), "%s/vectors/%s", tests ? tests : "tests", name);
    json_t *root = json_load_file(path, 0, &error);
    if (!root) {
        fprintf(stderr, "%s:%d: %s\n", path, error.line, error.text);
        exit(2);
    }
    return root;
}

static inline const char *vectors_text(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));
    return text ? text : "";
}

static inline double vectors_number(const json_t *o, const char *key, double otherwise)
{
    const json_t *value = json_object_get(o, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

static inline int64_t vectors_integer(const json_t *o, const char *key, int64_t otherwise)
{
    const json_t *value = json_object_get(o, key);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}
