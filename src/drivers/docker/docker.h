/* The docker driver's section, and what of it a container is made of. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/schema.h"

#define DOCKER_NAME_MAX 144 /* "plimsoll-OWNER-SERVICE-NUMBER" */
#define DOCKER_PORT_DEFAULT 8080

enum docker_pull { DOCKER_PULL_MISSING, DOCKER_PULL_ALWAYS, DOCKER_PULL_NEVER };

/* The section `docker` of a service. */
struct docker_conf {
    const char *image;
    struct schema_list command, entrypoint;
    struct schema_map env;
    const char *env_file;
    int64_t port; /* 0 = DOCKER_PORT_DEFAULT where one is needed */
    const char *network;
    bool publish;
    struct schema_list volumes;
    const char *user;
    const char *directory;
    struct schema_map labels;
    int pull; /* enum docker_pull */
    struct docker_limits {
        int64_t memory_bytes; /* 0 = none; likewise the others */
        double cpus;
        int64_t pids;
    } limits;
    struct docker_ready {
        const char *http;
        bool tcp, engine;
        int64_t within_us;
        int64_t interval_us; /* the most between two probes until it is ready */
    } ready;
    struct docker_stop {
        int signal; /* index; docker_stop_signal() */
        int64_t grace_us;
    } stop;
};

/* Who a container is, and what the next controller must know of it: its labels say so. */
struct docker_identity {
    const char *owner, *service;
    uint32_t number;
    uint64_t template, shape, token;
    int64_t drain_us;
    uint16_t port;          /* in the container; 0 = it is not reached */
    const char *publish_at; /* the one address that it is published at; NULL = the engine's own */
};

/* docker_conf.c */
extern const struct schema_section docker_section, docker_engine_section;
uint64_t docker_template(const void *conf, bool serves);
uint64_t docker_shape(const void *conf); /* 0 = no limits */
int64_t docker_start_within_us(const void *conf);
const char *docker_stop_signal(const struct docker_conf *conf); /* "SIGTERM" */
bool docker_is_on_host(const struct docker_conf *conf);         /* in the host's network */
/* 0 = nobody needs to reach it */
uint16_t docker_port(const struct docker_conf *conf, bool serves);

/* docker_create.c: bodies of requests. NULL with a text. */
json_t *docker_create_body(const struct docker_conf *conf, const struct docker_identity *who,
                           struct err *err);
json_t *docker_update_body(const struct docker_conf *conf);
/* Where the engine's own ports are reached: on this machine ("127.0.0.1"), nobody else is to get
 * past the proxy, and that is where they are published; NULL = the engine is elsewhere. */
const char *docker_publish_at(const char *host);
void docker_name(char *buf, size_t cap, const char *owner, const char *service, uint32_t number);

/* docker_words.c */
/* A text's words as a shell would split them, with quotes and backslashes but nothing else; a list
 * of several is taken as it is. {port}, {instance} and {service} are replaced. NULL = no memory. */
json_t *docker_words(const struct schema_list *list, const struct docker_identity *who);
/* `env` and the lines of `env-file`, PORT before them: "NAME=value" each. NULL with a text. */
json_t *docker_environment(const struct docker_conf *conf, const struct docker_identity *who,
                           struct err *err);

/* docker_seen.c: a container as the engine describes it. */
enum docker_status { DOCKER_CREATED, DOCKER_RUNNING, DOCKER_EXITED };

struct docker_seen {
    char id[80];
    char name[DOCKER_NAME_MAX];
    char service[64];
    uint32_t number;
    uint64_t template, shape;
    int64_t drain_us;
    enum docker_status status;
    char address[128]; /* "tcp:10.0.0.2:8080"; "" = none */
    int64_t pid;       /* 0 = not said */
    int32_t exit_code; /* -1 = not known */
    bool out_of_memory;
    char health[16]; /* "healthy", "unhealthy", "starting"; "" = it has no health check */
    char error[128]; /* why it could not be run */
};

/* Of a list's entry, or of an inspection. `host` is where the engine's own ports are reached. false
 * = not one of `owner`'s, or nothing that can be understood. */
bool docker_see_listed(const json_t *json, const char *owner, const char *host,
                       struct docker_seen *ret);
bool docker_see_inspected(const json_t *json, const char *owner, const char *host,
                          struct docker_seen *ret);
/* "exited 137: killed, out of memory" */
void docker_describe_exit(int32_t exit_code, bool out_of_memory, char *buf, size_t cap);
