/* The swarm driver's sections: how the Swarm is reached, and which of its services is scaled. */
#include <errno.h>
#include <string.h>

#include "drivers/swarm/swarm.h"

#define AT(member) .offset = offsetof(struct swarm_conf, member)

static const char *const reach_names[] = { "auto", "tasks", "host-port", "mesh", NULL };

static const struct schema_key service_keys[] = {
    { .name = "service",
      .type = SCHEMA_TEXT,
      AT(service),
      .help = "the Swarm service's name, when it is another one than here; it must exist already, "
              "and be a replicated one" },
    { .name = "port",
      .type = SCHEMA_INT,
      AT(port),
      .min = 1,
      .max = 65535,
      .help = "that a task listens on in its container; needed for what plimsoll balances" },
    { .name = "reach",
      .type = SCHEMA_ENUM,
      AT(reach),
      .fallback = "auto",
      .names = reach_names,
      .help = "how requests get to a task: `tasks` (its address in a network that plimsoll is "
              "attached to as well), `host-port` (its node's address and the port published in "
              "mode host), `mesh` (Swarm spreads the load itself, plimsoll only scales); auto = "
              "with a listener host-port when the service publishes the port so, else tasks; "
              "without one mesh" },
    { .name = "network",
      .type = SCHEMA_TEXT,
      AT(network),
      .help = "the network whose addresses are used, when tasks are attached to several" },
    { .name = "within",
      .type = SCHEMA_DURATION,
      AT(within_us),
      .fallback = "60s",
      .min = 1,
      .max = 3600,
      .help = "a task that is not ready by then has failed; pulling its image counts" },
    { 0 },
};

static int check_service(struct schema_context *ctx, void *section, struct err *err)
{
    const struct swarm_conf *conf = section;
    if (conf->network && conf->reach != SWARM_REACH_TASKS && conf->reach != SWARM_REACH_AUTO)
        return schema_error(ctx, "network", err, "only means something with reach: tasks");
    if (conf->reach == SWARM_REACH_MESH && schema_beside(ctx, "listen") && !schema_recorded(ctx))
        return schema_error(ctx, "reach", err,
                            "with mesh requests go past plimsoll, and `listen` gets none: remove "
                            "one of them");
    return 0;
}

const struct schema_section swarm_section = {
    .name = "swarm",
    .help = "Scales a service of a Docker Swarm by setting its replicas.",
    .size_bytes = sizeof(struct swarm_conf),
    .keys = service_keys,
    .lets_go = true,
    .check = check_service,
};

#undef AT
#define AT(member) .offset = offsetof(struct swarm_engine_conf, engine.member)

static const struct schema_key engine_section_keys[] = {
    { .name = "host",
      .type = SCHEMA_TEXT,
      AT(host),
      .moves = true,
      .help = "where a manager of the Swarm listens: unix:///var/run/docker.sock (the default, "
              "unless DOCKER_HOST says otherwise) or tcp://10.0.0.1:2376" },
    { .name = "ca", .type = SCHEMA_TEXT, AT(ca), .help = "as in `docker`" },
    { .name = "cert", .type = SCHEMA_TEXT, AT(cert), .help = "as in `docker`" },
    { .name = "key", .type = SCHEMA_TEXT, AT(key), .help = "as in `docker`" },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      AT(timeout_us),
      .fallback = "10s",
      .min = 0.1,
      .max = 600,
      .help = "a manager that does not answer for so long is taken for one that is down" },
    { .name = "discover",
      .type = SCHEMA_BOOL,
      .offset = offsetof(struct swarm_engine_conf, discover),
      .fallback = "false",
      .help = "services of the Swarm with the label plimsoll.enable=true are services here, as "
              "their other labels say" },
    { 0 },
};

const struct schema_section swarm_engine_section = {
    .name = "swarm",
    .help = "How a manager of the Swarm is reached.",
    .size_bytes = sizeof(struct swarm_engine_conf),
    .keys = engine_section_keys,
    .check = engine_check,
    .note = engine_note,
};
