/* The loop of `status --watch`: it asks, draws, and takes keys. It changes nothing in what it
 * watches; a controller that does not answer is waited for. */
#include "cli/watch.h"

#include <curses.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "cli/watch_int.h"
#include "sys/clock.h"

#define EVERY_US US_PER_S
#define ANSWER_S 2 /* longer, and it does not answer */
#define KEY_ESCAPE 27

/* -- asking ------------------------------------------------------------------------------------ */

static json_t *ask(struct watch *w, struct remote *c, const char *path)
{
    struct remote_answer answer = { 0 };
    struct err err = { 0 };
    int rc = remote_ask(c, "GET", path, NULL, &answer, &err);
    if (rc < 0) {
        const char *text = rc == -ENOENT ? "no plimsoll is running there" : err.text;
        fmt(w->trouble, sizeof(w->trouble), "%s", text);
        return NULL;
    }
    json_t *json = answer.status == 200 ? json_loads(answer.body, 0, NULL) : NULL;
    if (!json)
        fmt(w->trouble, sizeof(w->trouble), "it answers with status %ld", answer.status);
    free(answer.body);
    return json;
}

static void take(json_t **place, json_t *json)
{
    if (!json)
        return;
    json_decref(*place);
    *place = json;
}

static void ask_page(struct watch *w, struct remote *c)
{
    char path[512];
    if (w->page == WATCH_EVENTS)
        take(&w->page_json, ask(w, c, "/v1/events?limit=200"));
    else if (w->page == WATCH_WHY && w->selected[0] &&
             remote_path(path, sizeof(path), "/v1/services/", w->selected, "/why?limit=20") == 0)
        take(&w->page_json, ask(w, c, path));
}

static void refresh_all(struct watch *w, struct remote *c)
{
    w->trouble[0] = '\0';
    take(&w->status, ask(w, c, "/v1/status"));
    watch_select(w, watch_selected(w));
    if (!w->trouble[0])
        ask_page(w, c);
}

/* -- selecting --------------------------------------------------------------------------------- */

int watch_selected(const struct watch *w)
{
    const json_t *services = json_object_get(w->status, "services"), *service;
    size_t i;
    json_array_foreach(services, i, service)
    {
        if (strcmp(show_text(service, "name"), w->selected) == 0)
            return (int)i;
    }
    return json_array_size(services) > 0 ? 0 : -1;
}

void watch_select(struct watch *w, int index)
{
    const json_t *services = json_object_get(w->status, "services");
    int count = (int)json_array_size(services);
    const char *name =
        count > 0 ? show_text(json_array_get(services, (size_t)CLAMP(index, 0, count - 1)), "name")
                  : "";
    if (strcmp(name, w->selected) == 0)
        return;
    str_copy(w->selected, sizeof(w->selected), name);
    if (w->page != WATCH_EVENTS)
        w->scroll = 0;
}

/* -- keys -------------------------------------------------------------------------------------- */

static void move_by(struct watch *w, int services)
{
    watch_select(w, watch_selected(w) + services);
}

static void scroll_by(struct watch *w, int lines)
{
    size_t up = lines < 0 ? (size_t)-lines : 0;
    w->scroll = lines < 0 ? w->scroll - MIN(up, w->scroll) : w->scroll + (size_t)lines;
}

/* To a page; from it, back to the events. */
static void turn_to(struct watch *w, int page)
{
    enum watch_page to = w->page == (enum watch_page)page ? WATCH_EVENTS : (enum watch_page)page;
    if (to == w->page)
        return;
    w->page = to;
    w->scroll = 0;
    json_decref(w->page_json);
    w->page_json = NULL;
}

static const struct {
    int key;
    void (*act)(struct watch *w, int how);
    int how;
} keys[] = {
    { KEY_UP, move_by, -1 },
    { 'k', move_by, -1 },
    { KEY_DOWN, move_by, 1 },
    { 'j', move_by, 1 },
    { KEY_PPAGE, scroll_by, -10 },
    { KEY_NPAGE, scroll_by, 10 },
    { 'w', turn_to, WATCH_WHY },
    { 'i', turn_to, WATCH_INSTANCES },
    { 'm', turn_to, WATCH_MEMBERS },
    { 'e', turn_to, WATCH_EVENTS },
    { KEY_ESCAPE, turn_to, WATCH_EVENTS },
};

/* True = what is on the screen must be read anew. */
static bool on_key(struct watch *w, int key)
{
    char before[WATCH_NAME_BYTES];
    enum watch_page page = w->page;
    memcpy(before, w->selected, sizeof(before));
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        if (keys[i].key == key)
            keys[i].act(w, keys[i].how);
    return page != w->page || (w->page == WATCH_WHY && strcmp(before, w->selected) != 0);
}

/* -- the loop ---------------------------------------------------------------------------------- */

/* The terminal is asked: the signal may have come while nobody listened, and a terminal that got
 * smaller has moved what was on it. */
static void fit_screen(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_row == 0 || size.ws_col == 0 ||
        !is_term_resized(size.ws_row, size.ws_col))
        return;
    resizeterm(size.ws_row, size.ws_col);
    clearok(curscr, true);
}

static void loop(struct watch *w, struct remote *c)
{
    int64_t next_us = 0;
    int key = ERR;
    while (key != 'q' && key != 'Q') {
        if (clock_now_us() >= next_us) {
            refresh_all(w, c);
            next_us = clock_now_us() + EVERY_US;
        }
        watch_fill(w);
        fit_screen();
        watch_draw(w);
        timeout((int)MAX((next_us - clock_now_us()) / US_PER_MS, 1));
        key = getch(); /* a change of the window's size is one too */
        if (key != ERR && on_key(w, key))
            next_us = 0;
    }
}

static int begin_screen(SCREEN **ret)
{
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return command_fail(COMMAND_USAGE, "--watch needs a terminal; `plimsoll status` and "
                                           "`plimsoll status --json` do not");
    set_escdelay(50);
    *ret = newterm(NULL, stdout, stdin);
    if (!*ret) {
        const char *name = getenv("TERM");
        return command_fail(COMMAND_FAILED, "this terminal (TERM=%s) is not known",
                            name ? name : "");
    }
    cbreak();
    noecho();
    keypad(stdscr, true);
    curs_set(0);
    return 0;
}

int watch(const struct options *o)
{
    static struct watch w;
    _cleanup_remote_ struct remote *c = NULL;
    SCREEN *screen = NULL;
    if (options_flag(o, "json"))
        return command_fail(COMMAND_USAGE, "--watch and --json do not go together");
    int rc = remote_open(o, &c);
    if (rc == 0)
        rc = begin_screen(&screen);
    if (rc != 0)
        return rc;
    remote_set_timeout(c, ANSWER_S);
    loop(&w, c);
    endwin();
    delscreen(screen);
    json_decref(w.status);
    json_decref(w.page_json);
    return COMMAND_OK;
}
