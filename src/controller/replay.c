/* `plimsoll replay`: the journal's events through a fresh core, its decisions as JSON lines, held
 * against the recorded ones byte for byte when asked. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "controller/controller_int.h"
#include "controller/player.h"
#include "store/event_json.h"
#include "sys/mem.h"

#define PENDING_MAX 256

struct replay {
    FILE *out;
    bool compare;
    char *pending[PENDING_MAX]; /* made by the core, not yet seen in the journal */
    size_t head, count;
    bool differs;
};

static int on_action(void *ctx, const struct action *a)
{
    struct replay *r = ctx;
    if (a->type != ACTION_RECORD)
        return 0;
    char *line = decision_json_line(a->decision);
    if (!line)
        return -ENOMEM;
    fprintf(r->out, "%s\n", line);
    if (!r->compare || r->count == PENDING_MAX) {
        free(line);
        return r->compare ? -EOVERFLOW : 0;
    }
    r->pending[(r->head + r->count++) % PENDING_MAX] = line;
    return 0;
}

static int on_recorded(void *ctx, const struct journal_record *record)
{
    struct replay *r = ctx;
    if (!r->compare)
        return 0;
    _cleanup_free_ char *made = NULL;
    if (r->count > 0) {
        made = r->pending[r->head];
        r->head = (r->head + 1) % PENDING_MAX;
        r->count--;
    }
    if (made && strcmp(made, record->decision) == 0)
        return 0;
    fprintf(stderr, "%s:%zu: the decision differs\nrecorded: %s\nreplayed: %s\n", record->path,
            record->line, record->decision, made ? made : "(none)");
    r->differs = true;
    return -ECANCELED;
}

int controller_replay(const char *journal_path, bool compare, FILE *out, struct err *err)
{
    struct replay r = { .out = out, .compare = compare };
    struct player p;
    int rc = player_init(&p);
    if (rc < 0)
        return err_set(err, rc, "no memory for a core");
    p.on_action = on_action;
    p.on_recorded = on_recorded;
    p.ctx = &r;
    rc = journal_read(journal_path, false, player_record, &p, err);
    /* The last event's decisions may have been lost with the process; all before must be there. */
    for (; r.count > 0; r.count--, r.head = (r.head + 1) % PENDING_MAX)
        free(r.pending[r.head]);
    player_done(&p);
    return r.differs ? 1 : rc;
}
