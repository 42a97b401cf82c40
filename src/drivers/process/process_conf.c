/* The section `run` as tables, and what of it an instance is made of. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/util.h"
#include "drivers/process/process.h"
#include "drivers/section_hash.h"

static const char *const listen_names[] = { "auto", "port", "socket", NULL };
static const char *const core_names[] = { "keep", "none", "unlimited", NULL };
static const char *const signal_names[] = { "TERM", "INT",  "QUIT",  "HUP", "USR1",
                                            "USR2", "KILL", "WINCH", NULL };
static const int signal_numbers[] = { SIGTERM, SIGINT,  SIGQUIT, SIGHUP,
                                      SIGUSR1, SIGUSR2, SIGKILL, SIGWINCH };
static_assert(ARRAY_LEN(signal_names) == ARRAY_LEN(signal_numbers) + 1, "one number for each");

#define AT(member) .offset = offsetof(struct process_conf, member)
#define READY(member) .offset = offsetof(struct process_ready, member)
#define STOP(member) .offset = offsetof(struct process_stop, member)
#define LIMITS(member) .offset = offsetof(struct process_limits, member)
#define LOG(member) .offset = offsetof(struct process_log, member)

static int check_ready(struct schema_context *ctx, void *section, struct err *err)
{
    const struct process_ready *r = section;
    if (r->http && r->http[0] != '/')
        return schema_error(ctx, "http", err, "begins with /, as in /healthz");
    if ((r->http != NULL) + r->tcp + (r->exec.count > 0) > 1)
        return schema_error(ctx, NULL, err, "has one of http, tcp and exec, not several");
    return 0;
}

static const struct schema_key ready_keys[] = {
    { .name = "http",
      .type = SCHEMA_TEXT,
      READY(http),
      .help = "path that answers 2xx or 3xx once the instance is ready" },
    { .name = "tcp",
      .type = SCHEMA_BOOL,
      READY(tcp),
      .help = "ready as soon as it takes connections (the default)" },
    { .name = "exec",
      .type = SCHEMA_LIST,
      READY(exec),
      .help = "command that ends with status 0 once the instance is ready" },
    { .name = "within",
      .type = SCHEMA_DURATION,
      READY(within_us),
      .fallback = "30s",
      .min = 0.1,
      .max = 86400,
      .help = "a start that takes longer has failed" },
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
    .help =
        "When an instance counts as ready. It must listen itself in any case, but for those of a "
        "service without a listener: they are ready when they run.",
    .size_bytes = sizeof(struct process_ready),
    .keys = ready_keys,
    .check = check_ready,
};

static const struct schema_key stop_keys[] = {
    { .name = "signal",
      .type = SCHEMA_ENUM,
      STOP(signal),
      .fallback = "TERM",
      .names = signal_names,
      .help = "signal that asks the instance to end" },
    { .name = "grace",
      .type = SCHEMA_DURATION,
      STOP(grace_us),
      .fallback = "10s",
      .min = 0,
      .max = 86400,
      .help = "killed after this long; for workers, more than a job takes" },
    { 0 },
};

static const struct schema_section stop_section = {
    .name = "stop",
    .help = "How an instance is ended.",
    .size_bytes = sizeof(struct process_stop),
    .keys = stop_keys,
};

static const struct schema_key limits_keys[] = {
    { .name = "open-files",
      .type = SCHEMA_INT,
      LIMITS(open_files),
      .min = 0,
      .max = 1 << 30,
      .help = "descriptors each process may have (RLIMIT_NOFILE); 0 = as plimsoll's own" },
    { .name = "memory",
      .type = SCHEMA_SIZE,
      LIMITS(memory_bytes),
      .help = "address space of each process (RLIMIT_AS); 0 = as plimsoll's own" },
    { .name = "processes",
      .type = SCHEMA_INT,
      LIMITS(processes),
      .min = 0,
      .max = 1 << 22,
      .help = "processes its user may have (RLIMIT_NPROC); 0 = as plimsoll's own" },
    { .name = "core",
      .type = SCHEMA_ENUM,
      LIMITS(core),
      .fallback = "keep",
      .names = core_names,
      .help = "core dumps (RLIMIT_CORE)" },
    { 0 },
};

static const struct schema_section limits_section = {
    .name = "limits",
    .help = "Resource limits of an instance's processes.",
    .size_bytes = sizeof(struct process_limits),
    .keys = limits_keys,
};

static const struct schema_key log_keys[] = {
    { .name = "size",
      .type = SCHEMA_SIZE,
      LOG(size_bytes),
      .fallback = "10MiB",
      .min = 4096,
      .max = 1e12,
      .help = "rotated when larger" },
    { .name = "keep",
      .type = SCHEMA_INT,
      LOG(keep),
      .fallback = "3",
      .min = 0,
      .max = 100,
      .help = "rotated files kept of each instance" },
    { 0 },
};

static const struct schema_section log_section = {
    .name = "log",
    .help = "Standard output and error of an instance.",
    .size_bytes = sizeof(struct process_log),
    .keys = log_keys,
};

/* "21000-28999" */
static int read_ports(const char *text, int64_t *ret_min, int64_t *ret_max)
{
    const char *dash = strchr(text, '-');
    int64_t min, max;
    if (!dash || num_parse_i64((struct slice){ text, (size_t)(dash - text) }, &min) < 0 ||
        num_parse_i64(slice_of(dash + 1), &max) < 0 || min < 1 || max > 65535 || min > max)
        return -1;
    *ret_min = min;
    *ret_max = max;
    return 0;
}

/* "{prot}" is passed on as it stands, for braces mean many things; but so near to one of ours it is
 * a slip. NULL = none; else which of ours was meant, and `ret` is what was written. */
static const char *mistyped(const char *text, char *ret, size_t cap)
{
    static const char *const ours[] = { "port", "socket", "instance", "service" };
    for (const char *open = strchr(text, '{'); open; open = strchr(open + 1, '{')) {
        size_t n = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz");
        if (open[1 + n] != '}' || n >= cap)
            continue;
        fmt(ret, cap, "%.*s", (int)n, open + 1);
        for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
            unsigned distance = str_distance(ret, ours[i]);
            if (distance > 0 && distance <= 2)
                return ours[i];
        }
    }
    return NULL;
}

static int check_placeholders(struct schema_context *ctx, const struct process_conf *conf,
                              struct err *err)
{
    char word[32];
    for (size_t i = 0; i < conf->command.count; i++) {
        const char *meant = mistyped(conf->command.items[i], word, sizeof(word));
        if (meant)
            return schema_error(ctx, "command", err,
                                "{%s} is not replaced; did you mean {%s}? If not, put the "
                                "command into a script",
                                word, meant);
    }
    return 0;
}

static int check_run(struct schema_context *ctx, void *section, struct err *err)
{
    struct process_conf *conf = section;
    if (conf->command.count == 0 || !conf->command.items[0][0])
        return schema_error(ctx, "command", err,
                            "is empty; write the program and its arguments, as in [node, app.js]");
    if (conf->ports && read_ports(conf->ports, &conf->port_min, &conf->port_max) < 0)
        return schema_error(ctx, "ports", err, "\"%s\" is not a range of ports, as in 21000-28999",
                            conf->ports);
    return check_placeholders(ctx, conf, err);
}

static const struct schema_key run_keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .required = true,
      .help = "program and arguments; {port}, {socket}, {instance} and {service} are replaced; a "
              "single text is run by a shell" },
    { .name = "env",
      .type = SCHEMA_MAP,
      AT(env),
      .help = "environment, beside plimsoll's own; the same is replaced as in command" },
    { .name = "env-file",
      .type = SCHEMA_TEXT,
      AT(env_file),
      .help = "file of NAME=value lines, read at each start" },
    { .name = "directory", .type = SCHEMA_TEXT, AT(directory), .help = "working directory" },
    { .name = "user",
      .type = SCHEMA_TEXT,
      AT(user),
      .help = "run as this user, with its HOME and a clean environment (plimsoll must be root "
              "for that)" },
    { .name = "group", .type = SCHEMA_TEXT, AT(group), .help = "and this group" },
    { .name = "listen",
      .type = SCHEMA_ENUM,
      AT(listen),
      .fallback = "auto",
      .names = listen_names,
      .help =
          "where the instance listens: a port of 127.0.0.1 (PORT, {port}) or a Unix socket "
          "(SOCKET, {socket}); auto = a socket when {socket} is used, and nowhere for a service "
          "without a listener that speaks of neither" },
    { .name = "ports",
      .type = SCHEMA_TEXT,
      AT(ports),
      .fallback = "21000-28999",
      .help = "ports to give to instances" },
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
    { .name = "limits",
      .type = SCHEMA_SECTION,
      AT(limits),
      .section = &limits_section,
      .help = "resource limits" },
    { .name = "log",
      .type = SCHEMA_SECTION,
      AT(log),
      .section = &log_section,
      .help = "its output" },
    { 0 },
};

const struct schema_section process_section = {
    .name = "run",
    .help = "Runs the instances as processes on this machine.",
    .size_bytes = sizeof(struct process_conf),
    .keys = run_keys,
    .check = check_run,
};

int64_t process_start_within_us(const void *conf)
{
    return ((const struct process_conf *)conf)->ready.within_us;
}

int process_stop_signal(const struct process_conf *conf)
{
    return signal_numbers[conf->stop.signal];
}

static bool mentions(const struct process_conf *conf, const char *placeholder)
{
    for (size_t i = 0; i < conf->command.count; i++)
        if (strstr(conf->command.items[i], placeholder))
            return true;
    for (size_t i = 0; i < conf->env.count; i++)
        if (strstr(conf->env.values[i], placeholder))
            return true;
    return false;
}

bool process_uses_socket(const struct process_conf *conf)
{
    if (conf->listen != PROCESS_LISTEN_AUTO)
        return conf->listen == PROCESS_LISTEN_SOCKET;
    return mentions(conf, "{socket}");
}

bool process_has_address(const struct process_conf *conf, bool serves)
{
    return serves || conf->listen != PROCESS_LISTEN_AUTO || conf->ready.http || conf->ready.tcp ||
           mentions(conf, "{port}") || mentions(conf, "{socket}");
}

/* --- the template --- */

static void hash_env_file(XXH3_state_t *h, const char *path)
{
    char *text = process_read_env_file(path);
    hash_text(h, path);
    hash_text(h, text);
    free(text);
}

uint64_t process_template(const void *section, bool serves)
{
    const struct process_conf *conf = section;
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_list(&h, &conf->command);
    hash_map(&h, &conf->env);
    if (conf->env_file)
        hash_env_file(&h, conf->env_file);
    hash_text(&h, conf->directory);
    hash_text(&h, conf->user);
    hash_text(&h, conf->group);
    /* 0 a port, 1 a socket, 2 none: what has none is another kind of instance. */
    hash_number(&h, process_has_address(conf, serves) ? process_uses_socket(conf) : 2);
    hash_number(&h, conf->limits.open_files);
    hash_number(&h, conf->limits.memory_bytes);
    hash_number(&h, conf->limits.processes);
    hash_number(&h, conf->limits.core);
    return XXH3_64bits_digest(&h);
}
