/* Names that nobody has. A person mistyped them, or took a service for an instance: so the answer
 * goes by what there is. */
#include <string.h>

#include "admin/names.h"
#include "base/str.h"

/* As much of a list as a person reads in one line. */
#define LIST_MAX 8

static const struct control *control_of(struct admin_request *q)
{
    struct admin_backend *b = &q->side->admin->backend;
    return b->control(b->ctx);
}

bool admin_is_service(struct admin_request *q, const char *name)
{
    return control_find(control_of(q), name) >= 0;
}

/* Adds to "a, b, ...". */
static void list(struct str *s, uint32_t *count, const char *name)
{
    if (*count < LIST_MAX)
        str_putf(s, "%s%s", *count ? ", " : "", name);
    else if (*count == LIST_MAX)
        str_put(s, ", ...");
    ++*count;
}

/* As far from it as the nearest option or key may be: half of what was written. "" = none. */
static void find_nearest(const struct control *c, const char *wrong, char *ret, size_t cap)
{
    struct service_view v;
    unsigned best = 1 + (unsigned)strlen(wrong) / 2;
    ret[0] = '\0';
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        unsigned distance =
            control_view(c, slot, &v) ? str_distance(wrong, v.conf->name) : UINT32_MAX;
        if (distance < best && str_copy(ret, cap, v.conf->name))
            best = distance;
    }
}

/* "; did you mean shop?", or "; there are blog, shop". */
static void put_hint(struct str *s, const struct control *c, const char *wrong)
{
    char nearest[MODEL_NAME_MAX];
    struct service_view v;
    uint32_t count = 0;
    find_nearest(c, wrong, nearest, sizeof(nearest));
    if (nearest[0]) {
        str_putf(s, "; did you mean %s?", nearest);
        return;
    }
    for (uint32_t slot = 0; slot < MODEL_SERVICES_MAX; slot++) {
        if (!control_view(c, slot, &v))
            continue;
        str_put(s, count == 0 ? "; there is: " : "");
        list(s, &count, v.conf->name);
    }
    if (count == 0)
        str_put(s, ", nor any other");
}

void admin_answer_no_service(struct admin_request *q, struct admin_answer *a, const char *name)
{
    char text[400];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_putf(&s, "there is no service %s", name);
    put_hint(&s, control_of(q), name);
    admin_answer_error(a, 404, "%s", text);
}

/* Its instances; none: false. */
static bool put_instances(struct str *s, const struct service_view *v)
{
    uint32_t count = 0;
    char id[MODEL_NAME_MAX + 12];
    for (uint32_t i = 0; i < v->instance_count; i++) {
        struct str one;
        if (v->instances[i].state == INSTANCE_GONE)
            continue;
        str_init(&one, id, sizeof(id));
        str_putf(&one, "%s-%u", v->conf->name, v->instances[i].number);
        list(s, &count, id);
    }
    return count > 0;
}

void admin_answer_no_instance(struct admin_request *q, struct admin_answer *a)
{
    const struct control *c = control_of(q);
    char service[MODEL_NAME_MAX], text[400];
    uint32_t number;
    struct service_view v;
    struct str s;
    int32_t itself = control_find(c, q->name);
    bool split = admin_split_instance(q->name, service, sizeof(service), &number);
    int32_t slot = itself >= 0 ? itself : split ? control_find(c, service) : -1;
    str_init(&s, text, sizeof(text));
    str_putf(&s, itself >= 0 ? "%s is a service, no instance" : "there is no instance %s", q->name);
    if (slot >= 0 && control_view(c, (uint32_t)slot, &v)) {
        str_put(&s, itself >= 0 ? "; it has: " : "; there is: ");
        str_put(&s, put_instances(&s, &v) ? "" : "none");
    } else if (split) {
        str_putf(&s, ", for there is no service %s", service);
        put_hint(&s, c, service);
    }
    admin_answer_error(a, 404, "%s", text);
}
