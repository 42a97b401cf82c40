/* What the steps of a container's life share: how the engine is asked, and the functions that the
 * table in docker_step.c is made of. `ask` sends the step's request; `on` takes its answer, whose
 * status is never 0. */
#pragma once

#include "drivers/docker/docker_int.h"

/* docker_step.c */
const struct docker_conf *step_conf(const struct container *c); /* NULL = not configured any more */
void step_ask(struct container *c, const struct engine_request *r);
void step_ask_later(struct container *c);
/* "/containers/ID" and what follows; by its name while the ID is not known. */
void step_path(const struct container *c, const char *rest, char path[DOCKER_PATH_MAX]);

/* docker_pull.c: its image. */
void pull_ask(struct container *c);
void pull_on_done(struct container *c, int status, json_t *json, const char *error);

/* docker_make.c: until it runs. */
/* It cannot be made. */
void make_fail(struct container *c, const char *prefix, const char *error);
void make_ask_create(struct container *c);
void make_on_created(struct container *c, int status, json_t *json, const char *error);
void make_ask_start(struct container *c);
void make_on_started(struct container *c, int status, json_t *json, const char *error);
void make_ask_look(struct container *c);
void make_on_looked(struct container *c, int status, json_t *json, const char *error);

/* docker_resize.c */
void resize_ask(struct container *c);
void resize_on_done(struct container *c, int status, json_t *json, const char *error);

/* docker_end.c: from then on until nothing is left of it. */
void end_ask_stop(struct container *c);
void end_on_stopped(struct container *c, int status, json_t *json, const char *error);
void end_ask_autopsy(struct container *c);
void end_on_opened(struct container *c, int status, json_t *json, const char *error);
void end_ask_remove(struct container *c);
void end_on_removed(struct container *c, int status, json_t *json, const char *error);
/* With what is known of it; nothing when it has been told. */
void end_tell(struct container *c);
/* Of one that is being made. */
void end_what_was_made(struct container *c);
