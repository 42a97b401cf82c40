/* The proxy process: makes the shared state, starts a loop per core and the log's thread, and then
 * keeps up the conversations. It binds no port and starts no process; what it serves is told to it.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/num.h"
#include "proxy/links.h"
#include "proxy/loop.h"
#include "proxy/proxy.h"
#include "sys/log.h"

static struct shared shared;
static struct links links;

static uint32_t wanted_loops(void)
{
    const char *text = getenv("PLIMSOLL_LOOPS");
    int64_t n = sysconf(_SC_NPROCESSORS_ONLN);
    if (text && num_parse_i64(slice_of(text), &n) < 0)
        log_warn("PLIMSOLL_LOOPS is not a number: %s", text);
    return (uint32_t)CLAMP(n, 1, GAUGES_LOOPS_MAX);
}

/* Ctrl-C goes to a whole terminal: who stops, and in what order, is the keeper's to say. */
static void ignore_signals(void)
{
    static const int ignored[] = { SIGPIPE, SIGINT, SIGHUP, SIGQUIT };
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++)
        signal(ignored[i], SIG_IGN);
}

/* A quarter stays for connections to instances: clients that cannot be served are of no use. */
static uint32_t room_for_clients(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return UINT32_MAX;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
    return (uint32_t)MIN((uint64_t)r.rlim_cur / 4 * 3, (uint64_t)UINT32_MAX);
}

static int start_loops(void)
{
    for (uint32_t i = 0; i < shared.loop_count; i++) {
        int rc = loop_new(&shared, i, &shared.loops[i]);
        if (rc < 0)
            return rc;
    }
    for (uint32_t i = 0; i < shared.loop_count; i++) {
        char name[16];
        fmt(name, sizeof(name), "loop-%u", i);
        int rc = -pthread_create(&shared.loops[i]->thread, NULL, loop_run, shared.loops[i]);
        if (rc == 0)
            pthread_setname_np(shared.loops[i]->thread, name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static void stop_loops(void)
{
    for (uint32_t i = 0; i < shared.loop_count; i++)
        letterbox_post_quit(&shared.loops[i]->letterbox);
    for (uint32_t i = 0; i < shared.loop_count; i++)
        pthread_join(shared.loops[i]->thread, NULL);
}

/* All threads there will ever be run by now: no more of them, and no process either. And where we
 * are a user of our own, nobody else who is that user may look into us or trace us. */
static void give_up_rights(void)
{
    static const struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_NPROC, &none);
    if (links.keeper_uid != getuid())
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

int proxy_main(int keeper_fd)
{
    log_init("proxy", LOG_LEVEL_INFO);
    ignore_signals();
    shared.connections_cap = room_for_clients();
    int rc = shared_init(&shared, wanted_loops());
    if (rc == 0)
        rc = accesslog_init(&shared.log, shared.loop_count);
    if (rc == 0)
        rc = start_loops();
    if (rc < 0) {
        log_error("cannot start: %s", strerror(-rc));
        return 1;
    }
    links_init(&links, &shared, keeper_fd, getenv("PLIMSOLL_RENDEZVOUS"));
    give_up_rights();
    while (!links.quit)
        links_turn(&links);
    stop_loops();
    accesslog_stop(&shared.log);
    return 0;
}
