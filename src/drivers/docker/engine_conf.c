/* How an engine is reached, as keys of a section. */
#include <string.h>

#include "base/util.h"
#include "drivers/docker/engine.h"

#define AT(member) .offset = offsetof(struct engine_conf, member)

const struct schema_key engine_keys[] = {
    { .name = "host",
      .type = SCHEMA_TEXT,
      AT(host),
      .moves = true,
      .help = "where the engine listens: unix:///var/run/docker.sock (the default, unless "
              "DOCKER_HOST says otherwise) or tcp://10.0.0.1:2376" },
    { .name = "ca",
      .type = SCHEMA_TEXT,
      AT(ca),
      .help = "file with the certificate of who signed the engine's; with it TCP is TLS" },
    { .name = "cert",
      .type = SCHEMA_TEXT,
      AT(cert),
      .help = "file with plimsoll's own certificate" },
    { .name = "key", .type = SCHEMA_TEXT, AT(key), .help = "file with the key of `cert`" },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      AT(timeout_us),
      .fallback = "10s",
      .min = 0.1,
      .max = 600,
      .help = "an engine that does not answer for so long is taken for one that is down" },
    { 0 },
};

int engine_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct engine_conf *conf = section;
    bool is_unix = conf->host && strncmp(conf->host, "unix:///", 8) == 0;
    bool is_tcp = conf->host && strncmp(conf->host, "tcp://", 6) == 0 && conf->host[6];
    if (conf->host && !is_unix && !is_tcp)
        return schema_error(ctx, "host", err, "\"%s\" is neither unix:///PATH nor tcp://HOST:PORT",
                            conf->host);
    if (is_unix && (conf->ca || conf->cert || conf->key))
        return schema_error(ctx, "host", err,
                            "a Unix socket needs no ca, cert and key: leave them out");
    if (!conf->cert != !conf->key)
        return schema_error(ctx, conf->cert ? "cert" : "key", err,
                            "cert and key go together: give both, or neither");
    return 0;
}

/* Whoever can talk to an engine is root there; on the way in between, too. */
const char *engine_note(const void *section)
{
    static const char *const here[] = { "tcp://127.", "tcp://localhost", "tcp://[::1]" };
    const struct engine_conf *conf = section;
    if (!conf->host || strncmp(conf->host, "tcp://", 6) != 0 || conf->ca || conf->cert)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(here); i++)
        if (strncmp(conf->host, here[i], strlen(here[i])) == 0)
            return NULL;
    return "the engine is reached over TCP without TLS: who is on the way can be root on its "
           "machine; give ca, cert and key";
}
