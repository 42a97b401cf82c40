/* What is on the screen, shared by watch.c (the loop and the keys) and watch_draw.c, watch_page.c
 * (what it looks like). Private to watch*.c. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define WATCH_LINES_MAX 400
#define WATCH_LINE_BYTES 256
#define WATCH_NAME_BYTES 128

enum watch_page { WATCH_EVENTS, WATCH_WHY, WATCH_INSTANCES, WATCH_MEMBERS, WATCH_PAGE_MAX };

/* The lower part of the screen, as text. */
struct watch_lines {
    char text[WATCH_LINES_MAX][WATCH_LINE_BYTES];
    size_t count;
};

struct watch {
    json_t *status;    /* the newest there is; NULL = none yet */
    json_t *page_json; /* what the page shows, or NULL */
    char trouble[256]; /* why there is none newer; "" = it answers */
    enum watch_page page;
    char selected[WATCH_NAME_BYTES]; /* the service's name: its place may change */
    size_t scroll;                   /* lines of the page that are above its first */
    size_t first;                    /* services above the first on the screen */
    struct watch_lines lines;
};

/* -1 = there are none. */
int watch_selected(const struct watch *w);
void watch_select(struct watch *w, int index);

/* watch_draw.c */
void watch_draw(struct watch *w);

/* watch_page.c: the page's lines, made of what was read. */
void watch_fill(struct watch *w);
const char *watch_page_title(enum watch_page p);
