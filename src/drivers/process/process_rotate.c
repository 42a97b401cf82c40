/* Looks at the logs' sizes now and then, and rotates on a thread of the loop's pool: copying ten
 * megabytes is not the loop's business. One rotation at a time. */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/us.h"
#include "drivers/process/process_int.h"
#include "sys/log.h"

#define LOOK_EVERY_US (2 * US_PER_S)

struct rotation {
    uv_work_t work;
    struct process_driver *driver; /* NULL = it is gone */
    char path[PATH_MAX];
    int64_t size_bytes, keep;
    int rc;
};

static void rotate(uv_work_t *work)
{
    struct rotation *r = CONTAINER_OF(work, struct rotation, work);
    r->rc = process_log_rotate(r->path, r->size_bytes, r->keep);
}

static void rotated(uv_work_t *work, int status)
{
    struct rotation *r = CONTAINER_OF(work, struct rotation, work);
    if (r->rc < 0)
        log_warn("cannot keep a copy of the log %s: %s; it was cut", r->path, strerror(-r->rc));
    if (r->driver)
        r->driver->rotation = NULL;
    free(r);
}

/* The rotation that has begun, or NULL. */
static struct rotation *rotate_if_large(struct process *p)
{
    const struct driver_service *s = process_service(p);
    struct rotation *r;
    struct stat st;
    char path[PATH_MAX];
    if (!s)
        return NULL;
    const struct process_log *log = &((const struct process_conf *)s->conf)->log;
    process_log_path(p->driver->env.state_dir, p->service, p->number, path, sizeof(path));
    if (log->size_bytes <= 0 || stat(path, &st) < 0 || st.st_size <= log->size_bytes ||
        !(r = calloc(1, sizeof(*r))))
        return NULL;
    r->driver = p->driver;
    r->size_bytes = log->size_bytes;
    r->keep = log->keep;
    str_copy(r->path, sizeof(r->path), path);
    if (uv_queue_work(p->driver->env.loop, &r->work, rotate, rotated) < 0) {
        free(r);
        return NULL;
    }
    return r;
}

static void on_timer(uv_timer_t *timer)
{
    struct process_driver *d = timer->data;
    LIST_FOR_EACH (it, &d->processes) {
        if (d->rotation)
            return;
        d->rotation = rotate_if_large(LIST_ENTRY(it, struct process, link));
    }
}

int process_rotate_begin(struct process_driver *d, struct err *err)
{
    d->log_timer = calloc(1, sizeof(*d->log_timer));
    if (!d->log_timer)
        return err_set(err, -ENOMEM, "no memory for the process driver");
    uv_timer_init(d->env.loop, d->log_timer);
    d->log_timer->data = d;
    uv_timer_start(d->log_timer, on_timer, LOOK_EVERY_US / US_PER_MS, LOOK_EVERY_US / US_PER_MS);
    return 0;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle);
}

void process_rotate_end(struct process_driver *d)
{
    if (d->log_timer)
        uv_close((uv_handle_t *)d->log_timer, on_closed);
    d->log_timer = NULL;
    if (d->rotation)
        d->rotation->driver = NULL; /* it ends by itself */
}
