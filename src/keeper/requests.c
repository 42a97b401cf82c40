/* What the controller asks for: a handler for each type of message. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "keeper/children.h"
#include "keeper/keeper_int.h"
#include "sys/log.h"

static void say_listening(struct keeper *k, const struct listener *item)
{
    struct link_msg m = { .type = LINK_LISTENING,
                          .text = slice_of(item->bound),
                          .name = slice_of(item->asked) };
    role_send(k, &k->controller, &m);
}

static void on_listen(struct keeper *k, const struct link_msg *m)
{
    char address[LISTEN_ADDRESS_MAX];
    const struct listener *item;
    struct err err = { 0 };
    snprintf(address, sizeof(address), "%.*s", (int)m->text.n, m->text.p);
    size_t before = k->listeners.count;
    int sockets = m->number > 0 && m->number <= LINK_FDS_MAX ? (int)m->number : 1;
    int rc = listeners_open(&k->listeners, address, sockets, &item, &err);
    if (rc < 0) {
        struct link_msg failed = { .type = LINK_LISTENING,
                                   .text = slice_of(address),
                                   .number = -rc,
                                   .name = slice_of(err.text) };
        role_send(k, &k->controller, &failed);
        return;
    }
    if (k->listeners.count != before)
        role_send_listeners(k); /* first the proxy has it, then it is said to be there */
    say_listening(k, item);
}

static void on_unlisten(struct keeper *k, const struct link_msg *m)
{
    char address[LISTEN_ADDRESS_MAX];
    snprintf(address, sizeof(address), "%.*s", (int)m->text.n, m->text.p);
    if (listeners_close(&k->listeners, address))
        role_send_listeners(k);
}

static void on_start(struct keeper *k, const struct link_msg *m)
{
    children_start(k, m->start);
}

static void on_signal(struct keeper *k, const struct link_msg *m)
{
    children_signal(k, m->name, (int)m->number);
}

static void on_list(struct keeper *k, const struct link_msg *m)
{
    struct link_msg end = { .type = LINK_LIST_END };
    children_list(k);
    for (size_t i = 0; i < k->listeners.count; i++)
        say_listening(k, &k->listeners.items[i]);
    role_send(k, &k->controller, &end);
}

static void on_proxy_config(struct keeper *k, const struct link_msg *m)
{
    snprintf(k->proxy_user, sizeof(k->proxy_user), "%.*s", (int)m->text.n, m->text.p);
    k->proxy_loops = m->number > 0 ? (int)m->number : 1;
    k->proxy.wanted = true; /* the loop starts it; one that runs keeps what it was started with */
}

static void on_ready(struct keeper *k, const struct link_msg *m)
{
    k->ready = true;
    sd_notifyf(0, "READY=1\nSTATUS=%.*s", (int)m->text.n, m->text.p);
}

static void on_exit_asked(struct keeper *k, const struct link_msg *m)
{
    if (m->number != 0 && m->text.n > 0)
        log_error("%.*s", (int)m->text.n, m->text.p);
    keeper_leave(k, (int)m->number, m->flag);
}

static void (*const handlers[LINK_TYPE_MAX])(struct keeper *k, const struct link_msg *m) = {
    [LINK_LISTEN] = on_listen, [LINK_UNLISTEN] = on_unlisten, [LINK_START] = on_start,
    [LINK_SIGNAL] = on_signal, [LINK_LIST] = on_list,         [LINK_PROXY_CONFIG] = on_proxy_config,
    [LINK_READY] = on_ready,   [LINK_EXIT] = on_exit_asked,
};

void keeper_request(struct keeper *k, const struct link_msg *m)
{
    if (handlers[m->type])
        handlers[m->type](k, m);
    else
        log_warn("the controller sent a %s, which is not for the keeper", link_type_name(m->type));
}
