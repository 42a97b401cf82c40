/* Ratios: so many instances for those of another service, ceil(its desired count / per). It owns
 * that division and remembers nothing. What the other one is going to have counts, not what is
 * ready of it, so that both start together. As long as the other service is not known it has no
 * opinion, and blocks scale-in as everything unknown does. */
#include <string.h>

#include "base/fmt.h"
#include "base/util.h"
#include "core/hpa.h"
#include "core/rule.h"

static const struct rule_peer *peer_of(const struct rule_ratio_conf *c,
                                       const struct rule_context *ctx)
{
    for (uint32_t i = 0; i < ctx->peer_count; i++)
        if (strcmp(ctx->peers[i].name, c->service) == 0)
            return &ctx->peers[i];
    return NULL;
}

/* 9 / 0.3 is a hair above 30, and ceil() would make a whole instance of that hair. */
#define HAIR 1e-9

static int32_t needed_for(const struct rule_ratio_conf *c, int32_t count)
{
    double needed = MAX(count, 0) / c->per;
    return MAX(0, hpa_ceil(needed - needed * HAIR));
}

static void explain(const struct rule_ratio_conf *c, const struct rule_context *ctx,
                    struct opinion *ret)
{
    if (!ctx->words)
        return;
    char per[40];
    fmt_double(per, sizeof(per), c->per, 3);
    rule_say(ctx, ret, "%s is to have %d, one for every %s: needs %d", c->service, (int)ret->value,
             per, ret->out);
}

static void ratio_eval(const struct rule_conf *r, struct rule_state *state,
                       const struct rule_context *ctx, struct opinion *ret)
{
    const struct rule_ratio_conf *c = &r->ratio;
    const struct rule_peer *peer = peer_of(c, ctx);
    if (!peer || peer->desired < 0) {
        ret->block_in = true;
        rule_say(ctx, ret, "service %s is not known: no opinion, no scale-in", c->service);
        return;
    }
    ret->known = true;
    ret->value = peer->desired;
    ret->out = needed_for(c, peer->desired);
    ret->in = MIN(ret->out, ctx->current);
    explain(c, ctx, ret);
}

static bool ratio_asks_out(const struct rule_conf *r, const struct opinion *o,
                           const struct rule_context *ctx, int32_t count, double *ret_value)
{
    if (o->out <= count)
        return false;
    *ret_value = o->value;
    return true;
}

const struct rule_ops rule_ratio = {
    .name = "ratio",
    .eval = ratio_eval,
    .asks_out = ratio_asks_out,
};
