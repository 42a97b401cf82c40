/* What is wrong with a container, lasts, and is no end of it: a note on its service, told when it
 * begins and, of each container, at most once a minute. It is over when nothing of the kind was
 * seen for a minute, or the container is gone. */
#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_int.h"
#include "sys/clock.h"

#define LASTS_US (1 * US_PER_MIN)

void docker_trouble(struct container *c, const char *what, const char *why)
{
    const struct driver_env *env = &c->docker->env;
    char text[200];
    int64_t now_us = clock_now_us();
    bool told = c->trouble_told_us != 0 && now_us - c->trouble_told_us < LASTS_US;
    c->trouble_us = now_us;
    if (told || c->nameless)
        return;
    c->trouble_told_us = now_us;
    fmt(text, sizeof(text), "%s-%u: %s%s", c->service, c->number, what, why);
    env->note(env->ctx, c->slot, true, text);
}

/* One text stands for all containers of a service. */
void docker_trouble_over(struct container *c)
{
    struct docker *d = c->docker;
    if (c->trouble_us == 0)
        return;
    c->trouble_us = 0;
    LIST_FOR_EACH (it, &d->containers) {
        const struct container *other = LIST_ENTRY(it, struct container, link);
        if (other->slot == c->slot && other->trouble_us != 0)
            return;
    }
    if (!c->nameless)
        d->env.note(d->env.ctx, c->slot, false, "nothing is wrong with its containers any more");
}

void docker_trouble_settle(struct docker *d)
{
    int64_t now_us = clock_now_us();
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        if (c->trouble_us != 0 && now_us - c->trouble_us >= LASTS_US)
            docker_trouble_over(c);
    }
}
