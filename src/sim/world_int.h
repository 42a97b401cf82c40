/* Private to world*.c: entries, what is told of them, and what happens later. */
#pragma once

#include "sim/world.h"

/* Both included. */
int64_t world_between(struct rng *r, int64_t least_us, int64_t most_us);
/* About an instance (dropped when the entry is another one by then), or about none. */
struct world_event *world_push(struct world *w, enum world_event_kind kind,
                               const struct world_instance *i, int64_t delay_us, int64_t arg);
void world_tell(struct world *w, enum event_type type, const struct world_instance *i, bool flag);
/* A completion that is lost on its way. */
bool world_loses(struct world *w);
void world_forget(struct world_instance *i);
/* A new instance; number 0 = nobody but the engine knows of it. `reached` = the engine has been
 * asked, whether it could answer or not. */
struct world_instance *world_make(struct world *w, uint32_t service, uint32_t number,
                                  uint64_t template, bool reached);

/* world_tasks.c: engines that choose. */
/* START of a number: the engine has made one by itself already? */
bool tasks_bind(struct world *w, uint32_t service, uint32_t number);
/* STOP: one fewer. */
void tasks_fewer(struct world *w, struct world_instance *i);
/* It ended by itself: another one comes. */
void tasks_replace(struct world *w, const struct world_instance *i, int64_t delay_us);
/* True when all that must be told before its exit has been told. */
bool tasks_told(struct world *w, struct world_instance *i);
/* It is gone, and a list does not name it. */
void tasks_lose(struct world *w, struct world_instance *i);
/* A number for one that has none. */
void tasks_name(struct world *w, struct world_instance *i);
/* One is ended by a choice of the engine's own, and another comes in its place. */
void tasks_move(struct world *w, struct world_instance *i);
void tasks_happen(struct world *w, const struct world_event *e);
