/* The schema of the configuration as tables. A section is a table of keys; a key says where its
 * value goes, what it may be, its default, and a line of help. The same tables read the YAML, print
 * the reference, and list the nearest key when one is unknown. Drivers bring sections of their own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum schema_type {
    SCHEMA_BOOL,     /* bool */
    SCHEMA_INT,      /* int64_t */
    SCHEMA_DURATION, /* int64_t, us */
    SCHEMA_SIZE,     /* int64_t, bytes */
    SCHEMA_RATIO,    /* double; "80%" or 0.8 */
    SCHEMA_NUMBER,   /* double */
    SCHEMA_TEXT,     /* const char *, in the config's arena; NULL = absent */
    SCHEMA_ENUM,     /* int; index into `names` */
    SCHEMA_LIST,     /* struct schema_list of texts; a single scalar is a list of one */
    SCHEMA_MAP,      /* struct schema_map: free keys, text values (environment) */
    SCHEMA_SECTION,  /* nested: `section`, at `offset` */
    SCHEMA_CUSTOM,   /* `parse` reads the node itself (config/ only: rules, policies) */
};

struct schema_list {
    size_t count;
    const char **items; /* in the arena */
};

struct schema_map {
    size_t count;
    const char **names;
    const char **values;
};

struct schema_node; /* a YAML node with its place: config/node.h */
struct schema_context;

struct schema_key {
    const char *name;
    enum schema_type type;
    size_t offset;
    const char *fallback; /* default as it would be written; NULL = absent stays zero */
    double min, max;      /* of numbers, durations (in s) and sizes (in bytes); both 0 = no check */
    /* SCHEMA_ENUM: NULL-terminated; SCHEMA_TEXT: the only texts possible. SCHEMA_INT, _SIZE,
     * _DURATION: names[0], if any, is a word that may be written for 0 ("auto", "unlimited"), for a
     * duration for US_NEVER ("never"). */
    const char *const *names;
    const struct schema_section *section;
    int (*parse)(struct schema_context *ctx, const struct schema_node *node, void *field,
                 struct err *err);
    bool required;
    bool resizes; /* of what an instance is made of: changed while it runs, nothing is replaced */
    bool moves;   /* where instances are: what runs at the old place is left alone */
    const char *help;
};

/* A key that people bring from elsewhere, and what is said to them. */
struct schema_hint {
    const char *name;
    const char *text; /* "here it is \"env\"" */
};

struct schema_section {
    const char *name;
    const char *help;
    bool named;                      /* a map from names to such sections */
    bool fixed;                      /* cannot change while plimsoll runs */
    size_t size_bytes;               /* of the struct that it fills */
    const struct schema_key *keys;   /* ends with a key without name */
    const struct schema_hint *hints; /* ends with one without name; NULL = none */
    bool lets_go; /* of a provisioner: its instances are not plimsoll's, and outlive the service */
    /* What is right and yet not wise, for `check`; NULL = nothing. */
    const char *(*note)(const void *section);
    /* Checks over several keys, and what follows from them; places errors with schema_error(). NULL
     * = nothing to check. Not called for a nested section that nobody wrote: its keys then have
     * their defaults, and `required` asks for nothing. */
    int (*check)(struct schema_context *ctx, void *section, struct err *err);
};

/* For a check: the error's place becomes the line and column of `key` in the section being checked
 * (or of the section itself when it is absent or NULL). Returns -EINVAL. */
int schema_error(struct schema_context *ctx, const char *key, struct err *err, const char *format,
                 ...) _printf_(4, 5);
/* Was the key written by the user (not defaulted)? */
bool schema_given(struct schema_context *ctx, const char *key);
/* For the check of a service's own section: is `key` written beside it? */
bool schema_beside(struct schema_context *ctx, const char *key);
/* Is the text one that ran before, perhaps on another machine (config_sections.recorded)? Then what
 * a check would find on this one, as files, says nothing. */
bool schema_recorded(const struct schema_context *ctx);
