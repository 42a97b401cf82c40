/* Writes the page: its files with the data between them, as JSON that cannot end the element it
 * stands in. It must never compute what the simulation has not. */
#include "sim/page/page.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/str.h"
#include "base/us.h"
#include "base/util.h"
#include "sim/page/page_assets.h"
#include "sim/run.h"
#include "sim/utf8.h"

#define GOAL_ANY_S 1e8 /* a limit that long is none */

/* -- texts and numbers --------------------------------------------------------------------------
 */

/* '<' is escaped too: "</script>" and "<!--" would end or change the element around it. */
static void put_text(FILE *out, const char *text)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        size_t bytes = utf8_length(slice_of((const char *)p));
        if (bytes == 0)
            fputs("\\ufffd", out);
        else if (bytes == 1 && (*p < 0x20 || strchr("\"\\<>&\x7f", *p)))
            fprintf(out, "\\u%04x", *p);
        else
            fwrite(p, 1, bytes, out);
        p += MAX(bytes, 1);
    }
    fputc('"', out);
}

static void put_html(FILE *out, const char *text)
{
    for (const char *p = text; *p; p++) {
        if (strchr("<>&\"'", *p))
            fprintf(out, "&#%d;", *p);
        else
            fputc(*p, out);
    }
}

static void put_number(FILE *out, double x)
{
    if (isfinite(x))
        fprintf(out, "%.7g", x);
    else
        fputs("null", out);
}

static void put_named(FILE *out, const char *name, double x)
{
    fprintf(out, "\"%s\":", name);
    put_number(out, x);
    fputc(',', out);
}

/* -- a run --------------------------------------------------------------------------------------
 */

/* Fields of the structs by table: the page's words are the structs'. */
struct field {
    const char *name;
    size_t offset;
};

#define SCORE_FIELD(name)                   \
    {                                       \
#name, offsetof(struct score, name) \
    }
static const struct field score_fields[] = {
    SCORE_FIELD(requests),      SCORE_FIELD(waited),         SCORE_FIELD(refused),
    SCORE_FIELD(violations),    SCORE_FIELD(instance_hours), SCORE_FIELD(cost),
    SCORE_FIELD(energy_kwh),    SCORE_FIELD(co2_g),          SCORE_FIELD(mean_utilisation),
    SCORE_FIELD(latency_p50_s), SCORE_FIELD(latency_p95_s),  SCORE_FIELD(latency_p99_s),
    SCORE_FIELD(theta_u),       SCORE_FIELD(theta_o),        SCORE_FIELD(tau_u),
    SCORE_FIELD(tau_o),         SCORE_FIELD(upsilon),
};

#define POINT_FIELD(name)                       \
    {                                           \
#name, offsetof(struct run_point, name) \
    }
static const struct field point_fields[] = {
    POINT_FIELD(load),     POINT_FIELD(capacity),      POINT_FIELD(in_flight),
    POINT_FIELD(queued),   POINT_FIELD(latency_p99_s), POINT_FIELD(ready),
    POINT_FIELD(starting), POINT_FIELD(desired),       POINT_FIELD(paid_s),
};

static double field_of(const void *thing, const struct field *f)
{
    double x;
    memcpy(&x, (const char *)thing + f->offset, sizeof(x));
    return x;
}

static double seconds(int64_t us)
{
    return (double)us / (double)US_PER_S;
}

static void put_score(FILE *out, const struct score *s)
{
    fputs("\"score\":{", out);
    for (size_t n = 0; n < ARRAY_LEN(score_fields); n++)
        put_named(out, score_fields[n].name, field_of(s, &score_fields[n]));
    fprintf(out, "\"moves\":%llu},\n", (unsigned long long)s->moves);
}

static void put_points(FILE *out, const struct run_result *r)
{
    fputs("\"points\":{\"t\":[", out);
    for (uint32_t n = 0; n < r->point_count; n++)
        fprintf(out, "%s%.10g", n > 0 ? "," : "", seconds(r->points[n].at_us));
    for (size_t f = 0; f < ARRAY_LEN(point_fields); f++) {
        fprintf(out, "],\n\"%s\":[", point_fields[f].name);
        for (uint32_t n = 0; n < r->point_count; n++) {
            fputs(n > 0 ? "," : "", out);
            put_number(out, field_of(&r->points[n], &point_fields[f]));
        }
    }
    fputs("]},\n", out);
}

static void put_decisions(FILE *out, const struct run_result *r)
{
    uint32_t count = MIN(r->decision_count, PAGE_DECISIONS_MAX);
    fprintf(out, "\"decision_count\":%u,\"decisions\":{\"t\":[", r->decision_count);
    for (uint32_t n = 0; n < count; n++)
        fprintf(out, "%s%.10g", n > 0 ? "," : "", seconds(r->decisions[n].at_us));
    fputs("],\n\"before\":[", out);
    for (uint32_t n = 0; n < count; n++)
        fprintf(out, "%s%d", n > 0 ? "," : "", r->decisions[n].before);
    fputs("],\n\"after\":[", out);
    for (uint32_t n = 0; n < count; n++)
        fprintf(out, "%s%d", n > 0 ? "," : "", r->decisions[n].after);
    fputs("],\n\"why\":[", out);
    for (uint32_t n = 0; n < count; n++) {
        fputs(n > 0 ? ",\n" : "", out);
        put_text(out, r->decisions[n].why);
    }
    fputs("]}", out);
}

static void put_run(FILE *out, const struct page_run *r)
{
    fputs("{\"name\":", out);
    put_text(out, r->name ? r->name : r->options->policy->name);
    fputs(",\"help\":", out);
    put_text(out, r->help ? r->help : r->options->policy->help);
    fputs(",\n", out);
    put_score(out, &r->result->score);
    put_points(out, r->result);
    put_decisions(out, r->result);
    fputc('}', out);
}

/* -- all of it ----------------------------------------------------------------------------------
 */

/* What a request must not do, in words. */
static void say_goal(const struct run_options *o, struct str *out)
{
    if (o->slo_wait_s < GOAL_ANY_S)
        str_putf(out, "waits more than %g s, ", o->slo_wait_s);
    if (o->slo_latency_s > 0)
        str_putf(out, "takes more than %g s, ", o->slo_latency_s);
    str_put(out, "or is refused.");
}

static void put_about(FILE *out, const struct run_options *o)
{
    char text[512];
    struct str s;
    str_init(&s, text, sizeof(text));
    str_putf(&s, "%g hours of %s at %s fidelity. An instance does %g requests/s, %g at a time, ",
             seconds(trace_length_us(o->trace)) / 3600, o->trace->name,
             o->fidelity == RUN_REQUEST ? "request" : "tick", o->capacity, o->slots);
    str_putf(&s, "and is ready %g s after its order. A request violates when it ",
             seconds(o->fleet.boot_us));
    say_goal(o, &s);
    put_text(out, text);
}

static void put_dots(FILE *out, const struct page *p)
{
    fputs("\"dots\":[", out);
    for (uint32_t n = 0; n < p->dot_count; n++) {
        fputs(n > 0 ? ",\n{" : "{", out);
        put_named(out, "violations", p->dots[n].violations);
        put_named(out, "hours", p->dots[n].instance_hours);
        fprintf(out, "\"front\":%s,\"label\":", p->dots[n].front ? "true" : "false");
        put_text(out, p->dots[n].label);
        fputc('}', out);
    }
    fputs("],\n", out);
}

static void put_data(FILE *out, const struct page *p)
{
    const struct run_options *o = p->runs[0].options;
    fputs("{\"about\":", out);
    put_about(out, o);
    fputs(",\"definitions\":", out);
    put_text(out, score_help());
    fputs(",\n", out);
    fprintf(out, "\"start_wall_s\":%.10g,", seconds(o->trace->start_wall_us));
    put_named(out, "seconds", seconds(trace_length_us(o->trace)));
    put_named(out, "latency_limit_s", o->slo_latency_s);
    put_named(out, "cost", o->cost);
    put_dots(out, p);
    fputs("\"runs\":[", out);
    for (uint32_t n = 0; n < p->run_count; n++) {
        fputs(n > 0 ? ",\n" : "", out);
        put_run(out, &p->runs[n]);
    }
    fputs("]}", out);
}

static void put_title(FILE *out, const struct page *p)
{
    put_html(out, p->title);
}

static void put_style(FILE *out, const struct page *p)
{
    fputs(page_css, out);
}

static void put_script(FILE *out, const struct page *p)
{
    fputs(page_js, out);
}

static const struct {
    const char *mark;
    void (*put)(FILE *out, const struct page *p);
} slots[] = {
    { "{{title}}", put_title },
    { "{{style}}", put_style },
    { "{{data}}", put_data },
    { "{{script}}", put_script },
};

/* What stands at a mark of the template; returns the mark's length. */
static size_t put_slot(FILE *out, const struct page *p, const char *mark)
{
    for (size_t n = 0; n < ARRAY_LEN(slots); n++) {
        size_t length = strlen(slots[n].mark);
        if (strncmp(mark, slots[n].mark, length) != 0)
            continue;
        slots[n].put(out, p);
        return length;
    }
    assert(!"a mark that is in no table");
    return 0;
}

int page_write(const struct page *p, FILE *out)
{
    const char *text = page_html;
    for (const char *mark; (mark = strstr(text, "{{"));) {
        fwrite(text, 1, (size_t)(mark - text), out);
        text = mark + put_slot(out, p, mark);
    }
    fputs(text, out);
    return fflush(out) != 0 || ferror(out) ? -EIO : 0;
}
