/* Reads measured points. It must never take a row it is not sure of: what is wrong is counted and
 * said. */
#include "sim/points.h"

#include <stdbool.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/util.h"

#define COLUMNS 2

static bool is_separator(char c)
{
    return c == ',' || c == ';' || c == '\t' || c == ' ' || c == '\r';
}

/* The fields of a line; those beyond `max` are counted and not kept. */
static size_t split(struct slice line, struct slice *fields, size_t max)
{
    size_t count = 0, at = 0;
    while (at < line.n) {
        while (at < line.n && is_separator(line.p[at]))
            at++;
        size_t from = at;
        while (at < line.n && !is_separator(line.p[at]))
            at++;
        if (at > from) {
            if (count < max)
                fields[count] = (struct slice){ line.p + from, at - from };
            count++;
        }
    }
    return count;
}

static void refuse(struct points *p, uint32_t line, const char *what, struct slice text)
{
    if (p->bad_count < POINTS_BAD_MAX) {
        struct points_bad *bad = &p->bad[p->bad_count];
        bad->line = line;
        fmt(bad->reason, sizeof(bad->reason), "%s: \"%.*s\"", what, (int)MIN(text.n, 32), text.p);
    }
    p->bad_count++;
}

static void read_row(struct slice line, uint32_t number, bool may_be_header, struct points *p)
{
    struct slice fields[COLUMNS];
    double values[COLUMNS] = { 0 };
    size_t count = split(line, fields, COLUMNS);
    if (count != COLUMNS) {
        refuse(p, number, "wants two columns, instances and throughput", line);
        return;
    }
    for (size_t i = 0; i < COLUMNS; i++) {
        if (num_parse_double(fields[i], &values[i]) < 0) {
            if (!may_be_header)
                refuse(p, number, "not a number", fields[i]);
            return;
        }
        if (!(values[i] > 0)) {
            refuse(p, number, "must be above 0", fields[i]);
            return;
        }
    }
    if (p->count == POINTS_MAX) {
        refuse(p, number, "one row too many", line);
        return;
    }
    p->point[p->count++] = (struct usl_point){ values[0], values[1] };
}

void points_read(const char *text, size_t length, struct points *ret)
{
    bool begun = false;
    uint32_t number = 0;
    *ret = (struct points){ 0 };
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t n = end ? (size_t)(end - text) - at : length - at;
        struct slice line = slice_trim((struct slice){ text + at, n });
        at += n + 1;
        number++;
        if (line.n == 0 || line.p[0] == '#' || (line.n == 1 && line.p[0] == '\r'))
            continue;
        read_row(line, number, !begun, ret);
        begun = true;
    }
}
