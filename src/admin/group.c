/* What members of a group tell each other: what a proxy counts, for the one who leads, and the
 * leader's journal, for those who stand by. */
#include <errno.h>

#include "admin/admin_int.h"
#include "store/journal.h"

void admin_get_gauges(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    admin_answer_json(a, 200, b->gauges(b->ctx));
}

/* Whole lines of one segment, and where to go on. */
void admin_get_journal(struct admin_request *q, struct admin_answer *a)
{
    struct admin_backend *b = &q->side->admin->backend;
    struct journal_chunk chunk;
    int64_t segment, offset;
    if (!admin_query_number(q, a, "segment", 0, INT64_MAX, 0, &segment) ||
        !admin_query_number(q, a, "offset", 0, INT64_MAX, 0, &offset))
        return;
    int rc = b->journal(b->ctx, (uint64_t)segment, (uint64_t)offset, &chunk);
    if (rc < 0) {
        admin_answer_error(a, rc == -ENOENT ? 404 : 503,
                           rc == -ENOENT ? "this part of the journal is gone"
                                         : "the journal cannot be read");
        return;
    }
    a->type = "application/jsonl";
    a->body = chunk.text;
    a->body_bytes = chunk.bytes;
    admin_answer_header(a, "X-Plimsoll-Segment", chunk.segment);
    admin_answer_header(a, "X-Plimsoll-Offset", chunk.offset);
}
