/* The sources that services configure: the drivers learn which there are, people what is wrong with
 * them, and values that somebody pushes find their way. */
#include "controller/controller_int.h"

static size_t put_feeds(struct controller *c, uint32_t slot, struct feed_conf *items)
{
    const struct config_service *s = controller_service(c, slot);
    for (uint32_t i = 0; s && i < s->source_count; i++) {
        const struct config_source *source = &s->sources[i];
        items[i] = (struct feed_conf){ .slot = slot,
                                       .service = s->name,
                                       .name = source->name,
                                       .metric = (enum metric)source->metric,
                                       .every_us = source->every_us,
                                       .timeout_us = source->timeout_us,
                                       .section = source->driver,
                                       .conf = source->driver_conf };
    }
    return s ? s->source_count : 0;
}

void controller_tell_feeds(struct controller *c)
{
    static struct feed_conf items[MODEL_SERVICES_MAX * METRIC_CUSTOM_MAX];
    size_t n = 0;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++)
        n += put_feeds(c, slot, &items[n]);
    feeds_set(c->feeds, items, n);
}

int controller_push_metrics(struct controller *c, uint32_t slot, const json_t *values,
                            struct err *err)
{
    return feeds_push(c->feeds, slot, values, err);
}
