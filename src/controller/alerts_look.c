/* What is so: a table of looks, each of which says to the book what it finds wrong at this moment.
 * Everything comes from the core's views and what the controller knows anyway; an unknown is
 * nothing wrong. */
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "controller/alerts_int.h"
#include "controller/controller_int.h"
#include "controller/members.h"
#include "sys/clock.h"

#define CRASHES_MIN 3 /* in a row make a loop */
#define CLOCK_JUMP_US (2 * US_PER_S)
#define SLO_MEAN_S 60 /* latency is taken over so many seconds, one value each */

int alerts_find_kind(const char *name)
{
    for (int k = 0; k < ALERT_KIND_MAX; k++)
        if (strcmp(alert_kinds[k].name, name) == 0)
            return k;
    return -1;
}

static _printf_(6, 7) void say(struct alerts *a, int64_t now_us, enum alert_kind kind,
                               const char *service, const char *what, const char *format, ...)
{
    const struct alerts_conf *conf = alerts_conf(a);
    const struct alert_rule *rule = &conf->rules.rule[kind];
    const struct alert_kind_info *info = &alert_kinds[kind];
    const char *const groups[] = {
        [ALERT_BY_SERVICE] = service, [ALERT_BY_KIND] = info->name, [ALERT_BY_NOTHING] = ""
    };
    bool apart = kind == ALERT_LEASE_LOST;
    char text[ALERT_TEXT_MAX];
    va_list args;
    if (rule->off)
        return;
    va_start(args, format);
    fmt_v(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++) /* some of it was said by others, and may be cut anywhere */
        if (*p < ' ' || *p > '~')
            *p = '?';
    struct alert_fact f = { .kind = kind,
                            .service = service,
                            .what = what,
                            .group = apart ? ALERTS_LEASE_GROUP : groups[conf->group_by],
                            .text = text,
                            .for_us = rule->has_for ? rule->for_us : info->for_us,
                            .keep_us = rule->has_keep ? rule->keep_us : info->keep_us };
    alert_say(&a->book, &f, now_us);
}

/* -- of one service ---------------------------------------------------------------------------- */

/* What the rules would have, were there no upper bound; -1 = no more than there may be. */
static int32_t wanted_beyond(const struct controller *c, uint32_t slot)
{
    const struct decision *d = control_decision(c->control, slot);
    for (uint32_t i = 0; d && i < d->step_count; i++) {
        const struct decision_step *s = &d->steps[i];
        if ((s->kind == LIMIT_MAX || s->kind == LIMIT_SCHEDULE) && s->from > s->to)
            return s->from;
    }
    return -1;
}

static void look_at_pool(struct alerts *a, const struct service_view *v, int64_t now_us)
{
    int32_t max = v->schedule_max >= 0 ? v->schedule_max : v->conf->max;
    /* Asking the core for its words costs something: only where it can matter. */
    int32_t want = v->desired >= max && !v->leaving ? wanted_beyond(a->c, v->slot) : -1;
    if (want > max)
        say(a, now_us, ALERT_POOL_AT_MAX, v->conf->name, "",
            "%d of at most %d instances, and the rules want %d", v->desired, max, want);
}

static void look_at_starts(struct alerts *a, const struct service_view *v, int64_t now_us)
{
    struct alerts_heard *h = &a->heard[v->slot];
    if (v->start_failures == 0)
        h->crashed = false;
    else if (h->crashed && v->start_failures >= CRASHES_MIN)
        say(a, now_us, ALERT_CRASH_LOOP, v->conf->name, "", "%u times in a row%s%s",
            v->start_failures, v->start_trouble ? ": " : "",
            v->start_trouble ? v->start_trouble : "");
    else if (!h->crashed && v->start_trouble && !v->driver_down)
        say(a, now_us, ALERT_START_FAILURES, v->conf->name, "", "%s", v->start_trouble);
}

static void look_at_sources(struct alerts *a, const struct service_view *v, int64_t now_us)
{
    struct feed_view feeds[METRIC_CUSTOM_MAX];
    size_t count = feeds_view(a->c->feeds, v->slot, clock_now_us(), feeds, ARRAY_LEN(feeds));
    for (size_t i = 0; i < MIN(count, ARRAY_LEN(feeds)); i++)
        if (feeds[i].trouble[0] && !feeds[i].known)
            say(a, now_us, ALERT_SOURCE_SILENT, v->conf->name, feeds[i].name,
                "source %s (%s) %s; its metric is unknown", feeds[i].name, feeds[i].kind,
                feeds[i].trouble);
}

/* A mean over the newest minute, each value weighing less the older it is. A second without answers
 * has no latency; a minute without any forgets. */
static void mean_latency(struct alerts_heard *h, unsigned n, double value_s)
{
    if (!isfinite(value_s) || value_s <= 0) {
        if (++h->slo_quiet[n] >= SLO_MEAN_S)
            h->slo_count[n] = 0;
        return;
    }
    h->slo_quiet[n] = 0;
    h->slo_count[n] = MIN(h->slo_count[n] + 1, (uint32_t)SLO_MEAN_S);
    if (h->slo_count[n] == 1)
        h->slo_mean[n] = value_s;
    h->slo_mean[n] += (value_s - h->slo_mean[n]) / h->slo_count[n];
}

static void look_at_slo(struct alerts *a, const struct service_view *v, int64_t now_us)
{
    static const enum metric metrics[] = { METRIC_LATENCY_P50, METRIC_LATENCY_P95,
                                           METRIC_LATENCY_P99 };
    const struct totals_service *t = &a->c->totals.service[v->slot];
    const double newest_ms[] = { t->p50_ms, t->p95_ms, t->p99_ms };
    struct alerts_heard *h = &a->heard[v->slot];
    for (unsigned n = 0; n < ARRAY_LEN(metrics); n++)
        mean_latency(h, n, newest_ms[n] / 1e3);
    for (uint32_t i = 0; i < v->conf->rule_count; i++) {
        const struct rule_conf *r = &v->conf->rules[i];
        for (unsigned n = 0; r->kind == RULE_SLO && n < ARRAY_LEN(metrics); n++) {
            if (r->slo.metric != metrics[n] || h->slo_count[n] == 0 ||
                h->slo_mean[n] <= r->slo.below_s)
                continue;
            char is[32], promised[32];
            num_format_duration_short(is, sizeof(is), (int64_t)(h->slo_mean[n] * US_PER_S));
            num_format_duration(promised, sizeof(promised), (int64_t)(r->slo.below_s * US_PER_S));
            say(a, now_us, ALERT_SLO_BROKEN, v->conf->name, metric_info(metrics[n])->name,
                "%s is %s, promised is %s", metric_info(metrics[n])->name, is, promised);
        }
    }
}

static void look_at_engine(struct alerts *a, const struct service_view *v, int64_t now_us)
{
    const char *text = a->heard[v->slot].engine_text;
    int driver = v->driver_down ? controller_provisioner(a->c, v->slot) : -1;
    const struct provision_ops *ops = driver >= 0 ? provision_all[driver] : NULL;
    if (ops) /* with a section at the top it is one for all, else each service has its own */
        say(a, now_us, ALERT_ENGINE_DOWN, ops->engine ? "" : v->conf->name, ops->name, "%s: %s",
            ops->name, text[0] ? text : "it does not answer");
}

/* -- of the whole ------------------------------------------------------------------------------ */

static void look_at_budgets(struct alerts *a, int64_t now_us)
{
    struct budget_view v;
    for (uint32_t n = 0; control_budget(a->c->control, n, &v); n++)
        for (unsigned p = 0; p < BUDGET_PERIOD_MAX; p++) {
            char what[ALERT_NAME_MAX], spent[32], ceiling[32];
            if (!v.tight[p])
                continue;
            fmt(what, sizeof(what), "%s/%s", v.conf->name, budget_period_name(p));
            fmt_double(spent, sizeof(spent), v.spent[p], 2);
            fmt_double(ceiling, sizeof(ceiling), budget_ceiling(v.conf, p), 2);
            say(a, now_us, ALERT_BUDGET_SPENT, "", what,
                "budget %s: %s of %s %s spent this %s; what is left pays for the minimum only",
                v.conf->name, spent, ceiling, v.conf->currency, budget_period_name(p));
        }
}

static void look_at_disk(struct alerts *a, int64_t now_us)
{
    char text[256];
    struct store_health h;
    store_health(a->c->store, &h);
    if (h.degraded)
        say(a, now_us, ALERT_DISK_FULL, "", "database", "%s", h.trouble);
    if (journal_trouble(a->c->journal, text, sizeof(text)))
        say(a, now_us, ALERT_DISK_FULL, "", "journal", "%s", text);
}

static void look_at_config(struct alerts *a, int64_t now_us)
{
    if (a->c->config_trouble[0])
        say(a, now_us, ALERT_CONFIG_REFUSED, "", "", "%s", a->c->config_trouble);
}

/* The wall clock against one that nobody sets and that goes on in sleep. */
static void look_at_clock(struct alerts *a, int64_t now_us)
{
    int64_t offset_us = clock_wall_us() - clock_boot_us();
    int64_t jump_us = offset_us - a->clock_offset_us;
    int64_t size_us = jump_us < 0 ? -jump_us : jump_us;
    char size[32];
    a->clock_offset_us = offset_us;
    if (size_us < CLOCK_JUMP_US)
        return;
    num_format_duration_short(size, sizeof(size), size_us);
    say(a, now_us, ALERT_CLOCK_JUMP, "", "", "the wall clock was set %s by %s",
        jump_us < 0 ? "back" : "forward", size);
}

static void look_at_members(struct alerts *a, int64_t now_us)
{
    struct admin_group_facts group = { 0 };
    members_facts(a->c, &group);
    for (size_t i = 0; i < group.member_count; i++) {
        const struct admin_member_facts *m = &group.members[i];
        if (m->silent && !m->self)
            say(a, now_us, ALERT_MEMBER_SILENT, "", m->name,
                "nothing is known of the load of %s%s%s", m->name, m->trouble[0] ? ": " : "",
                m->trouble);
    }
}

static void (*const of_service[])(struct alerts *, const struct service_view *, int64_t) = {
    look_at_pool, look_at_starts, look_at_sources, look_at_slo, look_at_engine,
};

static void (*const of_all[])(struct alerts *, int64_t) = {
    look_at_budgets, look_at_disk, look_at_config, look_at_clock, look_at_members,
};

void alerts_look(struct alerts *a, int64_t now_us)
{
    struct service_view v;
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        if (!control_view(a->c->control, slot, &v)) {
            a->heard[slot] = (struct alerts_heard){ 0 };
            continue;
        }
        for (size_t i = 0; i < ARRAY_LEN(of_service); i++)
            of_service[i](a, &v, now_us);
    }
    for (size_t i = 0; i < ARRAY_LEN(of_all); i++)
        of_all[i](a, now_us);
}

/* It is so until somebody else leads; when this one leads again, nothing of it is left. */
void alerts_look_at_lease(struct alerts *a, int64_t now_us)
{
    const struct leadership *l = &a->c->lead;
    const char *other = l->leader.self ? "" : l->leader.name;
    bool lost = !l->held && l->why[0] && !l->leaving;
    if (lost && !a->lease_passed_on)
        say(a, now_us, ALERT_LEASE_LOST, "", l->member,
            "%s led and does not any more: %s; %s leads now", l->member, l->why,
            other[0] ? other : "nobody");
    a->lease_passed_on = lost && other[0];
    for (uint32_t i = 0; i < ALERT_MAX && l->held; i++)
        if (a->book.alerts[i].kind == ALERT_LEASE_LOST)
            a->book.alerts[i].keep_us = 0;
}
