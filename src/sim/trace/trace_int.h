/* What the forms of trace_*.c share. Private to them. */
#pragma once

#include "sim/trace/trace.h"

struct trace_reader;

/* One form of text. Lines come without their end; a form that is no list of lines keeps the text
 * itself. */
struct trace_form {
    bool takes_cut_lines; /* all that counts stands at the begin */
    /* Whether this line is how such a text begins; what it says is kept. NULL = not by a line. */
    bool (*begins)(struct trace_reader *r, struct slice line);
    /* A line; one that is longer than TRACE_LINE_MAX comes cut. 0 or -Exxx. */
    int (*line)(struct trace_reader *r, struct slice line, struct err *err);
    /* Whether a line that is no such begin means to be one, and lacks something: r->lack is filled
     * in. Whether the next one bears it out. NULL = never. */
    bool (*lacks)(struct trace_reader *r, struct slice line);
    bool (*follows)(const struct trace_reader *r, struct slice line);
    /* Makes r->trace of what was read: step, count, start. */
    int (*end)(struct trace_reader *r, struct err *err);
};

#define TRACE_LINE_MAX 4096
#define TRACE_TEXT_MAX ((size_t)256 * 1024 * 1024)
#define TRACE_RATE_MAX 1e12
#define TRACE_COLUMNS_MAX 64
#define TRACE_FIRST_ROWS 64 /* the step is what most of them are apart */
#define TRACE_AHEAD_LINES 16

struct trace_row {
    uint64_t line;
    double at_s, value; /* value NaN = the row was bad but for its time */
    uint64_t untimed;   /* bad rows before it of which not even the time is known */
};

#define TRACE_NAMES_BYTES 256 /* of a header's columns, as far as a message shows them */

/* A header with a time, and nothing that is known for a load; or a title that looks like one. */
struct trace_lack {
    const struct trace_form *form;
    uint64_t line; /* 0 = none */
    char separator;
    size_t columns, time_column;
    char names[TRACE_NAMES_BYTES];
};

struct trace_reader {
    const struct trace_form *form; /* NULL = not known yet */
    struct trace_lack lack;
    bool begun; /* something but blanks came */
    char *name; /* as messages have it: whole, where the trace's may be cut */
    struct trace trace;
    size_t cap; /* of trace.rates */
    uint64_t line_number;
    uint32_t strange_lines; /* came before the form was known */
    char line[TRACE_LINE_MAX + 1];
    size_t line_bytes;
    bool line_cut;
    struct trace_losses losses;
    struct { /* CSV */
        char separator;
        size_t columns, time_column, rate_column;
        bool counts;
        struct trace_row first[TRACE_FIRST_ROWS];
        size_t first_count;
        size_t next;       /* the step that the next row should be */
        uint64_t bad_seen; /* bad rows up to the last that had a time */
    } csv;
    struct { /* access log */
        int64_t first_s;
        /* Lines that jumped ahead, until enough agree or the lines come back. */
        struct {
            uint64_t line;
            int64_t at_s;
        } ahead[TRACE_AHEAD_LINES];
        size_t ahead_count;
    } log;
    char *text; /* JSON */
    size_t text_bytes, text_cap;
};

extern const struct trace_form trace_form_csv, trace_form_log, trace_form_prometheus;

/* The line 0 = none. */
void trace_reader_say_bad(struct trace_reader *r, uint64_t line, const char *format, ...)
    _printf_(3, 4);
void trace_reader_say_missing(struct trace_reader *r, uint64_t line, uint64_t steps,
                              const char *where);
/* Room for so many rates; new ones are NaN (unknown). -E2BIG above TRACE_COUNT_MAX. */
int trace_reader_reserve(struct trace_reader *r, size_t count);

/* "1998-06-08 00:00:00", "...T...", with fraction and zone or "Z", or the date alone; UTC when no
 * zone is written. Seconds since 1970. 0 or -EINVAL. */
int trace_parse_time(struct slice text, double *ret_s);
/* Whether a time in seconds since 1970 lies in the years 1970 to 9999. */
bool trace_time_fits(double at_s);
/* Days since 1970 of a date of the Gregorian calendar; false = there is no such date. */
bool trace_find_days(int64_t year, int64_t month, int64_t day, int64_t *ret);
