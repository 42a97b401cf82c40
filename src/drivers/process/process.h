/* The process driver's parts. An instance is a process that the keeper runs for us; what the next
 * controller must know of it travels as the keeper's `meta` text:
 *   template=HEX address=ADDRESS signal=NUMBER grace=US drain=US */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "config/schema.h"
#include "link/msg.h"

#define PROCESS_NAME_MAX 96
#define PROCESS_ADDRESS_MAX 128
#define PROCESS_LOGS_KEPT 32 /* of instances of a service that have ended */

enum process_listen { PROCESS_LISTEN_AUTO, PROCESS_LISTEN_PORT, PROCESS_LISTEN_SOCKET };
enum process_core { PROCESS_CORE_KEEP, PROCESS_CORE_NONE, PROCESS_CORE_UNLIMITED };

/* The section `run`. */
struct process_conf {
    struct schema_list command;
    struct schema_map env;
    const char *env_file;
    const char *directory;
    const char *user;
    const char *group;
    int listen; /* enum process_listen */
    const char *ports;
    int64_t port_min, port_max; /* of `ports` */
    struct process_ready {
        const char *http;
        bool tcp;
        struct schema_list exec;
        int64_t within_us;
        int64_t interval_us; /* the most between two probes until it is ready */
    } ready;
    struct process_stop {
        int signal; /* index; process_stop_signal() */
        int64_t grace_us;
    } stop;
    struct process_limits {
        int64_t open_files; /* 0 = as the keeper's; likewise the others */
        int64_t memory_bytes;
        int64_t processes;
        int core; /* enum process_core */
    } limits;
    struct process_log {
        int64_t size_bytes; /* rotated beyond this */
        int64_t keep;       /* rotated ones */
    } log;
};

/* process_conf.c */
extern const struct schema_section process_section;
uint64_t process_template(const void *conf, bool serves);
int64_t process_start_within_us(const void *conf);
int process_stop_signal(const struct process_conf *conf); /* SIGTERM, ... */
bool process_uses_socket(const struct process_conf *conf);
/* An instance has an address: its service needs one, or the section speaks of one. Others are
 * workers: they fetch their work themselves and are ready when they run. */
bool process_has_address(const struct process_conf *conf, bool serves);

/* process_command.c: what the keeper is told to run. Texts live in `arena`. `task` = the exec probe
 * instead of the instance. 0 or -errno with a text. */
struct process_identity {
    const char *name;     /* "shop-3" */
    const char *service;  /* "shop" */
    const char *address;  /* "tcp:127.0.0.1:21000" or "unix:/path" */
    const char *meta;     /* "" for a task */
    const char *log_path; /* "" for a task */
};
int process_command(const struct process_conf *conf, const struct process_identity *who, bool task,
                    struct arena *arena, struct link_start *ret, struct err *err);
/* Text of env-file, or NULL; for the template too. Malloc'ed. */
char *process_read_env_file(const char *path);

/* process_port.c: a port of the range on which nobody listens, tried from *next on. 0 = none free.
 * `taken` says whether one of ours has it already. */
uint16_t process_choose_port(int64_t min, int64_t max, int64_t *next,
                             bool (*taken)(void *ctx, uint16_t port), void *ctx);

/* process_log.c */
/* The name is the service's and the number the instance's: STATE/log/shop-3.log. */
void process_log_path(const char *state_dir, const char *service, uint32_t number, char *buf,
                      size_t cap);
/* Larger than size_bytes: its text moves on to PATH.1, and what was there to PATH.2, up to `keep`.
 */
int process_log_rotate(const char *path, int64_t size_bytes, int64_t keep);
void process_log_remove(const char *path);
