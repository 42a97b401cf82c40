/* The section `lease`, and which driver it asks for. */
#include <string.h>

#include "drivers/lease/lease.h"

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
static const struct schema_section etcd_section = {
    .name = "etcd",
    .help = "The lease is a key in etcd (v3), for controllers on several machines.",
    .size_bytes = sizeof(struct lease_etcd_conf),
    .keys = etcd_keys,
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
      .help = "this machine in it; its host name" },
    { .name = "advertise",
      .type = SCHEMA_TEXT,
      AT(advertise),
      .help = "URL at which the other members reach this one's admin API" },
    { .name = "etcd", .type = SCHEMA_SECTION, AT(etcd), .section = &etcd_section },
    { 0 },
};
const struct schema_section lease_section = {
    .name = "lease",
    .help = "Who may act. Without `etcd`, whoever has the state directory.",
    .size_bytes = sizeof(struct lease_conf),
    .keys = keys,
};

const struct lease_ops *lease_choose(const struct lease_conf *conf)
{
    return &lease_file;
}
