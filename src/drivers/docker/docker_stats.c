/* What containers use, as the engine measures it: asked one by one, few at once, those of a service
 * whose rules look at it every few seconds and the others for people, now and then. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "sys/clock.h"

#define AT_ONCE_MAX 8
#define WANTED_GAP_US (50 * US_PER_MS) /* at most 20 a second that rules want */
#define ELSE_GAP_US (200 * US_PER_MS)  /* and 5 for people: a thousand take three minutes */
#define WANTED_EVERY_US (5 * US_PER_S)
#define ELSE_EVERY_US (60 * US_PER_S)
#define ELSE_STALE_US (5 * US_PER_MIN)
#define SCAN_EVERY_US (1 * US_PER_S) /* who is due is looked for so often */
#define STALE 3                      /* looks that may fail */

static void on_timer(uv_timer_t *timer);

static bool is_wanted(const struct container *c)
{
    const struct driver_service *s = docker_service(c);
    return s && s->wants_usage;
}

/* A share of CPU time needs two looks: the second comes soon. */
static int64_t due_us(const struct container *c)
{
    const struct docker_usage *u = &c->usage;
    return u->asked_us == 0
               ? 0
               : u->asked_us + (u->cpu < 0 || is_wanted(c) ? WANTED_EVERY_US : ELSE_EVERY_US);
}

/* --- an answer --- */

/* "2026-11-20T11:50:07.692936392Z"; 0 = none */
static int64_t time_of(const char *text)
{
    struct tm tm = { 0 };
    const char *rest = text ? strptime(text, "%Y-%m-%dT%H:%M:%S", &tm) : NULL;
    int64_t us = 0, unit = US_PER_S / 10;
    if (!rest || tm.tm_year < 100) /* the engine's "never" is the year 1 */
        return 0;
    for (rest += *rest == '.'; *rest >= '0' && *rest <= '9' && unit > 0; rest++, unit /= 10)
        us += (*rest - '0') * unit;
    return (int64_t)timegm(&tm) * US_PER_S + us;
}

static double number_at(const json_t *json, const char *first, const char *second)
{
    const json_t *value = json_object_get(json_object_get(json, first), second);
    return json_is_number(value) ? json_number_value(value) : -1;
}

static double cores_of(const struct container *c)
{
    const struct driver_service *s = docker_service(c);
    double cpus = s ? ((const struct docker_conf *)s->conf)->limits.cpus : 0;
    return cpus > 0 ? cpus : 1;
}

/* Pages of files that have not been used lately count for nobody. */
static double memory_of(const json_t *json)
{
    const json_t *memory = json_object_get(json, "memory_stats");
    double usage = json_number_value(json_object_get(memory, "usage"));
    double file = number_at(memory, "stats", "total_inactive_file");
    if (file < 0)
        file = number_at(memory, "stats", "inactive_file");
    return !json_object_get(memory, "usage") ? -1 : file > 0 && file < usage ? usage - file : usage;
}

static void take(struct container *c, const json_t *json)
{
    struct docker_usage *u = &c->usage;
    int64_t read_us = time_of(json_string_value(json_object_get(json, "read")));
    double cpu_ns = number_at(json_object_get(json, "cpu_stats"), "cpu_usage", "total_usage");
    u->cpu = -1;
    if (u->read_us > 0 && read_us > u->read_us && cpu_ns >= u->cpu_ns && u->cpu_ns >= 0)
        u->cpu = (cpu_ns - u->cpu_ns) / 1000 / (double)(read_us - u->read_us) / cores_of(c);
    u->memory_bytes = memory_of(json);
    u->read_us = read_us;
    u->cpu_ns = cpu_ns;
    u->at_us = clock_now_us();
}

static void on_answer(void *ctx, int status, json_t *json, const char *error)
{
    struct container *c = ctx;
    c->usage.call = NULL;
    c->docker->usage_calls--;
    if (status == 200 && json)
        take(c, json);
    docker_usage_wake(c->docker);
}

/* --- asking --- */

static void ask(struct container *c, int64_t now_us)
{
    char path[DOCKER_PATH_MAX];
    fmt(path, sizeof(path), "/containers/%s/stats?stream=false&one-shot=true", c->id);
    c->usage.asked_us = now_us;
    c->usage.call =
        engine_ask(c->docker->engine, &(struct engine_request){ .path = path }, on_answer, c);
    c->docker->usage_calls += c->usage.call != NULL;
}

static void line_up(struct docker *d, int64_t now_us)
{
    if (now_us - d->usage_scan_us < SCAN_EVERY_US)
        return;
    d->usage_scan_us = now_us;
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        struct docker_usage *u = &c->usage;
        if (u->due || u->call || c->nameless || step_phase(c) != PHASE_RUNS || due_us(c) > now_us)
            continue;
        u->due = true;
        list_push_back(&d->usage_due, &u->link);
    }
}

static struct container *next_due(struct docker *d)
{
    if (list_empty(&d->usage_due))
        return NULL;
    struct container *c = LIST_ENTRY(d->usage_due.next, struct container, usage.link);
    list_remove(&c->usage.link);
    c->usage.due = false;
    return c;
}

void docker_usage_wake(struct docker *d)
{
    if (!uv_is_active((uv_handle_t *)&d->usage_timer))
        uv_timer_start(&d->usage_timer, on_timer, WANTED_GAP_US / US_PER_MS, 0);
}

/* Runs only for as long as there is something to look at, and sleeps until it is due. */
static void on_timer(uv_timer_t *timer)
{
    struct docker *d = timer->data;
    int64_t now_us = clock_now_us();
    if (!d->active || !d->engine || !engine_is_up(d->engine) || d->usage_calls >= AT_ONCE_MAX)
        return;
    line_up(d, now_us);
    struct container *c = next_due(d);
    if (c && step_phase(c) == PHASE_RUNS)
        ask(c, now_us);
    int64_t pause_us = !c ? SCAN_EVERY_US : is_wanted(c) ? WANTED_GAP_US : ELSE_GAP_US;
    if (!list_empty(&d->containers))
        uv_timer_start(timer, on_timer, (uint64_t)(pause_us / US_PER_MS), 0);
}

void docker_usage_end(struct container *c)
{
    if (c->usage.call)
        c->docker->usage_calls--;
    engine_cancel(c->usage.call);
    c->usage.call = NULL;
    if (c->usage.due)
        list_remove(&c->usage.link);
    c->usage.due = false;
}

/* --- telling --- */

static bool is_stale(const struct container *c)
{
    int64_t lasts_us = STALE * (is_wanted(c) ? WANTED_EVERY_US : ELSE_STALE_US);
    return !engine_is_up(c->docker->engine) || clock_now_us() - c->usage.at_us > lasts_us;
}

/* Rules want to hear a value for as long as it holds; people, who look now and then, only once, and
 * once when it is not known any more. */
static void tell_usage(struct container *c, struct source_sink *sink)
{
    struct docker_usage *u = &c->usage;
    bool stale = is_stale(c), told = u->told_us == u->at_us;
    if (stale ? u->told_us == 0 : told && !is_wanted(c))
        return;
    u->told_us = stale ? 0 : u->at_us;
    if (stale || u->cpu >= 0)
        source_add(sink, METRIC_CPU, c->number, stale ? (double)NAN : u->cpu);
    if (stale || u->memory_bytes >= 0)
        source_add(sink, METRIC_MEMORY, c->number, stale ? (double)NAN : u->memory_bytes);
}

void docker_sample(void *self, const struct source_service *service, int64_t now_us,
                   struct source_sink *sink)
{
    struct docker *d = self;
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (c->slot == service->slot && !c->nameless && c->usage.at_us != 0 &&
            step_phase(c) == PHASE_RUNS)
            tell_usage(c, sink);
    }
}
