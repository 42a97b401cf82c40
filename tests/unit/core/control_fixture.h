/* A core with one event at a time: what tests of control need to say in one line each. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control.h"

#define SEC US_PER_S

struct fixture {
    struct control_caps caps;
    void *memory;
    struct control *c;
    int64_t now_us;
    struct service_conf services[8];
    struct model_conf conf;
    struct action items[CONTROL_ACTIONS_MIN];
    struct actions actions;
    int rc;
};

/* Target concurrency 10 each, 1 to 10, no stabilization, scale-in looks at 10 s. */
static inline void service_default(struct service_conf *s, const char *name)
{
    memset(s, 0, sizeof(*s));
    strcpy(s->name, name);
    s->min = 1;
    s->max = 10;
    s->initial = -1;
    s->template = 7;
    s->surge = 1;
    s->can_choose_victim = true;
    s->start_within_us = 30 * SEC;
    s->drain_us = 20 * SEC;
    s->window_in_us = 10 * SEC;
    s->health = (struct health_conf){ 3, 2, 60 * SEC };
    s->rule_count = 1;
    s->rules[0].kind = RULE_TARGET;
    strcpy(s->rules[0].name, "target concurrency 10");
    s->rules[0].target = (struct rule_target_conf){
        .metric = { .metric = METRIC_CONCURRENCY, .stat = SERIES_AVG },
        .value = 10,
        .tolerance_up = 0.1,
        .tolerance_down = 0.1,
    };
}

static inline struct fixture *fixture_new(uint32_t services)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->caps = (struct control_caps){ .services = 8, .instances = 40, .points = 120 };
    f->memory = calloc(1, control_bytes(&f->caps));
    f->c = control_init(f->memory, &f->caps);
    f->now_us = 100 * SEC;
    f->conf.services = f->services;
    f->conf.service_count = services;
    for (uint32_t n = 0; n < services; n++) {
        char name[8] = "a";
        name[0] = (char)('a' + n);
        service_default(&f->services[n], name);
    }
    f->actions = (struct actions){ .items = f->items, .cap = ARRAY_LEN(f->items) };
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    free(f->memory);
    free(f);
}

static inline struct event event_at(const struct fixture *f, enum event_type type, int32_t service)
{
    return (struct event){
        .type = type,
        .now_us = f->now_us,
        .wall_us = INT64_C(1700000000) * SEC + f->now_us,
        .service = service,
    };
}

static inline void send(struct fixture *f, const struct event *e)
{
    f->rc = control_step(f->c, e, &f->actions);
}

static inline void tick(struct fixture *f)
{
    struct event e = event_at(f, EVENT_TICK, -1);
    send(f, &e);
}

static inline void configure(struct fixture *f)
{
    struct event e = event_at(f, EVENT_CONFIG, -1);
    e.conf = &f->conf;
    send(f, &e);
}

static inline void about(struct fixture *f, enum event_type type, int32_t service, uint32_t number,
                         bool flag)
{
    struct event e = event_at(f, type, service);
    e.number = number;
    e.flag = flag;
    e.template = 7;
    if (type == EVENT_EXITED)
        e.status = 1;
    send(f, &e);
}

static inline void operate(struct fixture *f, enum operator_op op, int32_t service, uint32_t number,
                           int32_t count, bool flag)
{
    struct event e = event_at(f, EVENT_OPERATOR, service);
    e.op = op;
    e.number = number;
    e.count = count;
    e.flag = flag;
    send(f, &e);
}

static inline void ring(struct fixture *f, int32_t service, uint32_t in_flight, uint32_t queued)
{
    struct event e = event_at(f, EVENT_DOORBELL, service);
    e.in_flight = in_flight;
    e.queued = queued;
    send(f, &e);
}

/* A second passes: samples of the service, then a tick. `concurrency` < 0: not known. */
static inline void second(struct fixture *f, int32_t service, double concurrency)
{
    f->now_us += SEC;
    struct sample samples[] = { { METRIC_CONCURRENCY, 0, concurrency }, { METRIC_QUEUE, 0, 0 } };
    struct event e = event_at(f, EVENT_SAMPLES, service);
    e.samples = samples;
    e.sample_count = ARRAY_LEN(samples);
    send(f, &e);
    assert_int_equal(f->actions.count, 0);
    tick(f);
}

static inline uint32_t said(const struct fixture *f, enum action_type type)
{
    uint32_t count = 0;
    for (size_t n = 0; n < f->actions.count; n++)
        count += f->actions.items[n].type == type;
    return count;
}

/* The number in the n-th action of a type; 0 = there is none. */
static inline uint32_t number_of(const struct fixture *f, enum action_type type, uint32_t nth)
{
    for (size_t n = 0; n < f->actions.count; n++) {
        if (f->actions.items[n].type == type && nth-- == 0)
            return f->actions.items[n].number;
    }
    return 0;
}

static inline struct service_view view(const struct fixture *f, uint32_t slot)
{
    struct service_view v;
    assert_true(control_view(f->c, slot, &v));
    return v;
}

/* Every starting instance of the service passes a probe. */
static inline void all_ready(struct fixture *f, uint32_t slot)
{
    struct service_view v = view(f, slot);
    for (uint32_t n = 0; n < v.instance_count; n++) {
        if (v.instances[n].state == INSTANCE_STARTING)
            about(f, EVENT_PROBE, (int32_t)slot, v.instances[n].number, true);
    }
}

static inline enum instance_state state_of(const struct fixture *f, uint32_t slot, uint32_t number)
{
    const struct instance *i = control_instance(f->c, slot, number);
    return i ? i->state : INSTANCE_GONE;
}

/* One service with `count` ready instances, set by the operator. */
static inline struct fixture *fixture_ready(int32_t count)
{
    struct fixture *f = fixture_new(1);
    f->services[0].initial = count;
    configure(f);
    all_ready(f, 0);
    assert_int_equal(view(f, 0).ready, count);
    return f;
}
