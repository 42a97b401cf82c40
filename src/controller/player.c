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
    free(p->memory);
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
    if (p->arena.chunk_free)
        arena_done(&p->arena);
    free(p->actions);
    free(p->memory);
    p->actions = NULL;
    p->memory = NULL;
}

static int parse(struct player *p, const struct journal_config *jc, struct arena *ret_arena,
                 struct config **ret)
{
    struct err errors[1];
    size_t count;
    mem_arena_init(ret_arena, 64 * 1024 * 1024);
    int rc = config_parse(ret_arena, jc->path, jc->text, jc->text_bytes, controller_sections(),
                          jc->wall_us, ret, errors, 1, &count);
    if (rc < 0) {
        arena_done(ret_arena);
        return rc;
    }
    controller_complete_config(*ret);
    for (size_t i = 0; i < jc->template_count && i < (*ret)->service_count; i++)
        (*ret)->services[i].scale->template = jc->templates[i];
    for (size_t i = 0; i < jc->zone_count && i < (*ret)->model.zone_count; i++)
        (*ret)->model.zones[i] = jc->zones[i];
    return 0;
}

static int step(struct player *p, const struct event *e)
{
    struct actions actions = { .items = p->actions, .cap = CONTROLLER_ACTIONS_MAX };
    control_step(p->control, e, &actions);
    for (size_t i = 0; p->on_decision && i < actions.count; i++) {
        if (actions.items[i].type != ACTION_RECORD)
            continue;
        int rc = p->on_decision(p->ctx, actions.items[i].decision);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int take_config(struct player *p, const struct journal_config *jc, struct event *e)
{
    struct arena arena;
    struct config *config;
    int rc = parse(p, jc, &arena, &config);
    if (rc < 0)
        return rc;
    e->conf = &config->model;
    rc = step(p, e);
    if (p->arena.chunk_free)
        arena_done(&p->arena);
    p->arena = arena;
    p->config = config;
    config->arena = &p->arena;
    return rc;
}

static int load_snapshot(struct player *p, const struct journal_snapshot *s)
{
    int (*on_decision)(void *, const struct decision *) = p->on_decision;
    int rc = renew(p);
    if (rc < 0 || !s->config)
        return rc;
    struct event e = { .type = EVENT_CONFIG, .service = -1, .wall_us = s->wall_us };
    p->on_decision = NULL; /* those of building up the state are no decisions of the journal */
    rc = take_config(p, s->config, &e);
    p->on_decision = on_decision;
    if (rc < 0 || !s->words)
        return rc;
    return control_load(p->control, s->words, s->word_count);
}

int player_record(void *player, const struct journal_record *r)
{
    struct player *p = player;
    struct event e = r->event;
    switch (r->type) {
    case JOURNAL_SEGMENT: {
        bool follows = r->continues && p->segment > 0;
        p->segment = r->segment;
        return follows ? 0 : load_snapshot(p, &r->snapshot);
    }
    case JOURNAL_EVENT:
        return r->config ? take_config(p, r->config, &e) : step(p, &e);
    case JOURNAL_DECISION:
        return p->on_recorded ? p->on_recorded(p->ctx, r) : 0;
    }
    return 0;
}
