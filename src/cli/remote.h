/* The commands' way to a running plimsoll: HTTP over the admin socket, or an address. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cli/command.h"

extern const struct option_spec remote_options[];         /* --admin, --state, --token-file */
extern const struct option_spec command_common_options[]; /* --json, --help */

struct remote;

struct remote_answer {
    long status; /* HTTP's */
    char *body;  /* NUL-terminated; the caller frees */
    size_t bytes;
    int64_t log_offset; /* X-Log-Offset; -1 = absent */
};

/* Finds it by --admin, --state, PLIMSOLL_ADMIN or the default state directory, in this order.
 * Returns 0, or an exit status after having said what is wrong. */
int remote_open(const struct options *o, struct remote **ret);
void remote_close(struct remote *c);
static inline void remote_closep(struct remote **c)
{
    remote_close(*c);
}
#define _cleanup_remote_ _cleanup_(remote_closep)

/* How long one answer may take; 30 s at first. */
void remote_set_timeout(struct remote *c, int seconds);
bool remote_is_local(const struct remote *c); /* over a Unix socket: its pids are this machine's */

/* One request. Returns 0 when anything was answered, -ENOENT when nobody is there (nothing said
 * yet), or another -errno with a text. */
int remote_ask(struct remote *c, const char *method, const char *path, const char *body,
               struct remote_answer *ret, struct err *err);

/* Say what went wrong with remote_ask(), or what an error answer says; both return the exit status.
 */
int remote_fail(int rc, const struct err *err);
int remote_refuse(const struct remote_answer *a);

/* The usual request: complains and returns an exit status unless the answer is a 2xx. */
int remote_call(struct remote *c, const char *method, const char *path, json_t *body,
                struct remote_answer *ret);
/* The same, with the answer read as JSON, which the caller unrefs. `body` is taken over. */
int remote_call_json(struct remote *c, const char *method, const char *path, json_t *body,
                     json_t **ret);

/* remote_open(), one call, and the answer: what most commands are. With --json the answer itself is
 * printed and *ret stays NULL. */
int remote_simple(const struct options *o, const char *method, const char *path, json_t *body,
                  json_t **ret);

/* "/v1/services/NAME/ACTION" with the name made safe for a URL. */
int remote_path(char *ret, size_t cap, const char *before, const char *name, const char *after);

static inline void remote_json_unref(json_t **j)
{
    json_decref(*j);
}
#define _cleanup_json_ _cleanup_(remote_json_unref)
