/* The screen of `status --watch`, from top to bottom: who is there and what is wrong, the services,
 * a page about one of them or about all, and the keys. In a window that is too small the least
 * important columns and lines are left out. */
#include <curses.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/fmt.h"
#include "base/str.h"
#include "cli/show.h"
#include "cli/watch_int.h"

#define WRONG_LINES_MAX 6
/* Where there is a page too, at most one in so many lines shows a service. */
#define SERVICES_SHARE 2

#define NOTE_LINES_MAX 3

/* A line of at most the screen's width; one that was longer ends in dots. */
static _printf_(3, 4) void line(int row, int attributes, const char *format, ...)
{
    char text[WATCH_LINE_BYTES * 2];
    va_list args;
    if (row < 0 || row >= LINES)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *p = text; *p; p++) /* some of it was said by others, and curses is without locale */
        if ((unsigned char)*p < ' ' || (unsigned char)*p >= 127)
            *p = (unsigned char)*p < ' ' ? ' ' : '?';
    if (COLS > 3 && strlen(text) > (size_t)COLS)
        fmt(text + COLS - 3, sizeof("..."), "...");
    attrset(attributes);
    mvaddnstr(row, 0, text, COLS);
    attrset(A_NORMAL);
}

/* -- what is there and what is wrong ----------------------------------------------------------- */

static size_t count_silent(const json_t *members)
{
    const json_t *member;
    size_t i, silent = 0;
    json_array_foreach(members, i, member) silent +=
        json_is_true(json_object_get(member, "silent"));
    return silent;
}

static int draw_head(const struct watch *w)
{
    const json_t *root = w->status, *group = json_object_get(root, "group");
    const json_t *members = json_object_get(group, "members");
    size_t count = json_array_size(members), silent = count_silent(members);
    const char *leader = show_text(group, "leader");
    char age[64], text[256];
    struct str s;
    str_init(&s, text, sizeof(text));
    show_age(age, sizeof(age), show_text(root, "since"));
    str_putf(&s, "plimsoll %s  up %s  lease %s", show_text(root, "version"), age,
             show_text(root, "lease"));
    if (count > 0)
        str_putf(&s, "  leader %s  %zu members", leader[0] ? leader : "unknown", count);
    if (silent > 0)
        str_putf(&s, ", %zu silent", silent);
    str_putf(&s, "  %lld connections",
             (long long)show_i64(json_object_get(root, "proxy"), "connections"));
    line(0, A_BOLD, "%s", root ? text : "plimsoll");
    return 1;
}

/* Up to `cap` lines; the last says how many more there are. */
struct wrong {
    int row, last;
    size_t more;
};

static _printf_(2, 3) void put_wrong(struct wrong *x, const char *format, ...)
{
    char text[WATCH_LINE_BYTES];
    va_list args;
    if (x->row >= x->last) {
        x->more++;
        return;
    }
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    line(x->row++, A_BOLD | COLOR_PAIR(1), "%s", text);
}

static void put_engines(struct wrong *x, const json_t *engines)
{
    const json_t *engine;
    size_t i;
    json_array_foreach(engines, i, engine)
    {
        char text[WATCH_LINE_BYTES];
        show_engine(text, sizeof(text), engine);
        if (!json_is_true(json_object_get(engine, "up")))
            put_wrong(x, "%s", text);
    }
}

static int draw_wrong(const struct watch *w, int row, int last)
{
    struct wrong x = { .row = row, .last = MIN(row + WRONG_LINES_MAX, last) };
    json_t *one;
    size_t i;
    char text[WATCH_LINE_BYTES];
    if (w->trouble[0])
        put_wrong(&x, "not answering: %s", w->trouble);
    if (strcmp(show_text(w->status, "mode"), "stopping") == 0)
        put_wrong(&x, "stopping: everything is being drained and stopped");
    json_array_foreach(json_object_get(w->status, "alerts"), i, one)
    {
        show_alert(text, sizeof(text), one);
        if (strcmp(show_text(one, "state"), "firing") == 0)
            put_wrong(&x, "alert %s", text);
    }
    json_array_foreach(json_object_get(w->status, "troubles"), i, one)
        put_wrong(&x, "trouble: %s", show_string(one));
    put_engines(&x, json_object_get(w->status, "engines"));
    if (x.more > 0)
        line(x.row - 1, A_BOLD | COLOR_PAIR(1), "and %zu more: `plimsoll status`", x.more + 1);
    return x.row;
}

/* -- services ---------------------------------------------------------------------------------- */

static void put_cpu(char *buf, size_t cap, const json_t *service)
{
    const json_t *instance;
    double sum = 0, count = 0;
    size_t i;
    json_array_foreach(json_object_get(service, "instances"), i, instance)
    {
        double cpu = show_double(instance, "cpu", -1);
        sum += cpu >= 0 ? cpu : 0;
        count += cpu >= 0;
    }
    if (count > 0)
        fmt(buf, cap, "%d%%", (int)(100 * sum / count + 0.5));
    else
        str_copy(buf, cap, "-");
}

static void put_load(char *buf, size_t cap, const json_t *service)
{
    fmt(buf, cap, "%lld+%lld", (long long)show_i64(service, "in_flight"),
        (long long)show_i64(service, "queued"));
}

/* Right of the name; the first are there in the narrowest window. */
static const struct column {
    const char *head, *key; /* a number of the service, unless `put` makes the text */
    int width, decimals;
    void (*put)(char *buf, size_t cap, const json_t *service);
} columns[] = {
    { "DESIRED", "desired", 8, 0, NULL },   { "READY", "ready", 6, 0, NULL },
    { "STARTING", "starting", 9, 0, NULL }, { "LOAD", NULL, 10, 0, put_load },
    { "CPU", NULL, 6, 0, put_cpu },         { "RPS", "rps", 9, 1, NULL },
    { "P99-MS", "p99_ms", 9, 1, NULL },     { "MAX", "max", 5, 0, NULL },
};

#define NAME_WIDTH_MIN 8

static void put_row(const json_t *service, char *buf, size_t cap)
{
    int name = NAME_WIDTH_MIN, left;
    size_t count = 0;
    for (left = COLS - name; count < ARRAY_LEN(columns) && left >= columns[count].width; count++)
        left -= columns[count].width;
    name += CLAMP(left, 0, 16);
    left -= name - NAME_WIDTH_MIN;
    size_t n = (size_t)snprintf(buf, cap, "%-*.*s", name, name,
                                service ? show_text(service, "name") : "SERVICE");
    for (size_t i = 0; i < count; i++) {
        const struct column *c = &columns[i];
        char text[64];
        if (!service)
            str_copy(text, sizeof(text), c->head);
        else if (c->put)
            c->put(text, sizeof(text), service);
        else
            show_number(text, sizeof(text), json_object_get(service, c->key), c->decimals);
        n += (size_t)snprintf(buf + MIN(n, cap), cap - MIN(n, cap), "%*s", c->width, text);
    }
    if (left > 2 && service)
        snprintf(buf + MIN(n, cap), cap - MIN(n, cap), "  %s", show_text(service, "trouble"));
}

/* Below the table, where there is room for all of it: what the selected one's numbers do not say.
 */
static int draw_note(const json_t *service, int row, int last)
{
    char text[SHOW_CELL_BYTES * 2], note[SHOW_CELL_BYTES];
    show_note(note, sizeof(note), service);
    if (!note[0] || COLS < 1)
        return row;
    size_t n = fmt(text, sizeof(text), "%s: %s", show_text(service, "name"), note);
    last = MIN(last, row + NOTE_LINES_MAX);
    for (size_t at = 0; at < n && row < last; at += (size_t)COLS, row++)
        line(row, A_BOLD, "%.*s", row + 1 < last ? COLS : (int)(n - at), text + at);
    return row;
}

/* As many as there is room for, the selected one among them. */
static int draw_services(struct watch *w, int row, int last)
{
    const json_t *services = json_object_get(w->status, "services");
    char text[WATCH_LINE_BYTES * 2];
    int selected = watch_selected(w);
    size_t count = json_array_size(services), room = (size_t)MAX(last - row - 1, 1);
    put_row(NULL, text, sizeof(text));
    line(row++, A_UNDERLINE, "%s", text);
    if (selected >= 0 && (size_t)selected < w->first)
        w->first = (size_t)selected;
    if (selected >= 0 && (size_t)selected >= w->first + room)
        w->first = (size_t)selected + 1 - room;
    if (w->first + room > count)
        w->first = count > room ? count - room : 0;
    for (size_t i = w->first; i < MIN(count, w->first + room); i++) {
        put_row(json_array_get(services, i), text, sizeof(text));
        line(row++, (int)i == selected ? A_REVERSE : A_NORMAL, "%-*s", COLS, text);
    }
    return draw_note(json_array_get(services, (size_t)MAX(selected, 0)), row, LINES - 1);
}

/* -- the page and the keys --------------------------------------------------------------------- */

static void draw_page(struct watch *w, int row, int last)
{
    size_t room = (size_t)MAX(last - row - 1, 0), count = w->lines.count;
    if (row + 1 >= last)
        return;
    w->scroll = MIN(w->scroll, count > room ? count - room : 0);
    line(row++, A_UNDERLINE, "%-*s", COLS, watch_page_title(w->page));
    for (size_t i = w->scroll; i < count && row < last; i++)
        line(row++, A_NORMAL, "%s", w->lines.text[i]);
}

void watch_draw(struct watch *w)
{
    static bool coloured;
    if (!coloured && has_colors()) {
        start_color();
        use_default_colors();
        init_pair(1, COLOR_RED, -1);
        coloured = true;
    }
    erase();
    int keys = LINES - 1, row = draw_head(w);
    /* Two lines of services stay, whatever is wrong. */
    row = draw_wrong(w, row, MAX(keys - 3, row));
    size_t count = json_array_size(json_object_get(w->status, "services"));
    int half = row + MAX((keys - row) / SERVICES_SHARE, 2);
    row = draw_services(w, row, MIN(keys, MIN(half, row + 1 + (int)MIN(count, (size_t)LINES))));
    draw_page(w, row + 1, keys);
    line(keys, A_NORMAL,
         "q quit  arrows select  w why  i instances  m members  e events  PgUp/PgDn more");
    refresh();
}
