/* An error a person will read: where, what, and the way out. Only functions whose failure a person
 * reads take a `struct err *`; everything else returns -Exxx alone. */
#pragma once

#include "base/util.h"

struct err {
    int code;        /* 0 or -Exxx */
    char place[192]; /* file:line:column, a path, a service's name; may be empty */
    char text[512];  /* what is wrong, with the value, and what to do */
};

/* Both return `code`, so that a caller can end with `return err_set(...)`. `err` may be NULL. */
int err_set(struct err *err, int code, const char *format, ...) _printf_(3, 4);
int err_at(struct err *err, int code, const char *place, const char *format, ...) _printf_(4, 5);
