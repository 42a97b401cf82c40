/* STATE/alerts.json: what fires, and who was told. A controller that comes back knows from it that
 * nothing is to be told twice. It is a help and no more: without it, what fires is told again. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "controller/alerts_int.h"
#include "controller/controller_int.h"
#include "store/codec.h"
#include "sys/clock.h"
#include "sys/files.h"
#include "sys/log.h"
#include "sys/mem.h"

/* What was so is given this long to show itself again. */
#define HOLD_US US_PER_MIN

static void make_path(const struct alerts *a, char path[512])
{
    fmt(path, 512, "%s/alerts.json", a->c->options->state_dir);
}

/* -- reading ----------------------------------------------------------------------------------- */

static int find_target(const struct alerts *a, uint64_t id)
{
    for (uint32_t t = 0; t < a->book.target_count; t++)
        if (a->book.targets[t].id == id)
            return (int)t;
    return -1;
}

/* Who was told, of those that still are to be; when is the newest. */
static uint32_t read_told(const struct alerts *a, const json_t *list, int64_t *ret_wall_us)
{
    uint32_t told = 0;
    const json_t *one;
    size_t i;
    *ret_wall_us = 0;
    json_array_foreach(list, i, one)
    {
        uint64_t id;
        int t = codec_hex_decode(json_object_get(one, "id"), &id) == 0 ? find_target(a, id) : -1;
        if (t < 0)
            continue;
        told |= BIT((unsigned)t);
        *ret_wall_us = MAX(*ret_wall_us, json_integer_value(json_object_get(one, "wall_us")));
    }
    return told;
}

static const char *text_of(const json_t *one, const char *key)
{
    const char *text = json_string_value(json_object_get(one, key));
    return text ? text : "";
}

static int64_t from_wall_us(int64_t wall_us, int64_t now_us)
{
    return MIN(now_us - (clock_wall_us() - wall_us), now_us);
}

static void restore_one(struct alerts *a, const json_t *one, int64_t now_us)
{
    const char *service = text_of(one, "service");
    int kind = alerts_find_kind(text_of(one, "kind"));
    int32_t slot = control_find(a->c->control, service);
    int64_t sent_wall_us;
    uint32_t told = read_told(a, json_object_get(one, "told"), &sent_wall_us);
    if (kind < 0)
        return;
    struct alert_fact f = { .kind = (uint32_t)kind,
                            .service = service,
                            .what = text_of(one, "what"),
                            .group = text_of(one, "group"),
                            .text = text_of(one, "text") };
    int64_t fired_wall_us = json_integer_value(json_object_get(one, "fired_wall_us"));
    alert_restore(&a->book, &f, from_wall_us(fired_wall_us, now_us), told,
                  from_wall_us(sent_wall_us, now_us), us_add(now_us, HOLD_US), now_us);
    if (slot >= 0 && kind == ALERT_CRASH_LOOP)
        a->heard[slot].crashed = true;
}

/* What fired before is among the events already. */
static void know_noted(struct alerts *a)
{
    for (uint32_t i = 0; i < ALERT_MAX; i++)
        a->noted_us[i] = alert_fires(&a->book.alerts[i]) ? a->book.alerts[i].fired_us : 0;
}

void alerts_load(struct alerts *a, int64_t now_us)
{
    char path[512];
    make_path(a, path);
    json_t *root = json_load_file(path, 0, NULL);
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(root, "alerts"), i, one) restore_one(a, one, now_us);
    json_decref(root);
    know_noted(a);
    a->saved_changes = a->book.changes;
}

/* -- writing ----------------------------------------------------------------------------------- */

static json_t *told_json(const struct alerts *a, const struct alert *alert)
{
    json_t *list = json_array();
    for (uint32_t t = 0; t < a->book.target_count; t++) {
        int64_t sent_us = a->book.groups[alert->group].to[t].sent_us;
        if (alert->told & BIT(t))
            json_array_append_new(list,
                                  json_pack("{s:o, s:I}", "id", codec_hex(a->book.targets[t].id),
                                            "wall_us", (json_int_t)alerts_wall_us(sent_us)));
    }
    return list;
}

static json_t *book_json(const struct alerts *a)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < ALERT_MAX; i++) {
        const struct alert *alert = &a->book.alerts[i];
        if (alert->state == ALERT_FREE || (!alert_fires(alert) && !alert->told))
            continue;
        json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:o}", "kind", alert_kinds[alert->kind].name,
                      "service", alert->service, "what", alert->what, "group",
                      a->book.groups[alert->group].name, "text", alert->text, "fired_wall_us",
                      (json_int_t)alerts_wall_us(alert->fired_us), "told", told_json(a, alert)));
    }
    return json_pack("{s:i, s:o}", "version", 1, "alerts", list);
}

void alerts_save(struct alerts *a)
{
    char path[512];
    if (a->saved_changes == a->book.changes)
        return;
    a->saved_changes = a->book.changes; /* a disk that is full is told of elsewhere */
    make_path(a, path);
    json_t *root = book_json(a);
    _cleanup_free_ char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    int rc = text ? file_replace(path, text, strlen(text), 0600, false) : -ENOMEM;
    if (rc < 0)
        log_debug("%s: %s", path, strerror(-rc));
}
