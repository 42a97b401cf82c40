/* Takes one service out of its configuration for a rehearsal. A rule that would never know its
 * metric goes: unknown blocks scale-in for ever, which is right in production and tells nothing
 * here. It never changes what is left. */
#include "sim/subset.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "sim/policy.h"

_printf_(2, 3) static void note(struct subset *s, const char *format, ...)
{
    va_list args;
    if (s->note_count == SUBSET_NOTES_MAX)
        return;
    va_start(args, format);
    fmt_v(s->notes[s->note_count++], sizeof(s->notes[0]), format, args);
    va_end(args);
}

/* -- rules -- */

static const char *name_of(const struct service_conf *s, enum metric m)
{
    return m < METRIC_CUSTOM ? metric_name(m) : s->metrics[m - METRIC_CUSTOM].name;
}

/* The first metric of the rule that no load gives, or METRIC_MAX. */
static enum metric unknown_of(const struct rule_conf *r)
{
    const struct rule_ops *ops = rule_ops(r->kind);
    for (uint32_t n = 0; ops && ops->metric && n < METRIC_MAX; n++) {
        enum metric m = ops->metric(r, n);
        if (m >= METRIC_MAX)
            break;
        if (!policy_measures(m))
            return m;
    }
    return METRIC_MAX;
}

static bool can_stay(struct subset *s, const struct rule_conf *r)
{
    if (r->kind == RULE_RATIO) {
        note(s, "rule \"%s\" is left out: %s is not simulated", r->name, r->ratio.service);
        return false;
    }
    enum metric m = unknown_of(r);
    if (m == METRIC_MAX)
        return true;
    note(s, "rule \"%s\" is left out: %s does not follow from a load", r->name,
         name_of(&s->service, m));
    return false;
}

static int take_rules(struct subset *s, struct err *err)
{
    struct service_conf *c = &s->service;
    uint32_t kept = 0;
    for (uint32_t n = 0; n < c->rule_count; n++) {
        if (can_stay(s, &c->rules[n]))
            c->rules[kept++] = c->rules[n];
    }
    bool any = kept > 0 || c->rule_count == 0;
    c->rule_count = kept;
    return any ? 0
               : err_set(err, -EINVAL, "%s: no rule can be simulated: %s", c->name, s->notes[0]);
}

/* -- other services -- */

/* A budget of its own it keeps. */
static void take_budget(struct subset *s, const struct model_conf *all)
{
    int32_t budget = s->service.budget;
    if (budget < 0 || (uint32_t)budget >= all->budget_count)
        return;
    for (uint32_t n = 0; n < all->service_count; n++) {
        const struct service_conf *other = &all->services[n];
        if (other->budget != budget || strcmp(other->name, s->service.name) == 0)
            continue;
        note(s, "budget \"%s\" is left out: it is shared with %s, which is not simulated",
             all->budgets[budget].name, other->name);
        s->service.budget = -1;
        return;
    }
}

static void take_order(struct subset *s)
{
    if (s->service.after_count > 0)
        note(s, "after is left out: %s is not simulated", s->service.after[0]);
    s->service.after_count = 0;
}

int subset_take(const struct model_conf *all, uint32_t at, struct subset *ret, struct err *err)
{
    ret->note_count = 0;
    ret->service = all->services[at];
    ret->service.mode = SERVICE_AUTO; /* what it would do is the question */
    ret->model = *all;
    ret->model.service_count = 1;
    ret->model.services = &ret->service;
    take_budget(ret, all);
    take_order(ret);
    return take_rules(ret, err);
}
