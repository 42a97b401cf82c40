/* The bodies of the requests that make a container, and that change one. */
#include <errno.h>
#include <math.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker.h"

void docker_name(char *buf, size_t cap, const char *owner, const char *service, uint32_t number)
{
    fmt(buf, cap, "plimsoll-%s-%s-%u", owner, service, number);
}

static void set_text(json_t *map, const char *name, const char *value)
{
    if (value)
        json_object_set_new(map, name, json_string(value));
}

static void set_label(json_t *labels, const char *name, const char *format, unsigned long long n)
{
    char text[32];
    fmt(text, sizeof(text), format[1] == 'x' ? "%llx" : "%llu", n);
    json_object_set_new(labels, name, json_string(text));
}

static json_t *labels_of(const struct docker_conf *conf, const struct docker_identity *who)
{
    json_t *labels = json_object();
    for (size_t i = 0; i < conf->labels.count; i++)
        set_text(labels, conf->labels.names[i], conf->labels.values[i]);
    set_text(labels, "plimsoll.owner", who->owner);
    set_text(labels, "plimsoll.service", who->service);
    set_label(labels, "plimsoll.instance", "%u", who->number);
    set_label(labels, "plimsoll.template", "%x", who->template);
    set_label(labels, "plimsoll.shape", "%x", who->shape);
    set_label(labels, "plimsoll.token", "%u", who->token);
    set_label(labels, "plimsoll.drain", "%u", (unsigned long long)MAX(who->drain_us, 0));
    if (who->port)
        set_label(labels, "plimsoll.port", "%u", who->port);
    return labels;
}

/* The engine's own unit for CPU time is a billionth of a core. Swap is not given: a container that
 * needs more memory than it may have is to end, not to crawl. */
static json_t *limits_of(const struct docker_conf *conf)
{
    const struct docker_limits *l = &conf->limits;
    json_t *map = json_object();
    if (l->memory_bytes > 0) {
        json_object_set_new(map, "Memory", json_integer(l->memory_bytes));
        json_object_set_new(map, "MemorySwap", json_integer(l->memory_bytes));
    }
    if (l->cpus > 0)
        json_object_set_new(map, "NanoCpus", json_integer(llround(l->cpus * 1e9)));
    if (l->pids > 0)
        json_object_set_new(map, "PidsLimit", json_integer(l->pids));
    return map;
}

const char *docker_publish_at(const char *host)
{
    if (strcmp(host, "[::1]") == 0)
        return "::1";
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ? "127.0.0.1" : NULL;
}

static void set_port(json_t *body, json_t *host, const struct docker_conf *conf,
                     const struct docker_identity *who)
{
    char name[16];
    fmt(name, sizeof(name), "%u/tcp", (unsigned)who->port);
    json_object_set_new(body, "ExposedPorts", json_pack("{s:{}}", name));
    if (!conf->publish)
        return;
    json_t *binding = json_pack("{s:s}", "HostPort", "");
    set_text(binding, "HostIp", who->publish_at);
    json_object_set_new(host, "PortBindings", json_pack("{s:[o]}", name, binding));
}

/* A volume with a source is bound; one without is made anew and goes with the container. */
static void set_volumes(json_t *body, json_t *host, const struct docker_conf *conf)
{
    json_t *binds = json_array(), *own = json_object();
    for (size_t i = 0; i < conf->volumes.count; i++) {
        const char *text = conf->volumes.items[i];
        if (text[0] == '/' && !strchr(text, ':'))
            json_object_set_new(own, text, json_object());
        else
            json_array_append_new(binds, json_string(text));
    }
    json_object_set_new(host, "Binds", binds);
    json_object_set_new(body, "Volumes", own);
}

static json_t *host_of(json_t *body, const struct docker_conf *conf,
                       const struct docker_identity *who)
{
    json_t *host = limits_of(conf);
    set_text(host, "NetworkMode", conf->network);
    set_volumes(body, host, conf);
    if (who->port && !docker_is_on_host(conf))
        set_port(body, host, conf, who);
    return host;
}

static bool set_words(json_t *body, const char *name, const struct schema_list *list,
                      const struct docker_identity *who)
{
    return list->count == 0 || json_object_set_new(body, name, docker_words(list, who)) == 0;
}

json_t *docker_create_body(const struct docker_conf *conf, const struct docker_identity *who,
                           struct err *err)
{
    json_t *environment = docker_environment(conf, who, err);
    if (!environment)
        return NULL;
    json_t *body = json_object();
    bool ok = set_words(body, "Cmd", &conf->command, who) &&
              set_words(body, "Entrypoint", &conf->entrypoint, who);
    set_text(body, "Image", conf->image);
    set_text(body, "User", conf->user);
    set_text(body, "WorkingDir", conf->directory);
    set_text(body, "StopSignal", docker_stop_signal(conf));
    json_object_set_new(body, "StopTimeout",
                        json_integer((conf->stop.grace_us + US_PER_S - 1) / US_PER_S));
    json_object_set_new(body, "Env", environment);
    json_object_set_new(body, "Labels", labels_of(conf, who));
    json_object_set_new(body, "HostConfig", host_of(body, conf, who));
    if (ok && body)
        return body;
    err_set(err, -EINVAL, "a word of the command or entrypoint is no UTF-8, or too long");
    json_decref(body);
    return NULL;
}

json_t *docker_update_body(const struct docker_conf *conf)
{
    return limits_of(conf);
}
