/* A Docker Engine's API: requests, answers and streams over a Unix socket or TCP (with TLS), on the
 * controller's loop, never blocking. Shared by the docker and the swarm driver; knows neither
 * containers nor services. The API's version is negotiated before the first request: the newest
 * that both sides know. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "config/schema.h"

#define ENGINE_ERROR_MAX 256

/* The sections `docker` and `swarm` at the top of the file have these keys. */
struct engine_conf {
    const char *host; /* "unix:///var/run/docker.sock" (default; $DOCKER_HOST wins over the
                         default), "tcp://10.0.0.1:2376" */
    const char *ca, *cert, *key; /* files; with any of them TCP is TLS */
    int64_t timeout_us;          /* of an answer's headers, default 10 s */
};
extern const struct schema_key engine_keys[]; /* for a struct that begins with engine_conf */
int engine_check(struct schema_context *ctx, void *section, struct err *err);
const char *engine_note(const void *section);

struct engine;
struct engine_call;

enum engine_method { ENGINE_GET, ENGINE_POST, ENGINE_DELETE };

/* Of each lane so many are under way at once, and the others wait: an engine that is made to start
 * or to end hundreds of containers at once gets none of it done, or loses sight of them. */
enum engine_lane {
    ENGINE_QUICK,  /* 128 at once */
    ENGINE_SLOW,   /* what may take longer than other answers: 256 */
    ENGINE_STARTS, /* it starts a program: 8 */
    ENGINE_ENDS, /* it ends one: 8, but one that takes a second is counted among the slow ones, for
                    what it waits for is the program */
    ENGINE_LANES,
};

struct engine_request {
    enum engine_method method;
    enum engine_lane lane;
    const char *path;   /* "/containers/json?all=1", without version */
    json_t *body;       /* borrowed; NULL = none */
    const char *auth;   /* X-Registry-Auth, base64; NULL = none */
    bool acts;          /* changes something: held back when `may_act` says no (driver.h) */
    int64_t timeout_us; /* of the whole; 0 = the conf's; US_NEVER for a stop with a long grace */
};

/* `status` 0 = no answer (`error` says why) or held back (`error` is ""). `json` is the body, NULL
 * when it is none, and of several values (the progress of a pull) the last; borrowed. For a status
 * >= 300 `error` is the engine's message, else "". */
typedef void engine_done(void *ctx, int status, json_t *json, const char *error);
/* A stream of JSON values, one call each; json NULL = it is over, and `error` says why. An empty
 * object comes first: the engine has begun, and nothing is missed from now on. */
typedef void engine_heard(void *ctx, json_t *json, const char *error);
/* A stream of raw bytes; count 0 = it is over, all of it or (`error` not "") not. */
typedef void engine_bytes(void *ctx, const char *bytes, size_t count, const char *error);

struct engine_options {
    uv_loop_t *loop;
    const struct engine_conf *conf; /* copied */
    bool (*may_act)(void *ctx);
    /* It answers (again), or not any more: said once each, NULL = nobody asks. An engine that is
     * not there is asked again with a growing pause, 250 ms to 10 s, without anybody having to. */
    void (*state)(void *ctx, bool up, const char *error);
    void *ctx;
};

int engine_new(const struct engine_options *options, struct engine **ret, struct err *err);
/* What is under way is cancelled. The loop must run once more to close the handles. */
void engine_free(struct engine *e);
/* Is it the one that `conf` means, asked in the same way? */
bool engine_is_at(const struct engine *e, const struct engine_conf *conf);
bool engine_is_up(const struct engine *e);
/* It was asked and does not answer; engine_error() says why. Neither: nothing is known yet. */
bool engine_is_down(const struct engine *e);
const char *engine_error(const struct engine *e);
/* "1.41"; "" before it is known. */
const char *engine_version(const struct engine *e);

/* NULL = no memory. The answer comes later, once, unless cancelled before. */
struct engine_call *engine_ask(struct engine *e, const struct engine_request *r, engine_done *done,
                               void *ctx);
struct engine_call *engine_listen(struct engine *e, const char *path, engine_heard *heard,
                                  void *ctx);
struct engine_call *engine_read(struct engine *e, const char *path, engine_bytes *bytes, void *ctx);
/* Of a stream: the engine has begun to answer. */
bool engine_has_begun(const struct engine_call *call);
/* Nothing of it has been sent. */
bool engine_is_waiting(const struct engine_call *call);
void engine_cancel(struct engine_call *call); /* NULL is fine */

/* --- credentials for an image's registry, from ~/.docker/config.json ($DOCKER_CONFIG) --- */

/* `auth` is what X-Registry-Auth wants, NULL = the file knows of none. `error` is "" or why the
 * credential helper that the file names did not give any. */
typedef void engine_auth_done(void *ctx, const char *auth, const char *error);

struct engine_auth;
/* `done` is called once: before this returns (then it returns NULL), or, where a credential helper
 * has to be asked, later. */
struct engine_auth *engine_auth_ask(uv_loop_t *loop, const char *image, engine_auth_done *done,
                                    void *ctx);
void engine_auth_cancel(struct engine_auth *a); /* NULL is fine */
