/* A container as the engine describes it: what its labels, its state and its networks say. Reads
 * two shapes of JSON, believes nothing that is not of the right kind, and asks nothing. */
#include <signal.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "drivers/docker/docker.h"

/* --- reading --- */

static const char *text_of(const json_t *map, const char *name)
{
    const char *text = json_string_value(json_object_get(map, name));
    return text ? text : "";
}

static uint64_t hex_of(const char *text)
{
    uint64_t n = 0;
    for (; *text; text++) {
        const char *digit = strchr("0123456789abcdef", *text);
        if (!digit)
            return 0;
        n = n << 4 | (uint64_t)(digit - "0123456789abcdef");
    }
    return n;
}

static int64_t number_of(const char *text)
{
    int64_t n;
    return num_parse_i64(slice_of(text), &n) == 0 && n >= 0 ? n : 0;
}

static bool read_labels(const json_t *labels, const char *owner, struct docker_seen *seen)
{
    int64_t number = number_of(text_of(labels, "plimsoll.instance"));
    if (strcmp(text_of(labels, "plimsoll.owner"), owner) != 0 || number < 1 ||
        number >= UINT32_MAX ||
        !str_copy(seen->service, sizeof(seen->service), text_of(labels, "plimsoll.service")) ||
        !seen->service[0])
        return false;
    seen->number = (uint32_t)number;
    seen->template = hex_of(text_of(labels, "plimsoll.template"));
    seen->shape = hex_of(text_of(labels, "plimsoll.shape"));
    seen->drain_us = number_of(text_of(labels, "plimsoll.drain"));
    return true;
}

/* --- where it is reached --- */

static void set_address(struct docker_seen *seen, const char *host, int64_t port)
{
    bool bare_v6 = strchr(host, ':') && host[0] != '[';
    if (host[0] && port > 0 && port <= UINT16_MAX)
        fmt(seen->address, sizeof(seen->address), bare_v6 ? "tcp:[%s]:%u" : "tcp:%s:%u", host,
            (unsigned)port);
}

/* Of several networks the first that has an address. */
static const char *address_in(json_t *networks)
{
    const char *name;
    json_t *network;
    json_object_foreach(networks, name, network)
    {
        if (text_of(network, "IPAddress")[0])
            return text_of(network, "IPAddress");
        if (text_of(network, "GlobalIPv6Address")[0])
            return text_of(network, "GlobalIPv6Address");
    }
    return "";
}

static void read_address(const json_t *json, const char *host, int64_t port, int64_t published,
                         struct docker_seen *seen)
{
    const json_t *conf = json_object_get(json, "HostConfig");
    if (strcmp(text_of(conf, "NetworkMode"), "host") == 0)
        set_address(seen, host, port);
    else if (published > 0)
        set_address(seen, host, published);
    else
        set_address(
            seen, address_in(json_object_get(json_object_get(json, "NetworkSettings"), "Networks")),
            port);
}

/* "Ports": [{"PrivatePort": 8080, "PublicPort": 49153, ...}] */
static int64_t listed_port(const json_t *ports, int64_t port)
{
    size_t i;
    json_t *entry;
    json_array_foreach(ports, i, entry)
    {
        int64_t public_port = json_integer_value(json_object_get(entry, "PublicPort"));
        if (json_integer_value(json_object_get(entry, "PrivatePort")) == port && public_port > 0)
            return public_port;
    }
    return 0;
}

/* "Ports": {"8080/tcp": [{"HostPort": "49153"}]} */
static int64_t inspected_port(const json_t *settings, int64_t port)
{
    char name[24];
    fmt(name, sizeof(name), "%lld/tcp", (long long)port);
    const json_t *list = json_object_get(json_object_get(settings, "Ports"), name);
    return number_of(text_of(json_array_get(list, 0), "HostPort"));
}

/* --- how it is --- */

static const struct {
    const char *name;
    enum docker_status status;
} statuses[] = {
    { "created", DOCKER_CREATED }, { "running", DOCKER_RUNNING }, { "restarting", DOCKER_RUNNING },
    { "paused", DOCKER_RUNNING },  { "exited", DOCKER_EXITED },   { "dead", DOCKER_EXITED },
    { "removing", DOCKER_EXITED },
};

static bool read_status(const char *name, struct docker_seen *seen)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (strcmp(statuses[i].name, name) != 0)
            continue;
        seen->status = statuses[i].status;
        return true;
    }
    return false;
}

/* "Exited (137) 2 minutes ago", "Up 3 seconds (healthy)", "Up 1 second (health: starting)" */
static void read_status_text(const char *text, struct docker_seen *seen)
{
    const char *open = strchr(text, '(');
    struct slice word = { open ? open + 1 : "", open ? strcspn(open + 1, ")") : 0 };
    int64_t code;
    seen->exit_code = -1;
    if (strncmp(text, "Exited (", 8) == 0 && num_parse_i64(word, &code) == 0)
        seen->exit_code = (int32_t)CLAMP(code, -1, 255);
    if (slice_eq(word, SLICE("healthy")) || slice_eq(word, SLICE("unhealthy")))
        fmt(seen->health, sizeof(seen->health), "%.*s", (int)word.n, word.p);
    else if (slice_eq(word, SLICE("health: starting")))
        str_copy(seen->health, sizeof(seen->health), "starting");
}

bool docker_see_listed(const json_t *json, const char *owner, const char *host,
                       struct docker_seen *ret)
{
    struct docker_seen seen = { 0 };
    const json_t *labels = json_object_get(json, "Labels");
    int64_t port = number_of(text_of(labels, "plimsoll.port"));
    const char *name = json_string_value(json_array_get(json_object_get(json, "Names"), 0));
    if (!read_labels(labels, owner, &seen) || !read_status(text_of(json, "State"), &seen) ||
        !str_copy(seen.id, sizeof(seen.id), text_of(json, "Id")) || !seen.id[0])
        return false;
    str_copy(seen.name, sizeof(seen.name), name && name[0] == '/' ? name + 1 : "");
    read_status_text(text_of(json, "Status"), &seen);
    if (port > 0)
        read_address(json, host, port, listed_port(json_object_get(json, "Ports"), port), &seen);
    *ret = seen;
    return true;
}

bool docker_see_inspected(const json_t *json, const char *owner, const char *host,
                          struct docker_seen *ret)
{
    struct docker_seen seen = { 0 };
    const json_t *state = json_object_get(json, "State");
    const json_t *labels = json_object_get(json_object_get(json, "Config"), "Labels");
    int64_t port = number_of(text_of(labels, "plimsoll.port"));
    const char *name = text_of(json, "Name");
    if (!read_labels(labels, owner, &seen) || !read_status(text_of(state, "Status"), &seen) ||
        !str_copy(seen.id, sizeof(seen.id), text_of(json, "Id")) || !seen.id[0])
        return false;
    str_copy(seen.name, sizeof(seen.name), name[0] == '/' ? name + 1 : "");
    seen.pid = json_integer_value(json_object_get(state, "Pid"));
    seen.exit_code = (int32_t)json_integer_value(json_object_get(state, "ExitCode"));
    seen.out_of_memory = json_is_true(json_object_get(state, "OOMKilled"));
    fmt(seen.error, sizeof(seen.error), "%.120s", text_of(state, "Error"));
    fmt(seen.health, sizeof(seen.health), "%.15s",
        text_of(json_object_get(state, "Health"), "Status"));
    if (port > 0)
        read_address(json, host, port,
                     inspected_port(json_object_get(json, "NetworkSettings"), port), &seen);
    *ret = seen;
    return true;
}

void docker_describe_exit(int32_t exit_code, bool out_of_memory, char *buf, size_t cap)
{
    int number = exit_code - 128;
    if (out_of_memory)
        fmt(buf, cap, "exited %d: killed, out of memory", exit_code);
    else if (exit_code < 0)
        fmt(buf, cap, "ended; with which status is not known");
    else if (number > 0 && number < NSIG && number != SIGTERM && strsignal(number))
        fmt(buf, cap, "exited %d: killed by signal %d (%s)", exit_code, number, strsignal(number));
    else
        fmt(buf, cap, "exited %d", exit_code);
}
