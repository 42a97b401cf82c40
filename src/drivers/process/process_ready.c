/* Probing instances. Until the first pass the section's `ready` is asked, soon and then less often;
 * a pass only counts when the instance itself listens, unless it is a worker and has no address.
 * From then on the service's health probe is asked at its interval. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "config/config.h"
#include "drivers/process/process_int.h"
#include "sys/clock.h"
#include "sys/mem.h"

#define GAP_US_MIN (20 * US_PER_MS)
#define TIMEOUT_US (1 * US_PER_S) /* where the config gives none */
#define EXEC_TIMEOUT_US (10 * US_PER_S)
#define FAILURE_EVERY_US (1 * US_PER_S) /* the same failure of a start is told so often */
#define COMMAND_BYTES_MAX ((size_t)256 * 1024)

static void look(struct process *p);

static void on_timer(uv_timer_t *timer)
{
    look(CONTAINER_OF(timer, struct process, timer));
}

static void look_in(struct process *p, int64_t us)
{
    uv_timer_start(&p->timer, on_timer, (uint64_t)(us / US_PER_MS), 0);
}

static int64_t interval_us(const struct process *p)
{
    const struct driver_service *s = process_service(p);
    return s && s->probe.interval_us > 0 ? s->probe.interval_us : US_PER_S;
}

static int64_t gap_us_max(const struct process *p)
{
    const struct driver_service *s = process_service(p);
    return s ? ((const struct process_conf *)s->conf)->ready.interval_us : US_PER_S / 2;
}

static void plan_next(struct process *p)
{
    if (p->ready_once) {
        look_in(p, interval_us(p));
        return;
    }
    look_in(p, p->gap_us);
    p->gap_us = MIN(2 * p->gap_us, MAX(gap_us_max(p), GAP_US_MIN));
}

/* --- results --- */

/* A socket file belongs to whom the instance runs as; the proxy is somebody else. The directory is
 * the instance's as well, so what lies there may be, at any moment, a link to what only we may
 * touch: all is done to the one file that was opened, and only if it is a socket of its user's. */
static int open_socket_to_proxy(const struct process *p)
{
    const char *path = p->address + 5;
    char directory[PROCESS_ADDRESS_MAX], opened[32];
    struct stat socket, owner;
    if (strncmp(p->address, "unix:", 5) != 0)
        return 0;
    _cleanup_close_ int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    fmt(directory, sizeof(directory), "%.*s", (int)(strrchr(path, '/') - path), path);
    if (fd < 0 || fstat(fd, &socket) < 0 || lstat(directory, &owner) < 0)
        return -errno;
    if (!S_ISSOCK(socket.st_mode) || (socket.st_uid != owner.st_uid && owner.st_uid != geteuid()))
        return -EPERM;
    fmt(opened, sizeof(opened), "/proc/self/fd/%d", fd);
    return chmod(opened, 0666) < 0 ? -errno : 0;
}

/* Somebody else may have taken the port between our look and the instance's bind. */
static bool listens_itself(struct process *p)
{
    struct proctree *tree = p->driver->tree;
    if (proctree_refresh(tree, clock_now_us(), 0) < 0)
        return true; /* no /proc to ask: the probe's word has to do */
    return proctree_listens(tree, (pid_t)p->pid, p->address) != 0;
}

/* What a probe from outside cannot see, before its first pass is believed. false = no pass, and
 * why.
 */
static bool check_listener(struct process *p, bool passed, char *buf, size_t cap)
{
    int rc = passed ? open_socket_to_proxy(p) : 0;
    if (rc < 0)
        fmt(buf, cap, "%s is not a socket of the instance's user: %s", p->address + 5,
            strerror(-rc));
    else if (passed && !listens_itself(p))
        fmt(buf, cap, "somebody else listens on %s, not the instance", p->address);
    else
        return true;
    return false;
}

static void tell(struct process *p, bool passed, const char *text)
{
    struct event e = { .type = EVENT_PROBE, .flag = passed };
    int64_t now_us = clock_now_us();
    bool same = strcmp(p->failure, text) == 0;
    if (!passed && !p->ready_once && same && now_us - p->emitted_us < FAILURE_EVERY_US)
        return;
    p->emitted_us = now_us;
    str_copy(p->failure, sizeof(p->failure), text);
    str_copy(e.text, sizeof(e.text), text);
    process_emit(p, &e);
}

static void on_result(struct process *p, bool passed, const char *text)
{
    char why_not[160];
    if (p->state != PROCESS_RUNNING)
        return;
    if (!p->ready_once && !passed && strcmp(text, PROBE_NO_ANSWER) == 0) {
        /* Short: what follows from it stands before it, in the same 160 bytes. */
        fmt(why_not, sizeof(why_not),
            "nothing listens on %s; give its command {port}, or let it read PORT", p->address);
        text = why_not;
    }
    if (!p->ready_once && p->address[0] && !check_listener(p, passed, why_not, sizeof(why_not))) {
        passed = false;
        text = why_not;
    }
    tell(p, passed, text);
    p->ready_once |= passed;
    plan_next(p);
}

static void on_probe_done(void *ctx, bool passed, const char *text)
{
    struct process *p = ctx;
    p->probe = NULL;
    on_result(p, passed, text);
}

void process_probe_exec_done(struct process *p, bool passed, const char *text)
{
    if (!p->exec_running)
        return;
    p->exec_running = false;
    on_result(p, passed, text);
}

/* --- asking --- */

static void ask_exec(struct process *p, const struct driver_service *s)
{
    static struct link_start start;
    char name[PROCESS_NAME_MAX + sizeof(PROCESS_EXEC_SUFFIX)];
    struct err err = { 0 };
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, COMMAND_BYTES_MAX);
    fmt(name, sizeof(name), "%s" PROCESS_EXEC_SUFFIX, p->name);
    struct process_identity who = {
        .name = p->name, .service = p->service, .address = p->address, .meta = "", .log_path = ""
    };
    int rc = process_command(s->conf, &who, true, &arena, &start, &err);
    start.name = slice_of(name);
    start.deadline_us = MAX(s->probe.timeout_us, EXEC_TIMEOUT_US);
    struct link_msg m = { .type = LINK_START, .start = &start };
    if (rc == 0)
        rc = process_tell_keeper(p->driver, &m);
    p->exec_running = rc == 0;
    if (rc < 0)
        on_result(p, false, err.text[0] ? err.text : "the keeper does not take the exec probe");
}

static void ask(struct process *p, const char *path, int64_t timeout_us)
{
    if (!p->address[0]) { /* a worker: it runs, and its end would be told */
        on_result(p, true, "");
        return;
    }
    struct probe_target target = { .address = p->address,
                                   .path = path,
                                   .timeout_us = timeout_us > 0 ? timeout_us : TIMEOUT_US };
    p->probe = probe_start(p->driver->prober, &target, on_probe_done, p);
    if (!p->probe)
        on_result(p, false, "no memory for a probe");
}

static void look(struct process *p)
{
    const struct driver_service *s = process_service(p);
    if (p->state != PROCESS_RUNNING || p->probe || p->exec_running)
        return;
    if (!s) {
        ask(p, NULL, TIMEOUT_US);
        return;
    }
    const struct process_ready *ready = &((const struct process_conf *)s->conf)->ready;
    bool own = !p->ready_once || s->probe.kind == CONFIG_PROBE_NONE;
    if (!own)
        ask(p, s->probe.kind == CONFIG_PROBE_HTTP ? s->probe.path : NULL, s->probe.timeout_us);
    else if (ready->exec.count > 0)
        ask_exec(p, s);
    else
        ask(p, ready->http, s->probe.timeout_us);
}

void process_probe_begin(struct process *p)
{
    p->gap_us = GAP_US_MIN;
    look_in(p, 0);
}

void process_probe_now(struct process *p)
{
    if (p->state == PROCESS_RUNNING && !p->probe && !p->exec_running)
        look_in(p, 0);
}

void process_probe_end(struct process *p)
{
    probe_cancel(p->probe);
    p->probe = NULL;
    p->exec_running = false;
    uv_timer_stop(&p->timer);
}
