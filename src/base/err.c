/* Filling in a struct err. */
#include "base/err.h"

#include <stdarg.h>

#include "base/fmt.h"

int err_set(struct err *err, int code, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    err->place[0] = '\0';
    fmt_v(err->text, sizeof(err->text), format, args);
    va_end(args);
    return code;
}

int err_at(struct err *err, int code, const char *place, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    err->code = code;
    fmt(err->place, sizeof(err->place), "%s", place);
    fmt_v(err->text, sizeof(err->text), format, args);
    va_end(args);
    return code;
}
