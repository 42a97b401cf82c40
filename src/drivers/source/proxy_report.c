/* Reports as JSON. Two tables say which numbers a service and an instance have; writing and reading
 * walk the same. What comes from another machine is believed only within its bounds. */
#include "drivers/source/proxy_report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"

struct field {
    const char *name;
    size_t offset;
    size_t count; /* > 1: an array */
    bool wide;    /* 64 bits */
};

#define NUMBER(type, member)                                      \
    {                                                             \
#member, offsetof(struct type, member), 1,                \
            sizeof(((struct type *)0)->member) == sizeof(int64_t) \
    }
#define NUMBERS(type, member)                                                               \
    {                                                                                       \
#member, offsetof(struct type, member), ARRAY_LEN(((struct type *)0)->member), true \
    }

static const struct field report_fields[] = {
    NUMBER(proxy_report, pid),
    NUMBER(proxy_report, started_us),
    NUMBER(proxy_report, at_us),
    NUMBER(proxy_report, generation),
};

static const struct field service_fields[] = {
    NUMBER(proxy_reading, in_flight), NUMBER(proxy_reading, queued),
    NUMBER(proxy_reading, tunnels),   NUMBER(proxy_reading, requests),
    NUMBER(proxy_reading, arrivals),  NUMBERS(proxy_reading, responses),
    NUMBERS(proxy_reading, errors),   NUMBER(proxy_reading, retries),
    NUMBER(proxy_reading, bytes_in),  NUMBER(proxy_reading, bytes_out),
    NUMBER(proxy_reading, busy_us),   NUMBER(proxy_reading, latency_sum_us),
};

static const struct field instance_fields[] = {
    NUMBER(proxy_instance, number),  NUMBER(proxy_instance, in_flight),
    NUMBER(proxy_instance, tunnels), NUMBER(proxy_instance, requests),
    NUMBER(proxy_instance, errors),
};

struct proxy_report *proxy_report_new(size_t services)
{
    struct proxy_report *r = calloc(1, sizeof(*r));
    if (r)
        r->services = calloc(MAX(services, (size_t)1), sizeof(*r->services));
    if (r && !r->services) {
        free(r);
        return NULL;
    }
    return r;
}

void proxy_report_free(struct proxy_report *r)
{
    for (size_t i = 0; r && i < r->service_count; i++) {
        free(r->services[i].instances);
        free(r->services[i].drained);
    }
    if (r)
        free(r->services);
    free(r);
}

/* --- writing --- */

static uint64_t load(const void *from, const struct field *f, size_t n)
{
    const char *p = (const char *)from + f->offset;
    return f->wide ? ((const uint64_t *)(const void *)p)[n] : *(const uint32_t *)(const void *)p;
}

static json_t *number_json(uint64_t n)
{
    return json_integer((json_int_t)MIN(n, (uint64_t)INT64_MAX));
}

static json_t *list_json(const void *from, const struct field *f)
{
    json_t *list = json_array();
    for (size_t i = 0; i < f->count; i++)
        json_array_append_new(list, number_json(load(from, f, i)));
    return list;
}

static json_t *fields_json(const void *from, const struct field *fields, size_t count)
{
    json_t *json = json_object();
    for (const struct field *f = fields; f < fields + count; f++)
        json_object_set_new(json, f->name,
                            f->count > 1 ? list_json(from, f) : number_json(load(from, f, 0)));
    return json;
}

/* Most buckets are empty: [[bucket, count], ...]. */
static json_t *latency_json(const uint64_t *latency)
{
    json_t *list = json_array();
    for (int i = 0; i < GAUGES_BUCKETS; i++)
        if (latency[i] > 0)
            json_array_append_new(list, json_pack("[i, o]", i, number_json(latency[i])));
    return list;
}

static json_t *instances_json(const struct proxy_report_service *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->instance_count; i++) {
        json_t *one = fields_json(&s->instances[i], instance_fields, ARRAY_LEN(instance_fields));
        json_object_set_new(one, "ejected", json_boolean(s->instances[i].ejected));
        json_array_append_new(list, one);
    }
    return list;
}

static json_t *service_json(const struct proxy_report_service *s)
{
    json_t *json = fields_json(&s->reading, service_fields, ARRAY_LEN(service_fields));
    json_t *drained = json_array();
    for (size_t i = 0; i < s->drained_count; i++)
        json_array_append_new(drained, number_json(s->drained[i]));
    json_object_set_new(json, "latency", latency_json(s->reading.latency));
    json_object_set_new(json, "instances", instances_json(s));
    json_object_set_new(json, "drained", drained);
    return json;
}

json_t *proxy_report_json(const struct proxy_report *r)
{
    json_t *json = fields_json(r, report_fields, ARRAY_LEN(report_fields));
    json_t *services = json_object();
    int64_t age_us = r->pid != 0 ? r->at_us - r->started_us : 0;
    for (size_t i = 0; i < r->service_count; i++)
        json_object_set_new(services, r->services[i].name, service_json(&r->services[i]));
    json_object_set_new(json, "age_us", json_integer(age_us));
    json_object_set_new(json, "services", services);
    return json;
}

/* --- reading --- */

static bool get_number(const json_t *json, uint64_t max, uint64_t *ret)
{
    json_int_t n = json_integer_value(json);
    if (!json_is_integer(json) || n < 0 || (uint64_t)n > max)
        return false;
    *ret = (uint64_t)n;
    return true;
}

static void keep(void *to, const struct field *f, size_t n, uint64_t value)
{
    char *p = (char *)to + f->offset;
    if (f->wide)
        ((uint64_t *)(void *)p)[n] = value;
    else
        *(uint32_t *)(void *)p = (uint32_t)value;
}

static bool read_field(const json_t *json, const struct field *f, void *to)
{
    uint64_t max = f->wide ? INT64_MAX : UINT32_MAX, value;
    if (f->count > 1 && json_array_size(json) != f->count)
        return false;
    for (size_t i = 0; i < f->count; i++) {
        if (!get_number(f->count > 1 ? json_array_get(json, i) : json, max, &value))
            return false;
        keep(to, f, i, value);
    }
    return true;
}

static int read_fields(const json_t *json, const struct field *fields, size_t count, void *to,
                       struct err *err)
{
    for (const struct field *f = fields; f < fields + count; f++)
        if (!read_field(json_object_get(json, f->name), f, to))
            return err_set(err, -EPROTO, "\"%s\" is not what it should be", f->name);
    return 0;
}

static int read_latency(const json_t *list, uint64_t *latency, struct err *err)
{
    if (!json_is_array(list))
        return err_set(err, -EPROTO, "\"latency\" is no list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *pair = json_array_get(list, i);
        uint64_t bucket, count;
        if (!get_number(json_array_get(pair, 0), GAUGES_BUCKETS - 1, &bucket) ||
            !get_number(json_array_get(pair, 1), INT64_MAX, &count))
            return err_set(err, -EPROTO, "\"latency\" has something that is no bucket");
        latency[bucket] = count;
    }
    return 0;
}

/* Room for a list's items; an absent list, or one that is none, has none. */
static int list_room(const json_t *list, size_t item_bytes, void *ret_items)
{
    if (json_array_size(list) > GAUGES_INSTANCES_MAX)
        return -EPROTO;
    void *items = calloc(MAX(json_array_size(list), (size_t)1), item_bytes);
    *(void **)ret_items = items;
    return items ? 0 : -ENOMEM;
}

static int read_instances(const json_t *list, struct proxy_report_service *s, struct err *err)
{
    int rc = list_room(list, sizeof(*s->instances), &s->instances);
    if (rc < 0)
        return err_set(err, rc, "\"instances\" cannot be kept");
    for (size_t i = 0; rc == 0 && i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        struct proxy_instance *to = &s->instances[s->instance_count++];
        to->ejected = json_is_true(json_object_get(one, "ejected"));
        rc = read_fields(one, instance_fields, ARRAY_LEN(instance_fields), to, err);
    }
    return rc;
}

static int read_drained(const json_t *list, struct proxy_report_service *s, struct err *err)
{
    int rc = list_room(list, sizeof(*s->drained), &s->drained);
    if (rc < 0)
        return err_set(err, rc, "\"drained\" cannot be kept");
    for (size_t i = 0; i < json_array_size(list); i++) {
        uint64_t number;
        if (!get_number(json_array_get(list, i), UINT32_MAX, &number))
            return err_set(err, -EPROTO, "\"drained\" has something that is no instance");
        s->drained[s->drained_count++] = (uint32_t)number;
    }
    return 0;
}

static int read_service(const char *name, const json_t *json, struct proxy_report_service *s,
                        struct err *err)
{
    if (strlen(name) >= sizeof(s->name))
        return err_set(err, -EPROTO, "a service's name is too long");
    str_copy(s->name, sizeof(s->name), name);
    int rc = read_fields(json, service_fields, ARRAY_LEN(service_fields), &s->reading, err);
    if (rc == 0)
        rc = read_latency(json_object_get(json, "latency"), s->reading.latency, err);
    if (rc == 0)
        rc = read_instances(json_object_get(json, "instances"), s, err);
    if (rc == 0)
        rc = read_drained(json_object_get(json, "drained"), s, err);
    return rc;
}

static int read_report(const json_t *json, struct proxy_report *r, struct err *err)
{
    const char *name;
    json_t *one;
    int rc = read_fields(json, report_fields, ARRAY_LEN(report_fields), r, err);
    json_object_foreach(json_object_get(json, "services"), name, one)
    {
        if (rc == 0)
            rc = read_service(name, one, &r->services[r->service_count++], err);
    }
    for (size_t i = 0; i < r->service_count; i++)
        r->services[i].reading.at_us = r->at_us;
    return rc;
}

int proxy_report_read(const char *text, size_t bytes, struct proxy_report **ret, struct err *err)
{
    json_error_t error;
    json_t *json = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    size_t services = json_object_size(json_object_get(json, "services"));
    if (!json || services > GAUGES_SERVICES_MAX) {
        json_decref(json);
        return err_set(err, -EPROTO, "the answer is no report of a proxy%s%s", json ? "" : ": ",
                       json ? "" : error.text);
    }
    struct proxy_report *r = proxy_report_new(services);
    int rc = r ? read_report(json, r, err) : err_set(err, -ENOMEM, "no memory for a report");
    json_decref(json);
    if (rc < 0) {
        proxy_report_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

/* --- looking --- */

const struct proxy_report_service *proxy_report_find(const struct proxy_report *r,
                                                     const char *service)
{
    for (size_t i = 0; r && i < r->service_count; i++)
        if (strcmp(r->services[i].name, service) == 0)
            return &r->services[i];
    return NULL;
}

const struct proxy_instance *proxy_report_instance(const struct proxy_report_service *s,
                                                   uint32_t number)
{
    for (size_t i = 0; s && i < s->instance_count; i++)
        if (s->instances[i].number == number)
            return &s->instances[i];
    return NULL;
}

bool proxy_report_has_drained(const struct proxy_report_service *s, uint32_t number)
{
    for (size_t i = 0; i < s->drained_count; i++)
        if (s->drained[i] == number)
            return true;
    return false;
}

bool proxy_report_same_life(const struct proxy_report *a, const struct proxy_report *b)
{
    return a && b && a->pid == b->pid && a->started_us == b->started_us;
}
