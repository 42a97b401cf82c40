/* The walk over a journal. A head loads its snapshot unless the reader comes from the segment
 * before it; a CONFIG event parses its text again. */
#include "controller/player.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"
#include "sys/mem.h"

const struct control_caps player_caps = {
    .services = MODEL_SERVICES_MAX,
    .instances = 2 * MODEL_COUNT_MAX,
    .points = 3600,
    .words = CONTROLLER_WORDS,
};

/* A core that knows nothing. Fresh memory instead of cleared memory: most of what the caps allow is
 * never touched, and so never there. */
static int renew(struct player *p)
{
    p->memory = calloc(1, control_bytes(&player_caps));
    if (!p->memory)
        return -ENOMEM;
    p->control = control_init(p->memory, &player_caps);
    return 0;
}

int player_init(struct player *p)
{
    *p = (struct player){ .actions = calloc(CONTROLLER_ACTIONS_MAX, sizeof(*p->actions)) };
    if (p->actions && renew(p) == 0)
        return 0;
    player_done(p);
    return -ENOMEM;
}

void player_done(struct player *p)
{
    controller_drop_arena(&p->arena);
    controller_drop_arena(&p->own_arena);
    free(p->actions);
    free(p->memory);
    p->actions = NULL;
    p->memory = NULL;
}

static int parse(const struct journal_config *jc, struct arena *ret_arena, struct config **ret)
{
    struct config_sections sections = *controller_sections();
    struct err errors[1];
    size_t count;
    sections.recorded = true;
    mem_arena_init(ret_arena, 64 * 1024 * 1024);
    int rc = config_parse(ret_arena, jc->path, jc->text, jc->text_bytes, &sections, jc->wall_us,
                          ret, errors, 1, &count);
    if (rc < 0) {
        controller_drop_arena(ret_arena);
        return rc;
    }
    controller_complete_config(*ret);
    for (size_t i = 0; i < jc->template_count && i < (*ret)->service_count; i++) {
        (*ret)->services[i].scale->template = jc->templates[i];
        if (jc->shapes)
            (*ret)->services[i].scale->shape = jc->shapes[i];
    }
    for (size_t i = 0; i < jc->zone_count && i < (*ret)->model.zone_count; i++)
        (*ret)->model.zones[i] = jc->zones[i];
    return 0;
}

static int step(struct player *p, const struct event *e)
{
    struct actions actions = { .items = p->actions, .cap = CONTROLLER_ACTIONS_MAX };
    control_step(p->control, e, &actions);
    for (size_t i = 0; p->on_action && i < actions.count; i++) {
        int rc = p->on_action(p->ctx, &actions.items[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_config(struct player *p, const struct journal_config *jc, struct event *e)
{
    struct arena arena;
    struct config *config;
    int rc = parse(jc, &arena, &config);
    if (rc < 0)
        return rc;
    e->conf = &config->model;
    rc = step(p, e);
    controller_drop_arena(&p->arena);
    p->arena = arena;
    p->config = config;
    config->arena = &p->arena;
    return rc;
}

static int build(struct player *next, const struct journal_snapshot *s)
{
    int rc = renew(next);
    if (rc < 0 || !s->config)
        return rc;
    struct event e = { .type = EVENT_CONFIG, .service = -1, .wall_us = s->wall_us };
    rc = take_config(next, s->config, &e);
    if (rc == 0 && s->own)
        rc = parse(s->own, &next->own_arena, &next->own);
    if (rc < 0 || !s->words)
        return rc;
    rc = control_load(next->control, s->words, s->word_count);
    return rc == -EPROTO ? -ENOTSUP : rc;
}

/* All of it or nothing: whoever cannot read the head goes on with what there was. What is stepped
 * to build up the state makes no actions of the journal. */
static int load_snapshot(struct player *p, const struct journal_snapshot *s)
{
    struct player next = { .actions = p->actions };
    int rc = build(&next, s);
    struct player *gone = rc < 0 ? &next : p;
    gone->actions = NULL;
    player_done(gone);
    if (rc < 0)
        return rc;
    p->actions = next.actions;
    p->memory = next.memory;
    p->control = next.control;
    p->config = next.config;
    p->arena = next.arena;
    p->own = next.own;
    p->own_arena = next.own_arena;
    if (p->config)
        p->config->arena = &p->arena;
    if (p->own)
        p->own->arena = &p->own_arena;
    p->clock = s->clock;
    p->now_us = s->clock.now_us;
    p->wall_us = s->wall_us;
    if (p->fleet)
        fleet_take_places(p->fleet, s->places, s->place_count, p->generation);
    return p->on_head ? p->on_head(p->ctx) : 0;
}

static int play(struct player *p, const struct journal_record *r)
{
    struct event e = r->event;
    int rc = p->on_event ? p->on_event(p->ctx, &e, r->config) : 0;
    if (rc < 0)
        return rc;
    p->now_us = MAX(p->now_us, e.now_us);
    p->wall_us = e.wall_us;
    if (p->fleet)
        fleet_take_event(p->fleet, &e);
    rc = r->config ? take_config(p, r->config, &e) : step(p, &e);
    if (p->fleet &&
        (e.type == EVENT_EXITED || e.type == EVENT_START_FAILED || e.type == EVENT_FOUND_ALL))
        fleet_drop_gone(p->fleet, p->control, (uint32_t)e.service, p->generation);
    return rc < 0 || !p->on_stepped ? rc : p->on_stepped(p->ctx, &e);
}

int player_record(void *player, const struct journal_record *r)
{
    struct player *p = player;
    switch (r->type) {
    case JOURNAL_SEGMENT: {
        bool follows = r->continues && p->segment > 0;
        p->segment = r->segment;
        return follows ? 0 : load_snapshot(p, &r->snapshot);
    }
    case JOURNAL_EVENT:
        return play(p, r);
    case JOURNAL_DECISION:
        return p->on_recorded ? p->on_recorded(p->ctx, r) : 0;
    }
    return 0;
}
