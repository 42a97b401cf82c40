/* What plimsoll and a plugin say to each other, as lines of JSON: docs/plugin.md is the reference.
 * Text to plain data and back; no process, no clock, and no memory of what was said before. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/util.h"
#include "config/schema.h"

#define PLUGIN_VERSION 1
#define PLUGIN_LINE_MAX ((size_t)1024 * 1024)
#define PLUGIN_NAME_MAX 160    /* of an instance: plimsoll-OWNER-SERVICE-NUMBER */
#define PLUGIN_ADDRESS_MAX 128 /* as DRIVER_ADDRESS_MAX */
#define PLUGIN_TEXT_MAX 160

enum plugin_do { PLUGIN_LIST, PLUGIN_START, PLUGIN_STOP, PLUGIN_RESIZE, PLUGIN_SUBSCRIBE };

enum plugin_can {
    PLUGIN_CAN_RESIZE = BIT(0),
    PLUGIN_CAN_SUBSCRIBE = BIT(1), /* it says by itself what happens to instances */
};

/* What a request says. Only START has all of it. */
struct plugin_request {
    enum plugin_do what;
    const char *name, *service;
    uint32_t number;
    uint64_t template, shape, token;
    int64_t deadline_us, grace_us, drain_us;
    bool serves;     /* it has to have an address */
    const char *log; /* where its output may go */
    const struct schema_map *config, *size;
};

struct plugin_instance {
    char name[PLUGIN_NAME_MAX];
    char address[PLUGIN_ADDRESS_MAX]; /* "tcp:..." or "unix:..."; "" = none */
    uint64_t template, shape;
    int64_t drain_us; /* -1 = not said */
    int64_t pid;      /* of this machine; 0 = none */
};

enum plugin_said_type { PLUGIN_HELLO, PLUGIN_ANSWER, PLUGIN_EVENT };
enum plugin_event {
    PLUGIN_EXITED,
    PLUGIN_STARTED,
    PLUGIN_READY,
    PLUGIN_UNWELL,
    PLUGIN_ENGINE, /* what the plugin talks to: flag = it answers */
};

/* One line from the plugin. Texts lie in `json`, as they came, but for the copies. */
struct plugin_said {
    enum plugin_said_type type;
    json_t *json;
    /* HELLO */
    int version;
    unsigned can; /* enum plugin_can */
    unsigned at_once;
    /* ANSWER */
    uint64_t id;
    bool ok;
    bool garbled; /* not ok, for what it says cannot be read: it may have been done; `text` = why */
    /* EVENT */
    enum plugin_event event;
    bool flag;
    bool status_known;
    int32_t status;
    char text[PLUGIN_TEXT_MAX]; /* of an event, why not, or the name in HELLO; clean */
    /* Of EVENT, and of ANSWER when it is one instance; its name may be empty there. */
    struct plugin_instance instance;
};

/* NULL = no memory. */
json_t *plugin_encode_hello(const char *owner);
json_t *plugin_encode(const struct plugin_request *r, uint64_t id);
/* With the newline, malloc'ed. What changes something must not be done later than `until_us`, on
 * the wall clock. Takes `json` over, also when it is NULL. */
char *plugin_line(json_t *json, int64_t until_us);
/* 0, or -EPROTO with what is wrong, as in "a line that ..." : "is not JSON: ...". */
int plugin_decode(const char *line, size_t bytes, struct plugin_said *ret, char *why, size_t cap);
/* The n-th of a list's answer; false: there is none. Where it cannot be read, `why` says what is
 * wrong, and of *ret at most the name is known. */
bool plugin_said_item(const struct plugin_said *said, size_t n, struct plugin_instance *ret,
                      char *why, size_t cap);
void plugin_said_done(struct plugin_said *said);
/* A copy of what a plugin wrote, without control characters; one that does not fit ends in dots,
 * behind a whole character. */
void plugin_copy(char *ret, size_t cap, const char *text);
