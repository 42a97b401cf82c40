/* Which path is which handler: one table, which `GET /` prints. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/admin_int.h"

#define GET(path, handler, text)             \
    {                                        \
        "GET", path, handler, .help = (text) \
    }
#define SECRET(path, handler, text)                           \
    {                                                         \
        "GET", path, handler, .help = (text), .secret = true, \
    }
#define POST(path, handler, which, text)                                           \
    {                                                                              \
        "POST", path, handler, .changes = true, .command = (which), .help = (text) \
    }

static const struct admin_route routes[] = {
    GET("/", admin_get_index, "this list"),
    GET("/healthz", admin_get_health, "200 while the controller lives"),
    GET("/readyz", admin_get_ready, "200 when every service has its minimum ready"),
    GET("/metrics", admin_get_metrics, "everything in Prometheus' text format"),
    GET("/v1/status", admin_get_status, "what runs, and what is wrong"),
    GET("/v1/services/*/why", admin_get_why, "?limit=: the last decisions and their reasons"),
    GET("/v1/events", admin_get_events, "?limit= &service= &after=: what happened"),
    GET("/v1/series", admin_get_series,
        "?service= &metric= &from= &to= &step=1|10|60 &instance=: measured values"),
    GET("/v1/logs/*", admin_get_logs,
        "?bytes= &offset=: an instance's output; 202 = not all of it is here yet, 501 = its engine "
        "keeps it"),
    GET("/v1/alerts", admin_get_alerts, "what is wrong by `alerts`, and who was told"),
    SECRET("/v1/gauges", admin_get_gauges,
           "what this member's proxy counts, for the one that leads"),
    SECRET("/v1/journal", admin_get_journal,
           "?segment= &offset=: events and decisions, for those that stand by"),
    POST("/v1/services/*/scale", admin_post_scale, ADMIN_SCALE,
         "{\"count\": N | \"auto\", \"force\": bool}"),
    POST("/v1/services/*/metrics", admin_post_metrics, ADMIN_PUSH,
         "{NAME: number}: values for its pushed sources"),
    POST("/v1/members/*/bell", admin_post_bell, ADMIN_BELL,
         "{\"service\", \"in_flight\", \"queued\"}: a member's proxy rang, or the leader has news"),
    POST("/v1/services/*/pause", admin_post_service, ADMIN_PAUSE, "keep the count as it is"),
    POST("/v1/services/*/resume", admin_post_service, ADMIN_RESUME, "let the rules decide again"),
    POST("/v1/services/*/restart", admin_post_service, ADMIN_RESTART,
         "replace all instances one by one"),
    POST("/v1/instances/*/drain", admin_post_instance, ADMIN_DRAIN, "drain and stop one instance"),
    POST("/v1/instances/*/protect", admin_post_instance, ADMIN_PROTECT,
         "{\"on\": bool}: never the one to go"),
    POST("/v1/reload", admin_post_program, ADMIN_RELOAD, "read the configuration again"),
    POST("/v1/diff", admin_post_program, ADMIN_DIFF, "what a reload would change"),
    POST("/v1/stop", admin_post_program, ADMIN_STOP, "{\"detach\": bool}: end the program"),
};

const struct admin_route *admin_routes(size_t *ret_count)
{
    *ret_count = ARRAY_LEN(routes);
    return routes;
}

static bool matches(const char *pattern, const char *path, char *name, size_t name_cap)
{
    const char *star = strchr(pattern, '*');
    if (!star)
        return strcmp(pattern, path) == 0;
    size_t head = (size_t)(star - pattern);
    if (strncmp(pattern, path, head) != 0)
        return false;
    size_t n = strcspn(path + head, "/");
    if (n == 0 || n >= name_cap || strcmp(path + head + n, star + 1) != 0)
        return false;
    memcpy(name, path + head, n);
    name[n] = '\0';
    return true;
}

const struct admin_route *admin_route_find(const char *method, const char *path, char *name,
                                           size_t name_cap, const char **ret_other)
{
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    *ret_other = NULL;
    for (const struct admin_route *r = routes; r < routes + ARRAY_LEN(routes); r++) {
        if (!matches(r->pattern, path, name, name_cap))
            continue;
        if (strcmp(r->method, method) == 0)
            return r;
        *ret_other = r->method;
    }
    return NULL;
}

bool admin_split_instance(const char *id, char *service, size_t service_cap, uint32_t *ret_number)
{
    const char *dash = strrchr(id, '-');
    size_t n = dash ? (size_t)(dash - id) : 0;
    if (n == 0 || n >= service_cap || strspn(dash + 1, "0123456789") != strlen(dash + 1))
        return false;
    errno = 0;
    unsigned long number = dash[1] ? strtoul(dash + 1, NULL, 10) : 0;
    if (number == 0 || number > UINT32_MAX || errno)
        return false;
    memcpy(service, id, n);
    service[n] = '\0';
    *ret_number = (uint32_t)number;
    return true;
}
