/* Passive ejection: an instance that fails N times in a row is left out for a while. */
#pragma once

#include "proxy/shared.h"

struct loop;
struct backend;

void eject_note_failure(struct loop *l, struct backend *b, enum eject_reason reason);
void eject_note_success(struct loop *l, struct backend *b);
const char *eject_reason_text(enum eject_reason reason);
