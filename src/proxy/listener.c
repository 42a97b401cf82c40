/* Accepting connections. Level-triggered, unlike all else: what a batch leaves is reported again.
 */
#include "proxy/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/str.h"
#include "proxy/client.h"
#include "proxy/loop.h"

#define BATCH 64
#define PAUSE_US (100 * US_PER_MS)

struct listener_set *listener_set_new(uint32_t cap)
{
    return calloc(1, sizeof(struct listener_set) + cap * sizeof(struct listener));
}

void listener_set_free(struct listener_set *set)
{
    if (!set)
        return;
    for (uint32_t i = 0; i < set->count; i++)
        if (set->items[i].io.fd >= 0)
            close(set->items[i].io.fd);
    free(set);
}

void listener_set_add(struct listener_set *set, const char *address, int fd)
{
    struct listener *li = &set->items[set->count++];
    int one = 1;
    li->local = address[0] == 'u';
    li->io = (struct io){ .fd = fd, .kind = IO_LISTENER };
    str_copy(li->address, sizeof(li->address), address);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    if (!li->local) /* inherited by what is accepted */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void watch(struct loop *l, struct listener *li, bool on)
{
    if (li->watched == on || li->io.fd < 0)
        return;
    struct epoll_event e = { .events = EPOLLIN, .data.ptr = &li->io };
    if (epoll_ctl(l->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, li->io.fd, &e) == 0)
        li->watched = on;
}

void listener_replace(struct loop *l, struct listener_set *set)
{
    struct listener_set *old = l->listeners;
    for (uint32_t i = 0; old && i < old->count; i++)
        watch(l, &old->items[i], false); /* shared with the keeper: closing would not end it */
    l->listeners = set;
    listener_set_free(old);
    for (uint32_t i = 0; i < set->count; i++)
        set->items[i].site = site_get(l, set->items[i].address);
    listener_update(l);
}

void listener_update(struct loop *l)
{
    for (uint32_t i = 0; l->listeners && i < l->listeners->count; i++) {
        struct listener *li = &l->listeners->items[i];
        bool wanted =
            l->applied && !l->stopping && !l->accept_paused && li->site && li->site->count > 0;
        watch(l, li, wanted);
    }
}

/* Out of descriptors: reported at every turn, were it still watched. */
static void pause_accepting(struct loop *l)
{
    client_shed(l);
    l->accept_paused = true;
    timer_set(&l->wheel, &l->accept_timer, us_add(l->now_us, PAUSE_US));
    listener_update(l);
}

void listener_accept(struct loop *l, struct listener *li)
{
    for (int i = 0; i < BATCH; i++) {
        struct sockaddr_storage sa = { 0 };
        socklen_t bytes = sizeof(sa);
        int fd = accept4(li->io.fd, (struct sockaddr *)&sa, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            client_accept(l, li->site, fd, li->local, &sa);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(l);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}
