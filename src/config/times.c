/* Times that come again: a cron expression and the zone it is meant in, as schedules and the
 * windows of `energy` have them. */
#include <errno.h>

#include "base/us.h"
#include "config/tables.h"

int config_read_times(struct schema_context *ctx, const char *cron, const char *zone,
                      struct cron *ret_cron, uint32_t *ret_zone, struct err *err)
{
    static const struct zone_conf utc = { .name = "UTC" };
    struct err why = { 0 };
    if (cron_parse(slice_of(cron), ret_cron, &why) < 0)
        return schema_fail_value(ctx, "cron", err, "%s", why.text);
    if (cron_next(ret_cron, &utc, ctx->now_wall_us) == US_NEVER)
        return schema_fail_value(ctx, "cron", err, "%.60s never comes: there is no such day", cron);
    int rc = config_find_zone(ctx, zone, ret_zone, &why);
    return rc == -EINVAL ? schema_fail_value(ctx, "timezone", err, "%s", why.text) : rc;
}
