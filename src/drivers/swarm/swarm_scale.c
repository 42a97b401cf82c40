/* Replicas. The number is always worked out anew from what there is: the instances that the core
 * wants alive. It is set with the version of what was read, so that a change by somebody else in
 * between is never lost: then all is read again, and worked out again.
 *
 * Only what the core asks for changes it: a start that finds no task, one fewer. Whatever else
 * happens to tasks is Swarm's or a person's doing, and taken as it is. */
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "drivers/swarm/swarm_int.h"
#include "sys/log.h"

int64_t swarm_wanted(const struct swarm_driver *d, const struct swarm_service *s)
{
    int64_t alive = 0, asked = 0;
    bool more = false, fewer = s->fewer;
    LIST_FOR_EACH (it, &d->instances) {
        const struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot != s->service.slot || i->leaving)
            continue;
        alive++;
        asked += i->asked;
        more |= !i->ref[0] && !i->asked;
        fewer |= i->asked && !i->sent;
    }
    int64_t wanted = MAX(alive - asked, 0);
    if ((wanted > s->replicas && more) || (wanted < s->replicas && fewer))
        return wanted;
    return -1;
}

/* Every request so far is in the number that Swarm has; or is not, after all. */
static void note_sent(struct swarm_service *s, bool sent)
{
    s->fewer = sent ? false : s->fewer_sent;
    LIST_FOR_EACH (it, &s->driver->instances) {
        struct swarm_instance *i = LIST_ENTRY(it, struct swarm_instance, link);
        if (i->slot == s->service.slot && i->asked)
            i->sent = sent;
    }
}

static void on_set(void *ctx, int status, json_t *json, const char *error)
{
    struct swarm_service *s = ctx;
    bool done = status >= 200 && status < 300;
    bool late = status == 409 || strstr(error, "out of sequence");
    s->setting = false;
    s->failed = status >= 400 && !late;
    if (!done)
        note_sent(s, false);
    if (done || late)
        swarm_look_soon(s->driver);
}

/* Somebody with a newer lease has been here: what we know is of the past. */
static bool is_fenced(const struct swarm_driver *d, const json_t *labels, uint64_t token)
{
    const char *owner = json_string_value(json_object_get(labels, "plimsoll.owner"));
    const char *theirs = json_string_value(json_object_get(labels, "plimsoll.token"));
    int64_t number;
    return token != 0 && owner && theirs && strcmp(owner, d->env.owner) == 0 &&
           num_parse_i64(slice_of(theirs), &number) == 0 && (uint64_t)number > token;
}

static json_t *spec_with(const struct swarm_driver *d, const struct swarm_service *s,
                         int64_t replicas, uint64_t token)
{
    char number[24];
    json_t *spec = json_deep_copy(s->spec);
    json_t *replicated = json_object_get(json_object_get(spec, "Mode"), "Replicated");
    json_object_set_new(replicated, "Replicas", json_integer(replicas));
    if (token == 0)
        return spec;
    json_t *labels = json_object_get(spec, "Labels");
    if (!labels) {
        labels = json_object();
        json_object_set_new(spec, "Labels", labels);
    }
    fmt(number, sizeof(number), "%llu", (unsigned long long)token);
    json_object_set_new(labels, "plimsoll.owner", json_string(d->env.owner));
    json_object_set_new(labels, "plimsoll.token", json_string(number));
    return spec;
}

static void set_replicas(struct swarm_driver *d, struct swarm_service *s, int64_t replicas)
{
    char path[128];
    uint64_t token = d->env.token ? d->env.token(d->env.ctx) : 0;
    if (is_fenced(d, json_object_get(s->spec, "Labels"), token))
        return;
    json_t *spec = spec_with(d, s, replicas, token);
    fmt(path, sizeof(path), "/services/%s/update?version=%lld", s->id, (long long)s->version);
    struct engine_request r = { .method = ENGINE_POST, .path = path, .body = spec, .acts = true };
    log_info("swarm: replicas of %s: %lld -> %lld", s->name, (long long)s->replicas,
             (long long)replicas);
    s->setting = engine_ask(d->engine, &r, on_set, s) != NULL;
    json_decref(spec);
    s->fewer_sent = s->fewer;
    if (s->setting)
        note_sent(s, true);
}

void swarm_scale(struct swarm_driver *d, struct swarm_service *s)
{
    int64_t wanted = swarm_wanted(d, s);
    if (s->failed)
        swarm_trouble(s, "cannot set the replicas of %s: %s", s->name, s->failure);
    if (wanted < 0 || s->setting || !s->spec || s->replicas < 0 || !d->env.may_act(d->env.ctx))
        return;
    if (s->updating)
        swarm_trouble(s, "replicas stay at %lld: %s", (long long)s->replicas, s->update);
    else
        set_replicas(d, s, wanted);
}
