/* What the engine's JSON says of services, tasks and nodes. Reads only; everything it points at
 * belongs to the JSON. */
#include <string.h>

#include "base/fmt.h"
#include "drivers/swarm/swarm_int.h"

static const json_t *at(const json_t *json, const char *a, const char *b, const char *c)
{
    const json_t *j = json_object_get(json, a);
    j = b ? json_object_get(j, b) : j;
    return c ? json_object_get(j, c) : j;
}

static const char *text(const json_t *json)
{
    const char *s = json_string_value(json);
    return s ? s : "";
}

/* Of the states in which a task goes through life: https://docs.docker.com/engine/swarm/how-swarm-
 * mode-works/swarm-task-states/ */
static enum swarm_stage stage_of(const char *state)
{
    static const char *const coming[] = { "new",      "allocated", "pending", "assigned",
                                          "accepted", "preparing", "ready",   "starting" };
    for (size_t i = 0; i < ARRAY_LEN(coming); i++)
        if (strcmp(state, coming[i]) == 0)
            return SWARM_COMING;
    return strcmp(state, "running") == 0 ? SWARM_RUNNING : SWARM_OVER;
}

void swarm_read_task(const json_t *json, struct swarm_task *ret)
{
    const char *desired = text(at(json, "DesiredState", NULL, NULL));
    const char *state = text(at(json, "Status", "State", NULL));
    const char *err = text(at(json, "Status", "Err", NULL));
    *ret = (struct swarm_task){
        .id = text(at(json, "ID", NULL, NULL)),
        .service = text(at(json, "ServiceID", NULL, NULL)),
        .node = text(at(json, "NodeID", NULL, NULL)),
        .container = text(at(json, "Status", "ContainerStatus", "ContainerID")),
        .stage = stage_of(state),
        .wanted = strcmp(desired, "running") == 0 || strcmp(desired, "ready") == 0,
        .stuck = strcmp(state, "pending") == 0 && err[0],
        .shut_down = strcmp(state, "shutdown") == 0,
        .why = err[0] ? err : text(at(json, "Status", "Message", NULL)),
        .exit_code = json_integer_value(at(json, "Status", "ContainerStatus", "ExitCode")),
        .json = json,
    };
}

const char *swarm_read_last_failure(const json_t *tasks)
{
    size_t n;
    const json_t *json;
    const char *newest = "", *why = "";
    json_array_foreach(tasks, n, json)
    {
        const char *err = text(at(json, "Status", "Err", NULL));
        const char *when = text(at(json, "Status", "Timestamp", NULL)); /* RFC 3339, in UTC */
        if (!err[0] || strcmp(when, newest) < 0)
            continue;
        newest = when;
        why = err;
    }
    return why;
}

void swarm_read_service(const json_t *json, struct swarm_facts *ret)
{
    const json_t *replicated = at(json, "Spec", "Mode", "Replicated");
    const json_t *replicas = json_object_get(replicated, "Replicas");
    *ret = (struct swarm_facts){
        .id = text(at(json, "ID", NULL, NULL)),
        .name = text(at(json, "Spec", "Name", NULL)),
        .created = text(at(json, "CreatedAt", NULL, NULL)),
        .version = json_integer_value(at(json, "Version", "Index", NULL)),
        .replicas = !replicated                 ? -1
                    : json_is_integer(replicas) ? json_integer_value(replicas)
                                                : 1,
        .update = text(at(json, "UpdateStatus", "State", NULL)),
        .update_text = text(at(json, "UpdateStatus", "Message", NULL)),
        .spec = json_object_get(json, "Spec"),
    };
}

const json_t *swarm_find_service(const json_t *list, const char *name)
{
    size_t i;
    const json_t *service;
    json_array_foreach(list, i, service) if (strcmp(text(at(service, "Spec", "Name", NULL)),
                                                    name) == 0) return service;
    return NULL;
}

size_t swarm_read_labels(const json_t *service, struct swarm_label *labels, size_t cap)
{
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)at(service, "Spec", "Labels", NULL), name,
                        value) if (n < cap && strncmp(name, "plimsoll.", 9) == 0) labels[n++] =
        (struct swarm_label){ name, text(value) };
    return n;
}

/* --- addresses --- */

/* "10.0.1.3/24" -> "10.0.1.3"; of IPv6, in brackets. */
static void put_address(char *buf, size_t cap, const char *host, int64_t port)
{
    bool v6 = strchr(host, ':') != NULL;
    fmt(buf, cap, "tcp:%s%.*s%s:%lld", v6 ? "[" : "", (int)strcspn(host, "/"), host, v6 ? "]" : "",
        (long long)port);
}

static bool read_network(const struct swarm_task *task, const struct swarm_conf *conf, char *buf,
                         size_t cap, const char **ret_why)
{
    size_t i;
    const json_t *attached;
    json_array_foreach(json_object_get(task->json, "NetworksAttachments"), i, attached)
    {
        const json_t *spec = at(attached, "Network", "Spec", NULL);
        const char *address = text(json_array_get(json_object_get(attached, "Addresses"), 0));
        bool ingress = json_is_true(json_object_get(spec, "Ingress"));
        const char *name = text(json_object_get(spec, "Name"));
        if (ingress || !address[0] || (conf->network && strcmp(conf->network, name) != 0))
            continue;
        put_address(buf, cap, address, conf->port);
        return true;
    }
    *ret_why = conf->network ? "the service is not attached to swarm.network"
                             : "the service is attached to no network of its own: attach it to "
                               "one that plimsoll is in, or use `reach: host-port`";
    return false;
}

static const json_t *find_node(const json_t *nodes, const char *id)
{
    size_t i;
    const json_t *node;
    json_array_foreach(nodes, i,
                       node) if (strcmp(text(json_object_get(node, "ID")), id) == 0) return node;
    return NULL;
}

/* A manager may not know its own address but as a manager. */
static bool node_host(const json_t *node, char *buf, size_t cap)
{
    const char *host = text(at(node, "Status", "Addr", NULL));
    const char *manager = text(at(node, "ManagerStatus", "Addr", NULL));
    if (host[0] && strcmp(host, "0.0.0.0") != 0)
        return fmt(buf, cap, "%s", host) > 0;
    const char *colon = strrchr(manager, ':');
    return colon && fmt(buf, cap, "%.*s", (int)(colon - manager), manager) > 0;
}

static int64_t host_port(const json_t *published)
{
    bool host = strcmp(text(json_object_get(published, "PublishMode")), "host") == 0;
    return host ? json_integer_value(json_object_get(published, "TargetPort")) : 0;
}

int64_t swarm_published(const json_t *spec)
{
    size_t i;
    const json_t *p;
    json_array_foreach(at(spec, "EndpointSpec", "Ports", NULL), i,
                       p) if (host_port(p) > 0) return host_port(p);
    return 0;
}

bool swarm_publishes(const json_t *spec, int64_t port)
{
    size_t i;
    const json_t *p;
    json_array_foreach(at(spec, "EndpointSpec", "Ports", NULL), i,
                       p) if (port > 0 && host_port(p) == port) return true;
    return false;
}

static bool read_host_port(const struct swarm_task *task, const struct swarm_conf *conf,
                           const json_t *nodes, char *buf, size_t cap, const char **ret_why)
{
    size_t i;
    const json_t *port;
    char host[128];
    *ret_why = "no port is published in mode host for swarm.port";
    json_array_foreach(at(task->json, "Status", "PortStatus", "Ports"), i, port)
    {
        int64_t target = json_integer_value(json_object_get(port, "TargetPort"));
        int64_t published = json_integer_value(json_object_get(port, "PublishedPort"));
        const char *mode = text(json_object_get(port, "PublishMode"));
        if (strcmp(mode, "host") != 0 || target != conf->port || published <= 0)
            continue;
        if (!node_host(find_node(nodes, task->node), host, sizeof(host))) {
            *ret_why = "its node's address is not known";
            return false;
        }
        put_address(buf, cap, host, published);
        return true;
    }
    return false;
}

bool swarm_read_address(const struct swarm_task *task, const struct swarm_conf *conf,
                        enum swarm_reach reach, const json_t *nodes, char *buf, size_t cap,
                        const char **ret_why)
{
    buf[0] = '\0';
    if (reach == SWARM_REACH_MESH)
        return true;
    if (conf->port == 0) {
        *ret_why = "swarm.port is not given: on which port does a task listen?";
        return false;
    }
    return reach == SWARM_REACH_HOST ? read_host_port(task, conf, nodes, buf, cap, ret_why)
                                     : read_network(task, conf, buf, cap, ret_why);
}
