/* The `busyness` rule: uWSGI's, with its defaults. */
#include <errno.h>

#include "config/rules_int.h"

struct busyness_written {
    struct rule_written r;
    double slots, most, least;
    int64_t cycle_us, backlog_nonzero_us;
    int64_t step, multiplier, penalty, backlog_alert, backlog_step, backlog_multiplier;
};

static int check_busyness(struct schema_context *ctx, void *section, struct err *err)
{
    const struct busyness_written *w = section;
    int rc = rules_need_proxy(ctx, NULL, "busyness", err);
    if (rc < 0)
        return rc;
    if (w->least >= w->most)
        return schema_error(ctx, schema_given(ctx, "least") ? "least" : "most", err,
                            "least is not below most, so both could hold at once; leave room "
                            "between them");
    rules_read_fallback(&w->r);
    struct rule_busyness_conf *b = &w->r.rule->busyness;
    b->slots = w->slots;
    b->most = w->most;
    b->least = w->least;
    b->overload_us = w->cycle_us;
    b->step = (int32_t)w->step;
    b->multiplier = (int32_t)w->multiplier;
    b->penalty = (int32_t)w->penalty;
    b->backlog_alert = (int32_t)w->backlog_alert;
    b->backlog_step = (int32_t)w->backlog_step;
    b->backlog_multiplier = (int32_t)w->backlog_multiplier;
    b->backlog_nonzero_us = w->backlog_nonzero_us;
    return 0;
}

#define AT(member) offsetof(struct busyness_written, member)
#define COUNT_KEY(name_, member_, fallback_, min_, help_)                                \
    {                                                                                    \
        .name = name_, .type = SCHEMA_INT, .offset = AT(member_), .fallback = fallback_, \
        .min = min_, .max = 10000, .help = help_                                         \
    }

static const struct schema_key busyness_keys[] = {
    { .name = "slots",
      .type = SCHEMA_NUMBER,
      .offset = AT(slots),
      .fallback = "1",
      .min = 0.01,
      .max = 1e6,
      .help = "requests that an instance can do at a time" },
    { .name = "most",
      .type = SCHEMA_RATIO,
      .offset = AT(most),
      .fallback = "50%",
      .min = 0.01,
      .max = 1,
      .help = "busier than this, add (cheaper-busyness-max)" },
    { .name = "least",
      .type = SCHEMA_RATIO,
      .offset = AT(least),
      .fallback = "25%",
      .min = 0,
      .max = 1,
      .help = "less busy than this, remove one (cheaper-busyness-min)" },
    { .name = "cycle",
      .type = SCHEMA_DURATION,
      .offset = AT(cycle_us),
      .fallback = "3s",
      .min = 1,
      .max = 3600,
      .help = "how often it looks (cheaper-overload)" },
    COUNT_KEY("step", step, "1", 1, "instances to add (cheaper-step)"),
    COUNT_KEY("multiplier", multiplier, "10", 1,
              "idle cycles until one goes (cheaper-busyness-multiplier)"),
    COUNT_KEY("penalty", penalty, "2", 0,
              "cycles that this grows by when it went too soon (cheaper-busyness-penalty)"),
    COUNT_KEY("backlog-alert", backlog_alert, "33", 1,
              "more requests waiting than this are an emergency"),
    COUNT_KEY("backlog-step", backlog_step, "1", 1, "instances to add then, at once"),
    COUNT_KEY("backlog-multiplier", backlog_multiplier, "3", 0,
              "cycles after it in which none goes"),
    { .name = "backlog-nonzero",
      .type = SCHEMA_DURATION,
      .offset = AT(backlog_nonzero_us),
      .fallback = "60s",
      .min = 1,
      .max = 3600,
      .help = "any backlog for so long is an emergency too" },
    RULES_FALLBACK_KEY(struct busyness_written, r.fallback),
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    rules_put_value(out, " ", METRIC_CPU, r->busyness.least);
    rules_put_value(out, " to ", METRIC_CPU, r->busyness.most);
}

const struct rules_kind rules_busyness = {
    .section = {
        .name = "busyness",
        .help = "How much of their time instances are busy, and patience that grows when one left "
                "too soon (uWSGI).",
        .size_bytes = sizeof(struct busyness_written),
        .keys = busyness_keys,
        .check = check_busyness,
    },
    .put_name = put_name,
};
