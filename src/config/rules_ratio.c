/* The `ratio` rule: so many instances for those of another service. That there is such a service,
 * and no circle, is checked when all of them have been read. */
#include <errno.h>
#include <string.h>

#include "config/rules_int.h"

struct ratio_written {
    struct rule_written r;
    const char *service;
    double per;
};

static int check_ratio(struct schema_context *ctx, void *section, struct err *err)
{
    const struct ratio_written *w = section;
    struct rule_ratio_conf *ratio = &w->r.rule->ratio;
    if (strlen(w->service) > CONFIG_NAME_MAX)
        return schema_fail_value(ctx, "service", err, "there is no service \"%.60s\"", w->service);
    str_copy(ratio->service, sizeof(ratio->service), w->service);
    ratio->per = w->per;
    return 0;
}

static const struct schema_key ratio_keys[] = {
    { .name = "service",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct ratio_written, service),
      .required = true,
      .help = "the other service" },
    { .name = "per",
      .type = SCHEMA_NUMBER,
      .offset = offsetof(struct ratio_written, per),
      .required = true,
      .min = 0.001,
      .max = MODEL_COUNT_MAX,
      .help = "one instance for so many of it" },
    { 0 },
};

static void put_name(const struct rule_conf *r, const struct rules_names *names, struct str *out)
{
    str_put(out, " 1 per");
    rules_put_value(out, " ", METRIC_CONCURRENCY, r->ratio.per);
    str_putf(out, " %s", r->ratio.service);
}

const struct rules_kind rules_ratio = {
    .section = {
        .name = "ratio",
        .help = "One instance for every so many of another service.",
        .size_bytes = sizeof(struct ratio_written),
        .keys = ratio_keys,
        .check = check_ratio,
    },
    .put_name = put_name,
};
