/* A standby's core has the leader's configuration, and taking over applies this machine's own file.
 * Where the two differ to the core, that is said at once, while nothing has come of it. */
#include <string.h>

#include "base/str.h"
#include "controller/controller_int.h"

/* What is a machine's alone, as its addresses, is not in the model. */
static bool same_model(const struct model_conf *x, const struct model_conf *y)
{
    bool same = x->service_count == y->service_count && x->budget_count == y->budget_count &&
                x->zone_count == y->zone_count &&
                memcmp(x->services, y->services, x->service_count * sizeof(*x->services)) == 0 &&
                memcmp(x->budgets, y->budgets, sizeof(x->budgets)) == 0 &&
                memcmp(&x->carbon, &y->carbon, sizeof(x->carbon)) == 0;
    for (uint32_t i = 0; same && i < x->zone_count; i++)
        same = strcmp(x->zones[i].name, y->zones[i].name) == 0;
    return same;
}

bool own_file_is_cores(const struct controller *c)
{
    return c->core_config && same_model(&c->core_config->model, &c->config->model);
}

static const struct service_conf *find(const struct model_conf *m, const char *name)
{
    for (uint32_t i = 0; i < m->service_count; i++)
        if (strcmp(m->services[i].name, name) == 0)
            return &m->services[i];
    return NULL;
}

/* Names of services in `a` that `b` has not, or, if asked for, has otherwise. */
static void put_names(struct str *s, const struct model_conf *a, const struct model_conf *b,
                      bool changed)
{
    for (uint32_t i = 0; i < a->service_count; i++) {
        const struct service_conf *x = &a->services[i], *y = find(b, x->name);
        if (y && (!changed || memcmp(x, y, sizeof(*x)) == 0))
            continue;
        str_put(s, s->len > 0 ? ", " : "");
        str_put(s, x->name);
    }
}

void own_file_compare(struct controller *c)
{
    char names[160], text[sizeof(c->own_file_trouble)] = "";
    struct str s;
    if (c->followed && c->core_config && c->config && !own_file_is_cores(c)) {
        str_init(&s, names, sizeof(names));
        put_names(&s, &c->config->model, &c->core_config->model, true);
        put_names(&s, &c->core_config->model, &c->config->model, false);
        fmt(text, sizeof(text),
            "this machine's file is not the leader's (%s%s): taking over would apply this one; "
            "put the same on both and reload",
            s.len > 0 ? "services " : "budgets, carbon or the order of services",
            s.len > 0 ? names : "");
    }
    if (strcmp(text, c->own_file_trouble) == 0)
        return;
    str_copy(c->own_file_trouble, sizeof(c->own_file_trouble), text);
    if (text[0])
        controller_note(c, STORE_EVENT_ALERT, "", "", "%s", text);
    else if (c->followed)
        controller_note(c, STORE_EVENT_RESOLVED, "", "", "this machine's file is the leader's");
}
