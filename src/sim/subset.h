/* What of a configuration can be rehearsed: one service alone, with those of its rules whose
 * metrics follow from a load. What is left out is said, never silently. */
#pragma once

#include "base/err.h"
#include "core/model.h"

#define SUBSET_NOTES_MAX (MODEL_RULES_MAX + 2)

struct subset {
    struct service_conf service;
    struct model_conf model; /* of that service alone */
    uint32_t note_count;
    char notes[SUBSET_NOTES_MAX][320]; /* what was left out, a sentence each */
};

/* Of service `at` in `all`. `ret` points into itself, so it stays where it is. 0; -EINVAL with a
 * text: it has rules, and none of them is left. */
int subset_take(const struct model_conf *all, uint32_t at, struct subset *ret, struct err *err);
