/* The `queue` rule: a backlog's length or age, so much of it for each instance. */
#include <errno.h>

#include "base/us.h"
#include "config/rules_int.h"

struct queue_written {
    struct metric_written m;
    const char *length, *age, *activation;
    int64_t cooldown_us, least;
};

/* A backlog's age is in seconds, whatever its source calls it; a length is a number. */
static int read_amount(struct schema_context *ctx, const char *key, const char *text, bool age,
                       double *ret, struct err *err)
{
    return rules_read_value(ctx, key, age ? METRIC_LATENCY_P50 : METRIC_QUEUE, text, ret, err);
}

static int check_queue(struct schema_context *ctx, void *section, struct err *err)
{
    const struct queue_written *w = section;
    struct rule_queue_conf *q = &w->m.r.rule->queue;
    int rc = rules_read_metric(ctx, &w->m, &q->metric, err);
    if (rc < 0)
        return rc;
    if (!w->length == !w->age)
        return schema_error(ctx, w->age ? "age" : NULL, err,
                            "needs either \"length\" or \"age\": what each instance is to have "
                            "before it, or how old the oldest may be");
    const char *key = w->age ? "age" : "length";
    q->age = w->age != NULL;
    rc = read_amount(ctx, key, q->age ? w->age : w->length, q->age, &q->value, err);
    if (rc == 0 && !(q->value > 0))
        return schema_fail_value(ctx, key, err, "cannot be 0; give what one instance can have");
    if (rc == 0 && w->activation)
        rc = read_amount(ctx, "activation", w->activation, q->age, &q->activation, err);
    if (rc == 0 && q->activation < 0)
        return schema_fail_value(ctx, "activation", err, "cannot be negative; give 0 or more");
    q->cooldown_us = w->cooldown_us;
    q->least = (int32_t)w->least;
    return rc;
}

#define AT(member) offsetof(struct queue_written, member)

static const struct schema_key queue_keys[] = {
    RULES_METRIC_KEYS(struct queue_written),
    { .name = "length",
      .type = SCHEMA_TEXT,
      .offset = AT(length),
      .help = "the metric is a number of jobs: so many for each instance" },
    { .name = "age",
      .type = SCHEMA_TEXT,
      .offset = AT(age),
      .help = "the metric is the age of the oldest job in seconds: not older than this, 30s" },
    { .name = "activation",
      .type = SCHEMA_TEXT,
      .offset = AT(activation),
      .help = "from none to one only above this; default 0" },
    { .name = "least",
      .type = SCHEMA_INT,
      .offset = AT(least),
      .fallback = "1",
      .min = 1,
      .max = MODEL_COUNT_MAX,
      .help = "instances while there is any work" },
    { .name = "cooldown",
      .type = SCHEMA_DURATION,
      .offset = AT(cooldown_us),
      .fallback = "5m",
      .min = 0,
      .max = 86400,
      .help = "to none only after so long at or under `activation`" },
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    const struct rule_queue_conf *q = &r->queue;
    rules_put_metric(&q->metric, names, out);
    if (q->age)
        rules_put_duration(out, " age ", (int64_t)(q->value * (double)US_PER_S));
    else
        rules_put_value(out, " length ", METRIC_QUEUE, q->value);
}

const struct rules_kind rules_queue = {
    .section = {
        .name = "queue",
        .help = "So much of a backlog for each instance, and none while there is none (KEDA).",
        .size_bytes = sizeof(struct queue_written),
        .keys = queue_keys,
        .check = check_queue,
    },
    .put_name = put_name,
};
