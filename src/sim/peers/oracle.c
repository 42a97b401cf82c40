/* The oracle knows the future and only pays the start time: what it runs is the least that serves
 * every second, and what a start takes is the one reason to run more. An instance that is needed at
 * any time of the coming start time is running or starting now; a gap that is longer than a start
 * is saved. So the count it orders is the highest need within [now, now + boot].
 *
 * Held to some violations it may also lower peaks of the need, those first that save most
 * instance-seconds for each request that then waits too long, while its violations stay within what
 * is allowed. A peak so small that nobody waits too long is lowered for nothing. (Which peaks to
 * lower at best is a knapsack problem; this is the greedy answer.) */
#include <math.h>
#include <stdlib.h>

#include "base/heap.h"
#include "base/us.h"
#include "sim/fluid.h"
#include "sim/peers/peer.h"

#define PEAK_S_MAX 14400 /* longer ones save little for a request */
#define SPENT 0.05       /* so little of them is not worth another pass */
#define PASSES_MAX 8
#define SHARE_MUCH 0.01 /* of violations that may be; then more is tried */
#define PIECE_S 600

struct peak { /* the need is at least `level` in [from, to) */
    struct heap_item item;
    uint32_t from, to;
    int32_t level;
    bool lowered;
};

struct oracle {
    struct peer p;
    struct fluid fluid;
    int64_t count, boot_s;
    uint16_t *need;    /* of each second; later what is ordered at its begin */
    float *queue;      /* at each second's begin, with just the need running */
    uint32_t *ring;    /* of sliding() */
    uint32_t *lowered; /* which peaks were, in that order */
    size_t lowered_count;
    int32_t cap;     /* the need counts as no more */
    double requests; /* all there are */
    double budget;   /* how many more of them may wait too long */
    struct peak *peaks;
    size_t peak_count, peak_cap;
    struct heap heap;
    bool failed; /* no memory */
};

/* -- the highest need within the coming start time -- */

struct clip { /* in [from, to) the need is at most this */
    int64_t from, to;
    uint16_t most;
};

static uint16_t need_at(const struct oracle *o, int64_t at, const struct clip *c)
{
    uint16_t need = o->need[at];
    return at >= c->from && at < c->to ? MIN(need, c->most) : need;
}

/* The sum, over the seconds of [from, to), of the highest need from then until a start later, each
 * also written to `ret` unless that is NULL; it may be `need` itself, for nobody looks back. The
 * ring holds the seconds that are the highest of all after them, highest first. */
static double sliding(struct oracle *o, int64_t from, int64_t to, const struct clip *c,
                      uint16_t *ret)
{
    int64_t size = o->boot_s + 2, head = 0, tail = 0, next = from;
    double sum = 0;
    for (int64_t at = from; at < to; at++) {
        for (; next <= at + o->boot_s && next < o->count; next++) {
            uint16_t need = need_at(o, next, c);
            while (tail > head && need_at(o, o->ring[(tail - 1) % size], c) <= need)
                tail--;
            o->ring[tail++ % size] = (uint32_t)next;
        }
        while (o->ring[head % size] < at)
            head++;
        uint16_t most = need_at(o, o->ring[head % size], c);
        sum += most;
        if (ret)
            ret[at] = most;
    }
    return sum;
}

/* Before a first start can be over there is no more than there was: what waits then waits whatever
 * anybody does, and counts. Under a cap, what it made wait is to be served too, as fast as the cap
 * lets it. */
static void see_needs(struct oracle *o)
{
    struct trace_cursor cursor;
    struct fluid_second s;
    bool capped = o->cap < MODEL_COUNT_MAX;
    double queue = 0, requests = 0, each = o->p.setup.capacity;
    trace_cursor_init(&cursor, o->p.setup.future);
    for (int64_t at = 0; at < o->count; at++) {
        double rate = trace_cursor_at(&cursor, at * US_PER_S + US_PER_S / 2);
        int32_t most = at <= o->boot_s ? MIN(o->p.setup.initial, o->cap) : o->cap;
        double need = fluid_count(rate + (capped ? queue : 0), each);
        o->need[at] = (uint16_t)CLAMP(need, o->p.setup.min, most);
        o->queue[at] = (float)queue;
        fluid_step(&o->fluid, queue, rate, o->need[at] * each, &s);
        queue = s.queue;
        requests += rate;
    }
    o->requests = requests;
}

/* -- lowering a peak -- */

static double saved(struct oracle *o, const struct peak *k)
{
    static const struct clip nothing = { 0 };
    int64_t from = MAX((int64_t)k->from - o->boot_s, 0);
    struct clip c = { .from = k->from, .to = k->to, .most = (uint16_t)(k->level - 1) };
    double before = sliding(o, from, k->to, &nothing, NULL);
    return before - sliding(o, from, k->to, &c, NULL);
}

/* How many requests more violate when the peak is lowered: until its queue is gone again. With
 * `store` it is lowered. */
static double harm(struct oracle *o, const struct peak *k, bool store)
{
    struct trace_cursor cursor;
    struct fluid_second then, now;
    double queue = o->queue[k->from], more = 0, each = o->p.setup.capacity;
    trace_cursor_init(&cursor, o->p.setup.future);
    for (int64_t at = k->from; at < o->count; at++) {
        if (at >= k->to && fabs(queue - (double)o->queue[at]) < 1e-3)
            break;
        double rate = trace_cursor_at(&cursor, at * US_PER_S + US_PER_S / 2);
        int32_t need = o->need[at], less = at < k->to ? MIN(need, k->level - 1) : need;
        fluid_step(&o->fluid, o->queue[at], rate, need * each, &then);
        fluid_step(&o->fluid, queue, rate, less * each, &now);
        more += now.late - then.late;
        if (store) {
            o->queue[at] = (float)queue;
            o->need[at] = (uint16_t)less;
        }
        queue = now.queue;
    }
    return more;
}

/* Smaller is better. -1 for what saves nothing. */
static int64_t price(struct oracle *o, const struct peak *k, double *ret_harm)
{
    double gain = saved(o, k);
    *ret_harm = harm(o, k, false);
    if (gain <= 0)
        return -1;
    double each = MAX(*ret_harm, 0) / gain * 1e6;
    return each < 1e15 ? (int64_t)each : (int64_t)1e15;
}

static void add_peak(struct oracle *o, uint32_t from, uint32_t to, int32_t level)
{
    if (o->peak_count == o->peak_cap) {
        size_t cap = MAX(2 * o->peak_cap, 1024);
        struct peak *more = realloc(o->peaks, cap * sizeof(*more));
        if (!more) {
            o->failed = true;
            return;
        }
        o->peaks = more;
        o->peak_cap = cap;
    }
    o->peaks[o->peak_count++] = (struct peak){ .from = from, .to = to, .level = level };
}

/* Whole; and in pieces, where much may violate. The first second is served by what was there. */
static void add_stretch(struct oracle *o, uint32_t from, uint32_t to, int32_t level)
{
    from = MAX(from, 1);
    if (to > from && to - from <= PEAK_S_MAX + o->boot_s)
        add_peak(o, from, to, level);
    if (o->p.setup.allowed_violations < SHARE_MUCH || to <= from + PIECE_S)
        return;
    for (; from < to; from += PIECE_S)
        add_peak(o, from, MIN(from + PIECE_S, to), level);
}

/* Every stretch of time, for every level, in which there is at least that of `counts`. */
static void add_peaks(struct oracle *o, const uint16_t *counts)
{
    uint32_t since[MODEL_COUNT_MAX + 1];
    int32_t level = 1;
    for (int64_t at = 0; at <= o->count; at++) {
        int32_t count = at < o->count ? counts[at] : 1;
        while (level < count)
            since[++level] = (uint32_t)at;
        for (; level > count; level--)
            add_stretch(o, since[level], (uint32_t)at, level);
    }
}

/* Single peaks of the need; and those so close that one start serves them all, for to lower one
 * alone saves nothing. */
static void find_peaks(struct oracle *o, uint16_t *ordered)
{
    static const struct clip nothing = { 0 };
    add_peaks(o, o->need);
    sliding(o, 0, o->count, &nothing, ordered);
    add_peaks(o, ordered);
}

static void push_peaks(struct oracle *o)
{
    for (size_t n = 0; n < o->peak_count; n++) {
        double late;
        int64_t key = o->peaks[n].lowered ? -1 : price(o, &o->peaks[n], &late);
        if (key >= 0 && late <= o->budget)
            heap_push(&o->heap, &o->peaks[n].item, key);
    }
}

/* Prices change when others are lowered, so the best is priced again before it is taken. True when
 * one was. */
static bool lower_peaks(struct oracle *o)
{
    struct heap_item *top;
    bool any = false;
    while ((top = heap_top(&o->heap))) {
        struct peak *k = CONTAINER_OF(top, struct peak, item);
        double late;
        int64_t was = top->key, is = price(o, k, &late);
        heap_remove(&o->heap, top);
        if (is < 0 || late > o->budget)
            continue;
        if (is > was + was / 16) {
            heap_push(&o->heap, &k->item, is);
            continue;
        }
        o->budget -= late;
        harm(o, k, true);
        k->lowered = any = true;
        o->lowered[o->lowered_count++] = (uint32_t)(k - o->peaks);
    }
    return any;
}

/* How many requests wait too long when all is ordered as planned. Less than the prices say, because
 * what is kept over a short gap serves in it. What is ready has been ordered for a whole start. */
static double all_late(struct oracle *o, uint16_t *ordered)
{
    static const struct clip nothing = { 0 };
    struct trace_cursor cursor;
    struct fluid_second s;
    double queue = 0, late = 0, each = o->p.setup.capacity;
    int64_t size = o->boot_s + 2, head = 0, tail = 0;
    sliding(o, 0, o->count, &nothing, ordered);
    ordered[0] = (uint16_t)o->p.setup.initial;
    trace_cursor_init(&cursor, o->p.setup.future);
    for (int64_t at = 0; at < o->count; at++) {
        while (tail > head && ordered[o->ring[(tail - 1) % size]] >= ordered[at])
            tail--;
        o->ring[tail++ % size] = (uint32_t)at;
        while (o->ring[head % size] + o->boot_s < at)
            head++;
        double rate = trace_cursor_at(&cursor, at * US_PER_S + US_PER_S / 2);
        fluid_step(&o->fluid, queue, rate, ordered[o->ring[head % size]] * each, &s);
        queue = s.queue;
        late += s.late;
    }
    return late;
}

/* The need with only the first so many peaks lowered. */
static void lower_first(struct oracle *o, size_t count)
{
    see_needs(o);
    for (size_t n = 0; n < count; n++) {
        const struct peak *k = &o->peaks[o->lowered[n]];
        for (uint32_t at = k->from; at < k->to; at++)
            o->need[at] = MIN(o->need[at], (uint16_t)(k->level - 1));
    }
}

/* Prices do not see everything. When it was too much after all, the last ones are taken back. */
static void take_back(struct oracle *o, uint16_t *ordered, double allowed)
{
    size_t good = 0, bad = o->lowered_count + 1;
    while (good + 1 < bad) {
        size_t middle = good + (bad - good) / 2;
        lower_first(o, middle);
        if (all_late(o, ordered) <= allowed)
            good = middle;
        else
            bad = middle;
    }
    lower_first(o, good);
}

/* What did not fit may fit after others were lowered. Returns what the plan costs. */
static double lower_all(struct oracle *o, uint16_t *ordered, double allowed)
{
    static const struct clip nothing = { 0 };
    o->lowered_count = 0;
    for (size_t n = 0; n < o->peak_count; n++)
        o->peaks[n].lowered = false;
    see_needs(o);
    for (int pass = 0; pass < PASSES_MAX; pass++) {
        double left = allowed - all_late(o, ordered);
        o->budget = MAX(left, 0);
        if (pass > 0 && left <= allowed * SPENT)
            break;
        push_peaks(o);
        if (!lower_peaks(o))
            break;
    }
    if (o->lowered_count > 0 && all_late(o, ordered) > allowed)
        take_back(o, ordered, allowed);
    return sliding(o, 0, o->count, &nothing, NULL);
}

/* The least that no need is above while no more violate than may. */
static int32_t find_cap(struct oracle *o, uint16_t *ordered, double allowed)
{
    int32_t bad = 0, good = o->p.setup.max;
    while (bad + 1 < good) {
        o->cap = bad + (good - bad) / 2;
        see_needs(o);
        if (all_late(o, ordered) <= allowed)
            good = o->cap;
        else
            bad = o->cap;
    }
    return good;
}

/* Peak by peak; and where much may violate, also below a cap that first lowers them all. The
 * cheaper plan it is. */
static void plan_violations(struct oracle *o, uint16_t *ordered)
{
    double share = o->p.setup.allowed_violations;
    double allowed = MAX(share * o->requests,
                         all_late(o, ordered) * (1 + 1e-9) + 1e-6 /* whatever anybody does */);
    double plain = lower_all(o, ordered, allowed);
    if (share < SHARE_MUCH)
        return;
    o->cap = find_cap(o, ordered, allowed);
    if (lower_all(o, ordered, allowed) <= plain)
        return;
    o->cap = o->p.setup.max;
    lower_all(o, ordered, allowed);
}

static int use_violations(struct oracle *o)
{
    uint16_t *ordered = calloc((size_t)o->count, sizeof(*ordered));
    if (ordered)
        find_peaks(o, ordered);
    struct heap_item **items = calloc(MAX(o->peak_count, 1), sizeof(struct heap_item *));
    o->lowered = calloc(MAX(o->peak_count, 1), sizeof(*o->lowered));
    bool able = ordered && items && o->lowered && !o->failed;
    if (able) {
        heap_init(&o->heap, items, o->peak_count);
        plan_violations(o, ordered);
    }
    free(ordered);
    free(items);
    return able ? 0 : -1;
}

/* -- as a policy -- */

static void oracle_close(void *self)
{
    struct oracle *o = self;
    free(o->need);
    free(o->queue);
    free(o->ring);
    free(o->peaks);
    free(o->lowered);
    free(o);
}

static void *oracle_open(const struct policy_setup *s)
{
    static const struct clip nothing = { 0 };
    struct oracle *o = peer_open(sizeof(*o), s);
    if (!o)
        return NULL;
    o->count = trace_length_us(s->future) / US_PER_S;
    o->boot_s = (s->boot_us + US_PER_S - 1) / US_PER_S;
    o->fluid = (struct fluid){ s->slo_wait_s, s->queue_s, s->capacity };
    o->need = calloc((size_t)o->count, sizeof(*o->need));
    o->queue = calloc((size_t)o->count, sizeof(*o->queue));
    o->ring = calloc((size_t)o->boot_s + 2, sizeof(*o->ring));
    if (!o->need || !o->queue || !o->ring) {
        oracle_close(o);
        return NULL;
    }
    o->cap = s->max;
    see_needs(o);
    if (use_violations(o) < 0) {
        oracle_close(o);
        return NULL;
    }
    sliding(o, 0, o->count, &nothing, o->need);
    return o;
}

static void oracle_step(void *self, const struct policy_view *v, struct fleet *fleet)
{
    struct oracle *o = self;
    int64_t at = v->now_us / US_PER_S;
    if (at < o->count)
        peer_want(&o->p, o->need[at], "the most that is needed until a start from now is over");
    peer_order(&o->p, fleet);
}

const struct policy_ops policy_oracle = {
    .name = "oracle",
    .help = "knows the future and only pays the start time: the bound",
    .open = oracle_open,
    .step = oracle_step,
    .desired = peer_desired,
    .why = peer_why,
    .close = oracle_close,
};
