/* Explaining: writing the steps and the one sentence of a decision. Short and numeric; a person
 * reads them in `why`. */
#pragma once

#include <stdint.h>

#include "base/util.h"
#include "core/decision.h"

/* Empties the steps; the count they start from is `current`. */
void explain_begin(struct decision *d, int32_t current);
/* The count as the steps so far have made it. */
static inline int32_t explain_count(const struct decision *d)
{
    return d->desired;
}
/* The limit made the count `to`. A step that changes nothing leaves no line. */
void explain_step(struct decision *d, enum limit_kind kind, int32_t to, const char *format, ...)
    _printf_(4, 5);
/* Closes: sets `desired`, and the sentence in `summary`. */
void explain_end(struct decision *d);

/* What kinds of things led to the count, without the numbers: two decisions with equal signatures
 * have the same reason. */
uint64_t explain_signature(const struct decision *d);
