/* What commands print for people: aligned tables, times, sizes. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHOW_COLUMNS_MAX 24
#define SHOW_CELL_BYTES 192

/* Rows of text, printed with every column as wide as its widest cell. */
struct show_table {
    size_t column_count;
    bool right[SHOW_COLUMNS_MAX]; /* numbers stand right */
    char (*cells)[SHOW_CELL_BYTES];
    size_t cell_count, cell_cap;
};

/* "SERVICE", ">READY": '>' in front makes a column stand right. The list ends with NULL. */
void show_table_init(struct show_table *t, const char *const *heads);
void show_table_add(struct show_table *t, const char *text);
void show_table_add_i64(struct show_table *t, int64_t value);
void show_table_print(const struct show_table *t, const char *indent);
void show_table_done(struct show_table *t);

/* A text as a terminal may have it: control characters become blanks, in the value itself. "" when
 * it is none. */
const char *show_string(json_t *value);
/* Values of a JSON object, with an answer for what is absent or null. */
const char *show_text(const json_t *object, const char *key); /* "", as show_string() */
int64_t show_i64(const json_t *object, const char *key);      /* 0 */
double show_double(const json_t *object, const char *key, double fallback);

/* ISO 8601 from the API: seconds since 1970, -1 when unreadable. */
int64_t show_parse_time(const char *iso);
/* "3m12s" since then; "" when unknown. */
void show_age(char *buf, size_t cap, const char *iso);
/* "09:15:04", with the date when it is not today. */
void show_time(char *buf, size_t cap, const char *iso);
void show_bytes(char *buf, size_t cap, int64_t bytes);
/* "backlog (redis) 12", or what is wrong with it. */
void show_source(char *buf, size_t cap, const json_t *source);
/* At most `decimals` digits behind the point; "-" for null. */
void show_number(char *buf, size_t cap, const json_t *value, int decimals);
/* "shop: pool-at-max for 5m: 10 of at most 10 instances, ..." */
void show_alert(char *buf, size_t cap, const json_t *alert);
/* "b http://10.0.0.2:7575: silent for 7s: connection refused", and who it is in the group. */
void show_member(char *buf, size_t cap, const json_t *member);
/* "engine docker does not answer: no engine at unix:///run/docker.sock" */
void show_engine(char *buf, size_t cap, const json_t *engine);
/* "09:15:04  instance   shop-3: started" */
void show_event(char *buf, size_t cap, const json_t *event);
/* What a service's numbers do not say: mode, operator, trouble; "" = nothing. */
void show_note(char *buf, size_t cap, const json_t *service);
