/* The section `exec` as tables, and what of it an instance is made of. */
#include <string.h>

#include "drivers/plugin/exec_int.h"
#include "drivers/section_hash.h"

#define AT(member) .offset = offsetof(struct exec_conf, member)
#define READY(member) .offset = offsetof(struct exec_ready, member)
#define STOP(member) .offset = offsetof(struct exec_stop, member)

static int check_ready(struct schema_context *ctx, void *section, struct err *err)
{
    const struct exec_ready *r = section;
    if (r->http && r->http[0] != '/')
        return schema_error(ctx, "http", err, "begins with /, as in /healthz");
    if ((r->http != NULL) + r->tcp + r->plugin > 1)
        return schema_error(ctx, NULL, err, "has one of http, tcp and plugin, not several");
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
    { .name = "plugin",
      .type = SCHEMA_BOOL,
      READY(plugin),
      .help = "ready when the plugin says so, with the events ready and unwell" },
    { .name = "within",
      .type = SCHEMA_DURATION,
      READY(within_us),
      .fallback = "60s",
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
    .help = "When an instance counts as ready. Those of a service without a listener and without "
            "an address are ready when they run.",
    .size_bytes = sizeof(struct exec_ready),
    .keys = ready_keys,
    .check = check_ready,
};

static const struct schema_key stop_keys[] = {
    { .name = "grace",
      .type = SCHEMA_DURATION,
      STOP(grace_us),
      .fallback = "10s",
      .min = 0,
      .max = 86400,
      .help = "what an instance gets to end in, before the plugin kills it" },
    { 0 },
};

static const struct schema_section stop_section = {
    .name = "stop",
    .help = "How an instance is ended.",
    .size_bytes = sizeof(struct exec_stop),
    .keys = stop_keys,
};

static int check_exec(struct schema_context *ctx, void *section, struct err *err)
{
    const struct exec_conf *conf = section;
    if (conf->command.count == 0 || !conf->command.items[0][0])
        return schema_error(ctx, "command", err,
                            "is empty; write the plugin and its arguments, as in [python3, "
                            "/etc/plimsoll/ssh.py, web1, web2]");
    if (conf->command.count > PLUGIN_WORDS_MAX)
        return schema_error(ctx, "command", err, "has over %d words", PLUGIN_WORDS_MAX);
    return 0;
}

static const struct schema_key exec_keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .required = true,
      .help = "the plugin and its arguments; it is kept running, once for all services with the "
              "same command, env and directory; a single text is run by a shell" },
    { .name = "env",
      .type = SCHEMA_MAP,
      AT(env),
      .help = "the plugin's environment, beside plimsoll's own" },
    { .name = "directory",
      .type = SCHEMA_TEXT,
      AT(directory),
      .help = "the plugin's working directory" },
    { .name = "config",
      .type = SCHEMA_MAP,
      AT(config),
      .help = "what the plugin is to start, in its own words; a change replaces the instances" },
    { .name = "size",
      .type = SCHEMA_MAP,
      AT(size),
      .resizes = true,
      .help = "what the plugin can change while an instance runs, in its own words" },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      AT(timeout_us),
      .fallback = "30s",
      .min = 0.1,
      .max = 3600,
      .help = "what the plugin gets for an answer (for a stop: beyond its grace); later, its list "
              "says what became of it" },
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

const struct schema_section exec_section = {
    .name = "exec",
    .help = "Runs the instances by a plugin: a process of your own that is asked to start and stop "
            "them (docs/plugin.md).",
    .size_bytes = sizeof(struct exec_conf),
    .keys = exec_keys,
    .check = check_exec,
};

int64_t exec_start_within_us(const void *conf)
{
    return ((const struct exec_conf *)conf)->ready.within_us;
}

/* --- hashes --- */

uint64_t exec_plugin_key(const struct exec_conf *conf)
{
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_list(&h, &conf->command);
    hash_map(&h, &conf->env);
    hash_text(&h, conf->directory);
    return XXH3_64bits_digest(&h);
}

/* The plugin belongs to it: what another one has started, this one may not even see. */
uint64_t exec_template(const void *section, bool serves)
{
    const struct exec_conf *conf = section;
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_number(&h, (int64_t)exec_plugin_key(conf));
    hash_map(&h, &conf->config);
    return XXH3_64bits_digest(&h);
}

/* Never 0, which would mean that nothing can be changed: a first `size` is a change, too. */
uint64_t exec_shape(const void *section)
{
    const struct exec_conf *conf = section;
    XXH3_state_t h;
    XXH3_64bits_reset(&h);
    hash_map(&h, &conf->size);
    return XXH3_64bits_digest(&h) | 1;
}
