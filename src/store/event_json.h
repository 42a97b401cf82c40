/* Events and decisions as JSON. Both are exact: an event that went through JSON and back is the
 * same event, and a decision has one text only, in which `replay` compares byte for byte. Numbers
 * with a fraction have 17 digits; "nan", "inf" and "-inf" are strings; what is not UTF-8 is
 * {"hex":".."}. What a field's absence means is nothing or 0, so that lines of older versions are
 * read.
 */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "core/decision.h"
#include "core/event.h"

/* A new object, or NULL when memory is short. `conf` is not in it: see journal.h. */
json_t *event_json(const struct event *e);
/* 0, or -EPROTO with a text. Samples, history, address and ref are malloc'd: event_json_done()
 * frees them. */
int event_json_decode(const json_t *json, struct event *ret, struct err *err);
void event_json_done(struct event *e);

json_t *decision_json(const struct decision *d);
/* One line without the newline, malloc'd; NULL when memory is short. */
char *decision_json_line(const struct decision *d);
