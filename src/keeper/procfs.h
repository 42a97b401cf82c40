/* What /proc says about processes: who they are, and whose token they carry in their environment.
 * A token is "IDENTITY/NAME/META": which state directory, which instance, and what the driver wants
 * to know of it again. Private to keeper/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCFS_TOKEN_MAX 1024
#define PROCFS_TOKEN_NAME "PLIMSOLL_TOKEN"

struct procfs_process {
    pid_t pid;
    pid_t group;
    uint64_t start_ticks;         /* since boot: pid and start together are unique */
    char token[PROCFS_TOKEN_MAX]; /* behind "IDENTITY/": NAME/META; NAME may be empty */
};

/* 0 or -errno (gone). Without the token. */
int procfs_read(pid_t pid, struct procfs_process *ret);
/* Calls for every living process but our own whose token begins with "identity/". */
void procfs_each(const char *identity, void (*visit)(const struct procfs_process *p, void *ctx),
                 void *ctx);
/* Kills every process whose token begins with "identity/prefix", until none is left (bounded). */
void procfs_kill(const char *identity, const char *prefix);
/* A number that is another one after each boot. */
const char *procfs_boot_id(void);

int procfs_pidfd(pid_t pid); /* or -errno */
int procfs_pidfd_signal(int pidfd, int signal);
