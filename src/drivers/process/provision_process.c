/* Instances as processes of this machine, run by the keeper. Owns what is known of each from the
 * moment it is asked for until the keeper says that it ended; decides nothing. What runs is what
 * the keeper says runs. */
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/us.h"
#include "drivers/process/process_int.h"
#include "sys/clock.h"
#include "sys/log.h"
#include "sys/mem.h"

#define COMMAND_BYTES_MAX ((size_t)256 * 1024)
#define KILL_AGAIN_US (5 * US_PER_S)
/* Of an instance that does not say what it was promised. */
#define GRACE_US (10 * US_PER_S)
#define DRAIN_US (20 * US_PER_S)

/* --- the list --- */

static const struct driver_service *service_by_slot(const struct process_driver *d, uint32_t slot)
{
    for (size_t i = 0; i < d->service_count; i++)
        if (d->services[i].slot == slot)
            return &d->services[i];
    return NULL;
}

static const struct driver_service *service_by_name(const struct process_driver *d,
                                                    const char *name)
{
    for (size_t i = 0; i < d->service_count; i++)
        if (strcmp(d->services[i].name, name) == 0)
            return &d->services[i];
    return NULL;
}

const struct driver_service *process_service(const struct process *p)
{
    const struct driver_service *s = service_by_slot(p->driver, p->slot);
    return !p->nameless && s && s->conf && strcmp(s->name, p->service) == 0 ? s : NULL;
}

static struct process *find(const struct process_driver *d, uint32_t slot, uint32_t number)
{
    LIST_FOR_EACH (it, &d->processes) {
        struct process *p = LIST_ENTRY(it, struct process, link);
        if (p->slot == slot && p->number == number && !p->nameless)
            return p;
    }
    return NULL;
}

static struct process *find_name(const struct process_driver *d, struct slice name)
{
    LIST_FOR_EACH (it, &d->processes) {
        struct process *p = LIST_ENTRY(it, struct process, link);
        if (slice_eq(slice_of(p->name), name))
            return p;
    }
    return NULL;
}

static struct process *add(struct process_driver *d, const char *service, uint32_t slot,
                           uint32_t number)
{
    struct process *p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->driver = d;
    p->slot = slot;
    p->number = number;
    p->signal = SIGTERM;
    p->grace_us = GRACE_US;
    p->drain_us = DRAIN_US;
    str_copy(p->service, sizeof(p->service), service);
    fmt(p->name, sizeof(p->name), "%s-%u", service, number);
    uv_timer_init(d->env.loop, &p->timer);
    list_push_back(&d->processes, &p->link);
    return p;
}

static void on_closed(uv_handle_t *handle)
{
    free(CONTAINER_OF((uv_timer_t *)handle, struct process, timer));
}

static void drop(struct process *p)
{
    process_probe_end(p);
    list_remove(&p->link);
    uv_close((uv_handle_t *)&p->timer, on_closed);
}

/* --- saying --- */

void process_emit(struct process *p, const struct event *e)
{
    struct event copy = *e;
    bool with_address = e->type == EVENT_STARTED || e->type == EVENT_FOUND;
    if (p->nameless)
        return;
    copy.service = (int32_t)p->slot;
    copy.number = p->number;
    copy.address = with_address ? p->address : NULL;
    p->driver->env.emit(p->driver->env.ctx, &copy);
}

int process_tell_keeper(struct process_driver *d, const struct link_msg *m)
{
    return d->env.keeper(d->env.ctx, m);
}

/* --- the end of it --- */

static void socket_directory(const struct process *p, char path[PATH_MAX])
{
    fmt(path, PATH_MAX, "%s/run/%s", p->driver->env.state_dir, p->name);
}

static void remove_socket(const struct process *p)
{
    char directory[PATH_MAX];
    if (strncmp(p->address, "unix:", 5) != 0)
        return;
    unlink(p->address + 5);
    socket_directory(p, directory);
    rmdir(directory);
}

/* Numbers are never used again, so logs would pile up: only those of the last few are kept. */
static void forget_old_log(const struct process *p)
{
    char path[PATH_MAX];
    if (p->number <= PROCESS_LOGS_KEPT)
        return;
    uint32_t old = p->number - PROCESS_LOGS_KEPT;
    if (find(p->driver, p->slot, old))
        return;
    process_log_path(p->driver->env.state_dir, p->service, old, path, sizeof(path));
    process_log_remove(path);
}

/* It is no more: nor is what was made for it. */
static void forget(struct process *p)
{
    remove_socket(p);
    forget_old_log(p);
    drop(p);
}

static void start_failed(struct process *p, const char *text)
{
    struct event e = { .type = EVENT_START_FAILED };
    str_copy(e.text, sizeof(e.text), text);
    if (!e.text[0]) /* too long to be copied whole */
        fmt(e.text, sizeof(e.text), "%.150s...", text);
    process_emit(p, &e);
    forget(p);
}

/* --- addresses --- */

static bool port_taken(void *ctx, uint16_t port)
{
    const struct process_driver *d = ctx;
    char address[PROCESS_ADDRESS_MAX];
    fmt(address, sizeof(address), "tcp:127.0.0.1:%u", (unsigned)port);
    LIST_FOR_EACH (it, &d->processes)
        if (strcmp(LIST_ENTRY(it, struct process, link)->address, address) == 0)
            return true;
    return false;
}

static int choose_port(struct process *p, const struct process_conf *conf, struct err *err)
{
    if (p->driver->next_port == 0) /* not where every other plimsoll on this machine begins */
        p->driver->next_port =
            conf->port_min + getpid() * INT64_C(101) % (conf->port_max - conf->port_min + 1);
    uint16_t port = process_choose_port(conf->port_min, conf->port_max, &p->driver->next_port,
                                        port_taken, p->driver);
    if (port == 0)
        return err_set(err, -EADDRINUSE, "no free port in %s: give a wider range in run.ports",
                       conf->ports);
    fmt(p->address, sizeof(p->address), "tcp:127.0.0.1:%u", (unsigned)port);
    return 0;
}

/* The proxy runs as another user than root: it must get through every directory on the way. */
static int check_way(const char *path, struct err *err)
{
    char part[PATH_MAX];
    struct stat st;
    for (size_t n = 1; geteuid() == 0 && path[n]; n++) {
        if (path[n] != '/')
            continue;
        fmt(part, sizeof(part), "%.*s", (int)n, path);
        if (stat(part, &st) == 0 && !(st.st_mode & S_IXOTH))
            return err_set(err, -EACCES,
                           "the proxy's user cannot get through %s to the instance's socket: "
                           "`chmod o+x` it, choose another state directory, or use `listen: port`",
                           part);
    }
    return 0;
}

/* A directory of its own, which the instance's user may write to and everybody may reach into. */
static int make_socket_directory(const char *path, const struct process_conf *conf, struct err *err)
{
    struct passwd *user = conf->user && geteuid() == 0 ? getpwnam(conf->user) : NULL;
    if (mkdir(path, 0711) < 0 && errno != EEXIST)
        return err_set(err, -errno, "cannot make %s: %s; use `listen: port`", path,
                       strerror(errno));
    if (user && chown(path, user->pw_uid, user->pw_gid) < 0)
        return err_set(err, -errno, "cannot give %s to %s: %s", path, conf->user, strerror(errno));
    return check_way(path, err);
}

static int choose_socket(struct process *p, const struct process_conf *conf, struct err *err)
{
    char directory[PATH_MAX];
    struct sockaddr_un a;
    socket_directory(p, directory);
    if (fmt(p->address, sizeof(p->address), "unix:%s/s", directory) >=
        MIN(sizeof(p->address), sizeof(a.sun_path) + 5))
        return err_set(err, -ENAMETOOLONG,
                       "%s/s is too long a path for a Unix socket: use a shorter --state, or "
                       "`listen: port`",
                       directory);
    int rc = make_socket_directory(directory, conf, err);
    if (rc == 0)
        unlink(p->address + 5); /* of an earlier life */
    return rc;
}

/* --- starting --- */

static int ask_to_start(struct process *p, const struct process_conf *conf, struct err *err)
{
    static struct link_start start;
    char meta[512], log_path[PATH_MAX];
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, COMMAND_BYTES_MAX);
    fmt(meta, sizeof(meta), "template=%llx address=%s signal=%d grace=%lld drain=%lld",
        (unsigned long long)p->template, p->address, p->signal, (long long)p->grace_us,
        (long long)p->drain_us);
    process_log_path(p->driver->env.state_dir, p->service, p->number, log_path, sizeof(log_path));
    struct process_identity who = { .name = p->name,
                                    .service = p->service,
                                    .address = p->address,
                                    .meta = meta,
                                    .log_path = log_path };
    int rc = process_command(conf, &who, false, &arena, &start, err);
    if (rc < 0)
        return rc;
    struct link_msg m = { .type = LINK_START, .start = &start };
    rc = process_tell_keeper(p->driver, &m);
    return rc < 0 ? err_set(err, rc, "cannot tell the keeper: %s", strerror(-rc)) : 0;
}

/* By one that nobody knows, and that has not ended yet. */
static bool name_taken(const struct process *p)
{
    return find_name(p->driver, slice_of(p->name)) != p;
}

static int choose_address(struct process *p, const struct process_conf *conf, bool serves,
                          struct err *err)
{
    if (name_taken(p))
        return err_set(err, -EEXIST, "another %s still runs, which nobody asked for", p->name);
    if (!process_has_address(conf, serves))
        return 0;
    return process_uses_socket(conf) ? choose_socket(p, conf, err) : choose_port(p, conf, err);
}

static void process_start(void *self, const struct driver_service *service, uint32_t number)
{
    struct process_driver *d = self;
    const struct process_conf *conf = service->conf;
    struct err err = { 0 };
    if (!conf || find(d, service->slot, number))
        return; /* an action that is repeated takes effect once */
    struct process *p = add(d, service->name, service->slot, number);
    if (!p)
        return; /* the core's start deadline notices */
    p->template = service->template;
    p->signal = process_stop_signal(conf);
    p->grace_us = conf->stop.grace_us;
    p->drain_us = service->drain_us;
    int rc = choose_address(p, conf, service->serves, &err);
    if (rc == 0)
        rc = ask_to_start(p, conf, &err);
    if (rc < 0)
        start_failed(p, err.text);
}

/* --- stopping --- */

static void say_signal(struct process *p, int signal)
{
    struct link_msg m = { .type = LINK_SIGNAL, .name = slice_of(p->name), .number = signal };
    int rc = process_tell_keeper(p->driver, &m);
    if (rc < 0)
        log_warn("cannot tell the keeper to end %s: %s", p->name, strerror(-rc));
}

static void on_grace_over(uv_timer_t *timer)
{
    struct process *p = CONTAINER_OF(timer, struct process, timer);
    say_signal(p, SIGKILL);
    uv_timer_start(timer, on_grace_over, KILL_AGAIN_US / US_PER_MS, 0);
}

static void begin_stop(struct process *p)
{
    const struct driver_service *s = process_service(p);
    if (s) { /* as the configuration is now */
        p->signal = process_stop_signal(s->conf);
        p->grace_us = ((const struct process_conf *)s->conf)->stop.grace_us;
    }
    process_probe_end(p);
    p->state = PROCESS_STOPPING;
    say_signal(p, p->signal);
    uv_timer_start(&p->timer, on_grace_over, (uint64_t)(p->grace_us / US_PER_MS), 0);
}

static void process_stop(void *self, uint32_t slot, uint32_t number)
{
    struct process_driver *d = self;
    struct process *p = find(d, slot, number);
    if (!p) {
        struct event e = { .type = EVENT_EXITED,
                           .service = (int32_t)slot,
                           .number = number,
                           .flag = true,
                           .text = "was not running" };
        d->env.emit(d->env.ctx, &e);
        return;
    }
    if (p->state == PROCESS_ASKED)
        p->stop_wanted = true;
    else if (p->state == PROCESS_RUNNING)
        begin_stop(p);
}

/* --- what the keeper says --- */

static struct process *exec_probe_of(const struct process_driver *d, struct slice name)
{
    size_t suffix = sizeof(PROCESS_EXEC_SUFFIX) - 1;
    if (name.n <= suffix || memcmp(name.p + name.n - suffix, PROCESS_EXEC_SUFFIX, suffix) != 0)
        return NULL;
    return find_name(d, (struct slice){ name.p, name.n - suffix });
}

static void on_started(struct process_driver *d, const struct link_msg *m)
{
    struct process *prober = exec_probe_of(d, m->name), *p = find_name(d, m->name);
    char text[512];
    fmt(text, sizeof(text), "%.*s", (int)m->text.n, m->text.p);
    if (prober && !m->flag)
        process_probe_exec_done(prober, false, text);
    if (!p || p->state != PROCESS_ASKED)
        return;
    if (!m->flag) {
        start_failed(p, text);
        return;
    }
    struct event e = { .type = EVENT_STARTED, .pid = m->number, .template = p->template };
    p->pid = m->number;
    p->state = PROCESS_RUNNING;
    process_emit(p, &e);
    if (p->stop_wanted)
        begin_stop(p);
    else
        process_probe_begin(p);
}

static void describe_exit(const struct link_msg *m, char *buf, size_t cap)
{
    int status = (int)m->status;
    if (m->flag)
        fmt(buf, cap, "ended; with which status is not known");
    else if (WIFSIGNALED(status))
        fmt(buf, cap, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        fmt(buf, cap, "exited with status %d", WEXITSTATUS(status));
}

static void on_exited(struct process_driver *d, const struct link_msg *m)
{
    struct process *prober = exec_probe_of(d, m->name), *p = find_name(d, m->name);
    struct event e = {
        .type = EVENT_EXITED, .pid = m->number, .status = (int32_t)m->status, .flag = m->flag
    };
    describe_exit(m, e.text, sizeof(e.text));
    if (prober)
        process_probe_exec_done(prober, m->status == 0 && !m->flag, e.text);
    if (!p)
        return;
    process_emit(p, &e);
    forget(p);
}

/* "shop-3" -> "shop", 3 */
static bool split_name(struct slice name, char *service, size_t cap, uint32_t *ret_number)
{
    size_t dash = name.n;
    int64_t number;
    while (dash > 0 && name.p[dash - 1] != '-')
        dash--;
    if (dash < 2 || dash - 1 >= cap ||
        num_parse_i64((struct slice){ name.p + dash, name.n - dash }, &number) < 0 || number < 1 ||
        number > UINT32_MAX)
        return false;
    memcpy(service, name.p, dash - 1);
    service[dash - 1] = '\0';
    *ret_number = (uint32_t)number;
    return true;
}

static void read_hex(struct slice text, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *digit = memchr("0123456789abcdef", text.p[i], 16);
        *ret = *ret << 4 | (uint64_t)(digit ? digit - "0123456789abcdef" : 0);
    }
}

static void read_meta_word(struct process *p, struct slice word)
{
    int64_t number;
    const char *equals = memchr(word.p, '=', word.n);
    if (!equals)
        return;
    struct slice name = { word.p, (size_t)(equals - word.p) };
    struct slice value = { equals + 1, word.n - name.n - 1 };
    if (slice_eq(name, SLICE("template")))
        read_hex(value, &p->template);
    else if (slice_eq(name, SLICE("address")))
        fmt(p->address, sizeof(p->address), "%.*s", (int)value.n, value.p);
    else if (slice_eq(name, SLICE("signal")) && num_parse_i64(value, &number) == 0)
        p->signal = (int)number;
    else if (slice_eq(name, SLICE("grace")) && num_parse_i64(value, &number) == 0)
        p->grace_us = number;
    else if (slice_eq(name, SLICE("drain")) && num_parse_i64(value, &number) == 0)
        p->drain_us = number;
}

static void read_meta(struct process *p, struct slice meta)
{
    while (meta.n > 0) {
        const char *space = memchr(meta.p, ' ', meta.n);
        size_t n = space ? (size_t)(space - meta.p) : meta.n;
        read_meta_word(p, (struct slice){ meta.p, n });
        n += space != NULL;
        meta = (struct slice){ meta.p + n, meta.n - n };
    }
}

static struct process *adopt(struct process_driver *d, const struct link_msg *m)
{
    char service[MODEL_NAME_MAX];
    uint32_t number;
    if (!split_name(m->name, service, sizeof(service), &number))
        return NULL;
    const struct driver_service *s = service_by_name(d, service);
    struct process *p = add(d, service, s ? s->slot : UINT32_MAX, number);
    if (!p)
        return NULL;
    p->nameless = !s;
    p->pid = m->number;
    p->state = PROCESS_RUNNING;
    read_meta(p, m->text);
    return p;
}

static void on_unknown_drained(uv_timer_t *timer)
{
    begin_stop(CONTAINER_OF(timer, struct process, timer));
}

/* The proxy may have outlived whoever knew its service, and still be waiting for its answers. */
static void end_unknown(struct process *p)
{
    log_info("%s belongs to no service any more: ending it", p->name);
    uv_timer_start(&p->timer, on_unknown_drained, (uint64_t)(MAX(p->drain_us, 0) / US_PER_MS), 0);
}

static void on_running(struct process_driver *d, const struct link_msg *m)
{
    struct process *p = find_name(d, m->name);
    bool known = p != NULL;
    if (!known)
        p = adopt(d, m);
    if (!p)
        return;
    if (p->nameless) {
        if (!known)
            end_unknown(p);
        return;
    }
    /* One that listens was taking requests, as far as anyone can tell, and a worker its jobs; a
     * probe is on its way. */
    proctree_refresh(d->tree, clock_now_us(), US_PER_S);
    struct event e = { .type = EVENT_FOUND,
                       .pid = p->pid,
                       .template = p->template,
                       .flag = !p->address[0] ||
                               proctree_listens(d->tree, (pid_t)p->pid, p->address) != 0 };
    process_emit(p, &e);
    if (!known)
        process_probe_begin(p);
}

static void on_list_end(struct process_driver *d)
{
    for (size_t i = 0; i < d->service_count; i++) {
        struct event e = { .type = EVENT_FOUND_ALL, .service = (int32_t)d->services[i].slot };
        d->env.emit(d->env.ctx, &e);
    }
}

static bool process_keeper_msg(void *self, const struct link_msg *m)
{
    struct process_driver *d = self;
    switch (m->type) {
    case LINK_STARTED:
        on_started(d, m);
        return true;
    case LINK_EXITED:
        on_exited(d, m);
        return true;
    case LINK_RUNNING:
        on_running(d, m);
        return true;
    case LINK_LIST_END:
        on_list_end(d);
        return true;
    default:
        return false;
    }
}

/* --- the table's other functions --- */

static void process_list(void *self)
{
    struct process_driver *d = self;
    struct link_msg m = { .type = LINK_LIST };
    int rc = process_tell_keeper(d, &m);
    if (rc < 0)
        log_error("cannot ask the keeper what runs: %s", strerror(-rc));
}

static void process_set_services(void *self, const struct driver_service *services, size_t count)
{
    struct process_driver *d = self;
    d->service_count = MIN(count, ARRAY_LEN(d->services));
    if (d->service_count > 0)
        memcpy(d->services, services, d->service_count * sizeof(services[0]));
}

static void process_probe(void *self, uint32_t slot, uint32_t number)
{
    struct process *p = find(self, slot, number);
    if (p)
        process_probe_now(p);
}

static void process_close(void *self)
{
    struct process_driver *d = self;
    LIST_FOR_EACH (it, &d->processes)
        drop(LIST_ENTRY(it, struct process, link));
    process_rotate_end(d);
    prober_free(d->prober);
    proctree_free(d->tree);
    free(d);
}

static void make_directories(const struct process_driver *d)
{
    char path[PATH_MAX];
    fmt(path, sizeof(path), "%s/log", d->env.state_dir);
    mkdir(path, 0755); /* where it fails, so will what uses it, and says so */
    fmt(path, sizeof(path), "%s/run", d->env.state_dir);
    mkdir(path, 0711);
}

static int process_open(const struct driver_env *env, void **ret, struct err *err)
{
    struct process_driver *d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, -ENOMEM, "no memory for the process driver");
    d->env = *env;
    list_init(&d->processes);
    d->tree = proctree_new();
    int rc = d->tree ? prober_new(env->loop, &d->prober, err)
                     : err_set(err, -ENOMEM, "no memory for the process driver");
    if (rc == 0)
        rc = process_rotate_begin(d, err);
    if (rc < 0) {
        process_close(d);
        return rc;
    }
    make_directories(d);
    *ret = d;
    return 0;
}

const struct provision_ops provision_process = {
    .name = "process",
    .caps = PROVISION_CAN_DRAIN | PROVISION_CAN_CHOOSE_VICTIM,
    .section = &process_section,
    .template = process_template,
    .start_within_us = process_start_within_us,
    .open = process_open,
    .set_services = process_set_services,
    .start = process_start,
    .stop = process_stop,
    .list = process_list,
    .probe = process_probe,
    .keeper_msg = process_keeper_msg,
    .close = process_close,
};
