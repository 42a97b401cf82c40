/* State from the journal: the newest segment's snapshot and its tail, fed to a fresh core with its
 * actions thrown away, for they were carried out before. What has become of them meanwhile, the
 * engine tells next. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "controller/player.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define ATTEMPTS_MAX 3

struct journal_config controller_journal_config(const struct config *config,
                                                struct config_hashes *hashes)
{
    for (uint32_t i = 0; i < config->service_count; i++) {
        hashes->templates[i] = config->services[i].scale->template;
        hashes->shapes[i] = config->services[i].scale->shape;
    }
    return (struct journal_config){ .path = config->path,
                                    .text = config->text,
                                    .text_bytes = strlen(config->text),
                                    .wall_us = config->now_wall_us,
                                    .templates = hashes->templates,
                                    .shapes = hashes->shapes,
                                    .template_count = config->service_count,
                                    .zones = config->model.zones,
                                    .zone_count = config->model.zone_count };
}

/* The player's core, configurations and their memory become the controller's. */
static void take(struct controller *c, struct player *p)
{
    c->control = p->control;
    c->control_memory = TAKE_PTR(p->memory);
    c->core_config = p->config;
    c->config = p->own ? p->own : p->config;
    c->config_arena = p->own ? p->own_arena : p->arena;
    c->core_arena = p->own ? p->arena : (struct arena){ 0 };
    p->arena = p->own_arena = (struct arena){ 0 };
    if (c->config)
        c->config->arena = &c->config_arena;
}

/* Attempts to read the journal that did not come back, as the size of a file: a journal that brings
 * the core down must not bring down every controller after this one. */
static bool is_deadly(const char *mark)
{
    struct stat st;
    _cleanup_close_ int fd = open(mark, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "x", 1) != 1 || fstat(fd, &st) < 0)
        return false;
    return st.st_size > ATTEMPTS_MAX;
}

static void set_aside(struct controller *c, const char *directory)
{
    char aside[560];
    fmt(aside, sizeof(aside), "%s.aside-%ld", directory, (long)(clock_wall_us() / US_PER_S));
    if (rename(directory, aside) == 0)
        log_error("the journal ended %d controllers while they read it: it is now %s, and this one "
                  "starts without what it knew",
                  ATTEMPTS_MAX, aside);
}

int controller_recover(struct controller *c)
{
    char directory[512], mark[544];
    struct err err = { 0 };
    struct player p;
    int rc = player_init(&p);
    if (rc < 0)
        return rc;
    p.fleet = &c->fleet;
    p.generation = 1;
    fmt(directory, sizeof(directory), "%s/journal", c->options->state_dir);
    fmt(mark, sizeof(mark), "%s.reading", directory);
    if (is_deadly(mark))
        set_aside(c, directory);
    rc = journal_read(directory, true, player_record, &p, &err);
    if (rc < 0 && rc != -ENOENT) {
        log_warn("%s: %s; starting without what it knew", err.place[0] ? err.place : directory,
                 rc == -ENOTSUP ? "written by another version"
                 : err.text[0]  ? err.text
                                : strerror(-rc));
        player_done(&p);
        fleet_take_places(&c->fleet, NULL, 0, 0);
        rc = player_init(&p);
        if (rc < 0)
            return rc;
    }
    unlink(mark);
    core_time_resume(c, &p.clock, p.now_us, p.wall_us);
    c->recovered_us = p.now_us;
    c->recovered_wall_us = p.wall_us;
    take(c, &p);
    player_done(&p);
    return c->config ? 1 : 0;
}

void controller_rotate_journal(struct controller *c, bool afresh)
{
    struct config_hashes hashes, own_hashes;
    struct journal_config jc, own;
    struct journal_snapshot snapshot = { .wall_us = clock_wall_us(), .afresh = afresh };
    size_t n = control_save_words(c->control);
    _cleanup_free_ uint64_t *words = NULL;
    _cleanup_free_ struct journal_place *places = fleet_places(&c->fleet, &snapshot.place_count);
    snapshot.places = places;
    snapshot.clock =
        (struct journal_clock){ .offset_us = c->clock_offset_us, .now_us = controller_now(c) };
    str_copy(snapshot.clock.boot, sizeof(snapshot.clock.boot), clock_boot_id());
    /* A core that has not yet been given this configuration has nothing to save. */
    if (c->core_config) {
        words = malloc(n * sizeof(*words));
        if (!words)
            return;
        jc = controller_journal_config(c->core_config, &hashes);
        snapshot.config = &jc;
        snapshot.word_count = control_save(c->control, words, n);
        snapshot.words = words;
        own = controller_journal_config(c->config, &own_hashes);
        snapshot.own = c->core_config != c->config ? &own : NULL;
    }
    journal_rotate(c->journal, &snapshot, controller_now(c));
}
