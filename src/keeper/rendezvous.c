/* Meeting the proxy. Whoever answers must be root, ourselves, the very process that is on record as
 * our proxy, or one that carries its token: abstract names are free for all. */
#include "keeper/rendezvous.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "keeper/channel.h"
#include "keeper/procfs.h"
#include "keeper/record.h"
#include "keeper/role.h"
#include "sys/log.h"
#include "sys/mem.h"

#define ANSWER_MS 2000

socklen_t rendezvous_address(const char *name, struct sockaddr_un *ret)
{
    size_t n = strnlen(name, sizeof(ret->sun_path) - 1);
    *ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
    memcpy(ret->sun_path + 1, name, n);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n);
}

void rendezvous_name(const char *identity, char ret[RENDEZVOUS_NAME_MAX])
{
    snprintf(ret, RENDEZVOUS_NAME_MAX, "plimsoll-proxy-%s", identity);
}

static bool is_ours(const char *state_dir, const struct token_key *key, const struct ucred *peer)
{
    struct record record;
    struct procfs_process p;
    if (peer->uid == 0 || peer->uid == geteuid())
        return true;
    if (record_read(state_dir, ROLE_PROXY_RECORD, &record) == 0 && record.pid == peer->pid &&
        procfs_read(peer->pid, &p) == 0 && p.start_ticks == record.start_ticks)
        return true;
    /* Its program may be an older one, replaced since: the token says enough. */
    return procfs_read_token(key, peer->pid, &p) && p.own_user &&
           strcmp(p.token, ROLE_PROXY_TOKEN) == 0;
}

static int connect_to(const char *name)
{
    struct sockaddr_un a;
    socklen_t bytes = rendezvous_address(name, &a);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&a, bytes) < 0)
        return -errno;
    return TAKE_FD(fd);
}

static void take_sockets(struct listeners *l, const struct link_msg *m)
{
    for (uint32_t i = 0; i < m->fd_count; i++) {
        char address[LISTEN_ADDRESS_MAX];
        bool named = i < m->list_count && m->list[i].n < sizeof(address);
        if (named)
            snprintf(address, sizeof(address), "%.*s", (int)m->list[i].n, m->list[i].p);
        if (!named || listeners_adopt(l, address, m->fds[i]) < 0)
            close(m->fds[i]);
        else
            fcntl(m->fds[i], F_SETFL, O_NONBLOCK);
    }
}

pid_t rendezvous_meet(const char *state_dir, const struct token_key *key, const char *name,
                      struct listeners *l, int *ret_fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    struct link_msg m;
    struct err err = { 0 };
    int fd = connect_to(name);
    if (fd < 0)
        return 0;
    struct channel c;
    channel_init(&c);
    channel_open(&c, fd);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0 ||
        !is_ours(state_dir, key, &peer)) {
        log_warn("somebody else (pid %d) answers for our proxy; ignored", (int)peer.pid);
    } else if (poll(&p, 1, ANSWER_MS) == 1 && channel_receive(&c, NULL, &m, &err) == 1) {
        if (m.type == LINK_HANDOVER) {
            take_sockets(l, &m);
            *ret_fd = fd;
            return peer.pid;
        }
        for (uint32_t i = 0; i < m.fd_count; i++)
            close(m.fds[i]);
    } else {
        log_warn("the proxy found running (pid %d) does not answer: %s", (int)peer.pid,
                 err.text[0] ? err.text : "no message");
    }
    channel_close(&c);
    return 0;
}
