/* The section `lease`, and which driver it asks for. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/us.h"
#include "drivers/fetch.h"
#include "drivers/lease/lease.h"

#define CLUSTER_BYTES_MAX 40 /* as driver_env.owner's */
#define PREFIX_BYTES_MAX 128

static const char lower[] = "abcdefghijklmnopqrstuvwxyz";
static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const char digits[] = "0123456789";

static bool consists_of(const char *text, const char *const *sets)
{
    for (; *text; text++) {
        const char *const *set = sets;
        while (*set && !strchr(*set, *text))
            set++;
        if (!*set)
            return false;
    }
    return true;
}

#define AT(member) .offset = offsetof(struct lease_etcd_conf, member)

static const struct schema_key etcd_keys[] = {
    { .name = "endpoints",
      .type = SCHEMA_LIST,
      AT(endpoints),
      .help = "URLs of the etcd cluster's members: `https://10.0.0.1:2379`" },
    { .name = "prefix",
      .type = SCHEMA_TEXT,
      AT(prefix),
      .fallback = "/plimsoll/",
      .help = "of all keys; the cluster's name follows it" },
    { .name = "ttl",
      .type = SCHEMA_DURATION,
      AT(ttl_us),
      .fallback = "5s",
      .min = 2,
      .max = 60,
      .help = "how long a leader that is not heard of keeps the lease" },
    { .name = "user", .type = SCHEMA_TEXT, AT(user), .help = "when etcd asks who we are" },
    { .name = "password-file", .type = SCHEMA_TEXT, AT(password_file), .help = "its first line" },
    { .name = "ca", .type = SCHEMA_TEXT, AT(ca), .help = "file: whom to trust" },
    { .name = "cert", .type = SCHEMA_TEXT, AT(cert), .help = "file: who we are" },
    { .name = "key", .type = SCHEMA_TEXT, AT(key), .help = "file: the certificate's key" },
    { 0 },
};

static int check_endpoints(struct schema_context *ctx, const struct schema_list *l, struct err *err)
{
    struct err why = { 0 };
    if (l->count == 0)
        return schema_error(ctx, "endpoints", err,
                            "`etcd` needs `endpoints`, as in [http://10.0.0.1:2379]");
    for (size_t i = 0; i < l->count; i++) {
        if (fetch_check_url(l->items[i], &why) < 0)
            return schema_error(ctx, "endpoints", err,
                                "\"%s\" is not a URL, as in http://10.0.0.1:2379", l->items[i]);
        for (size_t k = 0; k < i; k++)
            if (strcmp(l->items[i], l->items[k]) == 0)
                return schema_error(ctx, "endpoints", err, "%s stands there twice", l->items[i]);
    }
    return 0;
}

static int check_file(struct schema_context *ctx, const char *key, const char *path,
                      struct err *err)
{
    if (!path || schema_recorded(ctx) || access(path, R_OK) == 0)
        return 0;
    return schema_error(ctx, key, err, "cannot read %s: %s", path, strerror(errno));
}

static int check_pair(struct schema_context *ctx, const char *a, const char *a_value, const char *b,
                      const char *b_value, struct err *err)
{
    if (!a_value == !b_value)
        return 0;
    return schema_error(ctx, a_value ? a : b, err, "`%s` and `%s` go together", a, b);
}

static int check_etcd(struct schema_context *ctx, void *section, struct err *err)
{
    const struct lease_etcd_conf *c = section;
    int rc = check_endpoints(ctx, &c->endpoints, err);
    if (rc == 0 && c->ttl_us % US_PER_S != 0)
        rc = schema_error(ctx, "ttl", err, "etcd counts whole seconds");
    if (rc == 0 && (strlen(c->prefix) > PREFIX_BYTES_MAX || strpbrk(c->prefix, " \t\r\n")))
        rc = schema_error(ctx, "prefix", err, "at most %d bytes without spaces", PREFIX_BYTES_MAX);
    if (rc == 0)
        rc = check_pair(ctx, "user", c->user, "password-file", c->password_file, err);
    if (rc == 0)
        rc = check_pair(ctx, "cert", c->cert, "key", c->key, err);
    if (rc == 0)
        rc = check_file(ctx, "password-file", c->password_file, err);
    if (rc == 0)
        rc = check_file(ctx, "ca", c->ca, err);
    if (rc == 0)
        rc = check_file(ctx, "cert", c->cert, err);
    return rc < 0 ? rc : check_file(ctx, "key", c->key, err);
}

static const struct schema_section etcd_section = {
    .name = "etcd",
    .help = "The lease is a key in etcd (v3), for controllers on several machines.",
    .size_bytes = sizeof(struct lease_etcd_conf),
    .keys = etcd_keys,
    .check = check_etcd,
};
#undef AT
#define AT(member) .offset = offsetof(struct lease_conf, member)

static const struct schema_key keys[] = {
    { .name = "cluster",
      .type = SCHEMA_TEXT,
      AT(cluster),
      .help =
          "the name of the controllers that share one fleet, and the owner of what they start" },
    { .name = "member",
      .type = SCHEMA_TEXT,
      AT(member),
      .help = "this machine in it, and no other; default: its host name" },
    { .name = "advertise",
      .type = SCHEMA_TEXT,
      AT(advertise),
      .help = "URL at which the other members reach this one's admin API" },
    { .name = "etcd", .type = SCHEMA_SECTION, AT(etcd), .section = &etcd_section },
    { 0 },
};

static int check_names(struct schema_context *ctx, const struct lease_conf *c, struct err *err)
{
    static const char *const cluster_sets[] = { lower, digits, "-", NULL };
    static const char *const member_sets[] = { lower, upper, digits, "-._", NULL };
    if (c->cluster && (!c->cluster[0] || strlen(c->cluster) > CLUSTER_BYTES_MAX ||
                       !consists_of(c->cluster, cluster_sets)))
        return schema_error(ctx, "cluster", err, "\"%s\": 1 to %d of a-z, 0-9 and \"-\"",
                            c->cluster, CLUSTER_BYTES_MAX);
    if (c->member && (!c->member[0] || strlen(c->member) >= LEASE_NAME_MAX ||
                      !consists_of(c->member, member_sets)))
        return schema_error(ctx, "member", err,
                            "\"%s\": 1 to %d letters, digits, \"-\", \".\", \"_\"", c->member,
                            LEASE_NAME_MAX - 1);
    return 0;
}

static int check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct lease_conf *c = section;
    struct err why = { 0 };
    bool shared = c->etcd.endpoints.count > 0;
    int rc = check_names(ctx, c, err);
    if (rc < 0)
        return rc;
    if (c->advertise && (fetch_check_url(c->advertise, &why) < 0))
        return schema_error(ctx, "advertise", err,
                            "\"%s\" is not a URL, as in http://10.0.0.1:7575", c->advertise);
    if (c->advertise && strlen(c->advertise) >= LEASE_URL_MAX)
        return schema_error(ctx, "advertise", err, "at most %d bytes", LEASE_URL_MAX - 1);
    if (shared && !c->cluster)
        return schema_error(ctx, "cluster", err,
                            "with `etcd`, `cluster` names what these controllers have in common");
    if (shared && !c->advertise)
        return schema_error(
            ctx, "advertise", err,
            "with `etcd`, `advertise` says where the other members reach this one's "
            "admin API, as in http://10.0.0.1:7575");
    return 0;
}

static bool is_loopback(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           strncmp(host, "localhost", 9) == 0;
}

static const char *note(const void *section)
{
    const struct lease_conf *c = section;
    bool seen = c->etcd.endpoints.count > 0 && strncmp(c->advertise, "http:", 5) == 0 &&
                !is_loopback(c->advertise);
    return seen ? "the admin token and the configuration go from member to member in clear text: "
                  "`advertise` should be an address in a private network"
                : NULL;
}

const struct schema_section lease_section = {
    .name = "lease",
    .fixed = true,
    .help = "Who may act. Without `etcd`, whoever has the state directory.",
    .size_bytes = sizeof(struct lease_conf),
    .keys = keys,
    .check = check,
    .note = note,
};

const struct lease_ops *lease_choose(const struct lease_conf *conf)
{
    return conf->etcd.endpoints.count > 0 ? &lease_etcd : &lease_file;
}
