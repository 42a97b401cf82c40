/* The engine's parts: the connection's state (engine.c), one request (engine_call.c), JSON values
 * out of a stream of bytes (engine_stream.c). */
#pragma once

#include "base/list.h"
#include "drivers/curl_loop.h"
#include "drivers/docker/engine.h"

/* --- engine_stream.c --- */

/* Cuts bytes into JSON objects and arrays, whatever stands between them being space. */
struct json_stream {
    char *buf; /* what is not a whole value yet */
    size_t bytes, cap, bytes_max;
    size_t scanned;
    unsigned depth;
    bool in_string, escaped;
};

/* `value` is borrowed. false = no more, please. */
typedef bool json_stream_value(void *ctx, json_t *value);

void json_stream_init(struct json_stream *s, size_t bytes_max);
void json_stream_done(struct json_stream *s);
/* 0; -EPROTO: not JSON; -EMSGSIZE: a value is over bytes_max; -ECANCELED: told to end; -ENOMEM. */
int json_stream_feed(struct json_stream *s, const char *bytes, size_t count,
                     json_stream_value *value, void *ctx);

/* --- engine_place.c: where the engine is --- */

struct engine_place {
    char host[256];      /* as people write it */
    char unix_path[108]; /* "" = TCP */
    char base[300];      /* "http://localhost", "https://10.0.0.1:2376" */
    char ca[512], cert[512], key[512];
};

int engine_place_set(struct engine_place *p, const struct engine_conf *conf, struct err *err);

/* --- engine_call.c --- */

enum call_kind { CALL_ASK, CALL_LISTEN, CALL_READ };

struct engine_call {
    struct curl_transfer transfer; /* easy NULL = it waits for its turn */
    struct list link;              /* of engine.waiting or engine.running */
    struct engine *engine;
    enum call_kind kind;
    enum engine_method method;
    enum engine_lane lane;
    int64_t launched_us;
    bool acts, ping;
    bool held;   /* may_act said no */
    bool opened; /* the answer's head was good */
    bool opened_told;
    bool paused;    /* more came than is taken */
    bool over;      /* the transfer is; what has come is still to be told */
    bool telling;   /* in a callback of whoever asked */
    bool cancelled; /* ... who does not want it any more */
    char *path, *body;
    size_t body_bytes;
    struct curl_slist *headers;
    int64_t timeout_us;
    struct json_stream json;
    json_t *last;   /* value of the body */
    char text[200]; /* the begin of a body that is no JSON */
    char *pending;  /* of a stream: not told yet */
    size_t pending_bytes;
    union {
        engine_done *done;
        engine_heard *heard;
        engine_bytes *bytes;
    };
    void *ctx;
    char error[ENGINE_ERROR_MAX]; /* why it is over */
    char curl_error[CURL_ERROR_SIZE];
};

struct engine_call *call_new(struct engine *e, enum call_kind kind, const struct engine_request *r);
void call_free(struct engine_call *c);
/* Hands it to curl. 0 or -ENOMEM. */
int call_launch(struct engine_call *c);
/* Tells what a stream has brought; frees it when it is over, or not wanted any more. */
void call_tell_stream(struct engine_call *c);
/* The end of one that was never launched, or that was refused. Frees it. */
void call_fail(struct engine_call *c, const char *error);

/* --- engine.c --- */

enum engine_state { ENGINE_UNKNOWN, ENGINE_UP, ENGINE_DOWN };

struct engine {
    struct engine_options options; /* without conf */
    struct engine_place place;
    int64_t timeout_us;
    struct curl_loop *curl;
    struct list waiting, running;
    unsigned counts[ENGINE_LANES]; /* of the running ones but pings and streams */
    enum engine_state state;
    struct engine_call *ping;
    char version[16];
    char error[ENGINE_ERROR_MAX]; /* why it is down */
    int64_t pause_us;             /* until the next ping, while it is down */
    uv_timer_t timer;             /* next ping */
    uv_timer_t turn;              /* the next turn of the loop has something to do */
    unsigned handles;
};

void engine_turn_soon(struct engine *e);
/* A call got no answer: is the engine still there? */
void engine_doubt(struct engine *e);
void engine_ping_answered(struct engine *e, const char *version);
void engine_ping_failed(struct engine *e, const char *error);
void engine_call_ended(struct engine *e, const struct engine_call *c);
