/* The instances of a simulated service. It owns when each is ready, fails, crashes and what it
 * costs; it never decides how many there are to be. */
#include "sim/fleet.h"

#include <errno.h>
#include <string.h>

#include "base/math.h"
#include "base/us.h"
#include "base/util.h"

static void tell(struct fleet *f, enum fleet_news_kind kind, uint32_t number)
{
    if (f->news_count < ARRAY_LEN(f->news))
        f->news[f->news_count++] = (struct fleet_news){ .kind = kind, .number = number };
}

/* -- what will become of an instance -- */

/* One draw a statement, and none for what is switched off: compilers then agree on the order, and
 * one fault more does not change the others' dice. */
static int64_t draw_boot_us(struct fleet *f)
{
    if (f->conf.boot_spread <= 0)
        return f->conf.boot_us;
    double unit = rng_unit(&f->rng);
    return (int64_t)((double)f->conf.boot_us * (1 + f->conf.boot_spread * (2 * unit - 1)));
}

static bool draw_failure(struct fleet *f)
{
    return f->conf.start_failures > 0 && rng_unit(&f->rng) < f->conf.start_failures;
}

static double draw_slowness(struct fleet *f)
{
    if (f->conf.noisy_share <= 0 || rng_unit(&f->rng) >= f->conf.noisy_share)
        return 1;
    return f->conf.noisy_slowdown;
}

/* Crashes come without memory, so the time to the next is exponential. */
static int64_t draw_life_us(struct fleet *f)
{
    if (f->conf.crashes_per_day <= 0)
        return US_NEVER;
    double unit = rng_unit(&f->rng);
    double days = -math_log(1 - unit) / f->conf.crashes_per_day;
    return days > 1e6 ? US_NEVER : (int64_t)(days * (double)US_PER_DAY);
}

static int64_t due_us(const struct fleet_instance *i)
{
    return i->ready ? i->crash_us : MIN(i->ready_us, i->crash_us);
}

static void find_next(struct fleet *f)
{
    f->next_us = US_NEVER;
    for (uint32_t n = 0; n < f->count; n++) {
        int64_t at_us = due_us(&f->items[n]);
        f->next_us = MIN(f->next_us, at_us);
    }
}

/* -- coming and going -- */

static void recount(struct fleet *f)
{
    f->ready = f->starting = 0;
    for (uint32_t n = 0; n < f->count; n++) {
        const struct fleet_instance *i = &f->items[n];
        f->ready += i->ready && !i->draining;
        f->starting += !i->ready;
    }
    find_next(f);
}

static void note_boot(struct fleet *f, int64_t boot_us)
{
    f->boots_us[f->boot_count++ % ARRAY_LEN(f->boots_us)] = boot_us;
    f->boot_seen_us = 0;
    for (uint32_t n = 0; n < MIN(f->boot_count, ARRAY_LEN(f->boots_us)); n++)
        f->boot_seen_us = MAX(f->boot_seen_us, f->boots_us[n]);
}

static void take_out(struct fleet *f, uint32_t at, enum fleet_news_kind kind)
{
    uint32_t number = f->items[at].number;
    memmove(&f->items[at], &f->items[at + 1], (--f->count - at) * sizeof(f->items[0]));
    tell(f, kind, number);
}

static int32_t find(const struct fleet *f, uint32_t number)
{
    for (uint32_t n = 0; n < f->count; n++) {
        if (f->items[n].number == number)
            return (int32_t)n;
    }
    return -1;
}

void fleet_init(struct fleet *f, const struct fleet_conf *conf, uint64_t seed, int64_t now_us)
{
    memset(f, 0, sizeof(*f));
    f->conf = *conf;
    rng_init(&f->rng, seed);
    f->now_us = now_us;
    f->next_us = US_NEVER;
    f->boot_seen_us = conf->boot_us;
}

void fleet_begin(struct fleet *f, int32_t count)
{
    for (int32_t n = 0; n < count && f->count < FLEET_MAX; n++) {
        double slowness = draw_slowness(f);
        int64_t life_us = draw_life_us(f);
        f->items[f->count++] = (struct fleet_instance){
            .number = ++f->number,
            .ready = true,
            .slowness = slowness,
            .ordered_us = us_sub(f->now_us, f->conf.boot_us),
            .ready_us = f->now_us,
            .crash_us = us_add(f->now_us, life_us),
        };
    }
    recount(f);
}

int fleet_start(struct fleet *f, uint32_t number)
{
    if (f->count == FLEET_MAX)
        return -ENOBUFS;
    int64_t ready_us = us_add(f->now_us, draw_boot_us(f));
    bool fails = draw_failure(f);
    double slowness = draw_slowness(f);
    int64_t life_us = draw_life_us(f);
    f->items[f->count++] = (struct fleet_instance){
        .number = number,
        .slowness = slowness,
        .ordered_us = f->now_us,
        .ready_us = fails ? US_NEVER : ready_us,
        .crash_us = fails ? ready_us : us_add(ready_us, life_us),
    };
    f->number = MAX(f->number, number);
    f->starting++;
    f->starts++;
    f->next_us = MIN(f->next_us, ready_us);
    if (ready_us <= f->now_us)
        fleet_advance(f, f->now_us);
    return 0;
}

void fleet_stop(struct fleet *f, uint32_t number)
{
    int32_t at = find(f, number);
    if (at < 0)
        return;
    f->stops++;
    take_out(f, (uint32_t)at, FLEET_GONE);
    recount(f);
}

void fleet_drain(struct fleet *f, uint32_t number)
{
    int32_t at = find(f, number);
    if (at < 0)
        return;
    struct fleet_instance *i = &f->items[at];
    if (!f->drains || !i->ready) {
        fleet_stop(f, number);
        return;
    }
    i->draining = true;
    recount(f);
}

/* -- time -- */

static void happen(struct fleet *f, uint32_t *at)
{
    struct fleet_instance *i = &f->items[*at];
    if (!i->ready && i->ready_us <= f->now_us) {
        i->ready = true;
        note_boot(f, i->ready_us - i->ordered_us);
        tell(f, FLEET_READY, i->number);
    }
    if (i->crash_us > f->now_us) {
        ++*at;
        return;
    }
    f->crashes += i->ready;
    f->failed_starts += !i->ready;
    take_out(f, *at, i->ready ? FLEET_CRASHED : FLEET_START_FAILED);
}

static void pass(struct fleet *f, int64_t to_us)
{
    f->paid_s += (double)f->count * ((double)(to_us - f->now_us) / (double)US_PER_S);
    f->now_us = to_us;
}

void fleet_advance(struct fleet *f, int64_t now_us)
{
    while (f->next_us <= now_us) {
        pass(f, MAX(f->next_us, f->now_us));
        for (uint32_t n = 0; n < f->count;)
            happen(f, &n);
        recount(f);
    }
    pass(f, now_us);
}

/* -- by count -- */

static bool remove_newest(struct fleet *f, bool ready)
{
    for (uint32_t n = f->count; n-- > 0;) {
        const struct fleet_instance *i = &f->items[n];
        if (i->ready != ready || i->draining)
            continue;
        fleet_drain(f, i->number);
        return true;
    }
    return false;
}

void fleet_set_count(struct fleet *f, int32_t count)
{
    int32_t now = f->ready + f->starting;
    if (now == count)
        return;
    for (; now < count && fleet_start(f, f->number + 1) == 0; now++)
        continue;
    for (; now > count && (remove_newest(f, false) || remove_newest(f, true)); now--)
        continue;
}
