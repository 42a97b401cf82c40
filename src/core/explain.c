/* The words of a decision. Decides nothing. */
#include "core/explain.h"

#include <assert.h>
#include <stdarg.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"

void explain_begin(struct decision *d, int32_t current)
{
    d->step_count = 0;
    d->desired = current;
    d->summary[0] = '\0';
}

void explain_step(struct decision *d, enum limit_kind kind, int32_t to, const char *format, ...)
{
    if (to == d->desired)
        return;
    if (d->step_count < DECISION_STEPS_MAX) {
        struct decision_step *s = &d->steps[d->step_count++];
        s->kind = kind;
        s->from = d->desired;
        s->to = to;
        if (!d->silent) {
            va_list args;
            va_start(args, format);
            fmt_v(s->text, sizeof(s->text), format, args);
            va_end(args);
        }
    }
    d->desired = to;
}

/* The opinion that speaks when no step changed anything: who blocks, else the first who knows. */
static const struct decision_opinion *spokesman(const struct decision *d)
{
    const struct decision_opinion *known = NULL;
    for (uint32_t n = 0; n < d->opinion_count; n++) {
        const struct decision_opinion *o = &d->opinions[n];
        if (o->opinion.block_in)
            return o;
        if (o->opinion.known && !known)
            known = o;
    }
    return known;
}

void explain_end(struct decision *d)
{
    struct str s;
    str_init(&s, d->summary, sizeof(d->summary));
    const char *note = d->advise ? " (advice only)" : "";
    if (d->desired == d->before)
        str_putf(&s, "%d as before%s", d->desired, note);
    else
        str_putf(&s, "%d -> %d%s", d->before, d->desired, note);
    const struct decision_opinion *o = spokesman(d);
    const struct decision_step *last = d->step_count > 0 ? &d->steps[d->step_count - 1] : NULL;
    /* What was wanted, and who had the last word on it. An operator's needs no other beside it. */
    if (last && last != d->steps && last->kind != LIMIT_OPERATOR)
        str_putf(&s, ": %s; %s", d->steps[0].text, last->text);
    else if (last)
        str_putf(&s, ": %s", last->text);
    else if (o)
        str_putf(&s, ": %s", o->opinion.text);
}

/* Bit 0: advice; then the kinds of steps, who knows, who blocks, how many there are. */
#define KINDS_AT 1
#define KNOWN_AT (KINDS_AT + LIMIT_KIND_MAX)
#define BLOCKS_AT (KNOWN_AT + MODEL_RULES_MAX)
#define COUNT_AT (BLOCKS_AT + MODEL_RULES_MAX)
static_assert(COUNT_AT + 8 <= 64, "all of it goes into one word");

uint64_t explain_signature(const struct decision *d)
{
    uint64_t bits = d->advise;
    for (uint32_t n = 0; n < d->step_count; n++)
        bits |= UINT64_C(1) << (KINDS_AT + d->steps[n].kind);
    for (uint32_t n = 0; n < MIN(d->opinion_count, MODEL_RULES_MAX); n++) {
        const struct opinion *o = &d->opinions[n].opinion;
        bits |= (uint64_t)o->known << (KNOWN_AT + n) | (uint64_t)o->block_in << (BLOCKS_AT + n);
    }
    return bits | (uint64_t)d->opinion_count << COUNT_AT;
}
