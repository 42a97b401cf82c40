/* What the keeper runs for the controller: instances, and tasks (exec probes). Children of its own
 * are waited for; adopted ones, left by an earlier keeper, are watched through a pidfd. Private to
 * keeper/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "link/msg.h"

struct keeper;
struct record;

/* Starts; answers the controller itself, either way, as soon as that is known. */
void children_start(struct keeper *k, const struct link_start *start);
void children_signal(struct keeper *k, struct slice name, int signal);
/* LINK_RUNNING for each instance. */
void children_list(struct keeper *k);
/* An instance of an earlier keeper: watched from now on. false = it is gone already. */
bool children_adopt(struct keeper *k, struct slice name, const struct record *r);
bool children_has(const struct keeper *k, const char *name);
/* Every child of ours that has ended, roles and orphans among them. */
void children_reap(struct keeper *k);
/* Tasks past their deadline. */
void children_on_time(struct keeper *k, int64_t now_us);
int64_t children_next_us(const struct keeper *k);
void children_kill_tasks(struct keeper *k);
void children_kill_all(struct keeper *k);
