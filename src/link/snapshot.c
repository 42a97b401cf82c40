/* The snapshot's encoding: a table per struct says what it holds, where and in which range; one
 * walk measures and writes, one reads. Must never hand on a snapshot that could lead its reader
 * outside an array: indices, slots and counts are checked here, once. */
#include "link/snapshot.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "link/gauges.h"
#include "link/wire.h"

#define SNAPSHOT_MAGIC 0x504c5353u /* "PLSS" */
#define WEIGHT_MAX 1000

enum kind {
    KIND_BOOL,
    KIND_U32,
    KIND_I64,
    KIND_TEXT,     /* char[size] */
    KIND_NUMBERS,  /* uint32_t count, uint32_t[] */
    KIND_TEXTS,    /* uint32_t count, char[][size] */
    KIND_NETWORKS, /* uint32_t count, struct snapshot_network[] */
    KIND_RECORDS,  /* uint32_t count, pointer to structs of another table */
};

struct record;

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
    size_t size;      /* of a text, with its NUL */
    size_t count;     /* where the number of items is */
    int64_t min, max; /* of a number, or of each of a list's */
    uint32_t items_max;
    const struct record *record;
};

struct record {
    size_t bytes; /* in memory */
    size_t wire_bytes_min;
    size_t field_count;
    const struct field *fields;
};

#define FIELD(type, member, k, ...)                                                        \
    {                                                                                      \
        .name = #member, .kind = (k), .offset = offsetof(struct type, member), __VA_ARGS__ \
    }
#define SIZE_OF(type, member) sizeof(((struct type *)0)->member)
#define TEXT(type, member) FIELD(type, member, KIND_TEXT, .size = SIZE_OF(type, member))
#define U32(type, member, lo, hi) FIELD(type, member, KIND_U32, .min = (lo), .max = (hi))
#define TIME(type, member) FIELD(type, member, KIND_I64, .min = 0, .max = US_NEVER)
#define COUNT(type, member, n) .count = offsetof(struct type, member), .items_max = (n)

static const struct field instance_fields[] = {
    TEXT(snapshot_instance, name),
    U32(snapshot_instance, number, 0, UINT32_MAX),
    U32(snapshot_instance, slot, 0, GAUGES_INSTANCES_MAX - 1),
    U32(snapshot_instance, weight, 1, WEIGHT_MAX),
    FIELD(snapshot_instance, draining, KIND_BOOL),
    TIME(snapshot_instance, ready_us),
    TEXT(snapshot_instance, address),
};

static const struct record instance_record = {
    .bytes = sizeof(struct snapshot_instance),
    .wire_bytes_min = 4 + 4 + 4 + 4 + 1 + 8 + 4,
    .field_count = ARRAY_LEN(instance_fields),
    .fields = instance_fields,
};

static const struct field service_fields[] = {
    TEXT(snapshot_service, name),
    U32(snapshot_service, slot, 0, GAUGES_SERVICES_MAX - 1),
    U32(snapshot_service, protocol, 0, SNAPSHOT_TCP),
    TEXT(snapshot_service, balance),
    FIELD(snapshot_service, listener, KIND_NUMBERS, .max = SNAPSHOT_LISTENERS_MAX - 1,
          COUNT(snapshot_service, listener_count, SNAPSHOT_SERVICE_LISTENERS_MAX)),
    FIELD(snapshot_service, host, KIND_TEXTS, .size = SIZE_OF(snapshot_service, host[0]),
          COUNT(snapshot_service, host_count, SNAPSHOT_HOSTS_MAX)),
    TEXT(snapshot_service, path),
    U32(snapshot_service, max_concurrency, 0, UINT32_MAX),
    U32(snapshot_service, queue_length, 0, UINT32_MAX),
    TIME(snapshot_service, queue_deadline_us),
    TIME(snapshot_service, header_timeout_us),
    TIME(snapshot_service, body_timeout_us),
    TIME(snapshot_service, idle_timeout_us),
    TIME(snapshot_service, connect_timeout_us),
    TIME(snapshot_service, response_timeout_us),
    TIME(snapshot_service, upstream_idle_us),
    U32(snapshot_service, retry_attempts, 0, UINT32_MAX),
    U32(snapshot_service, header_bytes_max, 0, UINT32_MAX),
    U32(snapshot_service, header_count_max, 0, UINT32_MAX),
    U32(snapshot_service, uri_bytes_max, 0, UINT32_MAX),
    U32(snapshot_service, eject_failures, 0, UINT32_MAX),
    TIME(snapshot_service, eject_us),
    TIME(snapshot_service, slow_start_us),
    TIME(snapshot_service, drain_us),
    FIELD(snapshot_service, starting, KIND_BOOL),
    TEXT(snapshot_service, unavailable),
    FIELD(snapshot_service, instances, KIND_RECORDS, .record = &instance_record,
          COUNT(snapshot_service, instance_count, GAUGES_INSTANCES_MAX)),
};

static const struct record service_record = {
    .bytes = sizeof(struct snapshot_service),
    .wire_bytes_min = 6 * 4 + 10 * 8, /* a floor is enough: it only bounds what is allocated */
    .field_count = ARRAY_LEN(service_fields),
    .fields = service_fields,
};

static const struct field snapshot_fields[] = {
    FIELD(snapshot, generation, KIND_I64, .min = INT64_MIN, .max = INT64_MAX),
    FIELD(snapshot, stopping, KIND_BOOL),
    U32(snapshot, connections_max, 0, UINT32_MAX),
    FIELD(snapshot, listeners, KIND_TEXTS, .size = SIZE_OF(snapshot, listeners[0]),
          COUNT(snapshot, listener_count, SNAPSHOT_LISTENERS_MAX)),
    FIELD(snapshot, trust, KIND_NETWORKS, COUNT(snapshot, trust_count, SNAPSHOT_TRUST_MAX)),
    FIELD(snapshot, services, KIND_RECORDS, .record = &service_record,
          COUNT(snapshot, service_count, GAUGES_SERVICES_MAX)),
};

static const struct record snapshot_record = {
    .bytes = sizeof(struct snapshot),
    .field_count = ARRAY_LEN(snapshot_fields),
    .fields = snapshot_fields,
};

static_assert(sizeof(enum snapshot_protocol) == sizeof(uint32_t), "travels as KIND_U32");
static_assert(sizeof(bool) == 1, "travels as KIND_BOOL");

/* --- writing --- */

static void put_record(struct wire_writer *w, const struct record *record, const char *base);

static void put_text(struct wire_writer *w, const char *text, size_t size)
{
    wire_put_text(w, (struct slice){ text, strnlen(text, size - 1) });
}

static void put_items(struct wire_writer *w, const struct field *f, const char *base)
{
    const char *p = base + f->offset;
    uint32_t count = *(const uint32_t *)(const void *)(base + f->count);
    assert(count <= f->items_max);
    wire_put(w, count, 4);
    for (uint32_t i = 0; i < count; i++) {
        if (f->kind == KIND_NUMBERS) {
            wire_put(w, ((const uint32_t *)(const void *)p)[i], 4);
        } else if (f->kind == KIND_TEXTS) {
            put_text(w, p + i * f->size, f->size);
        } else if (f->kind == KIND_NETWORKS) {
            const struct snapshot_network *n = (const struct snapshot_network *)(const void *)p + i;
            wire_put_bytes(w, n->address, sizeof(n->address));
            wire_put(w, n->prefix_bits, 1);
        } else {
            const char *records;
            memcpy(&records, p, sizeof(records)); /* whatever it points to: a pointer's bytes */
            put_record(w, f->record, records + i * f->record->bytes);
        }
    }
}

static void put_record(struct wire_writer *w, const struct record *record, const char *base)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct field *f = &record->fields[i];
        const void *p = base + f->offset;
        if (f->kind == KIND_BOOL)
            wire_put(w, *(const bool *)p, 1);
        else if (f->kind == KIND_U32)
            wire_put(w, *(const uint32_t *)p, 4);
        else if (f->kind == KIND_I64)
            wire_put(w, (uint64_t) * (const int64_t *)p, 8);
        else if (f->kind == KIND_TEXT)
            put_text(w, p, f->size);
        else
            put_items(w, f, base);
    }
}

static void put_snapshot(struct wire_writer *w, const struct snapshot *s)
{
    wire_put(w, SNAPSHOT_MAGIC, 4);
    wire_put(w, SNAPSHOT_VERSION, 4);
    put_record(w, &snapshot_record, (const char *)s);
}

size_t snapshot_size(const struct snapshot *s)
{
    struct wire_writer w = { 0 };
    put_snapshot(&w, s);
    return w.n;
}

int snapshot_encode(const struct snapshot *s, void *buf, size_t cap, size_t *ret_bytes)
{
    struct wire_writer w = { .p = buf, .cap = cap };
    put_snapshot(&w, s);
    if (w.n > cap)
        return -ENOBUFS;
    *ret_bytes = w.n;
    return 0;
}

/* --- reading --- */

struct decoder {
    struct wire_reader r;
    struct arena *arena;
    struct err *err;
};

static int get_record(struct decoder *d, const struct record *record, char *base);

static void get_text(struct wire_reader *r, char *text, size_t size)
{
    struct slice s = wire_get_text(r, size - 1);
    memcpy(text, s.p, s.n);
    memset(text + s.n, 0, size - s.n);
}

static void get_network(struct wire_reader *r, struct snapshot_network *n)
{
    const uint8_t *p = wire_get_bytes(r, sizeof(n->address));
    if (p)
        memcpy(n->address, p, sizeof(n->address));
    n->prefix_bits = (uint8_t)wire_get_in(r, 1, 0, 128);
}

static int get_records(struct decoder *d, const struct field *f, char *base, uint32_t count)
{
    const struct record *record = f->record;
    /* What is allocated stays in proportion to what was sent. */
    if (d->r.bad || count > d->r.left / record->wire_bytes_min)
        return err_set(d->err, -EPROTO, "snapshot: %u %s do not fit into what is left", count,
                       f->name);
    char *items = arena_alloc_array(d->arena, count, record->bytes);
    if (!items)
        return err_set(d->err, -ENOMEM, "snapshot: no memory for %u %s", count, f->name);
    memcpy(base + f->offset, &items, sizeof(items));
    for (uint32_t i = 0; i < count; i++) {
        int rc = get_record(d, record, items + i * record->bytes);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int get_items(struct decoder *d, const struct field *f, char *base)
{
    char *p = base + f->offset;
    uint32_t count = (uint32_t)wire_get_in(&d->r, 4, 0, f->items_max);
    *(uint32_t *)(void *)(base + f->count) = count;
    if (f->kind == KIND_RECORDS)
        return get_records(d, f, base, count);
    for (uint32_t i = 0; i < count && !d->r.bad; i++) {
        if (f->kind == KIND_NUMBERS)
            ((uint32_t *)(void *)p)[i] = (uint32_t)wire_get_in(&d->r, 4, f->min, f->max);
        else if (f->kind == KIND_TEXTS)
            get_text(&d->r, p + i * f->size, f->size);
        else
            get_network(&d->r, (struct snapshot_network *)(void *)p + i);
    }
    return 0;
}

static int get_record(struct decoder *d, const struct record *record, char *base)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const struct field *f = &record->fields[i];
        void *p = base + f->offset;
        int rc = 0;
        if (f->kind == KIND_BOOL)
            *(bool *)p = wire_get_in(&d->r, 1, 0, 1) != 0;
        else if (f->kind == KIND_U32)
            *(uint32_t *)p = (uint32_t)wire_get_in(&d->r, 4, f->min, f->max);
        else if (f->kind == KIND_I64)
            *(int64_t *)p = wire_get_in(&d->r, 8, f->min, f->max);
        else if (f->kind == KIND_TEXT)
            get_text(&d->r, p, f->size);
        else
            rc = get_items(d, f, base);
        if (rc < 0)
            return rc;
        if (d->r.bad)
            return err_set(d->err, -EPROTO, "snapshot: %s ends early or is out of range", f->name);
    }
    return 0;
}

/* Slots index the gauges, and two things in one slot would spoil each other's counts. */
static bool take_slot(uint64_t *taken, uint32_t slot)
{
    uint64_t bit = UINT64_C(1) << (slot % 64);
    bool free = !(taken[slot / 64] & bit);
    taken[slot / 64] |= bit;
    return free;
}

static int check_references(const struct snapshot *s, struct err *err)
{
    uint64_t services[GAUGES_SERVICES_MAX / 64] = { 0 };
    uint64_t instances[GAUGES_INSTANCES_MAX / 64] = { 0 };
    for (uint32_t i = 0; i < s->service_count; i++) {
        const struct snapshot_service *service = &s->services[i];
        if (!take_slot(services, service->slot))
            return err_set(err, -EPROTO, "snapshot: two services in slot %u", service->slot);
        for (uint32_t k = 0; k < service->listener_count; k++)
            if (service->listener[k] >= s->listener_count)
                return err_set(err, -EPROTO, "snapshot: %s: no listener %u", service->name,
                               service->listener[k]);
        for (uint32_t k = 0; k < service->instance_count; k++)
            if (!take_slot(instances, service->instances[k].slot))
                return err_set(err, -EPROTO, "snapshot: two instances in slot %u",
                               service->instances[k].slot);
    }
    return 0;
}

int snapshot_decode(const void *buf, size_t bytes, struct arena *arena, struct snapshot *ret,
                    struct err *err)
{
    struct decoder d = { .r = { .p = buf, .left = bytes }, .arena = arena, .err = err };
    struct snapshot s = { 0 };
    if (wire_get(&d.r, 4) != SNAPSHOT_MAGIC || wire_get(&d.r, 4) != SNAPSHOT_VERSION)
        return err_set(err, -EPROTO, "snapshot: not a snapshot of version %u", SNAPSHOT_VERSION);
    int rc = get_record(&d, &snapshot_record, (char *)&s);
    if (rc < 0)
        return rc;
    if (d.r.left > 0)
        return err_set(err, -EPROTO, "snapshot: %zu bytes left over", d.r.left);
    rc = check_references(&s, err);
    if (rc < 0)
        return rc;
    *ret = s;
    return 0;
}
