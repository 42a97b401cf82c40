/* An error for the terminal: the line it is about, with a caret. */
#include <string.h>

#include "base/num.h"
#include "config/config.h"

#define SHOWN_BYTES_MAX 160

static struct slice find_line(const char *text, int64_t line)
{
    for (; line > 1 && text; line--) {
        text = strchr(text, '\n');
        text = text ? text + 1 : NULL;
    }
    if (!text)
        return (struct slice){ "", 0 };
    size_t n = strcspn(text, "\r\n");
    return (struct slice){ text, n };
}

static bool parse_place(const char *place, int64_t *ret_line, int64_t *ret_column)
{
    const char *last = strrchr(place, ':'), *first = last;
    if (!last || last == place)
        return false;
    while (first > place && first[-1] != ':')
        first--;
    return num_parse_i64((struct slice){ first, (size_t)(last - first) }, ret_line) == 0 &&
           num_parse_i64(slice_of(last + 1), ret_column) == 0;
}

/* A caret under the column: a tab stays a tab, one character of several bytes is one space. */
static void put_caret(struct slice line, int64_t column, struct str *out)
{
    int64_t at = 1;
    for (size_t i = 0; i < line.n && at < column; i++) {
        if (((unsigned char)line.p[i] & 0xc0) == 0x80)
            continue;
        str_put_char(out, line.p[i] == '\t' ? '\t' : ' ');
        at++;
    }
    str_put(out, "^\n");
}

/* A terminal obeys nothing that stands in a file: control characters, in UTF-8 those of two bytes,
 * too, are shown as blanks, but for tabs, by which the caret finds its place. */
static void put_shown(struct slice text, struct str *out)
{
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        unsigned char next = i + 1 < text.n ? (unsigned char)text.p[i + 1] : 0;
        bool pair = c == 0xc2 && next >= 0x80 && next < 0xa0;
        i += pair;
        str_put_char(out, pair || (c < ' ' && c != '\t') || c == 127 ? ' ' : (char)c);
    }
}

void config_show_error(const char *text, const struct err *error, struct str *out)
{
    int64_t line, column;
    put_shown(slice_of(error->place), out);
    str_put(out, ": ");
    put_shown(slice_of(error->text), out);
    str_put(out, "\n");
    if (!text || !parse_place(error->place, &line, &column))
        return;
    struct slice shown = find_line(text, line);
    if (shown.n == 0 || shown.n > SHOWN_BYTES_MAX)
        return;
    str_putf(out, "%6lld | ", (long long)line);
    put_shown(shown, out);
    str_put(out, "\n       | ");
    put_caret(shown, column, out);
}
