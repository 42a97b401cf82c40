/* The sections `docker`: of a service, and at the top of the file, as tables; and what of a
 * service's a container is made of. */
#include <string.h>

#include "base/str.h"
#include "base/util.h"
#include "drivers/docker/docker.h"
#include "drivers/docker/engine.h"
#include "drivers/process/process.h"
#include "drivers/section_hash.h"
#include "sys/mem.h"

#define MEMORY_MIN (6 * 1024 * 1024) /* the engine's own */
#define MEMORY_MAX 1e15

static const char *const pull_names[] = { "missing", "always", "never", NULL };
static const char *const signal_names[] = { "TERM", "INT",  "QUIT",  "HUP", "USR1",
                                            "USR2", "KILL", "WINCH", NULL };
static const char *const signal_texts[] = { "SIGTERM", "SIGINT",  "SIGQUIT", "SIGHUP",
                                            "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGWINCH" };
static_assert(ARRAY_LEN(signal_names) == ARRAY_LEN(signal_texts) + 1, "one text for each");

#define AT(member) .offset = offsetof(struct docker_conf, member)
#define READY(member) .offset = offsetof(struct docker_ready, member)
#define STOP(member) .offset = offsetof(struct docker_stop, member)
#define LIMITS(member) .offset = offsetof(struct docker_limits, member)

/* --- ready, stop, limits --- */

static int check_ready(struct schema_context *ctx, void *section, struct err *err)
{
    const struct docker_ready *r = section;
    if (r->http && r->http[0] != '/')
        return schema_error(ctx, "http", err, "begins with /, as in /healthz");
    if ((r->http != NULL) + r->tcp + r->engine > 1)
        return schema_error(ctx, NULL, err, "has one of http, tcp and engine, not several");
    return 0;
}

static const struct schema_key ready_keys[] = {
    { .name = "http",
      .type = SCHEMA_TEXT,
      READY(http),
      .help = "path that answers 2xx or 3xx once the container is ready" },
    { .name = "tcp",
      .type = SCHEMA_BOOL,
      READY(tcp),
      .help = "ready as soon as it takes connections (the default)" },
    { .name = "engine",
      .type = SCHEMA_BOOL,
      READY(engine),
      .help = "ready when the image's HEALTHCHECK says healthy" },
    { .name = "within",
      .type = SCHEMA_DURATION,
      READY(within_us),
      .fallback = "60s",
      .min = 0.1,
      .max = 86400,
      .help = "a start that takes longer has failed; the pull of an image counts" },
    { .name = "interval",
      .type = SCHEMA_DURATION,
      READY(interval_us),
      .fallback = "500ms",
      .min = 0.01,
      .max = 60,
      .help = "most time between two looks until it is ready" },
    { 0 },
};

static const struct schema_section ready_section = {
    .name = "ready",
    .help = "When a container counts as ready.",
    .size_bytes = sizeof(struct docker_ready),
    .keys = ready_keys,
    .check = check_ready,
};

static const struct schema_key stop_keys[] = {
    { .name = "signal",
      .type = SCHEMA_ENUM,
      STOP(signal),
      .fallback = "TERM",
      .names = signal_names,
      .help = "signal that asks the container to end" },
    { .name = "grace",
      .type = SCHEMA_DURATION,
      STOP(grace_us),
      .fallback = "10s",
      .min = 0,
      .max = 86400,
      .help = "killed after this long, in whole seconds" },
    { 0 },
};

static const struct schema_section stop_section = {
    .name = "stop",
    .help = "How a container is ended.",
    .size_bytes = sizeof(struct docker_stop),
    .keys = stop_keys,
};

static const struct schema_key limits_keys[] = {
    { .name = "memory",
      .type = SCHEMA_SIZE,
      LIMITS(memory_bytes),
      .resizes = true,
      .min = MEMORY_MIN,
      .max = MEMORY_MAX,
      .help = "it is killed beyond this; swap is not given" },
    { .name = "cpus",
      .type = SCHEMA_NUMBER,
      LIMITS(cpus),
      .resizes = true,
      .min = 0.01,
      .max = 4096,
      .help = "CPU time in cores, as in 0.5; the metric cpu is then the share of this" },
    { .name = "pids",
      .type = SCHEMA_INT,
      LIMITS(pids),
      .resizes = true,
      .min = 1,
      .max = 1 << 22,
      .help = "processes and threads" },
    { 0 },
};

static const struct schema_section limits_section = {
    .name = "limits",
    .help = "What a container may use. A reload that changes only these changes the containers "
            "while they run.",
    .size_bytes = sizeof(struct docker_limits),
    .keys = limits_keys,
};

/* --- docker --- */

/* "SOURCE:TARGET[:OPTIONS]", or a target alone for a volume that ends with its container. */
static bool is_volume(const char *text)
{
    const char *colon = strchr(text, ':');
    const char *target = colon ? colon + 1 : text;
    bool source = !colon || (colon > text && text[0] != '.' && text[0] != '~');
    return source && target[0] == '/';
}

static int check_docker(struct schema_context *ctx, void *section, struct err *err)
{
    const struct docker_conf *conf = section;
    if (conf->image && (!conf->image[0] || strpbrk(conf->image, " \t")))
        return schema_error(ctx, "image", err, "\"%s\" is no image, as in nginx:1.27", conf->image);
    for (size_t i = 0; i < conf->volumes.count; i++)
        if (!is_volume(conf->volumes.items[i]))
            return schema_error(ctx, "volumes", err,
                                "\"%s\" is neither /PATH:/TARGET nor NAME:/TARGET, with :ro behind "
                                "it for one that is only read",
                                conf->volumes.items[i]);
    for (size_t i = 0; i < conf->labels.count; i++)
        if (strncmp(conf->labels.names[i], "plimsoll.", 9) == 0)
            return schema_error(ctx, "labels", err, "labels that begin with plimsoll. are its own");
    if (conf->publish && docker_is_on_host(conf))
        return schema_error(ctx, "publish", err,
                            "has no meaning in the host's network: leave it out");
    return 0;
}

static const struct schema_key docker_keys[] = {
    { .name = "image",
      .type = SCHEMA_TEXT,
      AT(image),
      .required = true,
      .help = "image to run, as in nginx:1.27" },
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .help = "instead of the image's CMD; {port}, {instance} and {service} are replaced; a single "
              "text is split into words, and no shell is run" },
    { .name = "entrypoint",
      .type = SCHEMA_LIST,
      AT(entrypoint),
      .help = "instead of the image's ENTRYPOINT" },
    { .name = "env",
      .type = SCHEMA_MAP,
      AT(env),
      .help = "environment; the same is replaced as in command" },
    { .name = "env-file",
      .type = SCHEMA_TEXT,
      AT(env_file),
      .help = "file of NAME=value lines, read at each start" },
    { .name = "port",
      .type = SCHEMA_INT,
      AT(port),
      .min = 1,
      .max = 65535,
      .help = "where the container listens, which it is also told in PORT; default 8080 for a "
              "service that is reached" },
    { .name = "network",
      .type = SCHEMA_TEXT,
      AT(network),
      .help = "network to attach it to; default the engine's bridge. \"host\" = the machine's own: "
              "each container then needs a port of its own, which it gets in PORT" },
    { .name = "publish",
      .type = SCHEMA_BOOL,
      AT(publish),
      .help = "reach it through a port of the engine's machine that the engine chooses, where the "
              "containers' own addresses cannot be reached; on this machine's, only on 127.0.0.1" },
    { .name = "volumes",
      .type = SCHEMA_LIST,
      AT(volumes),
      .help = "/PATH:/TARGET or NAME:/TARGET, with :ro for one that is only read" },
    { .name = "user", .type = SCHEMA_TEXT, AT(user), .help = "run as this user, or user:group" },
    { .name = "directory", .type = SCHEMA_TEXT, AT(directory), .help = "working directory" },
    { .name = "labels", .type = SCHEMA_MAP, AT(labels), .help = "labels beside plimsoll's own" },
    { .name = "pull",
      .type = SCHEMA_ENUM,
      AT(pull),
      .fallback = "missing",
      .names = pull_names,
      .help = "when the image is pulled, with the credentials of ~/.docker/config.json or of the "
              "helper that it names" },
    { .name = "limits",
      .type = SCHEMA_SECTION,
      AT(limits),
      .section = &limits_section,
      .help = "what it may use" },
    { .name = "ready",
      .type = SCHEMA_SECTION,
      AT(ready),
      .section = &ready_section,
      .help = "when it is ready" },
    { .name = "stop",
      .type = SCHEMA_SECTION,
      AT(stop),
      .section = &stop_section,
      .help = "how it is ended" },
    { 0 },
};

static const struct schema_hint compose_hints[] = {
    { "environment", "here it is \"env\", a map of names and values" },
    { "env_file", "here it is \"env-file\", a single file" },
    { "working_dir", "here it is \"directory\"" },
    { "ports",
      "here it is \"port\", where the container listens; with \"publish: true\" the engine "
      "chooses a port of its machine for each" },
    { "expose", "here it is \"port\", where the container listens" },
    { "networks", "here it is \"network\", a single one" },
    { "restart", "leave it out: plimsoll replaces what ends" },
    { "healthcheck",
      "here it is \"ready\", and \"health\" of the service; the image's own counts with "
      "\"ready: {engine: true}\"" },
    { "mem_limit", "here it is \"limits.memory\"" },
    { "cpus", "here it is \"limits.cpus\"" },
    { "pids_limit", "here it is \"limits.pids\"" },
    { "deploy", "here it is \"limits\", and \"scale\" of the service" },
    { "pull_policy", "here it is \"pull\"" },
    { "stop_signal", "here it is \"stop.signal\"" },
    { "stop_grace_period", "here it is \"stop.grace\"" },
    { 0 },
};

const struct schema_section docker_section = {
    .name = "docker",
    .help = "Runs the instances as containers of a Docker Engine.",
    .size_bytes = sizeof(struct docker_conf),
    .keys = docker_keys,
    .hints = compose_hints,
    .check = check_docker,
};

const struct schema_section docker_engine_section = {
    .name = "docker",
    .help = "The Docker Engine of the services with a section `docker`.",
    .size_bytes = sizeof(struct engine_conf),
    .keys = engine_keys,
    .check = engine_check,
    .note = engine_note,
};

/* --- what follows from it --- */

int64_t docker_start_within_us(const void *conf)
{
    return ((const struct docker_conf *)conf)->ready.within_us;
}

const char *docker_stop_signal(const struct docker_conf *conf)
{
    return signal_texts[conf->stop.signal];
}

bool docker_is_on_host(const struct docker_conf *conf)
{
    return conf->network && strcmp(conf->network, "host") == 0;
}

uint16_t docker_port(const struct docker_conf *conf, bool serves)
{
    if (conf->port > 0)
        return (uint16_t)conf->port;
    return serves || conf->ready.http || conf->ready.tcp ? DOCKER_PORT_DEFAULT : 0;
}

uint64_t docker_template(const void *section, bool serves)
{
    const struct docker_conf *conf = section;
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_text(&h, conf->image);
    hash_list(&h, &conf->command);
    hash_list(&h, &conf->entrypoint);
    hash_map(&h, &conf->env);
    if (conf->env_file) {
        _cleanup_free_ char *text = process_read_env_file(conf->env_file);
        hash_text(&h, conf->env_file);
        hash_text(&h, text);
    }
    hash_number(&h, docker_port(conf, serves));
    hash_text(&h, conf->network);
    hash_number(&h, conf->publish);
    hash_list(&h, &conf->volumes);
    hash_text(&h, conf->user);
    hash_text(&h, conf->directory);
    hash_map(&h, &conf->labels);
    hash_text(&h, docker_stop_signal(conf));
    /* An engine changes a limit while a container runs, but takes none away. */
    hash_number(&h, conf->limits.memory_bytes > 0);
    hash_number(&h, conf->limits.cpus > 0);
    hash_number(&h, conf->limits.pids > 0);
    return XXH3_64bits_digest(&h);
}

uint64_t docker_shape(const void *section)
{
    const struct docker_limits *l = &((const struct docker_conf *)section)->limits;
    XXH3_state_t h;
    if (l->memory_bytes == 0 && l->cpus == 0 && l->pids == 0)
        return 0;
    XXH3_64bits_reset(&h);
    hash_number(&h, l->memory_bytes);
    hash_number(&h, (int64_t)(l->cpus * 1e9));
    hash_number(&h, l->pids);
    return MAX(XXH3_64bits_digest(&h), 1);
}
