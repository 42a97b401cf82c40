/* The operator's commands. They are state, visible in the view and in every decision, until taken
 * back. */
#include <errno.h>

#include "base/util.h"
#include "core/control_int.h"
#include "core/control_operator.h"

static int scale(struct control *c, struct control_service *s, const struct event *e)
{
    if (e->count < 0 || e->count > MODEL_COUNT_MAX)
        return -EINVAL;
    s->operator_count = e->count;
    s->operator_forced = e->flag;
    return 0;
}

static int take_back(struct control *c, struct control_service *s, const struct event *e)
{
    s->operator_count = -1;
    s->operator_forced = false;
    return 0;
}

static int hold(struct control *c, struct control_service *s, const struct event *e)
{
    s->paused = e->op == OPERATOR_PAUSE;
    return 0;
}

static int drain(struct control *c, struct control_service *s, const struct event *e)
{
    struct instance *i = control_find_instance(s, e->number);
    if (!i)
        return -EINVAL;
    if (!s->conf->can_choose_victim)
        return -ENOTSUP;
    i->evict = true;
    return 0;
}

static int protect(struct control *c, struct control_service *s, const struct event *e)
{
    struct instance *i = control_find_instance(s, e->number);
    if (!i)
        return -EINVAL;
    i->protected_ = e->flag;
    return 0;
}

static int restart(struct control *c, struct control_service *s, const struct event *e)
{
    if (!s->conf->can_choose_victim)
        return -ENOTSUP;
    FOR_EACH_INSTANCE (i, s)
        i->replace = i->state != INSTANCE_PENDING;
    return 0;
}

static int stop(struct control *c)
{
    c->stopping = true;
    FOR_EACH_SERVICE (s, c)
        s->publish = s->touched = true;
    return 0;
}

struct command {
    int (*run)(struct control *c, struct control_service *s, const struct event *e);
    bool for_all;      /* service -1 is allowed, and means every one */
    bool for_instance; /* `number` is one of the service's */
    bool chooses;      /* it says who goes, or who does not */
};

static const struct command commands[OPERATOR_MAX] = {
    [OPERATOR_SCALE] = { .run = scale },
    [OPERATOR_AUTO] = { .run = take_back, .for_all = true },
    [OPERATOR_PAUSE] = { .run = hold, .for_all = true },
    [OPERATOR_RESUME] = { .run = hold, .for_all = true },
    [OPERATOR_DRAIN] = { .run = drain, .for_instance = true, .chooses = true },
    [OPERATOR_PROTECT] = { .run = protect, .for_instance = true, .chooses = true },
    [OPERATOR_RESTART] = { .run = restart, .for_all = true, .chooses = true },
};

static void follow(struct control_service *s)
{
    control_mark_due(s, EVENT_OPERATOR);
    s->touched = true;
}

/* A protection can be taken back everywhere: its service may have had another engine before. */
static bool chooses(const struct event *e)
{
    return commands[e->op].chooses && !(e->op == OPERATOR_PROTECT && !e->flag);
}

static bool is_there(const struct control *c, uint32_t slot, uint32_t number)
{
    const struct instance *i = control_instance(c, slot, number);
    return i && i->state != INSTANCE_GONE;
}

int control_check_operator(const struct control *c, const struct event *e)
{
    struct service_view v;
    if ((unsigned)e->op >= OPERATOR_MAX)
        return -EINVAL;
    if (e->op == OPERATOR_STOP || (e->service < 0 && commands[e->op].for_all))
        return 0;
    if (e->service < 0 || !control_view(c, (uint32_t)e->service, &v) || v.leaving)
        return -ENOENT;
    if (commands[e->op].for_instance && !is_there(c, (uint32_t)e->service, e->number))
        return -ENOENT;
    if (e->op == OPERATOR_SCALE && (e->count < 0 || e->count > MODEL_COUNT_MAX))
        return -EINVAL;
    return chooses(e) && !v.conf->can_choose_victim ? -ENOTSUP : 0;
}

int control_on_operator(struct control *c, const struct event *e)
{
    if ((unsigned)e->op >= OPERATOR_MAX)
        return -EINVAL;
    if (e->op == OPERATOR_STOP)
        return stop(c);
    const struct command *command = &commands[e->op];
    if (!(e->service < 0 && command->for_all)) {
        struct control_service *s = control_service(c, e->service);
        int rc = s && !s->leaving ? command->run(c, s, e) : -EINVAL;
        if (rc == 0)
            follow(s);
        return rc;
    }
    FOR_EACH_SERVICE (s, c) {
        command->run(c, s, e);
        follow(s);
    }
    return 0;
}
