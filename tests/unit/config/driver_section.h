/* A driver's section for the tests of config/, so that they do not depend on any driver. */
#pragma once

#include <string.h>

#include "config/config.h"

struct test_ready {
    const char *http;
    bool tcp;
    int64_t within_us;
};

struct test_run {
    struct schema_list command;
    struct schema_map env;
    const char *user, *signal;
    struct test_ready ready;
    int64_t grace_us;
    int64_t memory_bytes;
};

static int test_run_check(struct schema_context *ctx, void *section, struct err *err)
{
    struct test_run *run = section;
    if (run->command.count == 0)
        return schema_error(ctx, "command", err, "is empty; give a program");
    if (schema_given(ctx, "user") && strcmp(run->user, "root") == 0)
        return schema_error(ctx, "user", err, "instances do not run as root here");
    return 0;
}

static int test_ready_check(struct schema_context *ctx, void *section, struct err *err)
{
    struct test_ready *ready = section;
    if (ready->http && ready->tcp)
        return schema_error(ctx, "tcp", err, "http is given too");
    return 0;
}

static const struct schema_key test_ready_keys[] = {
    { .name = "http", .type = SCHEMA_TEXT, .offset = offsetof(struct test_ready, http) },
    { .name = "tcp", .type = SCHEMA_BOOL, .offset = offsetof(struct test_ready, tcp) },
    { .name = "within",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct test_ready, within_us),
      .fallback = "60s",
      .min = 0.1,
      .max = 3600 },
    { 0 },
};
static const struct schema_section test_ready_section = {
    .name = "ready",
    .size_bytes = sizeof(struct test_ready),
    .keys = test_ready_keys,
    .check = test_ready_check,
};

static const struct schema_key test_stop_keys[] = {
    { .name = "grace",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct test_run, grace_us),
      .fallback = "10s" },
    { .name = "signal", .type = SCHEMA_TEXT, .offset = offsetof(struct test_run, signal) },
    { 0 },
};
static const struct schema_section test_stop_section = { .name = "stop", .keys = test_stop_keys };

static const struct schema_key test_run_keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      .offset = offsetof(struct test_run, command),
      .required = true,
      .help = "give the program and its arguments" },
    { .name = "env", .type = SCHEMA_MAP, .offset = offsetof(struct test_run, env) },
    { .name = "user", .type = SCHEMA_TEXT, .offset = offsetof(struct test_run, user) },
    { .name = "ready",
      .type = SCHEMA_SECTION,
      .offset = offsetof(struct test_run, ready),
      .section = &test_ready_section },
    { .name = "stop", .type = SCHEMA_SECTION, .section = &test_stop_section },
    { .name = "memory",
      .type = SCHEMA_SIZE,
      .offset = offsetof(struct test_run, memory_bytes),
      .resizes = true },
    { 0 },
};
static const struct schema_section test_run_section = {
    .name = "run",
    .help = "Runs processes.",
    .size_bytes = sizeof(struct test_run),
    .keys = test_run_keys,
    .check = test_run_check,
};

struct test_nothing {
    const char *text;
};
static const struct schema_key test_other_keys[] = {
    { .name = "image", .type = SCHEMA_TEXT, .offset = 0, .required = true, .help = "an image" },
    { 0 },
};
static const struct schema_section test_other_section = {
    .name = "docker",
    .size_bytes = sizeof(struct test_nothing),
    .keys = test_other_keys,
};

static const struct schema_section *const test_sections[] = { &test_run_section,
                                                              &test_other_section, NULL };

struct test_redis {
    const char *list;
};
static const struct schema_key test_redis_keys[] = {
    { .name = "list",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct test_redis, list),
      .required = true,
      .help = "a list's name" },
    { 0 },
};
static const struct schema_section test_redis_section = {
    .name = "redis",
    .help = "A list's length.",
    .size_bytes = sizeof(struct test_redis),
    .keys = test_redis_keys,
};
static const struct schema_key test_push_keys[] = { { 0 } };
static const struct schema_section test_push_section = {
    .name = "push",
    .size_bytes = sizeof(struct test_nothing),
    .keys = test_push_keys,
};

static const struct schema_section *const test_source_sections[] = { &test_redis_section,
                                                                     &test_push_section, NULL };

/* At the top of the file. */
struct test_engine {
    const char *host;
    int64_t timeout_us;
};
static const struct schema_key test_engine_keys[] = {
    { .name = "host",
      .type = SCHEMA_TEXT,
      .offset = offsetof(struct test_engine, host),
      .moves = true },
    { .name = "timeout",
      .type = SCHEMA_DURATION,
      .offset = offsetof(struct test_engine, timeout_us),
      .fallback = "10s" },
    { 0 },
};
static const struct schema_section test_engine_section = {
    .name = "engine",
    .size_bytes = sizeof(struct test_engine),
    .keys = test_engine_keys,
};

struct test_told {
    const struct schema_node *to, *loud;
};
static int test_keep(struct schema_context *ctx, const struct schema_node *node, void *field,
                     struct err *err)
{
    *(const struct schema_node **)field = node;
    return 0;
}
static const struct schema_key test_when_keys[] = {
    { .name = "loud",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct test_told, loud),
      .parse = test_keep },
    { 0 },
};
static const struct schema_section test_when_section = { .name = "when", .keys = test_when_keys };
static const struct schema_key test_told_keys[] = {
    { .name = "to",
      .type = SCHEMA_CUSTOM,
      .offset = offsetof(struct test_told, to),
      .parse = test_keep },
    { .name = "when", .type = SCHEMA_SECTION, .section = &test_when_section },
    { 0 },
};
static const struct schema_section test_told_section = {
    .name = "told",
    .size_bytes = sizeof(struct test_told),
    .keys = test_told_keys,
};

static const struct schema_section test_fixed_section = {
    .name = "group",
    .fixed = true,
    .size_bytes = sizeof(struct test_engine),
    .keys = test_engine_keys,
};

static const struct schema_section *const test_tops[] = { &test_engine_section, &test_told_section,
                                                          &test_fixed_section, NULL };

static const struct config_sections test_all_sections = { .provisioners = test_sections,
                                                          .sources = test_source_sections,
                                                          .tops = test_tops };
