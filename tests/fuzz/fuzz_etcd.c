/* Any bytes as an answer of etcd's, or a line of its watch: the first byte says to which request.
 * Whatever they are, what comes out is in bounds and printable. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "drivers/lease/etcd_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_text(const char *text, size_t cap)
{
    size_t n = strnlen(text, cap);
    assert(n < cap);
    for (size_t i = 0; i < n; i++)
        assert((unsigned char)text[i] >= ' ');
}

static void check_member(const struct lease_member *m)
{
    check_text(m->name, sizeof(m->name));
    check_text(m->url, sizeof(m->url));
    assert(m->name[0]);
}

static void check_answer(const struct elect_event *v, enum elect_op op,
                         const struct etcd_group *group)
{
    assert(v->type == ELECT_ANSWER && v->ttl_us >= 0);
    if (op != ELECT_READ && op != ELECT_CAMPAIGN)
        return;
    assert(group->count <= LEASE_MEMBERS_MAX);
    assert(!v->view.leader_lease == !v->view.leader_token);
    if (group->has_leader)
        check_member(&group->leader);
    for (size_t i = 0; i < group->count; i++)
        check_member(&group->members[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct lease_conf conf = { .cluster = "shop", .etcd.prefix = "/plimsoll/" };
    static struct etcd_group group;
    char error[ETCD_ERROR_MAX] = "", token[128];
    struct etcd_names names;
    struct elect_event v;
    if (bytes == 0 || etcd_names_init(&names, &conf, "m1", "http://m1:7575") < 0)
        return 0;
    struct slice text = { (const char *)data + 1, bytes - 1 };
    unsigned what = data[0] % (ELECT_OP_MAX + 2);
    if (what == ELECT_OP_MAX)
        (void)etcd_read_watch(text, error);
    else if (what > ELECT_OP_MAX && etcd_read_login(text, token, sizeof(token), error) == 0)
        check_text(token, sizeof(token));
    else if (what < ELECT_OP_MAX && etcd_read(&names, what, text, &v, &group, error) == 0)
        check_answer(&v, what, &group);
    check_text(error, sizeof(error));
    return 0;
}
