/* The inside of the controller's alerts: looking (alerts_look.c), telling (alerts_send.c,
 * alerts_body.c, alerts_command.c), and what is kept over a restart (alerts_file.c). Private to
 * alerts*.c. */
#pragma once

#include <uv.h>

#include "controller/alerts.h"
#include "core/model.h"
#include "drivers/curl_loop.h"

#define ALERTS_TROUBLE_MAX 160

/* What a service's view does not show, from the events. */
struct alerts_heard {
    bool crashed; /* the newest failure was an end by itself, not a failed start */
    char engine_text[ALERTS_TROUBLE_MAX]; /* why its engine does not answer */
    double slo_mean[3];                   /* of p50, p95, p99, in s, over about a minute */
    uint32_t slo_count[3], slo_quiet[3];
};

struct alerts_delivery;

struct alerts {
    struct controller *c;
    uv_timer_t timer;
    struct curl_loop *curl;
    struct alert_book book;
    uint64_t saved_changes; /* book.changes that are in the file */
    char host[64];

    struct alerts_heard heard[MODEL_SERVICES_MAX];
    bool lease_passed_on;    /* lost, and in the round before somebody else led */
    int64_t clock_offset_us; /* wall - boot */

    struct alerts_delivery *on_way[ALERT_TARGETS_MAX];
    char name[ALERT_TARGETS_MAX][ALERTS_TROUBLE_MAX];    /* of each target, for people */
    char trouble[ALERT_TARGETS_MAX][ALERTS_TROUBLE_MAX]; /* of the newest delivery; "" = taken */
    int64_t noted_us[ALERT_MAX]; /* fired_us of those whose firing is among the events */
};

const struct alerts_conf *alerts_conf(const struct alerts *a);
int64_t alerts_now_us(void);           /* goes on while the machine sleeps */
int64_t alerts_wall_us(int64_t at_us); /* of such an instant */

/* alerts_look.c: everything that is so is said to the book. */
void alerts_look(struct alerts *a, int64_t now_us);
/* The one thing that is told by who does not lead: that it led. It has a group of its own. */
#define ALERTS_LEASE_GROUP "lease-lost"
void alerts_look_at_lease(struct alerts *a, int64_t now_us);
int alerts_find_kind(const char *name); /* -1 = there is none */

/* alerts_file.c */
void alerts_load(struct alerts *a, int64_t now_us);
void alerts_save(struct alerts *a);

/* alerts_body.c: malloc'd, or NULL. */
char *alerts_body(const struct alerts *a, enum alert_format format, const struct alert_message *m);
json_t *alerts_one_json(const struct alert *alert);

/* alerts_send.c */
uint64_t alerts_target_id(const struct alert_to *to);
/* "webhook http://127.0.0.1:9093", without what may be secret. */
void alerts_target_name(const struct alert_to *to, char *buf, size_t cap);
void alerts_send(struct alerts *a, const struct alert_to *to, const struct alert_message *m);
void alerts_cancel(struct alerts *a); /* whatever is on its way */
void alerts_answered(struct alerts *a, uint32_t target, const char *trouble); /* "" = taken */
