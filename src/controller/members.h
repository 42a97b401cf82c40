/* The other controllers of the group, each with a proxy in front of the same pool: what all proxies
 * have to do together, and what they have finished. All of it also does when we are alone, and then
 * costs nothing. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct admin_command;
struct admin_group_facts;
struct admin_reply;
struct controller;

int members_open(struct controller *c, struct err *err);
void members_close(struct controller *c);
/* controller.lead says anew who is there, or who leads. */
void members_set(struct controller *c);
/* Once a second, on every controller: whoever leads asks the others what their proxies count. */
void members_tick(struct controller *c);

/* What a service has to do at this moment: in our own proxy, and, if we lead, in the others' as far
 * as it is known. */
struct demand {
    uint32_t in_flight, queued, tunnels;
};
struct demand members_demand(const struct controller *c, uint32_t slot);
struct demand members_own_demand(const struct controller *c, uint32_t slot);
/* In flight on an instance from other members' proxies. */
uint32_t members_instance_demand(const struct controller *c, uint32_t slot, uint32_t number);
/* When our own proxy is to ring, so that together all notice when demand passes the core's mark. */
uint32_t members_mark(const struct controller *c, uint32_t slot, uint32_t mark);
/* Our proxy rang, and another one decides: it is told. */
void members_ring(struct controller *c, uint32_t slot);
/* Another member's proxy rang. */
void members_rung(struct controller *c, const struct admin_command *bell,
                  struct admin_reply *reply);
/* An operator's command on the service has been taken: if we lead, those who follow are told to
 * look at once, for whoever gave it believes that it holds. */
void members_tell(struct controller *c, uint32_t slot);
/* Our proxy has nothing in flight on the instance any more: EVENT_DRAINED comes when nobody's has,
 * if we lead. */
void members_drained(struct controller *c, uint32_t slot, uint32_t number);
/* What our proxy counts, for the one who leads; NULL = no memory. */
json_t *members_report(struct controller *c);
/* Who is there, for status. */
void members_facts(struct controller *c, struct admin_group_facts *f);
