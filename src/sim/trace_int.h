/* What the three forms of trace_read*.c share. Private to them. */
#pragma once

#include "sim/trace.h"

struct trace_reader;

/* One form of text. Lines come without their end; a form that is no list of lines keeps the text
 * itself. */
struct trace_form {
    /* A line, 1-based; a line that is longer than TRACE_LINE_MAX comes cut. 0 or -Exxx. */
    int (*line)(struct trace_reader *r, const char *text, size_t bytes, struct err *err);
    /* Makes r->trace of what was read: step, count, start. */
    int (*end)(struct trace_reader *r, struct err *err);
};

#define TRACE_LINE_MAX 4096
#define TRACE_TEXT_MAX ((size_t)256 * 1024 * 1024)

struct trace_reader {
    const struct trace_form *form; /* NULL = not known yet */
    struct trace trace;
    size_t cap; /* of trace.rates */
    uint64_t line_number;
    char line[TRACE_LINE_MAX + 1];
    size_t line_bytes;
    bool line_cut;
    struct trace_bad bad[TRACE_BAD_MAX];
    uint64_t bad_count;
    struct { /* CSV */
        int32_t time_column, rate_column;
        bool counts;
        double first_s;
        uint64_t first_bad; /* rows that were bad when the first good one came */
    } csv;
    struct { /* access log */
        int64_t first_s;
        bool begun;
    } log;
    char *text; /* JSON */
    size_t text_bytes, text_cap;
};

extern const struct trace_form trace_form_csv, trace_form_log, trace_form_prometheus;

void trace_reader_say_bad(struct trace_reader *r, const char *format, ...) _printf_(2, 3);
/* Room for so many rates; new ones are NaN (unknown). -E2BIG above TRACE_COUNT_MAX. */
int trace_reader_reserve(struct trace_reader *r, size_t count);
/* "1998-06-08 00:00:00", "...T...", with fraction and zone or "Z", or the date alone; UTC when no
 * zone is written. Seconds since 1970. 0 or -EINVAL. */
int trace_parse_time(struct slice text, double *ret_s);
/* Days since 1970 of a date of the Gregorian calendar. */
int64_t trace_days(int64_t year, int64_t month, int64_t day);
