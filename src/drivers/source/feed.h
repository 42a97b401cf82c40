/* Feeds: the sources that services configure under `sources`. Each is one number that somebody
 * outside knows: asked for every so often, held until the next answer is overdue, and unknown from
 * then on (law 1: unknown is never zero). A kind of feed only knows how to ask; when to ask, what
 * to believe and what to say of a source that fails is done once, for all kinds, in feeds.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "base/list.h"
#include "base/us.h"
#include "drivers/driver.h"

#define FEED_TROUBLE_MAX 256
/* What is above was never counted. */
#define FEED_VALUE_MAX 1e15
/* A source whose fault becomes another one is news, but not more often than this. */
#define FEED_NEWS_US (60 * US_PER_S)

struct feed;
struct fetcher;
struct statsd;

struct feed_ops {
    const char *name; /* "redis" */
    const struct schema_section *section;
    /* Before the first ask, and again for as long as it fails (with a text). NULL = nothing to
     * open; likewise close. */
    int (*open)(struct feed *f, struct err *err);
    /* Ask once, without blocking: feed_answer() or feed_fail() follows, at once or later, unless
     * cancel() comes first. NULL = answers come by themselves. */
    void (*ask)(struct feed *f);
    /* What was asked is not wanted any more: time is up, or the feed ends. Nothing of it may touch
     * the feed after this. */
    void (*cancel)(struct feed *f);
    void (*close)(struct feed *f);
};

/* As configured. Texts and `conf` live until the next feeds_set(). */
struct feed_conf {
    uint32_t slot;       /* of the service */
    const char *service; /* its name */
    const char *name;    /* the metric's */
    enum metric metric;
    int64_t every_us, timeout_us;
    const struct schema_section *section;
    const void *conf; /* of the section */
};

/* What all feeds of a controller share. */
struct feed_tools {
    struct driver_env env;
    struct fetcher *fetcher;
    struct statsd *statsd;
};

struct feed {
    const struct feed_ops *ops;
    struct feed_tools *tools;
    struct feed_conf conf;
    void *self; /* the kind's own */

    /* feeds.c's. */
    struct list link;
    uint64_t fingerprint; /* of what was configured; another one is another feed */
    uv_timer_t timer;
    bool open, asking, kept;
    int64_t since_us; /* it is there */
    int64_t asked_us;
    int64_t answered_us; /* the newest answer; 0 = none yet */
    double value;
    char trouble[FEED_TROUBLE_MAX]; /* "" = it answers */
    int64_t trouble_us;             /* since when */
    char told[FEED_TROUBLE_MAX];    /* the newest trouble that was news, and when it was */
    int64_t told_us;
};

/* For the kinds. A number that is not finite, below zero or above FEED_VALUE_MAX is a failure, and
 * told as one. */
void feed_answer(struct feed *f, double value);
void feed_fail(struct feed *f, const char *format, ...) _printf_(2, 3);
/* A text as a number, blanks around it allowed. False = it is none, or none that is finite. */
bool feed_number(const char *text, size_t bytes, double *ret);

/* Is `value` what it says now: neither overdue nor followed by a failure? */
bool feed_is_current(const struct feed *f);
/* For how long an answer is held. */
int64_t feed_held_us(const struct feed *f);

/* Is `trouble` to be told: the first of an outage, or another one than was told last, numbers
 * aside? */
bool feed_is_news(const struct feed *f, const char *trouble, int64_t now_us);

/* --- for the controller --- */

struct feeds;

int feeds_new(const struct driver_env *env, struct feeds **ret, struct err *err);
void feeds_free(struct feeds *s); /* the loop must run once more to close the handles */
/* The feeds there are from now on. Those that are configured as before go on as they are. */
void feeds_set(struct feeds *s, const struct feed_conf *items, size_t count);
/* Adds the values of a service: NaN, which core takes for unknown, where none is known. Saying so
 * ends at once what core would hold until it is stale. */
void feeds_sample(struct feeds *s, uint32_t slot, int64_t now_us, struct source_sink *sink);
/* Takes values for feeds of a service that are told theirs: an object of numbers by names, all of
 * it or, when one cannot be taken, none. -ENOENT: there is no such feed; -EPERM: it is asked;
 * -EINVAL: no value that a metric can have, which is then a failure of the feed that was told it.
 */
int feeds_push(struct feeds *s, uint32_t slot, const json_t *values, struct err *err);

/* One feed, for people. */
struct feed_view {
    const char *name, *kind;
    bool known;
    double value;
    const char *trouble; /* "" = none */
    int64_t trouble_us;  /* for how long; 0 = none */
    /* Why it is not known or its value is an old one: the trouble, or that nothing has come yet;
     * for how long. "" and 0 = it answers. */
    const char *why;
    int64_t why_us;
};
/* How many of a service there are; the first `cap` of them in `ret`. */
size_t feeds_view(const struct feeds *s, uint32_t slot, int64_t now_us, struct feed_view *ret,
                  size_t cap);
