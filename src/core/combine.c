/* Law 1 and nothing else. It must not know kinds of rules, and limits nothing. */
#include "core/combine.h"

#include "base/fmt.h"
#include "base/util.h"

/* The newest window wins; of equally old ones the later rule. */
static void set_bound(int32_t *bound, int32_t *who, int64_t *since_us, int32_t value, int32_t rule,
                      int64_t opened_us)
{
    if (value == RULE_ABSTAIN || (*who >= 0 && opened_us < *since_us))
        return;
    *bound = value;
    *who = rule;
    *since_us = opened_us;
}

static void combine_bounds(const struct opinion *opinions, uint32_t count, struct combined *ret)
{
    int64_t min_us = 0, max_us = 0;
    ret->set_min = ret->set_max = RULE_ABSTAIN;
    ret->set_min_rule = ret->set_max_rule = -1;
    for (uint32_t i = 0; i < count; i++) {
        const struct opinion *o = &opinions[i];
        bool both = o->set_count != RULE_ABSTAIN; /* a count is a min and a max */
        set_bound(&ret->set_min, &ret->set_min_rule, &min_us, both ? o->set_count : o->set_min,
                  (int32_t)i, o->set_since_us);
        set_bound(&ret->set_max, &ret->set_max_rule, &max_us, both ? o->set_count : o->set_max,
                  (int32_t)i, o->set_since_us);
    }
}

/* What all opinions come to, each with the rule that makes it so. */
struct tally {
    int32_t out, out_rule;
    int32_t in, in_rule;
    int32_t blind_rule;
};

static struct tally tally(const struct opinion *opinions, uint32_t count)
{
    struct tally t = { RULE_ABSTAIN, -1, RULE_ABSTAIN, -1, -1 };
    for (uint32_t i = 0; i < count; i++) {
        const struct opinion *o = &opinions[i];
        if (o->out > t.out) {
            t.out = o->out;
            t.out_rule = (int32_t)i;
        }
        if (o->in > t.in) {
            t.in = o->in;
            t.in_rule = (int32_t)i;
        }
        if (o->block_in && t.blind_rule < 0)
            t.blind_rule = (int32_t)i;
    }
    return t;
}

static void conclude(struct combined *x, int32_t want, int32_t rule, enum combine_why why)
{
    x->want = want;
    x->rule = rule;
    x->why = why;
}

void combine(const struct rule_conf *rules, const struct opinion *opinions, uint32_t count,
             int32_t current, struct combined *ret)
{
    struct tally t = tally(opinions, count);
    combine_bounds(opinions, count, ret);
    if (t.out != RULE_ABSTAIN && t.out > current) {
        conclude(ret, t.out, t.out_rule, COMBINE_OUT);
    } else if (t.blind_rule >= 0) {
        conclude(ret, current, t.blind_rule, COMBINE_BLIND);
    } else if (t.in == RULE_ABSTAIN) {
        conclude(ret, current, -1, COMBINE_NOBODY);
    } else {
        /* What is needed now is a floor under what the window would be content with. */
        int32_t want = MAX(MAX(t.in, t.out), 0), rule = t.in >= t.out ? t.in_rule : t.out_rule;
        conclude(ret, MIN(want, current), rule, want < current ? COMBINE_IN : COMBINE_SAME);
    }
}

void combine_say(const struct rule_conf *rules, const struct opinion *opinions,
                 const struct combined *x, char *buf, size_t cap)
{
    const char *name = x->rule >= 0 ? rules[x->rule].name : "";
    switch (x->why) {
    case COMBINE_OUT:
        fmt(buf, cap, "scale out to %d for %s%s", x->want, name,
            opinions[x->rule].known ? "" : ", its fallback");
        break;
    case COMBINE_BLIND:
        fmt(buf, cap, "no scale-in, blind: %s", name);
        break;
    case COMBINE_SAME:
        fmt(buf, cap, "as it is, for %s", name);
        break;
    case COMBINE_IN:
        fmt(buf, cap, "scale in to %d: all agree, most is for %s", x->want, name);
        break;
    case COMBINE_NOBODY:
        fmt(buf, cap, "no rule wants a change");
        break;
    }
}
