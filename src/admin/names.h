/* Names that nobody has: the answer says which one was meant, or which there are. Private to
 * admin/. */
#pragma once

#include "admin/admin_int.h"

/* 404: there is no service of that name. */
void admin_answer_no_service(struct admin_request *q, struct admin_answer *a, const char *name);
/* 404: q->name is no instance. */
void admin_answer_no_instance(struct admin_request *q, struct admin_answer *a);
/* Is it a service's name, rather than an instance's? */
bool admin_is_service(struct admin_request *q, const char *name);
