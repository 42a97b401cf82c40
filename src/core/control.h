/* The core's only door. control_step() takes one event and says what to do; nothing else changes
 * the state. Deterministic: the same events give the same actions and decisions, byte for byte, on
 * any machine. No clock, no I/O, no allocation after control_init(). Not thread-safe: one owner. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/budget.h"
#include "core/decision.h"
#include "core/event.h"
#include "core/model.h"

struct control;

enum action_type {
    ACTION_START,  /* service, number, template */
    ACTION_DRAIN,  /* service, number: tell the proxy; EVENT_DRAINED is awaited until deadline_us */
    ACTION_STOP,   /* service, number. Without can_choose_victim: one fewer than there are, in the
                      name of this one; said again for the same number it is the same one */
    ACTION_RESIZE, /* service, number: give it the shape that is configured now */
    ACTION_PUBLISH, /* the service's pool changed: send a snapshot */
    ACTION_RECORD,  /* decision */
    ACTION_ALERT,   /* text: something a person should know; flag = false: it is over */
    ACTION_FORGET,  /* the service's slot is free again */
    ACTION_STOPPED, /* OPERATOR_STOP is done: nothing runs any more */
    ACTION_TYPE_MAX,
};

struct action {
    enum action_type type;
    uint32_t service; /* slot */
    uint32_t number;
    uint64_t template;
    int64_t deadline_us;
    bool flag;
    const struct decision *decision; /* valid until the next control_step() */
    char text[160];
};

struct actions {
    struct action *items; /* the caller's */
    size_t cap; /* at least CONTROL_ACTIONS_MIN, always the same; what does not fit comes with the
                   next step */
    size_t count;
};
#define CONTROL_ACTIONS_MIN 64

#define CONTROL_SERVICES_MAX 16384

struct control_caps {
    uint32_t services;  /* <= CONTROL_SERVICES_MAX */
    uint32_t instances; /* of one service, those leaving included */
    uint32_t points;    /* of one series: how many seconds its windows may reach back */
    uint32_t words;     /* that rules of all services may remember beyond RULE_STATE_WORDS */
    uint32_t rules;     /* of all services; 0 = MODEL_RULES_MAX for each */
};

size_t control_bytes(const struct control_caps *caps);
/* In zeroed memory of control_bytes(), 16-aligned. No service yet: EVENT_CONFIG brings them;
 * without EVENT_LEASE the lease counts as held. */
struct control *control_init(void *memory, const struct control_caps *caps);

/* 0; -EINVAL: the event names what does not exist, -ENOTSUP: the service's engine cannot do what
 * the operator wants of one instance, -ENOBUFS: there is no room for it (services,
 * instances; of a configuration also series, rules and what rules remember): it changed nothing.
 * What was due is done all the same, so the actions are to be carried out in each case. Time never
 * goes back: an event of an earlier `now_us` happens at the time of the one before. */
int control_step(struct control *c, const struct event *e, struct actions *actions);

/* When the core next wants an EVENT_TICK at the latest (monotonic): drain deadlines, start
 * deadlines, back-off, windows that open. US_NEVER = nothing is waiting. The caller ticks every
 * second anyway. */
int64_t control_next_us(const struct control *c);

/* Views. `slot` < caps.services; false = no such service. Valid until the next step. */
bool control_view(const struct control *c, uint32_t slot, struct service_view *ret);
int32_t control_find(const struct control *c, const char *service); /* slot or -1 */
int32_t control_desired(const struct control *c, uint32_t slot);    /* -1 = no such service */
const struct instance *control_instance(const struct control *c, uint32_t slot, uint32_t number);
/* What `why` shows first: the decision that was recorded in the newest step, else what the service
 * would decide now. That is asked for with words, and changes nothing. NULL = nothing yet. Valid
 * until the next step or the next question. */
const struct decision *control_decision(const struct control *c, uint32_t slot);

/* A budget as it is going; money in the configuration's currency. */
struct budget_view {
    const struct budget_conf *conf;
    double rate;                         /* of what runs, an hour */
    double spent[BUDGET_PERIOD_MAX];     /* this hour, day, month */
    int64_t until_us[BUDGET_PERIOD_MAX]; /* wall; when they end */
    bool tight[BUDGET_PERIOD_MAX];       /* what is left pays for the minimum and no more */
};
/* `n` as service_conf.budget; false = there is none. */
bool control_budget(const struct control *c, uint32_t n, struct budget_view *ret);
/* In-flight + queued from which on the current instances are not enough: the doorbell's mark. */
uint32_t control_mark(const struct control *c, uint32_t slot);
bool control_stopping(const struct control *c);

/* The whole state as a list of words, for a snapshot at the head of a journal segment. Portable
 * between machines, not between layouts: words[0] is the layout's number. Configurations are not in
 * it: restore = control_init, EVENT_CONFIG with the same configuration, control_load. */
size_t control_save_words(const struct control *c); /* how many */
size_t control_save(const struct control *c, uint64_t *words, size_t cap);
/* 0, or -EPROTO: not such a state; `c` is then as control_init left it plus the configuration. */
int control_load(struct control *c, const uint64_t *words, size_t count);
