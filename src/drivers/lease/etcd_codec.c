/* The gateway's words: https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ and rpc.proto. */
#include "drivers/lease/etcd_codec.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "drivers/lease/base64.h"

#define VALUE_MAX 1024
#define LEADER "leader"
#define MEMBERS "members/"
#define LEASE_DIGITS_MAX 16

static void json_freep(json_t **j)
{
    json_decref(*j);
}
#define _cleanup_json_ _cleanup_(json_freep)

int etcd_names_init(struct etcd_names *n, const struct lease_conf *conf, const char *member,
                    const char *url)
{
    size_t bytes = strlen(conf->etcd.prefix);
    while (bytes > 0 && conf->etcd.prefix[bytes - 1] == '/')
        bytes--;
    size_t all = fmt(n->directory, sizeof(n->directory), "%.*s/%s/", (int)bytes, conf->etcd.prefix,
                     conf->cluster);
    n->member = member;
    n->url = url;
    all += sizeof(MEMBERS "/") + strlen(member) + LEASE_DIGITS_MAX;
    return all < ETCD_KEY_MAX ? 0 : -ENAMETOOLONG;
}

const char *etcd_path(enum elect_op op)
{
    static const char *const paths[ELECT_OP_MAX] = {
        [ELECT_GRANT] = "/v3/lease/grant",   [ELECT_KEEP] = "/v3/lease/keepalive",
        [ELECT_READ] = "/v3/kv/range",       [ELECT_CAMPAIGN] = "/v3/kv/txn",
        [ELECT_REGISTER] = "/v3/kv/put",     [ELECT_WATCH] = "/v3/watch",
        [ELECT_REVOKE] = "/v3/lease/revoke",
    };
    return paths[op];
}

/* --- writing --- */

static json_t *number(int64_t value)
{
    char text[24];
    fmt(text, sizeof(text), "%lld", (long long)value);
    return json_string(text);
}

static json_t *bytes64(const char *text)
{
    char coded[BASE64_BYTES(VALUE_MAX)];
    size_t n = strlen(text);
    base64_write(coded, text, MIN(n, (size_t)VALUE_MAX));
    return json_string(coded);
}

static json_t *key64(const struct etcd_names *n, const char *key)
{
    char whole[ETCD_KEY_MAX];
    fmt(whole, sizeof(whole), "%s%s", n->directory, key);
    return bytes64(whole);
}

/* Everything below the directory: up to the directory with its last byte one larger. */
static json_t *directory(const struct etcd_names *n)
{
    char end[ETCD_KEY_MAX];
    (void)str_copy(end, sizeof(end), n->directory);
    end[strlen(end) - 1]++;
    return json_pack("{s:o, s:o}", "key", key64(n, ""), "range_end", bytes64(end));
}

static json_t *put(const struct etcd_names *n, const char *key, int64_t lease)
{
    json_t *who = json_pack("{s:s, s:s}", "name", n->member, "url", n->url);
    char *text = who ? json_dumps(who, JSON_COMPACT) : NULL;
    json_t *j = json_pack("{s:o, s:o, s:o}", "key", key64(n, key), "value",
                          bytes64(text ? text : "{}"), "lease", number(lease));
    free(text);
    json_decref(who);
    return j;
}

static json_t *put_member(const struct etcd_names *n, int64_t lease)
{
    char key[ETCD_KEY_MAX];
    fmt(key, sizeof(key), MEMBERS "%s/%llx", n->member, (unsigned long long)lease);
    return put(n, key, lease);
}

static json_t *campaign(const struct etcd_names *n, int64_t lease)
{
    return json_pack("{s:[{s:s, s:s, s:o}], s:[{s:o}, {s:o}], s:[{s:o}]}",  //
                     "compare", "target", "CREATE", "create_revision", "0", //
                     "key", key64(n, LEADER),                               //
                     "success", "request_put", put(n, LEADER, lease),       //
                     "request_range", directory(n),                         //
                     "failure", "request_range", directory(n));
}

static json_t *body(const struct etcd_names *n, const struct elect_request *q)
{
    switch (q->op) {
    case ELECT_GRANT:
        return json_pack("{s:o}", "TTL", number(q->ttl_us / US_PER_S));
    case ELECT_KEEP:
    case ELECT_REVOKE:
        return json_pack("{s:o}", "ID", number(q->lease));
    case ELECT_READ:
        return directory(n);
    case ELECT_CAMPAIGN:
        return campaign(n, q->lease);
    case ELECT_REGISTER:
        return put_member(n, q->lease);
    default:
        return json_pack("{s:o}", "create_request", directory(n));
    }
}

char *etcd_body(const struct etcd_names *n, const struct elect_request *q)
{
    _cleanup_json_ json_t *j = body(n, q);
    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

char *etcd_body_login(const char *user, const char *password)
{
    _cleanup_json_ json_t *j = json_pack("{s:s, s:s}", "name", user, "password", password);
    return j ? json_dumps(j, JSON_COMPACT) : NULL;
}

/* --- reading --- */

/* Text or number; `ret` untouched and false when there is none. */
static bool get_number(const json_t *j, const char *name, int64_t *ret)
{
    const json_t *v = json_object_get(j, name);
    if (json_is_integer(v)) {
        *ret = json_integer_value(v);
        return true;
    }
    const char *text = json_string_value(v);
    return text && num_parse_i64(slice_of(text), ret) == 0;
}

static struct slice get_text(const json_t *j, const char *name)
{
    const json_t *v = json_object_get(j, name);
    return (struct slice){ json_string_value(v) ?: "", json_string_length(v) };
}

/* Everything that is not plain text would spoil the log. */
static void put_error(char error[ETCD_ERROR_MAX], const char *text)
{
    size_t n = 0;
    for (; text[n] && n < ETCD_ERROR_MAX - 1; n++)
        error[n] = text[n] < ' ' || text[n] == 127 ? ' ' : text[n];
    error[n] = '\0';
}

static int refused(const json_t *j, char error[ETCD_ERROR_MAX])
{
    const json_t *inner = json_object_get(j, "error");
    const char *text = json_string_value(json_object_get(j, "message"))
                           ?: json_string_value(inner)
                           ?: json_string_value(json_object_get(inner, "message"));
    put_error(error, text && text[0] ? text : "it refuses");
    return -EREMOTEIO;
}

static int strange(char error[ETCD_ERROR_MAX])
{
    put_error(error, "the answer is not etcd's: is this the address of its clients?");
    return -EPROTO;
}

/* The JSON object, or NULL with an error in *ret_rc. */
static json_t *parse(struct slice text, int *ret_rc, char error[ETCD_ERROR_MAX])
{
    json_t *j = json_loadb(text.p, text.n, JSON_DISABLE_EOF_CHECK, NULL);
    if (json_is_object(j) && !json_object_get(j, "error"))
        return j;
    *ret_rc = json_is_object(j) ? refused(j, error) : strange(error);
    json_decref(j);
    return NULL;
}

bool etcd_is_answer(struct slice body, char error[ETCD_ERROR_MAX])
{
    int rc = -EREMOTEIO;
    _cleanup_json_ json_t *j = parse(body, &rc, error);
    if (j && !json_object_get(j, "header") && !json_object_get(j, "result"))
        rc = strange(error);
    return rc != -EPROTO;
}

/* A URL or a name that will stand in texts: printing ASCII without spaces. */
static bool get_word(const json_t *j, const char *name, char *ret, size_t cap)
{
    struct slice text = get_text(j, name);
    for (size_t i = 0; i < text.n; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            text.n = 0;
    return str_copy(ret, cap, text.n > 0 ? text.p : "");
}

/* The key behind the directory; false = not below it, or no text. */
static bool read_key(const struct etcd_names *n, const json_t *kv, char key[ETCD_KEY_MAX])
{
    char whole[ETCD_KEY_MAX];
    size_t skip = strlen(n->directory);
    long bytes = base64_read(whole, sizeof(whole), get_text(kv, "key"));
    if (bytes < (long)skip || strlen(whole) != (size_t)bytes ||
        memcmp(whole, n->directory, skip) != 0)
        return false;
    return str_copy(key, ETCD_KEY_MAX, whole + skip);
}

/* Who a key's value speaks of; false = nobody. */
static bool read_who(const struct etcd_names *n, const json_t *kv, struct lease_member *ret)
{
    char value[VALUE_MAX];
    *ret = (struct lease_member){ 0 };
    long bytes = base64_read(value, sizeof(value), get_text(kv, "value"));
    _cleanup_json_ json_t *who = bytes > 0 ? json_loadb(value, (size_t)bytes, 0, NULL) : NULL;
    (void)get_word(who, "url", ret->url, sizeof(ret->url));
    if (!get_word(who, "name", ret->name, sizeof(ret->name)) || !ret->name[0])
        return false;
    ret->self = strcmp(ret->name, n->member) == 0 && strcmp(ret->url, n->url) == 0;
    return true;
}

/* The lease that a key is under; one that is under none is somebody's all the same. */
static int64_t lease_of(const json_t *kv)
{
    int64_t lease = 0;
    return get_number(kv, "lease", &lease) && lease != 0 ? lease : -1;
}

static int read_leader(const struct etcd_names *n, const json_t *kv, struct elect_view *view,
                       struct etcd_group *group)
{
    int64_t created = 0;
    if (!get_number(kv, "create_revision", &created) || created <= 0)
        return -EPROTO;
    view->leader_lease = lease_of(kv);
    view->leader_token = (uint64_t)created;
    group->has_leader = read_who(n, kv, &group->leader);
    return 0;
}

static bool is_same(const struct lease_member *a, const struct lease_member *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(a->url, b->url) == 0;
}

static void read_member(const struct etcd_names *n, const char *name, const json_t *kv,
                        struct elect_view *view, struct etcd_group *group)
{
    struct lease_member m;
    size_t bytes = strcspn(name, "/");
    if (!read_who(n, kv, &m) || strlen(m.name) != bytes || strncmp(name, m.name, bytes) != 0)
        return;
    if (n->lease != 0 && lease_of(kv) == n->lease)
        view->self_lease = n->lease;
    else
        group->has_twin |= strcmp(m.name, n->member) == 0;
    for (size_t i = 0; i < group->count; i++)
        if (is_same(&group->members[i], &m))
            return; /* from before it was started again */
    if (group->count < LEASE_MEMBERS_MAX)
        group->members[group->count++] = m;
}

/* So that nobody gets lost among those who go by a name. What is behind the "~" is in no name that
 * can be configured. */
static void tell_apart(struct etcd_group *g)
{
    char text[LEASE_NAME_MAX + 8];
    for (size_t i = g->count; i-- > 1;) {
        size_t before = 0;
        for (size_t k = 0; k < i; k++)
            before += strcmp(g->members[k].name, g->members[i].name) == 0;
        if (before == 0)
            continue;
        bool leads = g->has_leader && is_same(&g->leader, &g->members[i]);
        fmt(text, sizeof(text), "%.*s~%zu", LEASE_NAME_MAX - 5, g->members[i].name, before + 1);
        str_copy(g->members[i].name, LEASE_NAME_MAX, text);
        if (leads)
            str_copy(g->leader.name, LEASE_NAME_MAX, text);
    }
}

static int read_keys(const struct etcd_names *n, const json_t *kvs, struct elect_view *view,
                     struct etcd_group *group)
{
    int rc = 0;
    char key[ETCD_KEY_MAX];
    *group = (struct etcd_group){ 0 };
    for (size_t i = 0; i < json_array_size(kvs) && rc == 0; i++) {
        const json_t *kv = json_array_get(kvs, i);
        if (!read_key(n, kv, key))
            continue;
        if (strcmp(key, LEADER) == 0)
            rc = read_leader(n, kv, view, group);
        else if (strncmp(key, MEMBERS, strlen(MEMBERS)) == 0)
            read_member(n, key + strlen(MEMBERS), kv, view, group);
    }
    tell_apart(group);
    return rc;
}

/* The keys that a range, or the last part of a transaction, brought. */
static const json_t *keys_of(const json_t *answer, enum elect_op op)
{
    if (op == ELECT_READ)
        return answer;
    const json_t *parts = json_object_get(answer, "responses");
    size_t count = json_array_size(parts);
    return count > 0 ? json_object_get(json_array_get(parts, count - 1), "response_range") : NULL;
}

int etcd_read(const struct etcd_names *n, enum elect_op op, struct slice text,
              struct elect_event *ret, struct etcd_group *group, char error[ETCD_ERROR_MAX])
{
    int rc = 0;
    int64_t ttl_s = 0, term = 0;
    _cleanup_json_ json_t *whole = parse(text, &rc, error);
    if (!whole)
        return rc;
    const json_t *j = op == ELECT_KEEP ? json_object_get(whole, "result") : whole;
    if (!get_number(json_object_get(j, "header"), "raft_term", &term))
        return strange(error);
    *ret = (struct elect_event){ .type = ELECT_ANSWER, .term = (uint64_t)term };
    if (op == ELECT_GRANT || op == ELECT_KEEP) {
        get_number(j, "TTL", &ttl_s); /* a lease that is gone has none */
        ret->ttl_us = us_mul(CLAMP(ttl_s, 0, 1000000), US_PER_S);
        if (!get_number(j, "ID", &ret->lease))
            return strange(error);
    }
    if (op == ELECT_READ || op == ELECT_CAMPAIGN) {
        const json_t *keys = keys_of(j, op);
        if (!keys || read_keys(n, json_object_get(keys, "kvs"), &ret->view, group) < 0)
            return strange(error);
    }
    return 0;
}

int etcd_read_login(struct slice text, char *ret, size_t cap, char error[ETCD_ERROR_MAX])
{
    int rc = 0;
    _cleanup_json_ json_t *j = parse(text, &rc, error);
    if (!j)
        return rc;
    return get_word(j, "token", ret, cap) && ret[0] ? 0 : strange(error);
}

enum etcd_watch_line etcd_read_watch(struct slice line, char error[ETCD_ERROR_MAX])
{
    int rc = 0;
    _cleanup_json_ json_t *j = parse(line, &rc, error);
    const json_t *result = json_object_get(j, "result");
    if (!result) {
        if (j)
            strange(error);
        return ETCD_WATCH_OVER;
    }
    if (json_is_true(json_object_get(result, "canceled"))) {
        put_error(error, json_string_value(json_object_get(result, "cancel_reason")) ?: "canceled");
        return ETCD_WATCH_OVER;
    }
    if (json_is_true(json_object_get(result, "created")))
        return ETCD_WATCH_OPEN;
    return json_array_size(json_object_get(result, "events")) > 0 ? ETCD_WATCH_CHANGED
                                                                  : ETCD_WATCH_ALIVE;
}
