/* What the configuration of a machine in a group must have: the others reach it, it knows them by
 * the same token, and what it starts is not bound to it. */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "controller/controller_int.h"

/* Where a key of the top level stands, for people. */
static int refuse(const struct config *config, const char *key, struct err *err, const char *text)
{
    char place[400];
    size_t line = 1, n = strlen(key);
    for (const char *p = config->text; *p; p += strcspn(p, "\n"), p += *p == '\n', line++)
        if (strncmp(p, key, n) == 0 && p[n] == ':') {
            fmt(place, sizeof(place), "%s:%zu:1", config->path, line);
            return err_at(err, -EINVAL, place, "%s", text);
        }
    return err_at(err, -EINVAL, config->path, "%s", text);
}

/* "127.0.0.1:7575", "http://[::1]:7575" */
static bool is_loopback(const char *address)
{
    const char *host = strstr(address, "://");
    host = host ? host + 3 : address;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           strncmp(host, "localhost", 9) == 0;
}

static int check_reach(const struct config *config, const struct lease_conf *lease, struct err *err)
{
    if (!config->admin_token_file)
        return refuse(config, "lease", err,
                      "lease.etcd needs admin-token-file: by the token in it, the same on all, the "
                      "members know each other");
    if (strcmp(config->admin, "off") == 0)
        return refuse(config, "admin", err,
                      "lease.etcd needs admin: the members read each other's admin API");
    if (is_loopback(config->admin) && !is_loopback(lease->advertise))
        return refuse(config, "lease", err,
                      "lease.advertise is for other machines, but admin listens on loopback only");
    return 0;
}

int controller_check_group(const struct config *config, struct err *err)
{
    const struct lease_conf *lease = config_top(config, &lease_section);
    char text[200];
    if (!lease_choose(lease)->shared)
        return 0;
    for (uint32_t i = 0; i < config->service_count; i++) {
        if (config->services[i].driver != provision_process.section)
            continue;
        fmt(text, sizeof(text),
            "services.%s: run: its processes belong to one machine; beside lease.etcd, use an "
            "engine that all members reach",
            config->services[i].name);
        return refuse(config, "services", err, text);
    }
    return check_reach(config, lease, err);
}
