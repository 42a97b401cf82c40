/* The pages of `status --watch`, as lines of text: what happened, why the selected service runs as
 * many as it does, and its instances. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fmt.h"
#include "cli/show.h"
#include "cli/watch_int.h"

static _printf_(2, 3) void put(struct watch_lines *l, const char *format, ...)
{
    va_list args;
    if (l->count == WATCH_LINES_MAX)
        return;
    va_start(args, format);
    vsnprintf(l->text[l->count++], WATCH_LINE_BYTES, format, args);
    va_end(args);
}

static void fill_events(struct watch *w)
{
    const json_t *events = json_object_get(w->page_json, "events");
    for (size_t i = json_array_size(events); i > 0; i--) { /* the newest first */
        const json_t *event = json_array_get(events, i - 1);
        char text[WATCH_LINE_BYTES];
        show_event(text, sizeof(text), event);
        put(&w->lines, "%s", text);
    }
}

/* -- why --------------------------------------------------------------------------------------- */

static void fill_opinions(struct watch_lines *l, const json_t *decision)
{
    const json_t *opinion, *step;
    size_t i;
    json_array_foreach(json_object_get(decision, "opinions"), i, opinion)
    {
        char out[32], in[32];
        show_number(out, sizeof(out), json_object_get(opinion, "out"), 0);
        show_number(in, sizeof(in), json_object_get(opinion, "in"), 0);
        put(l, "  %-20s out %4s  in %4s  %s%s", show_text(opinion, "rule"), out, in,
            show_text(opinion, "text"),
            json_is_true(json_object_get(opinion, "block_in")) ? " (blocks scale-in)" : "");
    }
    json_array_foreach(json_object_get(decision, "steps"), i, step) put(
        l, "  %-10s %lld -> %lld  %s", show_text(step, "limit"), (long long)show_i64(step, "from"),
        (long long)show_i64(step, "to"), show_text(step, "text"));
}

static void fill_why(struct watch *w)
{
    const json_t *current = json_object_get(w->page_json, "current"), *decision;
    struct watch_lines *l = &w->lines;
    size_t i;
    if (!w->page_json || strcmp(show_text(w->page_json, "service"), w->selected) != 0)
        return;
    if (!json_is_object(current))
        put(l, "%s: not evaluated yet", w->selected);
    else
        put(l, "%s", show_text(current, "summary"));
    fill_opinions(l, current);
    put(l, "%s", "");
    put(l, "last decisions:");
    json_array_foreach(json_object_get(w->page_json, "decisions"), i, decision)
    {
        char when[64];
        show_time(when, sizeof(when), show_text(decision, "time"));
        put(l, "  %s  %lld -> %lld  %s", when, (long long)show_i64(decision, "before"),
            (long long)show_i64(decision, "desired"), show_text(decision, "summary"));
    }
}

/* -- instances --------------------------------------------------------------------------------- */

static void put_instance(struct watch_lines *l, const json_t *instance)
{
    char age[64], in_flight[32], cpu[32] = "-", memory[32] = "-";
    double ratio = show_double(instance, "cpu", -1),
           bytes = show_double(instance, "memory_bytes", -1);
    show_age(age, sizeof(age), show_text(instance, "since"));
    show_number(in_flight, sizeof(in_flight), json_object_get(instance, "in_flight"), 0);
    if (ratio >= 0)
        fmt(cpu, sizeof(cpu), "%d%%", (int)(ratio * 100 + 0.5));
    if (bytes >= 0)
        show_bytes(memory, sizeof(memory), (int64_t)bytes);
    put(l, "%-20s %-9s %8s %5s in flight %5s %7s  %s", show_text(instance, "id"),
        show_text(instance, "state"), age, in_flight, cpu, memory, show_text(instance, "address"));
}

static void fill_instances(struct watch *w)
{
    const json_t *services = json_object_get(w->status, "services"), *instance;
    int selected = watch_selected(w);
    size_t i;
    if (selected < 0)
        return;
    const json_t *service = json_array_get(services, (size_t)selected);
    json_array_foreach(json_object_get(service, "instances"), i, instance)
        put_instance(&w->lines, instance);
    if (w->lines.count == 0)
        put(&w->lines, "%s has none", w->selected);
}

/* -- who is there --------------------------------------------------------------------------------
 */

static void fill_members(struct watch *w)
{
    const json_t *group = json_object_get(w->status, "group"), *one;
    size_t i;
    char text[WATCH_LINE_BYTES];
    put(&w->lines, "lease (%s) %s", show_text(group, "driver"), show_text(w->status, "lease"));
    json_array_foreach(json_object_get(group, "members"), i, one)
    {
        show_member(text, sizeof(text), one);
        put(&w->lines, "member %s", text);
    }
    json_array_foreach(json_object_get(w->status, "engines"), i, one)
    {
        show_engine(text, sizeof(text), one);
        put(&w->lines, "%s", text);
    }
}

static const struct {
    const char *title;
    void (*fill)(struct watch *w);
} pages[WATCH_PAGE_MAX] = {
    [WATCH_EVENTS] = { "events", fill_events },
    [WATCH_WHY] = { "why", fill_why },
    [WATCH_INSTANCES] = { "instances", fill_instances },
    [WATCH_MEMBERS] = { "members", fill_members },
};

const char *watch_page_title(enum watch_page p)
{
    return pages[p].title;
}

void watch_fill(struct watch *w)
{
    w->lines.count = 0;
    pages[w->page].fill(w);
}
