/* Reads the system's time zone files. Owns the format TZif and the choice of the years that matter;
 * what a local time means there is core/cron's business. */
#include "config/zone.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "config/tables.h"
#include "config/zone_rule.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"
#define HEADER_BYTES 44u
#define YEAR_S (INT64_C(366) * 86400)
#define YEARS_AHEAD 10

struct header {
    char version;
    uint32_t isutc, isstd, leap, time, type, chars;
};

/* The years that matter, and the zone that grows. */
struct window {
    int64_t from_s, to_s;
    struct zone_conf *zone;
};

static uint64_t big_endian(const unsigned char *p, size_t bytes)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | p[i];
    return value;
}

static int read_header(const unsigned char *p, size_t bytes, struct header *ret)
{
    if (bytes < HEADER_BYTES || memcmp(p, "TZif", 4) != 0)
        return -EINVAL;
    *ret = (struct header){
        .version = (char)p[4],
        .isutc = (uint32_t)big_endian(p + 20, 4),
        .isstd = (uint32_t)big_endian(p + 24, 4),
        .leap = (uint32_t)big_endian(p + 28, 4),
        .time = (uint32_t)big_endian(p + 32, 4),
        .type = (uint32_t)big_endian(p + 36, 4),
        .chars = (uint32_t)big_endian(p + 40, 4),
    };
    return ret->version < '2' || ret->type == 0 ? -EINVAL : 0;
}

/* Of the data block that follows a header, with times of 4 or 8 bytes. */
static uint64_t block_bytes(const struct header *h, uint64_t time_bytes)
{
    return h->time * (time_bytes + 1) + h->type * UINT64_C(6) + h->chars +
           h->leap * (time_bytes + 4) + h->isstd + (uint64_t)h->isutc;
}

static void add_transition(struct window *w, int64_t at_s, int32_t offset_s)
{
    struct zone_conf *z = w->zone;
    uint32_t n = z->transition_count;
    if (at_s <= w->from_s) {
        z->offset_s = offset_s;
        return;
    }
    if (n > 0 && z->transition[n - 1].at_s == at_s) {
        z->transition[n - 1].offset_s = offset_s;
        return;
    }
    int32_t current_s = n > 0 ? z->transition[n - 1].offset_s : z->offset_s;
    if (at_s > w->to_s || n == ZONE_TRANSITIONS_MAX || offset_s == current_s)
        return;
    z->transition[n].at_s = at_s;
    z->transition[n].offset_s = offset_s;
    z->transition_count++;
}

static int add_written(struct window *w, const struct header *h, const unsigned char *p,
                       int64_t *ret_last_s)
{
    const unsigned char *index = p + (size_t)h->time * 8, *type = index + h->time;
    *ret_last_s = INT64_MIN;
    w->zone->offset_s = (int32_t)big_endian(type, 4);
    for (uint32_t i = 0; i < h->time; i++) {
        int64_t at_s = (int64_t)big_endian(p + (size_t)i * 8, 8);
        if (index[i] >= h->type || at_s < *ret_last_s)
            return -EINVAL;
        add_transition(w, at_s, (int32_t)big_endian(type + (size_t)index[i] * 6, 4));
        *ret_last_s = at_s;
    }
    return 0;
}

/* What the footer's rule says after the last transition that is written out. */
static void add_ruled(struct window *w, const struct zone_rule *r, int64_t last_s)
{
    if (!r->has_summer)
        return;
    for (int year = zone_year_of(w->from_s) - 1; year <= zone_year_of(w->to_s); year++) {
        int64_t start_s, end_s;
        zone_rule_year(r, year, &start_s, &end_s);
        bool north = start_s < end_s; /* in the south summer begins late in the year */
        int64_t at_s[2] = { north ? start_s : end_s, north ? end_s : start_s };
        for (int i = 0; i < 2; i++)
            if (at_s[i] > last_s)
                add_transition(w, at_s[i], (i == 0) == north ? r->summer_s : r->standard_s);
    }
}

static int add_footer(struct window *w, const unsigned char *p, size_t bytes, int64_t last_s)
{
    const unsigned char *end = bytes > 1 && p[0] == '\n' ? memchr(p + 1, '\n', bytes - 1) : NULL;
    struct zone_rule rule;
    if (!end)
        return -EINVAL;
    struct slice text = { (const char *)p + 1, (size_t)(end - p) - 1 };
    if (text.n == 0) /* no rule: it stays as it is */
        return 0;
    int rc = zone_rule_parse(text, &rule);
    if (rc == 0)
        add_ruled(w, &rule, last_s);
    return rc;
}

int zone_parse(const unsigned char *data, size_t bytes, int64_t now_wall_s, struct zone_conf *zone)
{
    struct header first, h;
    int64_t last_s;
    /* Times before 1970 or beyond year 3000 come from a wrong clock; the rules are kept sane. */
    int64_t now_s = CLAMP(now_wall_s, YEAR_S, 1030 * YEAR_S);
    struct window w = { now_s - YEAR_S, now_s + YEARS_AHEAD * YEAR_S, zone };
    zone->transition_count = 0;
    int rc = read_header(data, bytes, &first);
    if (rc < 0)
        return rc;
    uint64_t skip = HEADER_BYTES + block_bytes(&first, 4);
    if (skip > bytes || read_header(data + skip, bytes - skip, &h) < 0)
        return -EINVAL;
    data += skip + HEADER_BYTES;
    bytes -= skip + HEADER_BYTES;
    uint64_t block = block_bytes(&h, 8);
    if (block > bytes)
        return -EINVAL;
    rc = add_written(&w, &h, data, &last_s);
    return rc < 0 ? rc : add_footer(&w, data + block, bytes - block, last_s);
}

static bool name_ok(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof(((struct zone_conf *)0)->name) || name[0] == '/' ||
        strstr(name, ".."))
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i], lower = c | 0x20;
        if (!(lower >= 'a' && lower <= 'z') && !(c >= '0' && c <= '9') && !strchr("/_+-", c))
            return false;
    }
    return true;
}

static int read_file(const char *path, unsigned char *data, size_t cap, size_t *ret_bytes)
{
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    for (;;) {
        ssize_t got = read(fd, data + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || n + (size_t)got == cap) {
            int rc = got < 0 ? -errno : got > 0 ? -EFBIG : 0;
            close(fd);
            *ret_bytes = n;
            return rc;
        }
        n += (size_t)got;
    }
}

int zone_load(const char *name, int64_t now_wall_s, struct zone_conf *ret, struct err *err)
{
    static const char *const built_in[] = { "UTC", "Etc/UTC" };
    char path[512];
    struct str s;
    struct zone_conf zone = { 0 };
    if (!name_ok(name))
        return err_set(err, -EINVAL, "\"%.60s\" is not a time zone; write one like Europe/Berlin",
                       name);
    str_copy(zone.name, sizeof(zone.name), name);
    for (size_t i = 0; i < ARRAY_LEN(built_in); i++) {
        if (strcmp(name, built_in[i]) == 0) {
            *ret = zone;
            return 0;
        }
    }
    const char *directory = getenv("TZDIR");
    str_init(&s, path, sizeof(path));
    str_putf(&s, "%s/%s", directory && directory[0] ? directory : ZONE_DIRECTORY, name);
    unsigned char *data = malloc(ZONE_FILE_BYTES_MAX);
    if (!data)
        return -ENOMEM;
    size_t bytes = 0;
    int rc = read_file(path, data, ZONE_FILE_BYTES_MAX, &bytes);
    if (rc < 0)
        rc = err_set(err, -EINVAL, "unknown time zone \"%s\": %s cannot be read (%s)", name, path,
                     strerror(-rc));
    else if (zone_parse(data, bytes, now_wall_s, &zone) < 0)
        rc = err_set(err, -EINVAL, "time zone \"%s\": %s is not a time zone file", name, path);
    free(data);
    if (rc == 0)
        *ret = zone;
    return rc;
}

int config_find_zone(struct schema_context *ctx, const char *name, uint32_t *ret, struct err *err)
{
    struct model_conf *m = ctx->model;
    for (uint32_t i = 0; i < m->zone_count; i++) {
        if (strcmp(m->zones[i].name, name) == 0) {
            *ret = i;
            return 0;
        }
    }
    if (m->zone_count == MODEL_ZONES_MAX)
        return err_set(err, -EINVAL, "\"%.48s\" is one time zone too many; at most %d", name,
                       MODEL_ZONES_MAX);
    int rc = zone_load(name, ctx->now_wall_us / US_PER_S, &m->zones[m->zone_count], err);
    if (rc == 0)
        *ret = m->zone_count++;
    return rc;
}
