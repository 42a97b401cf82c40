/* The store's front: what callers put goes into the mailbox as a record of its own, what they ask
 * about health is answered from counters. Nothing here touches the disk. */
#include "store/store.h"

#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/decision.h"
#include "store/event_json.h"
#include "store/store_int.h"
#include "sys/clock.h"

static const char *const kind_names[STORE_EVENT_KIND_MAX] = {
    [STORE_EVENT_INSTANCE] = "instance", [STORE_EVENT_OPERATOR] = "operator",
    [STORE_EVENT_CONFIG] = "config",     [STORE_EVENT_ALERT] = "alert",
    [STORE_EVENT_PROXY] = "proxy",       [STORE_EVENT_CONTROLLER] = "controller",
    [STORE_EVENT_RESOLVED] = "resolved", [STORE_EVENT_SCALING] = "scaling",
};

const char *store_event_kind_name(enum store_event_kind kind)
{
    return (unsigned)kind < STORE_EVENT_KIND_MAX ? kind_names[kind] : "unknown";
}

static void fill_defaults(struct store_options *o)
{
    o->bytes_max = o->bytes_max ? o->bytes_max : INT64_C(1) << 30;
    o->mailbox_cap = o->mailbox_cap ? o->mailbox_cap : 16384;
    o->series_cap = o->series_cap ? o->series_cap : 16384;
    o->decisions_max = o->decisions_max ? o->decisions_max : 200000;
    o->events_max = o->events_max ? o->events_max : 200000;
    o->batch_us = o->batch_us ? o->batch_us : 200 * US_PER_MS;
    o->retry_us = o->retry_us ? o->retry_us : 5 * US_PER_S;
}

static void store_free(struct store *s)
{
    sqlite3_close(s->reader);
    mailbox_done(&s->box);
    if (s->rollup.table.slots)
        rollup_done(&s->rollup);
    pthread_mutex_destroy(&s->lock);
    free(s->batch);
    free(s->path);
    free(s);
}

/* The writer takes no signals: they belong to the loop's thread. */
static int start_writer(struct store *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&s->writer, NULL, store_writer_main, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

int store_open(const struct store_options *options, struct store **ret)
{
    struct store *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->options = *options;
    fill_defaults(&s->options);
    pthread_mutex_init(&s->lock, NULL);
    s->options.path = s->path = strdup(options->path);
    s->batch = calloc(STORE_BATCH, sizeof(*s->batch));
    int rc = s->path && s->batch ? mailbox_init(&s->box, s->options.mailbox_cap) : -ENOMEM;
    if (rc == 0)
        rc = rollup_init(&s->rollup, s->options.series_cap);
    if (rc == 0)
        rc = start_writer(s);
    if (rc < 0) {
        store_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    mailbox_close(&s->box);
    pthread_join(s->writer, NULL);
    store_free(s);
}

void store_health(struct store *s, struct store_health *ret)
{
    struct store_health h = { .written = s->written,
                              .dropped = s->dropped + mailbox_refused(&s->box) };
    pthread_mutex_lock(&s->lock);
    h.degraded = s->trouble[0] != '\0';
    h.set_aside = s->set_aside;
    memcpy(h.aside_path, s->aside_path, sizeof(h.aside_path));
    if (h.degraded)
        snprintf(h.trouble, sizeof(h.trouble), "%s", s->trouble);
    else if (h.set_aside)
        snprintf(h.trouble, sizeof(h.trouble),
                 "the database was corrupt; it was set aside as %.200s and a new one is in use",
                 s->aside_path);
    pthread_mutex_unlock(&s->lock);
    *ret = h;
}

bool store_trouble(struct store *s, char *buf, size_t cap)
{
    struct store_health h;
    store_health(s, &h);
    if (h.degraded && h.dropped)
        snprintf(buf, cap, "%s; %llu records were lost", h.trouble, (unsigned long long)h.dropped);
    else
        snprintf(buf, cap, "%s", h.trouble);
    return h.trouble[0] != '\0';
}

static void put(struct store *s, struct record *r, const char *service, const char *name)
{
    snprintf(r->service, sizeof(r->service), "%s", service ? service : "");
    snprintf(r->name, sizeof(r->name), "%s", name ? name : "");
    mailbox_put(&s->box, r);
}

/* A text that could not be had makes a record that is not worth keeping. */
static bool lost(struct store *s, const struct record *r)
{
    if (!r->text)
        atomic_fetch_add(&s->dropped, 1);
    return !r->text;
}

void store_put_decision(struct store *s, const struct decision *d)
{
    struct record r = { .type = RECORD_DECISION,
                        .wall_us = d->wall_us,
                        .word = d->sequence,
                        .text = decision_json_line(d) };
    if (!lost(s, &r))
        put(s, &r, d->service, NULL);
}

void store_put_event(struct store *s, enum store_event_kind kind, const char *service,
                     const char *instance, const char *text, int64_t wall_us)
{
    struct record r = { .type = RECORD_EVENT,
                        .wall_us = wall_us,
                        .kind = (int)kind,
                        .text = strndup(text ? text : "", 4096) };
    if (!lost(s, &r))
        put(s, &r, service, instance);
}

void store_put_sample(struct store *s, const char *service, const char *metric, uint32_t number,
                      double value, int64_t wall_us)
{
    struct record r = {
        .type = RECORD_SAMPLE, .wall_us = wall_us, .number = number, .value = value
    };
    if (isfinite(value) && wall_us > 0)
        put(s, &r, service, metric);
}

void store_put_instance(struct store *s, const char *service, uint32_t number, const char *state,
                        int64_t pid, const char *address, uint64_t template, int64_t wall_us)
{
    struct record r = { .type = RECORD_INSTANCE,
                        .wall_us = wall_us,
                        .number = number,
                        .pid = pid,
                        .word = template,
                        .text = strndup(address ? address : "", 256) };
    if (!lost(s, &r))
        put(s, &r, service, state);
}

int store_flush(struct store *s, int64_t timeout_us)
{
    return mailbox_flush(&s->box, us_add(clock_now_us(), timeout_us));
}
