/* Standing by on one machine: waiting for the lock, and nothing else. It has no proxy and no
 * socket, and writes nothing; what the one before leaves behind is found when the keeper begins. */
#include <errno.h>
#include <signal.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "base/util.h"
#include "keeper/keeper.h"
#include "keeper/lock.h"
#include "sys/log.h"

/* By default they would end it as well, but not as the first process of a container. */
static void on_end(int signal_number)
{
    _exit(0);
}

static void take_signals(void (*handler)(int signal_number))
{
    static const int numbers[] = { SIGTERM, SIGINT, SIGQUIT };
    struct sigaction action = { .sa_handler = handler };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        sigaction(numbers[i], &action, NULL);
    signal(SIGHUP, handler == SIG_DFL ? SIG_DFL : SIG_IGN); /* there is nothing to read again */
}

int keeper_stand_by(const char *state_dir, struct err *err)
{
    char identity[LOCK_IDENTITY_MAX];
    int rc = lock_identify(state_dir, identity, err);
    pid_t holder = rc < 0 ? 0 : lock_holder(state_dir, identity);
    if (rc < 0 || holder == 0)
        return rc < 0 ? rc : lock_wait(state_dir, identity, err);
    take_signals(on_end);
    log_info("standing by: plimsoll, pid %d, runs on %s; taking over when it ends", (int)holder,
             state_dir);
    sd_notifyf(0, "READY=1\nSTATUS=Standing by for pid %d", (int)holder);
    rc = lock_wait(state_dir, identity, err);
    take_signals(SIG_DFL);
    if (rc == 0)
        log_info("pid %d has ended: taking over", (int)holder);
    sd_notify(0, "STATUS=");
    return rc;
}
