/* One write(2) a line, so that lines of several processes do not mix. */
#include "sys/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "sys/clock.h"

static const char *log_role = "plimsoll";
static _Atomic int log_max = LOG_LEVEL_INFO;
static bool log_bare; /* the service manager adds the time */

void log_init(const char *role, enum log_level level)
{
    log_role = role;
    log_bare = getenv("JOURNAL_STREAM") != NULL;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_max, (int)level, memory_order_relaxed);
}

static void put_time(struct str *s)
{
    int64_t wall_us = clock_wall_us();
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    str_putf(s, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ ", tm.tm_year + 1900, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(wall_us / 1000 % 1000));
}

void log_write(enum log_level level, const char *format, ...)
{
    static const char *const names[] = { "error", "warning", "info", "debug" };
    char line[1024];
    struct str s;
    va_list args;
    if ((int)level > atomic_load_explicit(&log_max, memory_order_relaxed))
        return;
    str_init(&s, line, sizeof(line) - 1);
    if (!log_bare)
        put_time(&s);
    str_putf(&s, "%s %s: ", names[level], log_role);
    va_start(args, format);
    str_putv(&s, format, args);
    va_end(args);
    line[s.len++] = '\n';
    ssize_t rc = write(STDERR_FILENO, line, s.len);
    (void)rc; /* a log that cannot be written has nowhere to say so */
}
