/* Alerts as the controller has them: what is configured, what is so, who is told. core/alert.h
 * decides who is told what and when; nothing here changes what the core decides on services. Only
 * the leader tells; that a lease was lost is told by who lost it. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/schema.h"
#include "core/alert.h"
#include "core/event.h"

struct controller;

/* What can be wrong. The names are the keys of `alerts.rules`. */
enum alert_kind {
    ALERT_POOL_AT_MAX,
    ALERT_CRASH_LOOP,
    ALERT_START_FAILURES,
    ALERT_SOURCE_SILENT,
    ALERT_SLO_BROKEN,
    ALERT_BUDGET_SPENT,
    ALERT_ENGINE_DOWN,
    ALERT_LEASE_LOST,
    ALERT_MEMBER_SILENT,
    ALERT_CLOCK_JUMP,
    ALERT_DISK_FULL,
    ALERT_CONFIG_REFUSED,
    ALERT_KIND_MAX,
};

struct alert_kind_info {
    const char *name;
    bool critical;           /* else a warning */
    int64_t for_us, keep_us; /* unless configured */
    const char *help;
};
extern const struct alert_kind_info alert_kinds[ALERT_KIND_MAX];

enum alert_format { ALERT_JSON, ALERT_SLACK, ALERT_ALERTMANAGER };
enum alert_grouping { ALERT_BY_SERVICE, ALERT_BY_KIND, ALERT_BY_NOTHING };

/* One of `alerts.to`: a webhook with a URL, or a command. */
struct alert_to {
    struct alert_webhook {
        const char *url;
        int format; /* enum alert_format */
        struct schema_map headers;
    } webhook;
    struct schema_list command;
};

/* One of `alerts.rules`. */
struct alert_rule {
    bool off, has_for, has_keep;
    int64_t for_us, keep_us;
};

/* The section `alerts`, at the top of the file. */
struct alerts_conf {
    struct alert_timing timing;
    int group_by; /* enum alert_grouping */
    struct alert_rules {
        struct alert_rule rule[ALERT_KIND_MAX];
    } rules;
    struct alert_to_list {
        uint32_t count;
        struct alert_to *items;
    } to;
};
extern const struct schema_section alerts_section;

struct alerts;

/* Reads what an earlier controller told (STATE/alerts.json). 0 or -ENOMEM. */
int alerts_open(struct controller *c, struct err *err);
void alerts_close(struct alerts *a); /* NULL is fine; the loop closes its handles */
/* What the views do not show. `before`: the state of the event's instance until then. */
void alerts_hear(struct controller *c, const struct event *e, enum instance_state before);
/* {"alerts": [...], "targets": [...]}; `a` may be NULL. */
json_t *alerts_json(const struct alerts *a);
