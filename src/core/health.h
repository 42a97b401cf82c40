/* Health: what a row of probe results says about one instance. Source of the counts: HAProxy's
 * "fall" and "rise". */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct health_conf;
struct instance;

enum health_verdict {
    HEALTH_SAME,
    HEALTH_WELL, /* starting: its first passed probe; failing: enough in a row */
    HEALTH_ILL,  /* ready, and enough failed in a row */
};

/* Counts one probe and says what follows from it; moves nothing. */
enum health_verdict health_probe(const struct health_conf *conf, struct instance *i, bool passed);

/* Has it been failing for so long that it is to be replaced? */
bool health_given_up(const struct health_conf *conf, const struct instance *i, int64_t now_us);
/* When it will have been, if it goes on failing; US_NEVER = never. */
int64_t health_next_us(const struct health_conf *conf, const struct instance *i);
