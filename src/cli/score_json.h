/* A score as JSON: the same keys wherever a command prints one. */
#pragma once

#include <jansson.h>

#include "sim/score.h"

json_t *score_json(const struct score *s);
