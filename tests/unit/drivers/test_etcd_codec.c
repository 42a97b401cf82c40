/* What is said to etcd, and what is made of its answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "drivers/lease/base64.h"
#include "drivers/lease/etcd_codec.h"

#define HEADER "\"header\":{\"cluster_id\":\"14\",\"revision\":\"9\",\"raft_term\":\"3\"}"

static struct etcd_names names;

static int set_up(void **state)
{
    static const struct lease_conf conf = { .cluster = "shop", .etcd.prefix = "/plimsoll//" };
    names.lease = 5;
    return etcd_names_init(&names, &conf, "m1", "http://m1:7575");
}

static void test_base64(void **state)
{
    static const struct {
        const char *plain, *coded;
    } rows[] = {
        /* RFC 4648, section 10 */
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "foobar", "Zm9vYmFy" },
        { "\xff\xfe\xfd\xfb\xf0", "//79+/A=" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char coded[64], plain[64];
        base64_write(coded, rows[i].plain, strlen(rows[i].plain));
        assert_string_equal(coded, rows[i].coded);
        assert_int_equal(base64_read(plain, sizeof(plain), slice_of(coded)), strlen(rows[i].plain));
        assert_string_equal(plain, rows[i].plain);
    }
}

static void test_not_base64(void **state)
{
    static const char *const rows[] = { "Z",    "Zg=",      "Zg",    "Z===",
                                        "====", "Zg==Zg==", "Zm9\n", "Z-8=" };
    char plain[64];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(base64_read(plain, sizeof(plain), slice_of(rows[i])), -1);
    assert_int_equal(base64_read(plain, 6, SLICE("Zm9vYmFy")), -1); /* no room for the NUL */
    assert_int_equal(base64_read(plain, 7, SLICE("Zm9vYmFy")), 6);
    assert_int_equal(base64_read(plain, sizeof(plain), (struct slice){ "Zg\0=", 4 }), -1);
}

static void test_bodies(void **state)
{
    static const struct {
        enum elect_op op;
        const char *path, *body;
    } rows[] = {
        { ELECT_GRANT, "/v3/lease/grant", "{\"TTL\":\"5\"}" },
        { ELECT_KEEP, "/v3/lease/keepalive", "{\"ID\":\"7587848943239472601\"}" },
        { ELECT_REVOKE, "/v3/lease/revoke", "{\"ID\":\"7587848943239472601\"}" },
        /* "/plimsoll/shop/" to "/plimsoll/shop0" */
        { ELECT_READ, "/v3/kv/range",
          "{\"key\":\"L3BsaW1zb2xsL3Nob3Av\",\"range_end\":\"L3BsaW1zb2xsL3Nob3Aw\"}" },
        { ELECT_WATCH, "/v3/watch",
          "{\"create_request\":{\"key\":\"L3BsaW1zb2xsL3Nob3Av\",\"range_end\":"
          "\"L3BsaW1zb2xsL3Nob3Aw\"}}" },
        /* "/plimsoll/shop/members/m1/LEASE": {"name":"m1","url":"http://m1:7575"} */
        { ELECT_REGISTER, "/v3/kv/put",
          "{\"key\":\"L3BsaW1zb2xsL3Nob3AvbWVtYmVycy9tMS82OTRkNzQ2OTY3MWNhNWQ5\",\"value\":"
          "\"eyJuYW1lIjoibTEiLCJ1cmwiOiJodHRwOi8vbTE6NzU3NSJ9\",\"lease\":"
          "\"7587848943239472601\"}" },
        { ELECT_CAMPAIGN, "/v3/kv/txn",
          "{\"compare\":[{\"target\":\"CREATE\",\"create_revision\":\"0\",\"key\":"
          "\"L3BsaW1zb2xsL3Nob3AvbGVhZGVy\"}],\"success\":[{\"request_put\":{\"key\":"
          "\"L3BsaW1zb2xsL3Nob3AvbGVhZGVy\",\"value\":"
          "\"eyJuYW1lIjoibTEiLCJ1cmwiOiJodHRwOi8vbTE6NzU3NSJ9\",\"lease\":"
          "\"7587848943239472601\"}},{\"request_range\":{\"key\":\"L3BsaW1zb2xsL3Nob3Av\","
          "\"range_end\":\"L3BsaW1zb2xsL3Nob3Aw\"}}],\"failure\":[{\"request_range\":{\"key\":"
          "\"L3BsaW1zb2xsL3Nob3Av\",\"range_end\":\"L3BsaW1zb2xsL3Nob3Aw\"}}]}" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct elect_request q = { .op = rows[i].op,
                                   .lease = 7587848943239472601,
                                   .ttl_us = 5 * US_PER_S };
        char *body = etcd_body(&names, &q);
        assert_string_equal(body, rows[i].body);
        assert_string_equal(etcd_path(rows[i].op), rows[i].path);
        free(body);
    }
    char *login = etcd_body_login("sh\"op", "p\\w");
    assert_string_equal(login, "{\"name\":\"sh\\\"op\",\"password\":\"p\\\\w\"}");
    free(login);
}

/* As etcd 3.4.23 answered. */
static void test_leases(void **state)
{
    static const struct {
        enum elect_op op;
        const char *body;
        int rc;
        int64_t ttl_us;
        const char *error;
    } rows[] = {
        { ELECT_GRANT, "{" HEADER ",\"ID\":\"88\",\"TTL\":\"5\"}", 0, 5 * US_PER_S, "" },
        { ELECT_GRANT, "{" HEADER ",\"ID\":88,\"TTL\":5}", 0, 5 * US_PER_S, "" },
        { ELECT_KEEP, "{\"result\":{" HEADER ",\"ID\":\"88\",\"TTL\":\"5\"}}\n", 0, 5 * US_PER_S,
          "" },
        { ELECT_KEEP, "{\"result\":{" HEADER ",\"ID\":\"88\"}}\n", 0, 0, "" },
        { ELECT_KEEP, "{\"result\":{" HEADER ",\"ID\":\"88\",\"TTL\":\"-1\"}}\n", 0, 0, "" },
        { ELECT_KEEP, "{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}", -EREMOTEIO, 0,
          "no leader" },
        { ELECT_GRANT, "{\"error\":\"etcdserver: no leader\",\"code\":14}", -EREMOTEIO, 0,
          "etcdserver: no leader" },
        { ELECT_GRANT, "{\"error\":\"a\\nb\"}", -EREMOTEIO, 0, "a b" },
        { ELECT_GRANT, "{" HEADER ",\"TTL\":\"5\"}", -EPROTO, 0, "not etcd's" },
        { ELECT_GRANT, "{\"ID\":\"88\",\"TTL\":\"5\"}", -EPROTO, 0, "not etcd's" },
        { ELECT_GRANT, "<html>", -EPROTO, 0, "not etcd's" },
        { ELECT_GRANT, "", -EPROTO, 0, "not etcd's" },
        { ELECT_GRANT, "[]", -EPROTO, 0, "not etcd's" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct elect_event v;
        struct etcd_group group;
        char error[ETCD_ERROR_MAX] = "";
        assert_int_equal(etcd_read(&names, rows[i].op, slice_of(rows[i].body), &v, &group, error),
                         rows[i].rc);
        assert_non_null(strstr(error, rows[i].error));
        if (rows[i].rc == 0) {
            assert_int_equal(v.lease, 88);
            assert_int_equal(v.term, 3);
            assert_int_equal(v.ttl_us, rows[i].ttl_us);
        }
    }
}

/* A key-value pair as JSON: `key` behind the directory. */
static void put_pair(struct str *s, const char *key, const char *value, const char *lease)
{
    char whole[ETCD_KEY_MAX + 64], key64[1024], value64[400];
    snprintf(whole, sizeof(whole), "%s%s", names.directory, key);
    base64_write(key64, whole, strlen(whole));
    base64_write(value64, value, strlen(value));
    str_putf(s, "%s{\"key\":\"%s\",\"create_revision\":\"6\",\"value\":\"%s\"%s}",
             s->p[s->len - 1] == '}' ? "," : "", key64, value64, lease);
}

#define M1 "{\"name\":\"m1\",\"url\":\"http://m1:7575\"}"
#define M2 "{\"name\":\"m2\",\"url\":\"http://m2:7575\"}"
#define TWIN "{\"name\":\"m1\",\"url\":\"http://elsewhere:7575\"}"
#define UNDER_5 ",\"lease\":\"5\""
#define UNDER_7 ",\"lease\":\"7\""

static const struct {
    const char *keys[3], *values[3], *leases[3];
    int64_t leader_lease, self_lease;
    const char *leader, *members;
    bool twin;
} views[] = {
    { { NULL }, { NULL }, { NULL }, 0, 0, "", "" },
    { { "leader", "members/m1/5", "members/m2/7" },
      { M2, M1, M2 },
      { UNDER_7, UNDER_5, UNDER_7 },
      7,
      5,
      "m2",
      "m1*m2" },
    /* Started again: what was before has not ended. */
    { { "leader", "members/m1/5", "members/m1/7" },
      { M1, M1, M1 },
      { UNDER_7, UNDER_5, UNDER_7 },
      7,
      5,
      "m1",
      "m1*",
      true },
    /* Another machine that is called as we are, behind us and before us. */
    { { "leader", "members/m1/5", "members/m1/7" },
      { TWIN, M1, TWIN },
      { UNDER_7, UNDER_5, UNDER_7 },
      7,
      5,
      "m1~2",
      "m1*m1~2",
      true },
    { { "leader", "members/m1/3", "members/m1/5" },
      { TWIN, TWIN, M1 },
      { ",\"lease\":\"3\"", ",\"lease\":\"3\"", UNDER_5 },
      3,
      5,
      "m1",
      "m1m1~2*",
      true },
    { { "leader" }, { "by hand" }, { "" }, -1, 0, "", "" },
    { { "leader" }, { "{\"name\":\"a b\"}" }, { UNDER_7 }, 7, 0, "", "" },
    { { "members/m3" }, { M2 }, { UNDER_7 }, 0, 0, "", "" },
    { { "members/m1" }, { M1 }, { "" }, 0, 0, "", "m1*", true },
    { { "members/m2", "memberships", "other/m2" },
      { "{", M2, M2 },
      { UNDER_7, "", "" },
      0,
      0,
      "",
      "" },
    { { "members/m2" },
      { "{\"name\":\"m2\",\"url\":\"http://x\\ny\"}" },
      { UNDER_7 },
      0,
      0,
      "",
      "m2" },
};

static void test_views(void **state)
{
    for (size_t i = 0; i < ARRAY_LEN(views); i++) {
        char text[2048], members[64] = "", error[ETCD_ERROR_MAX];
        struct str s;
        struct elect_event v;
        static struct etcd_group group;
        str_init(&s, text, sizeof(text));
        str_put(&s, "{" HEADER ",\"kvs\":[");
        for (size_t k = 0; k < 3 && views[i].keys[k]; k++)
            put_pair(&s, views[i].keys[k], views[i].values[k], views[i].leases[k]);
        str_put(&s, "],\"more\":false}");
        assert_int_equal(etcd_read(&names, ELECT_READ, slice_of(text), &v, &group, error), 0);
        assert_int_equal(v.view.leader_lease, views[i].leader_lease);
        assert_int_equal(v.view.self_lease, views[i].self_lease);
        assert_int_equal(v.view.leader_token, views[i].leader_lease ? 6 : 0);
        assert_string_equal(group.has_leader ? group.leader.name : "", views[i].leader);
        assert_int_equal(group.has_twin, views[i].twin);
        assert_int_equal(group.leader.self, strcmp(group.leader.url, names.url) == 0);
        for (size_t m = 0; m < group.count; m++) {
            strcat(members, group.members[m].name);
            strcat(members, group.members[m].self ? "*" : "");
        }
        assert_string_equal(members, views[i].members);
    }
}

/* The range is the last part, whether the key was put or not. */
static void test_campaigns(void **state)
{
    static const struct {
        const char *responses;
        int rc;
    } rows[] = {
        { "[{\"response_put\":{}},{\"response_range\":{\"kvs\":[]}}]", 0 },
        { "[{\"response_range\":{\"header\":{}}}]", 0 },
        { "[]", -EPROTO },
        { "[{\"response_put\":{}}]", -EPROTO },
        { "{}", -EPROTO },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512], error[ETCD_ERROR_MAX];
        struct elect_event v;
        static struct etcd_group group;
        snprintf(text, sizeof(text), "{" HEADER ",\"responses\":%s}", rows[i].responses);
        assert_int_equal(etcd_read(&names, ELECT_CAMPAIGN, slice_of(text), &v, &group, error),
                         rows[i].rc);
    }
}

static void test_watch(void **state)
{
    static const struct {
        const char *line;
        enum etcd_watch_line what;
    } rows[] = {
        { "{\"result\":{" HEADER ",\"created\":true}}", ETCD_WATCH_OPEN },
        { "{\"result\":{" HEADER ",\"events\":[{\"type\":\"DELETE\"}]}}", ETCD_WATCH_CHANGED },
        { "{\"result\":{" HEADER "}}", ETCD_WATCH_ALIVE },
        { "{\"result\":{" HEADER ",\"created\":true,\"canceled\":true}}", ETCD_WATCH_OVER },
        { "{\"error\":{\"message\":\"permission denied\"}}", ETCD_WATCH_OVER },
        { "{}", ETCD_WATCH_OVER },
        { "rubbish", ETCD_WATCH_OVER },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char error[ETCD_ERROR_MAX];
        assert_int_equal(etcd_read_watch(slice_of(rows[i].line), error), rows[i].what);
    }
}

static void test_whose_language(void **state)
{
    static const struct {
        const char *body;
        bool etcds;
    } rows[] = {
        { "{" HEADER "}", true },
        { "{\"result\":{}}\n", true },
        { "{\"error\":\"x\"}", true },
        { "{}", false },
        { "hello", false },
        { "", false },
        { "{\"ok\":true}", false },
        { "[1]", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char error[ETCD_ERROR_MAX];
        assert_int_equal(etcd_is_answer(slice_of(rows[i].body), error), rows[i].etcds);
    }
}

static void test_login(void **state)
{
    char token[16], error[ETCD_ERROR_MAX];
    assert_int_equal(
        etcd_read_login(SLICE("{" HEADER ",\"token\":\"abc.12\"}"), token, sizeof(token), error),
        0);
    assert_string_equal(token, "abc.12");
    assert_int_equal(etcd_read_login(SLICE("{" HEADER "}"), token, sizeof(token), error), -EPROTO);
    assert_int_equal(
        etcd_read_login(SLICE("{\"token\":\"a\\r\\nX: y\"}"), token, sizeof(token), error),
        -EPROTO);
    assert_int_equal(
        etcd_read_login(SLICE("{\"token\":\"0123456789abcdef\"}"), token, sizeof(token), error),
        -EPROTO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64), cmocka_unit_test(test_not_base64),
        cmocka_unit_test(test_bodies), cmocka_unit_test(test_leases),
        cmocka_unit_test(test_views),  cmocka_unit_test(test_campaigns),
        cmocka_unit_test(test_watch),  cmocka_unit_test(test_whose_language),
        cmocka_unit_test(test_login),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
