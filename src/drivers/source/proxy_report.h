/* What one member's proxy counts, as a member tells it to the one who leads: the answer to GET
 * /v1/gauges, made and read here, so that both ends agree. */
#pragma once

#include <jansson.h>
#include <stddef.h>

#include "base/err.h"
#include "core/model.h"
#include "drivers/source/proxy_reading.h"

struct proxy_report_service {
    char name[MODEL_NAME_MAX];
    struct proxy_reading reading; /* at_us is the report's */
    struct proxy_instance *instances;
    size_t instance_count;
    uint32_t *drained; /* instances that drain, and have nothing in flight there any more */
    size_t drained_count;
};

struct proxy_report {
    int64_t pid, started_us; /* of the proxy: another life, other numbers. pid 0 = it is away */
    int64_t at_us;           /* the member's clock */
    uint64_t generation;     /* newest snapshot that the proxy has applied */
    struct proxy_report_service *services; /* what the proxy serves */
    size_t service_count;
};

/* Empty, with room for that many services; NULL = no memory. */
struct proxy_report *proxy_report_new(size_t services);
void proxy_report_free(struct proxy_report *r); /* NULL is fine */

json_t *proxy_report_json(const struct proxy_report *r); /* NULL = no memory */
/* 0; -EPROTO: it is no such report, and the text says why; -ENOMEM. */
int proxy_report_read(const char *text, size_t bytes, struct proxy_report **ret, struct err *err);

const struct proxy_report_service *proxy_report_find(const struct proxy_report *r,
                                                     const char *service);
const struct proxy_instance *proxy_report_instance(const struct proxy_report_service *s,
                                                   uint32_t number);
bool proxy_report_has_drained(const struct proxy_report_service *s, uint32_t number);
bool proxy_report_same_life(const struct proxy_report *a, const struct proxy_report *b);
