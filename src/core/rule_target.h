/* Private to rule_target*.c: what `headroom: auto` does instead. */
#pragma once

#include "core/rule.h"

uint32_t rule_target_auto_words(void);
void rule_target_auto_eval(const struct rule_conf *r, struct rule_state *state,
                           const struct rule_context *ctx, struct opinion *ret);
/* Its scale-in is the bound already that it would ask out for. */
bool rule_target_auto_asks_out(const struct opinion *o, int32_t count, double *ret_value);
