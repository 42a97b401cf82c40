/* GET /v1/alerts: what is wrong by the rules in `alerts`, and who was told. */
#include "admin/admin_int.h"

void admin_get_alerts(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    admin_answer_json(a, 200, b->alerts(b->ctx));
}
