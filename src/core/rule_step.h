/* The arithmetic of AWS step scaling, apart from its clocks. */
#pragma once

#include <stdint.h>

struct rule_step;
struct rule_step_conf;

/* Towards zero beyond one, to one below it: 12.7 is 12, 0.67 is 1, -0.58 is -1, -6.67 is -6. */
double rule_step_round(double change);
/* The count that the adjustment makes of `count`. */
int32_t rule_step_adjust(const struct rule_step_conf *s, double adjustment, int32_t count);
/* The step in whose bounds the value lies; NULL when there is none. Above the threshold the lower
 * bound is inclusive and the upper exclusive, below it the other way round. */
const struct rule_step *rule_step_find(const struct rule_step_conf *s, double value);
