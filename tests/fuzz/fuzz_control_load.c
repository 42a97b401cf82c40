/* A snapshot at the head of a journal is a file like any other: whatever words it holds, the core
 * takes them and goes on, or refuses them and is as its configuration left it. It never trips over
 * an assertion, now or in the events that follow. The first byte chooses: words as they are, or a
 * true state with some words changed, which gets deeper. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control.h"

#define SERVICES 3
#define HEAD_WORDS 3
#define WORDS_MAX 32768
#define HISTORY_MIN (4 * 1440)
#define EDIT_BYTES 10 /* place, value */
#define WALL_US (INT64_C(1700000000) * US_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct control_caps caps = {
    .services = 4, .instances = 6, .points = 12, .words = 32768
};

struct core {
    void *memory;
    struct control *c;
    struct service_conf services[SERVICES];
    struct action items[CONTROL_ACTIONS_MIN];
    int64_t now_us;
};

static void add_rules(struct service_conf *s)
{
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_TARGET,
        .name = "target",
        .fallback_after_us = 5 * US_PER_S,
        .fallback = 2,
        .target = { { METRIC_CONCURRENCY, SERIES_AVG, 0 }, 10, 0.1, 0.1, 0 },
    };
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_THRESHOLD,
        .name = "threshold",
        .threshold = { .metric = { METRIC_CPU, SERIES_P95, 5 * US_PER_S },
                       .has_above = true,
                       .above = 0.8,
                       .add = 1,
                       .has_below = true,
                       .below = 0.2,
                       .remove = 0.5,
                       .remove_ratio = true,
                       .for_us = 3 * US_PER_S },
    };
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_STEP,
        .name = "step",
        .step = { .metric = { METRIC_QUEUE, SERIES_MAX, 4 * US_PER_S },
                  .threshold = 5,
                  .type = RULE_STEP_PERCENT,
                  .warmup_us = 4 * US_PER_S,
                  .step_count = 2,
                  .steps = { { -5, 0, -10 }, { 0, 50, 100 } } },
    };
}

/* The kinds that remember more than a few words, which may be any after a load. */
static void add_more_rules(struct service_conf *s)
{
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_CONCURRENCY,
        .name = "concurrency",
        .concurrency = { METRIC_CONCURRENCY, 20, 0.7, 6 * US_PER_S, US_PER_S, 2, 1000, 2, 211,
                         3 * US_PER_S, 4 * US_PER_S, 1 },
    };
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_QUEUE,
        .name = "queue",
        .queue = { .metric = { .metric = METRIC_QUEUE },
                   .value = 4,
                   .least = 1,
                   .cooldown_us = 3 * US_PER_S },
    };
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_BUSYNESS,
        .name = "busyness",
        .busyness = { 20, 0.5, 0.25, 3 * US_PER_S, 1, 10, 2, 33, 1, 3, 60 * US_PER_S },
    };
    s->rules[s->rule_count++] = (struct rule_conf){ .kind = RULE_SLO,
                                                    .name = "slo",
                                                    .slo = { METRIC_LATENCY_P99, 0.25, 0 } };
    s->rules[s->rule_count++] =
        (struct rule_conf){ .kind = RULE_RATIO, .name = "ratio", .ratio = { "a", 2 } };
}

/* The kinds that learn. */
static void add_learning_rules(struct service_conf *s)
{
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_TARGET,
        .name = "auto",
        .target = { .metric = { METRIC_CONCURRENCY, SERIES_LAST, 0 },
                    .value = 10,
                    .headroom_auto = true },
    };
    s->rules[s->rule_count++] = (struct rule_conf){
        .kind = RULE_PREDICTIVE,
        .name = "predictive",
        .predictive = { .metric = { .metric = METRIC_CONCURRENCY },
                        .value = 10,
                        .margin_us = 60 * US_PER_S },
    };
}

static void configure_one(struct service_conf *s, uint32_t n)
{
    *s = (struct service_conf){
        .name = { (char)('a' + n) },
        .min = (int32_t)n % 2,
        .max = 4,
        .initial = 2,
        .template = 7,
        .surge = 1,
        .can_choose_victim = n != 0,
        .can_resize = n == 1,
        .shape = n,
        .start_within_us = 10 * US_PER_S,
        .drain_us = 5 * US_PER_S,
        .window_in_us = 6 * US_PER_S,
        .health = { 2, 1, 5 * US_PER_S },
        .behavior.down = { .stabilize_us = 5 * US_PER_S,
                           .policy_count = 1,
                           .policy = { { false, 1, 3 * US_PER_S } } },
    };
    s->headroom = n;
    s->change_cost_us = (int64_t)n * US_PER_S;
    s->cost = 1;
    s->after_count = n > 0;
    s->after[0][0] = (char)('a' + n - 1);
    add_rules(s);
    if (n == 1)
        add_more_rules(s);
    else
        add_learning_rules(s);
}

static void step(struct core *k, struct event *e)
{
    struct actions actions = { .items = k->items, .cap = ARRAY_LEN(k->items) };
    e->now_us = k->now_us;
    e->wall_us = WALL_US + k->now_us;
    control_step(k->c, e, &actions);
    assert(control_next_us(k->c) >= 0);
}

static void configure(struct core *k, uint32_t count)
{
    struct model_conf conf = { .service_count = count,
                               .services = k->services,
                               .zone_count = 1,
                               .budget_count = 1,
                               .budgets = { { "pot", "", 9, 50, 900, 0 } } };
    struct event e = { .type = EVENT_CONFIG, .service = -1, .conf = &conf };
    step(k, &e);
}

/* Days that the predictive rules learn from. */
static void tell_history(struct core *k)
{
    static double values[HISTORY_MIN];
    for (uint32_t i = 0; i < HISTORY_MIN; i++)
        values[i] = 5 + i % 1440 / 60;
    struct history h = { .metric = METRIC_CONCURRENCY,
                         .wall_us = WALL_US - HISTORY_MIN * US_PER_MIN,
                         .step_us = US_PER_MIN,
                         .count = HISTORY_MIN,
                         .values = values };
    for (int32_t s = 0; s < SERVICES; s += 2) {
        struct event e = { .type = EVENT_HISTORY, .service = s, .history = &h };
        step(k, &e);
    }
}

static void sample(struct core *k, int32_t service, double busy)
{
    struct sample samples[] = {
        { METRIC_CONCURRENCY, 0, busy },       { METRIC_QUEUE, 0, busy / 5 },
        { METRIC_LATENCY_P99, 0, busy / 100 }, { METRIC_RPS, 0, busy * 10 },
        { METRIC_CPU, 1, busy / 40 },          { METRIC_CPU, 2, busy / 50 },
    };
    struct event e = { .type = EVENT_SAMPLES,
                       .service = service,
                       .samples = samples,
                       .sample_count = ARRAY_LEN(samples) };
    step(k, &e);
}

/* Something of every kind happens to every instance, and now and then a minute goes by. */
static void live(struct core *k, uint32_t seconds)
{
    static const enum event_type types[] = { EVENT_PROBE,   EVENT_PROBE,   EVENT_FOUND,
                                             EVENT_EXITED,  EVENT_DRAINED, EVENT_START_FAILED,
                                             EVENT_LEAVING, EVENT_RESIZED };
    for (uint32_t t = 0; t < seconds; t++) {
        k->now_us = us_add(k->now_us, t % 8 == 5 ? US_PER_MIN : 700000);
        for (int32_t s = 0; s < (int32_t)caps.services; s++) {
            sample(k, s, (t * 7 + (uint32_t)s * 13) % 60);
            for (uint32_t n = 1; n < 6; n++) {
                struct event e = { .type = types[(t + n) % ARRAY_LEN(types)],
                                   .service = s,
                                   .number = n,
                                   .flag = (t + n) % 3 != 0,
                                   .template = 7 };
                step(k, &e);
            }
            struct event bell = {
                .type = EVENT_DOORBELL, .service = s, .in_flight = t, .queued = 2
            };
            step(k, &bell);
        }
        struct event tick = { .type = EVENT_TICK, .service = -1 };
        step(k, &tick);
    }
}

static void open_core(struct core *k, int64_t now_us)
{
    k->memory = calloc(1, control_bytes(&caps));
    k->c = control_init(k->memory, &caps);
    k->now_us = now_us;
    for (uint32_t n = 0; n < SERVICES; n++)
        configure_one(&k->services[n], n);
    configure(k, SERVICES);
}

/* The checksum is not what is tested. */
static void seal(uint64_t *words, size_t count)
{
    uint64_t sum = UINT64_C(14695981039346656037);
    for (size_t n = HEAD_WORDS; n < count; n++)
        sum = (sum ^ words[n]) * UINT64_C(1099511628211) + (sum >> 29);
    words[1] = count;
    words[2] = sum;
}

/* The state of a core in the middle of everything. */
static size_t true_state(uint64_t *words)
{
    static uint64_t kept[WORDS_MAX];
    static size_t count;
    if (count == 0) {
        struct core k;
        open_core(&k, 100 * US_PER_S);
        tell_history(&k);
        live(&k, 16);
        configure(&k, SERVICES - 1); /* one is leaving */
        count = control_save(k.c, kept, WORDS_MAX);
        assert(count > 0);
        free(k.memory);
    }
    memcpy(words, kept, count * sizeof(*words));
    return count;
}

static size_t edited(uint64_t *words, const uint8_t *data, size_t size)
{
    size_t count = true_state(words);
    for (; size >= EDIT_BYTES; data += EDIT_BYTES, size -= EDIT_BYTES) {
        uint16_t place;
        memcpy(&place, data, sizeof(place));
        memcpy(&words[HEAD_WORDS + place % (count - HEAD_WORDS)], data + 2, sizeof(*words));
    }
    return count;
}

static size_t as_they_are(uint64_t *words, const uint8_t *data, size_t size)
{
    size_t count = MIN(size / sizeof(*words), WORDS_MAX - HEAD_WORDS);
    true_state(words); /* the layout's number */
    memcpy(words + HEAD_WORDS, data, count * sizeof(*words));
    return HEAD_WORDS + count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t words[WORDS_MAX];
    if (size == 0)
        return 0;
    size_t count = data[0] % 4 == 0 ? as_they_are(words, data + 1, size - 1)
                                    : edited(words, data + 1, size - 1);
    seal(words, count);
    struct core k;
    open_core(&k, 300 * US_PER_S);
    int rc = control_load(k.c, words, count);
    assert(rc == 0 || rc == -EPROTO);
    assert(size > EDIT_BYTES || data[0] % 4 == 0 || rc == 0);
    struct event e = { .type = EVENT_RESTART, .service = -1, .flag = data[0] & 4 };
    if (data[0] & 8)
        step(&k, &e);
    k.services[1].shape++;
    configure(&k, SERVICES);
    live(&k, 8);
    free(k.memory);
    return 0;
}
