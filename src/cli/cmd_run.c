/* plimsoll run: from a file, or from flags and a command, to a keeper. It checks the configuration
 * where the person still looks, and then becomes the keeper. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/command.h"
#include "cli/load.h"
#include "cli/state_dir.h"
#include "config/config.h"
#include "config/flags.h"
#include "keeper/keeper.h"
#include "sys/log.h"
#include "sys/mem.h"

#define RUN_YAML_BYTES ((size_t)256 * 1024)

struct run {
    char state[PATH_MAX];
    char config[PATH_MAX];
    bool read_only; /* the state directory is */
};

/* Flags that only make sense with a command behind `--`: the file says all this itself. */
static const char *const command_flags[] = {
    "listen", "name",           "protocol", "balance", "min",   "max",          "max-concurrency",
    "target", "queue-deadline", "drain",    "env",     "ready", "ready-within",
};

static size_t collect(const struct options *o, const char *name, const char **ret)
{
    size_t count = 0;
    for (size_t i = 0; i < o->given_count; i++)
        if (strcmp(o->given[i].spec->name, name) == 0)
            ret[count++] = o->given[i].value;
    return count;
}

/* The YAML that says what the flags say. */
static int yaml_from_flags(const struct options *o, struct str *yaml, struct err *err)
{
    const char *listen[OPTIONS_GIVEN_MAX], *target[OPTIONS_GIVEN_MAX], *env[OPTIONS_GIVEN_MAX];
    struct config_flags flags = {
        .listen = listen,
        .listen_count = collect(o, "listen", listen),
        .name = options_text(o, "name"),
        .protocol = options_text(o, "protocol"),
        .balance = options_text(o, "balance"),
        .min = options_text(o, "min"),
        .max = options_text(o, "max"),
        .max_concurrency = options_text(o, "max-concurrency"),
        .queue_deadline = options_text(o, "queue-deadline"),
        .drain = options_text(o, "drain"),
        .target = target,
        .target_count = collect(o, "target", target),
        .ready = options_text(o, "ready"),
        .ready_within = options_text(o, "ready-within"),
        .admin = options_text(o, "admin"),
        .env = env,
        .env_count = collect(o, "env", env),
        .command = (const char *const *)o->rest,
        .command_count = o->rest_count,
        .swarm = options_flag(o, "swarm"),
    };
    return config_from_flags(&flags, yaml, err);
}

static int read_stdin(struct str *yaml, struct err *err)
{
    yaml->len = fread(yaml->p, 1, yaml->cap - 1, stdin);
    yaml->p[yaml->len] = 0;
    if (yaml->len == yaml->cap - 1)
        return err_set(err, -E2BIG, "the configuration on standard input is too long");
    return 0;
}

static int write_file(const struct str *yaml, char *path, struct err *err)
{
    _cleanup_close_ int fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0 && write(fd, yaml->p, yaml->len) == (ssize_t)yaml->len)
        return 0;
    err_at(err, -EIO, path, "cannot write the configuration: %s", strerror(errno));
    if (fd >= 0)
        (void)unlink(path);
    return -EIO;
}

/* Beside the state, where a restarted controller and a reload find it again; its environment may
 * hold secrets, so nobody else reads it. Where the state directory has no room for it, a file of
 * its own. */
static int write_config(struct run *r, const struct str *yaml, struct err *err)
{
    char path[PATH_MAX];
    struct str s;
    str_init(&s, r->config, sizeof(r->config));
    str_putf(&s, "%s/run.yaml.XXXXXX", r->state);
    if (r->read_only || s.cut || write_file(yaml, r->config, err) < 0) {
        str_init(&s, r->config, sizeof(r->config));
        str_put(&s, "/tmp/plimsoll-run-XXXXXX");
        return write_file(yaml, r->config, err);
    }
    str_init(&s, path, sizeof(path));
    str_putf(&s, "%s/run.yaml", r->state);
    if (s.cut || rename(r->config, path) < 0)
        return err_at(err, -EIO, path, "cannot write the configuration: %s", strerror(errno));
    (void)str_copy(r->config, sizeof(r->config), path);
    return 0;
}

static int absolute(const char *path, char *ret, size_t cap, struct err *err)
{
    _cleanup_free_ char *real = realpath(path, NULL);
    if (!real)
        return err_at(err, -errno, path, "%s", strerror(errno));
    if (!str_copy(ret, cap, real))
        return err_at(err, -ENAMETOOLONG, path, "the path is too long");
    return 0;
}

/* --state, then the configuration's, then the default; made, and absolute. */
static int settle_state(struct run *r, const struct options *o, const char *configured,
                        struct err *err)
{
    char dir[PATH_MAX] = "";
    const char *chosen = options_text(o, "state") ?: configured;
    int rc = 0;
    if (!chosen) {
        rc = state_dir_default(dir, sizeof(dir), err);
        chosen = dir;
    }
    if (rc == 0)
        rc = state_dir_make(chosen, err);
    if (rc < 0)
        return rc;
    r->read_only = rc > 0;
    if (r->read_only)
        log_warn("%s cannot be written to: going on without a record of what happens", chosen);
    return absolute(chosen, r->state, sizeof(r->state), err);
}

/* Which file; and none of the flags that would say the same twice. */
static int choose_file(const struct options *o, const char **ret, struct err *err)
{
    const char *path = options_text(o, "config");
    if (path && o->word_count > 0)
        return err_set(err, -EINVAL, "two configuration files: %s and %s", path, o->words[0]);
    if (!path && o->word_count > 0)
        path = o->words[0];
    if (path && o->rest)
        return err_set(err, -EINVAL, "a configuration file and a command: give one of them");
    if (path && options_flag(o, "swarm"))
        return err_set(err, -EINVAL,
                       "--swarm goes without a file; in a file, write swarm: {discover: true}");
    if (!path && !o->rest && !options_flag(o, "swarm"))
        return err_set(
            err, -EINVAL,
            "what shall run? plimsoll run FILE, or plimsoll run --listen :8080 -- COMMAND");
    for (size_t i = 0; path && i < ARRAY_LEN(command_flags); i++)
        if (options_text(o, command_flags[i]))
            return err_set(err, -EINVAL, "--%s goes with a command; with a file, write it there",
                           command_flags[i]);
    *ret = path;
    return 0;
}

/* From flags or standard input: found right first, then a file in the state directory. */
static int prepare_text(struct run *r, const struct options *o, struct str *yaml)
{
    struct err err = { 0 };
    bool flags = o->rest || options_flag(o, "swarm");
    int rc = flags ? yaml_from_flags(o, yaml, &err) : read_stdin(yaml, &err);
    if (rc < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, LOAD_ARENA_BYTES);
    struct config *config = NULL;
    if (load_text(&arena, flags ? "command line" : "standard input", yaml, &config) < 0)
        return COMMAND_USAGE;
    log_set_level((enum log_level)config->log_level);
    rc = settle_state(r, o, config->state, &err);
    if (rc == 0)
        rc = options_flag(o, "standby") ? keeper_stand_by(r->state, &err)
                                        : keeper_is_free(r->state, &err);
    if (rc == 0)
        rc = write_config(r, yaml, &err);
    return rc < 0 ? command_fail_err(COMMAND_FAILED, &err) : 0;
}

/* 0, with the state directory settled, or an exit status. */
static int check_file(struct run *r, const struct options *o)
{
    struct err err = { 0 };
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, LOAD_ARENA_BYTES);
    struct config *config = NULL;
    if (load_config(&arena, r->config, &config) < 0)
        return COMMAND_USAGE;
    log_set_level((enum log_level)config->log_level);
    return settle_state(r, o, config->state, &err) < 0 ? command_fail_err(COMMAND_FAILED, &err) : 0;
}

static int prepare_file(struct run *r, const struct options *o, const char *path)
{
    struct err err = { 0 };
    if (absolute(path, r->config, sizeof(r->config), &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    int rc = check_file(r, o);
    if (rc != 0 || !options_flag(o, "standby"))
        return rc;
    if (keeper_stand_by(r->state, &err) < 0)
        return command_fail_err(COMMAND_FAILED, &err);
    return check_file(r,
                      o); /* it may have been changed since, and what runs is better left alone */
}

/* Checks the configuration where the person looks, and settles r->config and r->state. */
static int prepare(struct run *r, const struct options *o)
{
    const char *path = NULL;
    struct err err = { 0 };
    if (choose_file(o, &path, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    if (path && strcmp(path, "-") != 0)
        return prepare_file(r, o, path);
    _cleanup_free_ char *buf = malloc(RUN_YAML_BYTES);
    struct str yaml;
    if (!buf)
        return command_fail(COMMAND_FAILED, "out of memory");
    str_init(&yaml, buf, RUN_YAML_BYTES);
    return prepare_text(r, o, &yaml);
}

static int run(const struct options *o)
{
    struct run r = { 0 };
    log_init("keeper", LOG_LEVEL_INFO);
    int rc = prepare(&r, o);
    if (rc != 0)
        return rc;
    const char *admin = options_text(o, "admin");
    const char *const controller_argv[] = {
        "plimsoll", "--controller",           "--config", r.config, "--state",
        r.state,    admin ? "--admin" : NULL, admin,      NULL
    };
    struct keeper_options options = {
        .state_dir = r.state,
        .controller_argv = controller_argv,
    };
    return keeper_main(&options);
}

static const struct option_spec own_options[] = {
    { "config", 'c', "FILE", "the configuration; \"-\" is standard input" },
    { "state", 0, "DIR", "where state is kept" },
    { "admin", 0, "ADDR", "HTTP address for looking (default 127.0.0.1:7575), or off" },
    { "standby", 0, NULL, "when another plimsoll has the state directory: wait, then take over" },
    { "swarm", 0, NULL, "scale the services of the Docker Swarm that say so by labels" },
    { "listen", 0, "ADDR", "where clients connect: :8080, 127.0.0.1:80, unix:/path; repeatable" },
    { "min", 0, "N", "fewest instances; 0 = none when idle" },
    { "max", 0, "N", "most instances" },
    { "target", 0, "METRIC=V", "per instance: concurrency=20, cpu=60%; repeatable" },
    { "max-concurrency", 0, "N", "requests an instance gets at once; the rest wait" },
    { "queue-deadline", 0, "TIME", "longest wait for an instance" },
    { "ready", 0, "PATH|tcp", "ready when GET PATH answers 2xx or 3xx, or when it accepts" },
    { "ready-within", 0, "TIME", "a start that takes longer has failed" },
    { "drain", 0, "TIME", "longest wait for an instance's requests to end" },
    { "balance", 0, "NAME", "least-conn, round-robin, random-two, ip-hash, ..." },
    { "protocol", 0, "http|tcp", "tcp: bytes both ways, unread" },
    { "env", 0, "KEY=VALUE", "for the instances; repeatable" },
    { "name", 0, "NAME", "the service's name (default: the program's)" },
    { 0 },
};

const struct command command_run = {
    .name = "run",
    .summary = "serve: from a file, or a command line",
    .arguments = "[FILE]",
    .details =
        "The command finds its port in PORT, or wherever its arguments say {port}; {socket}\n"
        "gives it a Unix socket instead. Ctrl-C or SIGTERM drains and stops everything, a\n"
        "second time at once; SIGHUP reads the configuration again.\n"
        "\n"
        "With --standby a second plimsoll on the same state directory waits for the first to\n"
        "end, even by kill -9, and takes over its sockets and instances. Until then it serves\n"
        "nothing and writes nothing.\n",
    .examples =
        "  plimsoll run --listen :8080 --max 8 -- node server.js\n"
        "  plimsoll run --listen :8080 --min 0 --target concurrency=20 -- ./app --port {port}\n"
        "  plimsoll run /etc/plimsoll.yaml\n"
        "  plimsoll run --standby /etc/plimsoll.yaml\n"
        "  plimsoll run --swarm\n",
    .options = own_options,
    .takes_command = true,
    .words_max = 1,
    .run = run,
};
