/* What there is to tune in a policy: every number in its `scale` section that a search may move,
 * and between which bounds. A point of the space has a coordinate of 0 to 1 for each. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "config/node.h"

#define TUNE_KNOBS_MAX 24

struct tune_knob_kind;

struct tune_knob {
    const struct tune_knob_kind *kind;
    char path[128]; /* below the root: "services.shop.scale.rules.0.target.value" */
    double low, high;
    bool percent; /* of a factor: written with a % */
};

struct tune_space {
    const struct schema_node *root;
    char scale[96]; /* path of the service's `scale` */
    uint32_t count;
    struct tune_knob knobs[TUNE_KNOBS_MAX];
};

/* Looks for knobs in the service's `scale`. 0; -ENOENT: there is no such service, or it has no
 * `scale`; -EINVAL: nothing in it can be tuned. */
int tune_space_init(struct tune_space *s, const struct schema_node *root, const char *service);
/* The value at that coordinate as it is written: "14.5", "5%", "90s". */
void tune_space_format(const struct tune_knob *k, double at, struct str *out);
/* The configuration at that point. NULL = no memory. */
const struct schema_node *tune_space_apply(const struct tune_space *s, struct arena *arena,
                                           const double *at);
/* Where the configuration as it is stands, as far as it lies in the space. */
void tune_space_locate(const struct tune_space *s, double *ret_at);
/* The name of a knob without the path of the service: "rules.0.target.value". */
const char *tune_space_name(const struct tune_space *s, uint32_t knob);
