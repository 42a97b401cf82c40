/* plimsoll stop: asks for the end and waits until it has come. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "sys/mem.h"

#define STOP_POLL_NS 100000000L

struct stop {
    int pidfd;        /* the keeper's; -1 = it is not on this machine */
    char cluster[64]; /* "" = what runs is this machine's own, and ends too */
    size_t left;      /* instances that the cluster has */
};

/* The keeper is the last to go. Over TCP its pid may be another machine's: then the sign is that
 * nobody answers any more. */
static void wait_until_silent(struct remote *c)
{
    for (;;) {
        struct remote_answer answer = { 0 };
        struct err err = { 0 };
        struct timespec pause = { .tv_nsec = STOP_POLL_NS };
        if (remote_ask(c, "GET", "/healthz", NULL, &answer, &err) < 0)
            return;
        free(answer.body);
        nanosleep(&pause, NULL);
    }
}

static void wait_for_end(int pidfd)
{
    struct pollfd p = { .fd = pidfd, .events = POLLIN };
    while (poll(&p, 1, -1) < 0 && errno == EINTR)
        ;
}

/* What a group has started is not this machine's to stop. */
static void note_group(const json_t *status, struct stop *ret)
{
    const json_t *group = json_object_get(status, "group"), *service;
    size_t i;
    if (strcmp(show_text(group, "driver"), "file") == 0)
        return;
    str_copy(ret->cluster, sizeof(ret->cluster), show_text(group, "owner"));
    json_array_foreach(json_object_get(status, "services"), i, service) ret->left +=
        json_array_size(json_object_get(service, "instances"));
}

static int ask(const struct options *o, struct remote *c, struct stop *ret)
{
    _cleanup_json_ json_t *status = NULL, *answer = NULL;
    int rc = remote_call_json(c, "GET", "/v1/status", NULL, &status);
    if (rc != 0)
        return rc;
    note_group(status, ret);
    pid_t keeper = (pid_t)show_i64(json_object_get(status, "keeper"), "pid");
    int pidfd = -1;
    if (remote_is_local(c) && keeper > 0)
        pidfd = (int)syscall(SYS_pidfd_open, keeper, 0);
    rc = remote_call_json(c, "POST", "/v1/stop",
                          json_pack("{s:b}", "detach", (int)options_flag(o, "detach")), &answer);
    if (rc == 0)
        ret->pidfd = pidfd;
    else if (pidfd >= 0)
        close(pidfd);
    return rc;
}

static void say_end(const struct options *o, const struct stop *s)
{
    if (options_flag(o, "json"))
        printf("{\"stopped\":true,\"left\":%zu}\n", s->left);
    else if (options_flag(o, "detach"))
        printf("detached: proxy and instances go on serving; `plimsoll run` takes them over "
               "again\n");
    else if (s->left > 0)
        printf("stopped; %zu instance%s of the cluster %s go%s on\n", s->left,
               s->left == 1 ? "" : "s", s->cluster, s->left == 1 ? "es" : "");
    else
        printf("stopped\n");
}

static int run(const struct options *o)
{
    _cleanup_remote_ struct remote *c = NULL;
    struct stop s = { .pidfd = -1 };
    int rc = remote_open(o, &c);
    if (rc == 0)
        rc = ask(o, c, &s);
    if (rc != 0)
        return rc;
    if (s.pidfd >= 0)
        wait_for_end(s.pidfd);
    else
        wait_until_silent(c);
    if (s.pidfd >= 0)
        close(s.pidfd);
    say_end(o, &s);
    return COMMAND_OK;
}

static const struct option_spec own_options[] = {
    { "detach", 0, NULL, "leave the proxy and the instances serving" },
    { 0 },
};

const struct command command_stop = {
    .name = "stop",
    .summary = "drain and stop everything, in order, and wait for it",
    .arguments = "",
    .details = "Requests in flight are answered first. With --detach nothing more is decided, and\n"
               "the next `plimsoll run` with the same state directory takes over what is there.\n",
    .examples = "  plimsoll stop\n"
                "  plimsoll stop --detach\n",
    .options = own_options,
    .remote = true,
    .run = run,
};
