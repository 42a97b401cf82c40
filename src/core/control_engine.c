/* What not every engine can do, and what some do by themselves: choose who goes when one fewer is
 * wanted, and give a running instance another shape. Owns the requests that such an engine still
 * has to answer; which instances there are is control_event.c's and control_act.c's. */
#include <string.h>

#include "base/us.h"
#include "base/util.h"
#include "core/control_int.h"

bool control_ask_fewer(struct control *c, struct control_service *s, struct instance *i)
{
    if (!control_emit_for(c, s, i, ACTION_STOP))
        return false;
    i->asked = true;
    i->again = false;
    i->told_us = c->now_us;
    return true;
}

/* The oldest of those in whose name one fewer was asked for; NULL = none. */
static struct instance *first_asked(const struct control_service *s)
{
    struct instance *first = NULL;
    FOR_EACH_INSTANCE (i, s) {
        if (i->state <= INSTANCE_STANDBY && i->asked && (!first || i->number < first->number))
            first = i;
    }
    return first;
}

void control_answer(struct control_service *s, const struct instance *i)
{
    struct instance *stays = instance_counts(i) ? first_asked(s) : NULL;
    if (stays)
        stays->asked = false;
}

/* -- shapes -------------------------------------------------------------------------------------
 */

void control_note_shape(struct instance *i, uint64_t shape)
{
    if (shape == 0)
        return;
    i->shape = shape;
    if (shape == i->resizing)
        i->resizing = 0;
}

/* While a resize is not answered, it may have either shape. */
static bool is_misshapen(const struct control *c, const struct control_service *s,
                         const struct instance *i)
{
    uint64_t shape = s->conf->shape;
    if (shape == 0 || !i->running || i->replace || !instance_counts(i) || control_is_leaving(c, s))
        return false;
    return i->shape != shape || (i->resizing != 0 && i->resizing != shape);
}

void control_fit_shape(struct control *c, struct control_service *s, struct instance *i)
{
    if (!is_misshapen(c, s, i))
        return;
    if (!s->conf->can_resize) {
        i->replace = true;
        return;
    }
    bool told = i->resizing == s->conf->shape && !i->again;
    if (told && us_add(i->told_us, CONTROL_STOP_AGAIN_US) > c->now_us)
        return;
    if (!control_emit_for(c, s, i, ACTION_RESIZE))
        return;
    i->resizing = s->conf->shape;
    i->again = false;
    i->told_us = c->now_us;
}

int64_t control_shape_next_us(const struct control *c, const struct control_service *s,
                              const struct instance *i)
{
    return is_misshapen(c, s, i) ? us_add(i->told_us, CONTROL_STOP_AGAIN_US) : US_NEVER;
}

/* -- what is wrong ------------------------------------------------------------------------------
 */

static bool all_have_shape(const struct control_service *s)
{
    FOR_EACH_INSTANCE (i, s) {
        if (instance_counts(i) && i->running && i->shape != s->conf->shape)
            return false;
    }
    return true;
}

static const struct instance *first_protected(const struct control_service *s)
{
    FOR_EACH_INSTANCE (i, s) {
        if (i->protected_ && i->state <= INSTANCE_STANDBY)
            return i;
    }
    return NULL;
}

void control_watch_engine(const struct control *c, struct control_service *s)
{
    bool leaving = control_is_leaving(c, s);
    if (s->troubles[TROUBLE_RESIZE].on && (leaving || all_have_shape(s)))
        control_trouble_over(s, TROUBLE_RESIZE);
    bool ours = s->conf->can_choose_victim || leaving;
    const struct instance *i = ours ? NULL : first_protected(s);
    if (!i)
        control_trouble_over(s, TROUBLE_PROTECT);
    else if (!s->troubles[TROUBLE_PROTECT].on)
        control_trouble(s, TROUBLE_PROTECT,
                        "%s-%u is protected, but the engine chooses who goes and may take it",
                        s->conf->name, i->number);
}
