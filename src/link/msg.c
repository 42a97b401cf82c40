/* Encoding and decoding of messages: one table says which fields a type has, one walk writes them
 * and one reads them. Must never trust a byte of a packet, nor keep anything of it. */
#include "link/msg.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "link/wire.h"

/* Fields, in the order in which they travel. */
enum {
    HAS_NAME = BIT(0),
    HAS_TEXT = BIT(1),
    HAS_NUMBER = BIT(2),
    HAS_STATUS = BIT(3),
    HAS_FLAG = BIT(4),
    HAS_LIST = BIT(5),
    HAS_START = BIT(6),
};

static const struct type_info {
    const char *name;
    unsigned fields;
} types[LINK_TYPE_MAX] = {
    [LINK_LISTEN] = { "LISTEN", HAS_TEXT | HAS_NUMBER },
    [LINK_UNLISTEN] = { "UNLISTEN", HAS_TEXT },
    [LINK_START] = { "START", HAS_START },
    [LINK_SIGNAL] = { "SIGNAL", HAS_NAME | HAS_NUMBER },
    [LINK_LIST] = { "LIST", 0 },
    [LINK_PROXY_CONFIG] = { "PROXY_CONFIG", HAS_TEXT | HAS_NUMBER },
    [LINK_READY] = { "READY", HAS_TEXT },
    [LINK_EXIT] = { "EXIT", HAS_TEXT | HAS_NUMBER | HAS_FLAG },
    [LINK_KEEPER] = { "KEEPER", HAS_TEXT | HAS_NUMBER | HAS_FLAG },
    [LINK_LISTENING] = { "LISTENING", HAS_NAME | HAS_TEXT | HAS_NUMBER },
    [LINK_STARTED] = { "STARTED", HAS_NAME | HAS_TEXT | HAS_NUMBER | HAS_STATUS | HAS_FLAG },
    [LINK_RUNNING] = { "RUNNING", HAS_NAME | HAS_TEXT | HAS_NUMBER | HAS_FLAG },
    [LINK_EXITED] = { "EXITED", HAS_NAME | HAS_NUMBER | HAS_STATUS | HAS_FLAG },
    [LINK_LIST_END] = { "LIST_END", 0 },
    [LINK_PROXY] = { "PROXY", HAS_NUMBER },
    [LINK_TERM] = { "TERM", HAS_NUMBER },
    [LINK_HUP] = { "HUP", 0 },
    [LINK_LISTENERS] = { "LISTENERS", HAS_LIST },
    [LINK_CONTROLLER] = { "CONTROLLER", 0 },
    [LINK_QUIT] = { "QUIT", 0 },
    [LINK_HANDOVER] = { "HANDOVER", HAS_NUMBER | HAS_LIST },
    [LINK_SNAPSHOT] = { "SNAPSHOT", HAS_NUMBER },
    [LINK_LOG] = { "LOG", 0 },
    [LINK_HELLO] = { "HELLO", HAS_NUMBER },
    [LINK_APPLIED] = { "APPLIED", HAS_NUMBER },
    [LINK_DRAINED] = { "DRAINED", HAS_NAME | HAS_NUMBER },
    [LINK_EJECTED] = { "EJECTED", HAS_NAME | HAS_TEXT | HAS_NUMBER | HAS_FLAG },
    [LINK_IDLE] = { "IDLE", 0 },
    [LINK_REFUSED] = { "REFUSED", HAS_TEXT | HAS_NUMBER },
};

/* The single fields of struct link_start; argv and env follow them. */
enum start_kind { START_TEXT, START_NUMBER, START_FLAG };

#define START_FIELD(member, kind)                 \
    {                                             \
        offsetof(struct link_start, member), kind \
    }

static const struct start_field {
    size_t offset;
    enum start_kind kind;
} start_fields[] = {
    START_FIELD(name, START_TEXT),
    START_FIELD(meta, START_TEXT),
    START_FIELD(task, START_FLAG),
    START_FIELD(deadline_us, START_NUMBER),
    START_FIELD(directory, START_TEXT),
    START_FIELD(user, START_TEXT),
    START_FIELD(group, START_TEXT),
    START_FIELD(log_path, START_TEXT),
    START_FIELD(open_files_max, START_NUMBER),
    START_FIELD(memory_bytes_max, START_NUMBER),
    START_FIELD(processes_max, START_NUMBER),
    START_FIELD(core_bytes_max, START_NUMBER),
};

static const struct type_info *type_info_of(uint64_t type)
{
    return type < LINK_TYPE_MAX && types[type].name ? &types[type] : NULL;
}

const char *link_type_name(enum link_type type)
{
    const struct type_info *info = type_info_of((uint64_t)type);
    return info ? info->name : "?";
}

static void put_list(struct wire_writer *w, const struct slice *list, uint32_t count, uint32_t max)
{
    assert(count <= max);
    wire_put(w, count, 4);
    for (uint32_t i = 0; i < count; i++)
        wire_put_text(w, list[i]);
}

static void get_list(struct wire_reader *r, struct slice *list, uint32_t *count, uint32_t max)
{
    *count = (uint32_t)wire_get_in(r, 4, 0, max);
    for (uint32_t i = 0; i < *count && !r->bad; i++)
        list[i] = wire_get_text(r, LINK_BYTES_MAX);
}

static void put_start(struct wire_writer *w, const struct link_start *start)
{
    for (size_t i = 0; i < ARRAY_LEN(start_fields); i++) {
        const void *p = (const char *)start + start_fields[i].offset;
        switch (start_fields[i].kind) {
        case START_TEXT:
            wire_put_text(w, *(const struct slice *)p);
            break;
        case START_NUMBER:
            wire_put(w, (uint64_t) * (const int64_t *)p, 8);
            break;
        case START_FLAG:
            wire_put(w, *(const bool *)p, 1);
            break;
        }
    }
    put_list(w, start->argv, start->argc, LINK_LIST_MAX);
    put_list(w, start->env, start->envc, LINK_LIST_MAX);
}

static void get_start(struct wire_reader *r, struct link_start *start)
{
    for (size_t i = 0; i < ARRAY_LEN(start_fields); i++) {
        void *p = (char *)start + start_fields[i].offset;
        switch (start_fields[i].kind) {
        case START_TEXT:
            *(struct slice *)p = wire_get_text(r, LINK_BYTES_MAX);
            break;
        case START_NUMBER:
            *(int64_t *)p = (int64_t)wire_get(r, 8);
            break;
        case START_FLAG:
            *(bool *)p = wire_get_in(r, 1, 0, 1) != 0;
            break;
        }
    }
    get_list(r, start->argv, &start->argc, LINK_LIST_MAX);
    get_list(r, start->env, &start->envc, LINK_LIST_MAX);
}

int link_encode(const struct link_msg *m, void *buf, size_t cap)
{
    const struct type_info *info = type_info_of((uint64_t)m->type);
    assert(info);
    struct wire_writer w = { .p = buf, .cap = MIN(cap, (size_t)LINK_BYTES_MAX) };
    wire_put(&w, LINK_VERSION, 2);
    wire_put(&w, (uint64_t)m->type, 2);
    if (info->fields & HAS_NAME)
        wire_put_text(&w, m->name);
    if (info->fields & HAS_TEXT)
        wire_put_text(&w, m->text);
    if (info->fields & HAS_NUMBER)
        wire_put(&w, (uint64_t)m->number, 8);
    if (info->fields & HAS_STATUS)
        wire_put(&w, (uint64_t)m->status, 8);
    if (info->fields & HAS_FLAG)
        wire_put(&w, m->flag, 1);
    if (info->fields & HAS_LIST)
        put_list(&w, m->list, m->list_count, LINK_FDS_MAX);
    if (info->fields & HAS_START) {
        assert(m->start);
        put_start(&w, m->start);
    }
    return w.n <= w.cap ? (int)w.n : -EMSGSIZE;
}

static void get_fields(struct wire_reader *r, unsigned fields, struct link_msg *m)
{
    if (fields & HAS_NAME)
        m->name = wire_get_text(r, LINK_BYTES_MAX);
    if (fields & HAS_TEXT)
        m->text = wire_get_text(r, LINK_BYTES_MAX);
    if (fields & HAS_NUMBER)
        m->number = (int64_t)wire_get(r, 8);
    if (fields & HAS_STATUS)
        m->status = (int64_t)wire_get(r, 8);
    if (fields & HAS_FLAG)
        m->flag = wire_get_in(r, 1, 0, 1) != 0;
    if (fields & HAS_LIST)
        get_list(r, m->list, &m->list_count, LINK_FDS_MAX);
    if (fields & HAS_START)
        get_start(r, m->start);
}

int link_decode(const void *buf, size_t bytes, struct link_start *start, struct link_msg *ret,
                struct err *err)
{
    struct wire_reader r = { .p = buf, .left = bytes };
    if (bytes > LINK_BYTES_MAX)
        return err_set(err, -EPROTO, "link: a message of %zu bytes is too long", bytes);
    uint64_t version = wire_get(&r, 2);
    uint64_t type = wire_get(&r, 2);
    const struct type_info *info = type_info_of(type);
    if (r.bad || version != LINK_VERSION)
        return err_set(err, -EPROTO, "link: the peer speaks version %u, not %u: restart plimsoll",
                       (unsigned)version, LINK_VERSION);
    if (!info)
        return err_set(err, -EPROTO, "link: unknown message type %u", (unsigned)type);
    if ((info->fields & HAS_START) && !start)
        return err_set(err, -EPROTO, "link: a %s is not expected here", info->name);
    struct link_msg m = { .type = (enum link_type)type,
                          .name = SLICE(""),
                          .text = SLICE(""),
                          .start = info->fields & HAS_START ? start : NULL };
    get_fields(&r, info->fields, &m);
    if (r.bad || r.left > 0)
        return err_set(err, -EPROTO, "link: a %s of %zu bytes %s", info->name, bytes,
                       r.bad ? "ends early or holds what it may not" : "has bytes left over");
    *ret = m;
    return 0;
}
