/* A YAML text and the list of what is wrong with it, in the order of the file. What the text is to
 * say is the caller's. */
#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "config/config.h"
#include "config/read.h"

int schema_keep_node(struct schema_context *ctx, const struct schema_node *node, void *field,
                     struct err *err)
{
    *(const struct schema_node **)field = node;
    return 0;
}

void schema_init(struct schema_context *ctx, struct arena *arena, const char *path,
                 int64_t now_wall_us, struct err *errors, size_t errors_cap)
{
    *ctx = (struct schema_context){ .arena = arena,
                                    .path = path,
                                    .now_wall_us = now_wall_us,
                                    .errors = errors,
                                    .errors_cap = errors_cap };
    str_init(&ctx->name, ctx->name_buf, sizeof(ctx->name_buf));
}

/* Line and column back from "path:line:column". */
static void split_place(const char *place, int64_t *ret_line, int64_t *ret_column)
{
    const char *last = strrchr(place, ':'), *first = last;
    *ret_line = *ret_column = 0;
    if (!last || last == place)
        return;
    while (first > place && *--first != ':')
        ;
    num_parse_i64((struct slice){ first + 1, (size_t)(last - first - 1) }, ret_line);
    num_parse_i64(slice_of(last + 1), ret_column);
}

static bool error_before(const struct err *a, const struct err *b)
{
    int64_t line[2], column[2];
    split_place(a->place, &line[0], &column[0]);
    split_place(b->place, &line[1], &column[1]);
    return line[0] != line[1] ? line[0] < line[1] : column[0] < column[1];
}

/* In the order of the file: tables find errors in the order of their keys. */
static void sort_errors(struct err *errors, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct err held = errors[i];
        size_t at = i;
        for (; at > 0 && error_before(&held, &errors[at - 1]); at--)
            errors[at] = errors[at - 1];
        errors[at] = held;
    }
}

/* The caller is promised at least one error. */
static int fail_whole(struct schema_context *ctx, int rc)
{
    struct err err = { 0 };
    if (rc == -ENOMEM)
        err_set(&err, rc, "out of memory while reading; it needs more than %zu bytes",
                ctx->arena->cap_bytes);
    else
        err_set(&err, rc, "cannot be read");
    schema_place(ctx, 1, 1, &err);
    if (rc == -ENOMEM)
        ctx->error_count = 0;
    schema_report(ctx, &err);
    return rc;
}

static int finish(struct schema_context *ctx, int rc, size_t *ret_error_count)
{
    if (ctx->out_of_memory)
        rc = -ENOMEM;
    if (rc == -ENOMEM || (rc < 0 && ctx->error_count == 0))
        fail_whole(ctx, rc);
    sort_errors(ctx->errors, ctx->error_count);
    *ret_error_count = ctx->error_count;
    return rc == 0 && ctx->error_count > 0 ? -EINVAL : rc;
}

static int parse(struct schema_context *ctx, const char *text, size_t bytes,
                 const struct schema_node **ret)
{
    const struct schema_node *const *roots = ret;
    size_t count = 1;
    struct node_place at;
    struct err err = { 0 };
    int rc = ctx->join ? node_parse_all(ctx->arena, text, bytes, &roots, &count, &at, &err)
                       : node_parse(ctx->arena, text, bytes, ret, &at, &err);
    if (rc == -EINVAL) {
        schema_place(ctx, at.line, at.column, &err);
        schema_report(ctx, &err);
    }
    return rc == 0 && ctx->join ? ctx->join(ctx, roots, count, ret) : rc;
}

static int read_nodes(struct schema_context *ctx, const char *text, size_t bytes,
                      schema_reader read, void *to)
{
    const struct schema_node *root;
    struct err err = { 0 };
    if (bytes > CONFIG_TEXT_MAX)
        return schema_note(
            ctx,
            schema_fail(ctx, NULL, &err, "%zu bytes; at most %zu are read", bytes, CONFIG_TEXT_MAX),
            &err);
    int rc = parse(ctx, text, bytes, &root);
    return rc < 0 ? rc : read(ctx, root, to);
}

int schema_read_text(struct schema_context *ctx, const char *text, size_t bytes, schema_reader read,
                     void *to, size_t *ret_error_count)
{
    int rc = ctx->out_of_memory ? -ENOMEM : read_nodes(ctx, text, bytes, read, to);
    return finish(ctx, rc, ret_error_count);
}
