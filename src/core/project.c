/* Law 3. It owns the search for a step in that will not be taken back at once, and must never make
 * a step larger. */
#include "core/project.h"

#include "base/fmt.h"
#include "base/util.h"

/* The first rule that would ask for more with `count`; -1 when none. */
static int32_t objector(const struct rule_conf *rules, const struct opinion *opinions,
                        uint32_t rule_count, const struct rule_context *ctx, int32_t count,
                        double *ret_value)
{
    for (uint32_t i = 0; i < rule_count; i++)
        if (rule_asks_out(&rules[i], &opinions[i], ctx, count, ret_value))
            return (int32_t)i;
    return -1;
}

void project_scale_in(const struct rule_conf *rules, const struct opinion *opinions, uint32_t count,
                      const struct rule_context *ctx, int32_t want, struct projection *ret)
{
    *ret = (struct projection){ .count = want, .rule = -1 };
    while (ret->count < ctx->current) {
        double value = 0;
        int32_t who = objector(rules, opinions, count, ctx, ret->count, &value);
        /* The way to none leads over one, and may be stopped there. */
        if (who < 0 && ret->count == 0)
            who = objector(rules, opinions, count, ctx, 1, &value);
        if (who < 0)
            break;
        ret->rule = who;
        ret->value = value;
        ret->count++;
    }
}

void project_say(const struct rule_conf *rules, const struct projection *p, char *buf, size_t cap)
{
    char number[40];
    buf[0] = '\0';
    if (p->rule < 0)
        return;
    fmt_double(number, sizeof(number), p->value, 3);
    fmt(buf, cap, "with %d, %s would be at %s and ask for more", p->count - 1, rules[p->rule].name,
        number);
}
