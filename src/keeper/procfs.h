/* What /proc says about processes: who they are, and whose token they carry in their environment.
 * Private to keeper/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/token.h"

struct procfs_process {
    pid_t pid;
    pid_t group;
    pid_t session;
    uint64_t start_ticks;       /* since boot: pid and start together are unique */
    bool zombie;                /* its main thread, at least, has ended */
    bool own_user;              /* it runs as the user that its token was made for */
    char token[TOKEN_TEXT_MAX]; /* NAME/META; NAME may be empty */
};

/* 0 or -errno (gone). Without the token. */
int procfs_read(pid_t pid, struct procfs_process *ret);
/* That one's token. false = none of ours, or nobody here may look. */
bool procfs_read_token(const struct token_key *key, pid_t pid, struct procfs_process *ret);
/* Calls for every living process but our own that has a token of ours. */
void procfs_each(const struct token_key *key,
                 void (*visit)(const struct procfs_process *p, void *ctx), void *ctx);
/* Kills every process whose token begins with `prefix`, until none is left (bounded). */
void procfs_kill(const struct token_key *key, const char *prefix);
/* Kills the group and session that this process leads or has led. Programs that write over their
 * environment to change their title have no token to be found by. */
void procfs_kill_session(pid_t leader, uint64_t start_ticks);

int procfs_pidfd(pid_t pid); /* or -errno */
int procfs_pidfd_signal(int pidfd, int signal);
