/* What the readers of a test file share; private to policytest_*.c. */
#pragma once

#include "config/read.h"
#include "sim/policytest/policytest.h"

/* Monday, 5 January 2026, 00:00 UTC: when a test begins that names no time. Zones are known from a
 * year before it to ten years after. */
#define POLICYTEST_WALL_US (INT64_C(1767571200) * US_PER_S)

/* "2026-11-20 09:00", with seconds and a Z if one likes; UTC. -EINVAL, placed at the node. */
int policytest_read_time(struct schema_context *ctx, const struct schema_node *node, int64_t *ret,
                         struct err *err);
/* A service of the test's configuration by its name. -EINVAL, placed at the node. */
int policytest_find_service(struct schema_context *ctx, const struct config *config,
                            const struct schema_node *node, uint32_t *ret, struct err *err);

/* A value in the unit of v->metric; ~ = unknown. Reports. */
int policytest_read_value(struct schema_context *ctx, const struct schema_node *node,
                          struct policytest_value *v);

/* `start` and `timeline`, of a test whose configuration is known; `service` is the one that is
 * meant when none is named. Report. */
int policytest_read_start(struct schema_context *ctx, const struct schema_node *node,
                          uint32_t service, struct policytest *t);
int policytest_read_timeline(struct schema_context *ctx, const struct schema_node *node,
                             uint32_t service, struct policytest *t);
/* `expect` of an entry that speaks of `service`. Reports. */
int policytest_read_expect(struct schema_context *ctx, const struct service_conf *service,
                           const struct schema_node *node, struct policytest_expect *ret);
/* `calculate`. Reports. */
int policytest_read_calculation(struct schema_context *ctx, const struct schema_node *node,
                                struct policytest_calculation *ret);

void policytest_calculate(const struct policytest_calculation *c, struct policytest_result *ret);
/* Is the expectation met? If not, says what was expected and what there is instead. */
bool policytest_meets(const struct policytest_expect *expect, const struct service_view *view,
                      const struct decision *decision, struct policytest_result *ret);
