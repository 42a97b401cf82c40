/* Reading with tables, for config/ and whoever reads YAML files of another kind with it: what a
 * schema_context is, and how a section, a value and an error come about. Drivers need only
 * schema.h. */
#pragma once

#include "config/node.h"
#include "config/schema.h"
#include "core/model.h"

struct schema_context {
    struct arena *arena;
    const char *path; /* of the file */
    int64_t now_wall_us;
    struct model_conf *model;           /* zones are added as rules name them */
    const struct service_conf *service; /* whose rules are being read: it has metrics of its own */
    bool proxied;                       /* and the proxy measures it */
    bool recorded;                      /* schema_recorded() */
    const struct schema_node *beside;   /* schema_beside(): the map that the section stands in */

    /* Makes one map of a text's documents; NULL = it has one only. Reports. */
    int (*join)(struct schema_context *ctx, const struct schema_node *const *roots, size_t count,
                const struct schema_node **ret);

    struct err *errors; /* the caller's */
    size_t errors_cap;
    size_t error_count; /* stops at errors_cap */
    bool out_of_memory;

    /* The section being read and where it is, for schema_error() and schema_given(). */
    const struct schema_node *node; /* NULL = not written */
    char name_buf[256];
    struct str name; /* "services.shop.scale" */
};

/* `path` and `errors` stay the caller's. */
void schema_init(struct schema_context *ctx, struct arena *arena, const char *path,
                 int64_t now_wall_us, struct err *errors, size_t errors_cap);
/* What a document is to say. 0, -EINVAL (reported) or -ENOMEM. */
typedef int (*schema_reader)(struct schema_context *ctx, const struct schema_node *root, void *to);
/* A YAML text, read by `read`. On -EINVAL and -ENOMEM there is at least one error in the list, in
 * the order of the text; *ret_error_count says how many. */
int schema_read_text(struct schema_context *ctx, const char *text, size_t bytes, schema_reader read,
                     void *to, size_t *ret_error_count);
/* For custom keys: remembers the node for the check that follows. */
int schema_keep_node(struct schema_context *ctx, const struct schema_node *node, void *field,
                     struct err *err);

/* Reads a section into `out`, which is zeroed: defaults for what is not written, the table's
 * checks, then the section's own. `node` may be NULL (nothing written: the defaults, and no check).
 * `out` is whole even when there were errors. Returns 0, -EINVAL (reported) or -ENOMEM. */
int schema_read(struct schema_context *ctx, const struct schema_section *section,
                const struct schema_node *node, void *out);

/* As schema_read(), under a name of its own: "rules[2]". */
int schema_read_named(struct schema_context *ctx, const char *name,
                      const struct schema_section *section, const struct schema_node *node,
                      void *out);

/* Names what is being read from here on; returns what schema_leave() wants back. */
size_t schema_enter(struct schema_context *ctx, const char *name);
void schema_leave(struct schema_context *ctx, size_t entered);

/* An error at a node: `err` gets place and text, "name.of.it: text". Returns -EINVAL. */
int schema_fail(struct schema_context *ctx, const struct schema_node *node, struct err *err,
                const char *format, ...) _printf_(4, 5);
/* As schema_error(), but placed at the value of the key. */
int schema_fail_value(struct schema_context *ctx, const char *key, struct err *err,
                      const char *format, ...) _printf_(4, 5);
/* As schema_fail_value(), at an item of a list (or the single value that is the list). */
int schema_fail_item(struct schema_context *ctx, const char *key, size_t item, struct err *err,
                     const char *format, ...) _printf_(5, 6);
void schema_place(struct schema_context *ctx, uint32_t line, uint32_t column, struct err *err);
/* Takes the error into the caller's list. An empty one has been reported before. */
void schema_report(struct schema_context *ctx, const struct err *err);
/* schema_report() for -EINVAL, out_of_memory for -ENOMEM; returns rc. */
int schema_note(struct schema_context *ctx, int rc, const struct err *err);

/* The key of a table, or NULL; the one that is most like `name`, or NULL when none is near. */
const struct schema_key *schema_find_key(const struct schema_section *section, const char *name);
const char *schema_nearest_key(const struct schema_section *section, const char *name);
const char *schema_nearest(const char *const *names, const char *name);
/* "unknown key ...; did you mean ...?" at the key. Returns -EINVAL. */
int schema_unknown_key(struct schema_context *ctx, const struct schema_section *section,
                       const struct schema_node *key, struct err *err);

/* One scalar into a field; err->text says what is wrong with it, without name and place. Also reads
 * the defaults. -EINVAL or -ENOMEM. */
int schema_read_value(struct arena *arena, const struct schema_key *key, const char *text,
                      void *field, struct err *err);
/* A bound of a range, in the unit of schema_key.min and max, as a person would write it. */
void schema_print_bound(enum schema_type type, double bound, struct str *out);
/* "80" where "80%" is meant: what it would be, and the way out. Returns -EINVAL. */
int schema_forgotten_percent(const char *text, double value, struct err *err);
/* A field as a person would write it. */
void schema_print_value(const struct schema_key *key, const void *field, struct str *out);
