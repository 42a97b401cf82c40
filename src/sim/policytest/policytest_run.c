/* One test: the core decides in virtual time on the samples that the timeline gives, and is asked
 * at each moment of which something is expected. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/sort.h"
#include "base/us.h"
#include "sim/policytest/policytest_int.h"
#include "sim/policytest/policytest_world.h"

#define MINUTE_US US_PER_MIN
#define NUMBERS_TEXT_MAX 240

/* What is measured just now, until somebody says otherwise. */
struct held {
    bool known;
    double value;
    int64_t until_us;
};

/* Of one instance. */
struct single {
    enum metric metric;
    uint32_t number;
    struct held held;
};

struct gauges {
    struct held service[METRIC_MAX];
    uint32_t single_count;
    struct single *single; /* room for all that the timeline speaks of */
};

struct run {
    const struct policytest *test;
    struct policytest_world world;
    struct policytest_result *result;
    int64_t begin_us;
    struct gauges *gauges; /* of each service */
    struct single *singles;
    struct sample *samples;
    uint32_t sample_cap, sample_count;
};

/* ---- samples ---- */

static bool holds(const struct held *h, int64_t now_us)
{
    return h->known && now_us < h->until_us;
}

static void add_sample(struct run *r, enum metric metric, uint32_t number, double value)
{
    if (r->sample_count < r->sample_cap)
        r->samples[r->sample_count++] =
            (struct sample){ .metric = metric, .number = number, .value = value };
}

static bool has_single(const struct run *r, const struct gauges *g, enum metric metric)
{
    for (uint32_t i = 0; i < g->single_count; i++)
        if (g->single[i].metric == metric && holds(&g->single[i].held, r->world.now_us))
            return true;
    return false;
}

/* A total that is known of single instances only is their sum. */
static void add_sum(struct run *r, const struct gauges *g, enum metric metric)
{
    double sum = 0;
    if (metric_nature(metric) != METRIC_TOTAL)
        return;
    for (uint32_t i = 0; i < g->single_count; i++)
        if (g->single[i].metric == metric && holds(&g->single[i].held, r->world.now_us))
            sum += g->single[i].held.value;
    add_sample(r, metric, 0, sum);
}

/* What a service's value means for each of its instances: the same, or its share. */
static void spread(struct run *r, const struct service_view *v, enum metric metric, double value)
{
    const struct metric_info *info = metric_info(metric);
    if (!info || !info->per_instance || v->ready == 0)
        return;
    double each = info->nature == METRIC_TOTAL ? value / v->ready : value;
    for (uint32_t n = 0; n < v->instance_count; n++)
        if (v->instances[n].state == INSTANCE_READY)
            add_sample(r, metric, v->instances[n].number, each);
}

static void gather(struct run *r, const struct gauges *g, const struct service_view *v)
{
    r->sample_count = 0;
    for (unsigned m = 0; m < METRIC_MAX; m++) {
        enum metric metric = (enum metric)m;
        bool single = has_single(r, g, metric);
        bool whole = holds(&g->service[m], r->world.now_us);
        if (whole)
            add_sample(r, metric, 0, g->service[m].value);
        if (whole && !single)
            spread(r, v, metric, g->service[m].value);
        if (single && !whole)
            add_sum(r, g, metric);
    }
    for (uint32_t i = 0; i < g->single_count; i++)
        if (holds(&g->single[i].held, r->world.now_us))
            add_sample(r, g->single[i].metric, g->single[i].number, g->single[i].held.value);
}

static int32_t slot_of(const struct run *r, uint32_t service)
{
    return control_find(r->world.core, r->test->config->model.services[service].name);
}

static void send_samples(struct run *r)
{
    for (uint32_t i = 0; i < r->test->config->service_count; i++) {
        struct service_view v;
        int32_t slot = slot_of(r, i);
        if (slot < 0 || !control_view(r->world.core, (uint32_t)slot, &v))
            continue;
        gather(r, &r->gauges[i], &v);
        struct event e = policytest_event(&r->world, EVENT_SAMPLES, slot);
        e.samples = r->samples;
        e.sample_count = r->sample_count;
        policytest_send(&r->world, &e);
    }
}

static void look(struct run *r)
{
    send_samples(r);
    struct event e = policytest_event(&r->world, EVENT_TICK, -1);
    policytest_send(&r->world, &e);
}

/* ---- instances by their numbers ---- */

struct numbers {
    uint32_t count, list[2 * MODEL_COUNT_MAX];
};

static int smaller(const void *a, const void *b, void *ctx)
{
    return *(const uint32_t *)a < *(const uint32_t *)b;
}

static void list_numbers(const struct run *r, uint32_t service, struct numbers *ret)
{
    struct service_view v = { 0 };
    ret->count = 0;
    control_view(r->world.core, (uint32_t)slot_of(r, service), &v);
    for (uint32_t n = 0; n < v.instance_count && ret->count < ARRAY_LEN(ret->list); n++)
        if (v.instances[n].state != INSTANCE_GONE)
            ret->list[ret->count++] = v.instances[n].number;
    sort_stable(ret->list, ret->count, sizeof(ret->list[0]), smaller, NULL);
}

/* "1, 2, 4 to 90"; so many that nobody would read them are cut. */
static void put_numbers(const struct numbers *numbers, struct str *out)
{
    for (uint32_t i = 0, last; i < numbers->count; i = last + 1) {
        for (last = i; last + 1 < numbers->count; last++)
            if (numbers->list[last + 1] != numbers->list[last] + 1)
                break;
        if (last < i + 2) /* two are no range */
            last = i;
        if (out->len > NUMBERS_TEXT_MAX) {
            str_put(out, ", ...");
            break;
        }
        str_putf(out, "%s%u", i > 0 ? ", " : "", numbers->list[i]);
        if (last > i)
            str_putf(out, " to %u", numbers->list[last]);
    }
}

static void begin_mistake(struct run *r, const struct policytest_entry *e,
                          const struct policytest_named *at, struct str *ret_text)
{
    str_init(ret_text, r->result->mistake, sizeof(r->result->mistake));
    r->result->at_us = e->at_us;
    r->result->line = at->line;
    r->result->column = at->column;
}

/* Is the instance there, if one is named? What is said of no instance would change nothing, and
 * the test pass for it. */
static bool is_there(struct run *r, const struct policytest_entry *e,
                     const struct policytest_named *instance)
{
    const struct model_conf *model = &r->test->config->model;
    struct numbers there;
    struct str s;
    uint32_t slot = (uint32_t)slot_of(r, e->service);
    if (instance->number == 0 || control_instance(r->world.core, slot, instance->number))
        return true;
    list_numbers(r, e->service, &there);
    begin_mistake(r, e, instance, &s);
    str_putf(&s, "there is no instance %u ", instance->number);
    if (model->service_count > 1)
        str_putf(&s, "of %s ", model->services[e->service].name);
    str_put(&s, there.count == 1 ? "at this moment (there is " : "at this moment (there are ");
    put_numbers(&there, &s);
    str_put(&s, there.count == 0 ? "none)" : ")");
    return false;
}

/* ---- entries ---- */

static struct held *single_of(struct gauges *g, enum metric metric, uint32_t number)
{
    for (uint32_t i = 0; i < g->single_count; i++)
        if (g->single[i].metric == metric && g->single[i].number == number)
            return &g->single[i].held;
    struct single *s = &g->single[g->single_count++];
    s->metric = metric;
    s->number = number;
    return &s->held;
}

static bool set_values(struct run *r, const struct policytest_entry *e)
{
    struct gauges *g = &r->gauges[e->service];
    for (uint32_t i = 0; i < e->value_count; i++) {
        const struct policytest_value *v = &e->values[i];
        uint32_t number = v->instance.number;
        if (!is_there(r, e, &v->instance))
            return false;
        struct held *h = number == 0 ? &g->service[v->metric] : single_of(g, v->metric, number);
        *h = (struct held){ v->known, v->value, us_add(r->world.now_us, e->hold_us) };
    }
    return true;
}

/* A named instance that is in no state for it would go on as it was, and the test pass for it. */
static bool is_possible(struct run *r, const struct policytest_entry *e,
                        const struct policytest_happening *h)
{
    uint32_t slot = (uint32_t)slot_of(r, e->service);
    const struct instance *i = control_instance(r->world.core, slot, h->instance.number);
    const char *cannot = i ? policytest_cannot(h->what, i) : NULL;
    struct str s;
    if (!cannot)
        return true;
    begin_mistake(r, e, &h->instance, &s);
    str_putf(&s, "instance %u is %s at this moment: %s", h->instance.number,
             instance_state_name(i->state), cannot);
    return false;
}

static bool happen(struct run *r, const struct policytest_entry *e)
{
    for (uint32_t i = 0; i < e->happening_count; i++) {
        const struct policytest_happening *h = &e->happenings[i];
        if (!is_there(r, e, &h->instance) || !is_possible(r, e, h))
            return false;
        policytest_happen(&r->world, e->service, h);
    }
    return true;
}

static bool operate(struct run *r, const struct policytest_entry *e)
{
    const struct policytest_operator *o = &e->operator;
    if (!o->given)
        return true;
    if (!is_there(r, e, &o->instance))
        return false;
    struct event event = policytest_event(&r->world, EVENT_OPERATOR, slot_of(r, e->service));
    event.op = o->op;
    event.count = o->count;
    event.number = o->instance.number;
    event.flag = o->flag;
    policytest_send(&r->world, &event);
    return true;
}

static bool apply(struct run *r, const struct policytest_entry *e)
{
    if (e->wall_us >= 0)
        r->world.wall_offset_us = e->wall_us - r->world.now_us;
    return set_values(r, e) && happen(r, e) && operate(r, e);
}

static bool check(struct run *r, const struct policytest_entry *e)
{
    struct service_view v;
    int32_t slot = slot_of(r, e->service);
    if (!e->expect.given)
        return true;
    if (slot < 0 || !control_view(r->world.core, (uint32_t)slot, &v))
        return false;
    const struct decision *d = policytest_decision(&r->world, (uint32_t)slot);
    if (policytest_meets(&e->expect, &v, d, r->result)) {
        r->result->expectations++;
        return true;
    }
    r->result->at_us = e->at_us;
    r->result->line = e->expect.line;
    r->result->column = e->expect.column;
    r->result->decided = d != NULL;
    if (d)
        r->result->decision = *d;
    return false;
}

/* ---- the past ---- */

static int64_t sampled_us(const struct policytest *t)
{
    uint32_t most = 1;
    for (uint32_t i = 0; i < t->config->service_count; i++)
        for (uint32_t n = 0; n < t->starts[i].past_count; n++)
            if (t->starts[i].pasts[n].step_us == 0)
                most = MAX(most, t->starts[i].pasts[n].count);
    return (most - 1) * t->every_us;
}

static int tell_history(struct run *r, uint32_t service, const struct policytest_past *p)
{
    uint32_t each = (uint32_t)(p->step_us / MINUTE_US), count = p->count * p->times * each;
    double *values = malloc((count + 1) * sizeof(*values));
    if (!values)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++)
        values[i] = p->values[i / each % p->count];
    const struct history h = { .metric = p->metric,
                               .wall_us = r->test->wall_us - count * MINUTE_US,
                               .step_us = MINUTE_US,
                               .count = count,
                               .values = values };
    struct event e = policytest_event(&r->world, EVENT_HISTORY, slot_of(r, service));
    e.history = &h;
    policytest_send(&r->world, &e);
    free(values);
    return 0;
}

/* The values that were sampled at this moment of the past become what is measured. */
static void recall(struct run *r, int64_t ago_us)
{
    for (uint32_t i = 0; i < r->test->config->service_count; i++)
        for (uint32_t n = 0; n < r->test->starts[i].past_count; n++) {
            const struct policytest_past *p = &r->test->starts[i].pasts[n];
            int64_t back = ago_us / r->test->every_us;
            if (p->step_us != 0 || back >= p->count)
                continue;
            double value = p->values[p->count - 1 - back];
            r->gauges[i].service[p->metric] = (struct held){ !isnan(value), value, US_NEVER };
        }
}

static int tell_past(struct run *r)
{
    int64_t past_us = sampled_us(r->test);
    policytest_world_begin(&r->world, past_us);
    for (uint32_t i = 0; i < r->test->config->service_count; i++)
        for (uint32_t n = 0; n < r->test->starts[i].past_count; n++) {
            const struct policytest_past *p = &r->test->starts[i].pasts[n];
            int rc = p->step_us != 0 ? tell_history(r, i, p) : 0;
            if (rc < 0)
                return rc;
        }
    for (int64_t ago_us = past_us; ago_us > 0; ago_us -= r->test->every_us) {
        r->world.now_us = r->begin_us - ago_us;
        recall(r, ago_us);
        send_samples(r);
    }
    r->world.now_us = r->begin_us;
    recall(r, 0);
    return 0;
}

/* ---- the whole ---- */

/* All entries of one moment, then the core, then what is expected of it. False = that is not so,
 * or an entry has a mistake. */
static bool moment(struct run *r, uint32_t *next)
{
    uint32_t first = *next;
    const struct policytest *t = r->test;
    int64_t at_us = r->world.now_us - r->begin_us;
    policytest_forget(&r->world);
    for (; *next < t->entry_count && t->entries[*next].at_us <= at_us; (*next)++)
        if (!apply(r, &t->entries[*next]))
            return false;
    look(r);
    for (uint32_t i = first; i < *next; i++)
        if (!check(r, &t->entries[i]))
            return false;
    return true;
}

static bool live(struct run *r)
{
    const struct policytest *t = r->test;
    uint32_t next = 0;
    int64_t grid_us = r->begin_us;
    while (next < t->entry_count) {
        int64_t entry_us = us_add(r->begin_us, t->entries[next].at_us);
        int64_t to_us = MIN(grid_us, entry_us);
        policytest_advance(&r->world, to_us);
        if (!moment(r, &next))
            return false;
        if (to_us == grid_us)
            grid_us = us_add(grid_us, t->every_us);
    }
    return true;
}

static uint32_t count_singles(const struct policytest *t, uint32_t service)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < t->entry_count; i++)
        for (uint32_t n = 0; n < t->entries[i].value_count; n++)
            count +=
                t->entries[i].service == service && t->entries[i].values[n].instance.number > 0;
    return count;
}

static int make_room(struct run *r)
{
    const struct policytest *t = r->test;
    uint32_t services = t->config->service_count, all = 0, used = 0;
    for (uint32_t i = 0; i < services; i++)
        all += count_singles(t, i);
    r->sample_cap = METRIC_MAX * (2 * MODEL_COUNT_MAX + 1) + all;
    r->gauges = calloc(services, sizeof(*r->gauges));
    r->singles = calloc(all + 1, sizeof(*r->singles));
    r->samples = malloc(r->sample_cap * sizeof(*r->samples));
    if (!r->gauges || !r->singles || !r->samples)
        return -ENOMEM;
    for (uint32_t i = 0; i < services; used += count_singles(t, i++))
        r->gauges[i].single = r->singles + used;
    return 0;
}

static int decide(const struct policytest *t, struct policytest_result *ret)
{
    struct run *r = calloc(1, sizeof(*r));
    int rc = r ? policytest_world_init(&r->world, t, ret) : -ENOMEM;
    if (rc < 0) {
        free(r);
        return rc;
    }
    r->test = t;
    r->result = ret;
    r->begin_us = r->world.now_us;
    rc = make_room(r);
    if (rc == 0)
        rc = tell_past(r);
    if (rc == 0)
        ret->passed = live(r);
    policytest_world_done(&r->world);
    free(r->gauges);
    free(r->singles);
    free(r->samples);
    free(r);
    return rc;
}

static void refuse(const struct policytest *t, struct policytest_result *ret)
{
    struct str s;
    ret->line = t->line;
    ret->column = t->column;
    ret->passed = t->refusal && strstr(t->refusal, t->refused);
    ret->expectations = ret->passed;
    if (ret->passed)
        return;
    str_init(&s, ret->expected, sizeof(ret->expected));
    str_putf(&s, "refused: %s", t->refused);
    str_init(&s, ret->got, sizeof(ret->got));
    str_putf(&s, "%s%s", t->refusal ? "refused: " : "the policy was taken",
             t->refusal ? t->refusal : "");
}

int policytest_run(const struct policytest *t, struct policytest_result *ret)
{
    *ret = (struct policytest_result){ 0 };
    switch (t->kind) {
    case POLICYTEST_DECIDE:
        return decide(t, ret);
    case POLICYTEST_REFUSED:
        refuse(t, ret);
        return 0;
    default:
        ret->line = t->line;
        ret->column = t->column;
        policytest_calculate(&t->calculation, ret);
        return 0;
    }
}
