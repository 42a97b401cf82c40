/* A walk along the pointer's tokens, "~1" and "~0" undone (RFC 6901, sections 3 and 4). */
#include "drivers/source/json_pointer.h"

#include <string.h>

#define TOKEN_MAX 512

bool json_pointer_valid(const char *pointer)
{
    if (pointer[0] != '\0' && pointer[0] != '/')
        return false;
    size_t token = 0;
    for (const char *p = pointer; *p; p++) {
        token = *p == '/' ? 0 : token + 1;
        if (token >= TOKEN_MAX || (*p == '~' && p[1] != '0' && p[1] != '1'))
            return false;
    }
    return true;
}

/* The token that begins at `p` without its escapes; returns where the next one begins. */
static const char *take_token(const char *p, char token[TOKEN_MAX], size_t *ret_bytes)
{
    size_t n = 0;
    for (; *p && *p != '/' && n < TOKEN_MAX - 1; p++) {
        token[n] = *p;
        if (*p == '~')
            token[n] = *++p == '1' ? '/' : '~';
        n++;
    }
    token[n] = '\0';
    *ret_bytes = n;
    return p;
}

/* Section 4: digits without a leading zero. "-" is the element behind the last: never there. */
static const json_t *array_item(const json_t *array, const char *token, size_t bytes)
{
    size_t index = 0;
    if (bytes == 0 || bytes > 9 || strspn(token, "0123456789") != bytes ||
        (token[0] == '0' && bytes > 1))
        return NULL;
    for (size_t i = 0; i < bytes; i++)
        index = index * 10 + (size_t)(token[i] - '0');
    return json_array_get(array, index);
}

const json_t *json_pointer_get(const json_t *root, const char *pointer)
{
    char token[TOKEN_MAX];
    size_t bytes;
    while (root && *pointer == '/') {
        pointer = take_token(pointer + 1, token, &bytes);
        root = json_is_array(root) ? array_item(root, token, bytes)
                                   : json_object_getn(root, token, bytes);
    }
    return root;
}

const char *json_pointer_type_name(const json_t *json)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "an array", [JSON_STRING] = "a text",
        [JSON_INTEGER] = "a number", [JSON_REAL] = "a number",  [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",      [JSON_NULL] = "null",
    };
    return names[json_typeof(json)];
}
