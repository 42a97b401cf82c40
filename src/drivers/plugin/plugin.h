/* A plugin: a process that is kept running, is asked by lines of JSON, and answers in any order. It
 * ends, and another is started after a pause that grows; what it was asked is then lost, and
 * whoever asked is told so. Knows requests and their deadlines, but nothing of instances. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/err.h"
#include "config/schema.h"
#include "drivers/plugin/plugin_wire.h"

#define PLUGIN_WORDS_MAX 256 /* of its command */

struct plugin;

/* None of these may free the plugin. */
struct plugin_client {
    /* It said hello; what it can is known. */
    void (*up)(void *ctx);
    /* It ended or cannot be started; said before those who asked are told. Once until it is up. */
    void (*down)(void *ctx, const char *text);
    void (*heard)(void *ctx, const struct plugin_said *event);
    /* It said something that cannot be right, and goes on: an answer or event may be lost. */
    void (*odd)(void *ctx, const char *text);
    /* Asked before a request is written that changes something: for how long it may be carried
     * out. Not above 0: it is dropped. */
    int64_t (*may_act_us)(void *ctx);
    void *ctx;
};

struct plugin_options {
    uv_loop_t *loop;
    const char *owner;
    /* Borrowed for the call: copied. */
    const struct schema_list *command; /* a single text with more than a word is a shell's */
    const struct schema_map *env;
    const char *directory; /* NULL = ours */
    struct plugin_client client;
};

/* Starts it on the loop's next turn. */
int plugin_new(const struct plugin_options *options, struct plugin **ret, struct err *err);
/* Its input ends, and it is told to. Nobody is told anything any more. The loop must run until its
 * handles are closed, which may take until the process has ended (it is killed after a while). */
void plugin_free(struct plugin *p);

bool plugin_is_up(const struct plugin *p);
unsigned plugin_can(const struct plugin *p); /* enum plugin_can */
/* "plugin ssh (python3 ssh.py web1 web2)"; before its hello "plugin (python3 ssh.py web1 web2)" */
const char *plugin_label(const struct plugin *p);

/* `answer` NULL: there is none, for it took too long, the plugin ended, or may_act_us said no;
 * whether it was done is not known. Borrowed for the call. */
typedef void plugin_done(void *ctx, const struct plugin_said *answer);
/* Of one that is up; a list goes before all that waits to be written. `done` comes once, perhaps at
 * once. 0, -ENOMEM or -ENOTCONN. */
int plugin_ask(struct plugin *p, const struct plugin_request *r, plugin_done *done, void *ctx);
/* Whoever asked with this ctx is not told any more. */
void plugin_forget(struct plugin *p, const void *ctx);
/* It does not do what it should: it is ended, and another one started. */
void plugin_restart(struct plugin *p, const char *why);
/* Another controller decides now. What it was asked to change and has not answered it may not have
 * read yet, and must not: then it is ended, its pipe with it, and another one started. */
void plugin_depose(struct plugin *p);

/* plugin_process.c: one life of the process, and the lines that it writes. */
struct plugin_life;
struct plugin_life_client {
    void (*line)(void *ctx, char *line, size_t bytes);
    void (*complaint)(void *ctx, const char *line); /* on stderr */
    void (*odd)(void *ctx, const char *text);
    /* It is over, and all that it wrote has been told. */
    void (*ended)(void *ctx, const char *text);
    void *ctx;
};
/* 0 or -errno, as uv says it. argv and env are NULL-terminated. */
int plugin_life_begin(uv_loop_t *loop, char **argv, char **env, const char *directory,
                      const struct plugin_life_client *client, struct plugin_life **ret);
/* `line` is malloc'ed and taken over; NULL = there was no memory for it. */
void plugin_life_write(struct plugin_life *l, char *line);
void plugin_life_kill(struct plugin_life *l);
void plugin_life_forget(struct plugin_life *l); /* ended in order; the client hears no more */
