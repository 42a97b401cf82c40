/* What goes wrong with a service: crash loops and their back-off, and the texts that say so. Owns
 * the counters and the troubles; starts and stops nothing. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

void control_trouble(struct control_service *s, enum trouble_kind k, const char *format, ...)
{
    struct trouble *t = &s->troubles[k];
    va_list args;
    va_start(args, format);
    size_t wanted = fmt_v(t->text, sizeof(t->text), format, args);
    va_end(args);
    if (wanted >= sizeof(t->text)) /* a reader must see that this is not all */
        memcpy(t->text + fmt_whole(t->text, sizeof(t->text) - sizeof("...")), "...", sizeof("..."));
    t->on = true;
    t->say = s->alert = true;
    s->publish = true;
}

void control_trouble_end(struct control_service *s, enum trouble_kind k)
{
    struct trouble *t = &s->troubles[k];
    t->on = false;
    t->say = s->alert = true;
    s->publish = true;
}

const char *control_trouble_text(const struct control_service *s)
{
    for (int k = 0; k < TROUBLE_MAX; k++) {
        if (s->troubles[k].on)
            return s->troubles[k].text;
    }
    return "";
}

/* `failures` in a row, at least 1. */
static int64_t delay_us(uint32_t failures, bool soon)
{
    uint32_t doublings = failures - 1;
    if (!soon) {
        if (doublings == 0)
            return 0;
        doublings--;
    }
    return doublings > 16 ? BACKOFF_LAST_US : MIN(BACKOFF_FIRST_US << doublings, BACKOFF_LAST_US);
}

static void forgive(struct control_service *s)
{
    s->start_failures = 0;
    s->backoff_until_us = 0;
    control_trouble_over(s, TROUBLE_START);
}

void control_start_failed(struct control *c, struct control_service *s, const struct instance *i,
                          const char *what)
{
    bool soon = i->ready_us == 0 || c->now_us - i->ready_us < BACKOFF_SOON_US;
    if (i->ready_us != 0 && c->now_us - i->ready_us >= BACKOFF_WELL_US)
        forgive(s);
    /* Instances that were started together and fail together are one failure. */
    if (s->start_failures == 0 || i->launch > s->failure_launch) {
        s->start_failures += s->start_failures < UINT32_MAX;
        s->failure_us = c->now_us;
        s->failure_launch = s->launches;
        s->backoff_until_us = us_add(c->now_us, delay_us(s->start_failures, soon));
    }
    /* What follows from it comes first: it is short, and the cause may be cut. */
    char wait[32], then[64] = "replaced at once";
    int64_t wait_us = s->backoff_until_us - c->now_us;
    num_format_duration_short(wait, sizeof(wait), MAX(wait_us, 0));
    if (!s->conf->can_choose_victim && i->state != INSTANCE_GONE)
        fmt(then, sizeof(then), "only the engine can replace it");
    else if (wait_us > 0)
        fmt(then, sizeof(then), "tried again after %s", wait);
    control_trouble(s, TROUBLE_START, "%s: %s-%u %s", then, s->conf->name, i->number, what);
}

/* As many as are wanted, none of them about to be replaced. */
static bool all_ready(const struct control_service *s)
{
    int32_t ready = 0;
    FOR_EACH_INSTANCE (i, s)
        ready += i->state == INSTANCE_READY && !instance_outdated(i, s->conf->template);
    return ready > 0 && ready >= s->count;
}

int64_t control_well_us(const struct control_service *s)
{
    if (s->start_failures == 0)
        return US_NEVER;
    int64_t at_us = US_NEVER;
    bool busy = false;
    FOR_EACH_INSTANCE (i, s) {
        busy |= i->state <= INSTANCE_WARMING || i->state == INSTANCE_FAILING;
        if (i->state == INSTANCE_READY && i->launch > s->failure_launch)
            at_us = MIN(at_us, us_add(i->ready_us, BACKOFF_WELL_US));
    }
    /* Nobody tries any more: the last failure does not stay news for ever. */
    if (!busy)
        at_us = MIN(at_us, us_add(s->failure_us, 2 * BACKOFF_LAST_US));
    return at_us;
}

void control_check_well(struct control *c, struct control_service *s)
{
    if (control_well_us(s) <= c->now_us)
        forgive(s);
    else if (!s->troubles[TROUBLE_START].say && all_ready(s))
        /* It was told, and is made good. The row goes on, for another failure soon. */
        control_trouble_over(s, TROUBLE_START);
}
