/* One run of a program: its process, its pipes and its time. It owns them until the last of them is
 * closed, whoever waits for it, and never reads what it is told as anything but bytes. */
#include "drivers/child.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/command.h"
#include "sys/mem.h"

#define LINE_MAX_BYTES 120
#define LINGER_MS 2000 /* for the rest of its output, which others may hold */

struct output {
    uv_pipe_t pipe;
    char text[CHILD_OUTPUT_MAX];
    size_t bytes;
    bool over, reading;
};

/* It lives until all its handles are closed, whoever waits for it. */
struct child {
    uv_process_t process;
    uv_timer_t timer;
    uv_pipe_t input;
    uv_write_t write;
    struct output out, error;
    char *given;
    unsigned open; /* handles */
    unsigned busy; /* of these, what it has not ended with: itself, its output */
    bool timed;
    struct child_end end;
    child_done *done; /* NULL = nobody waits any more */
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    struct child *c = handle->data;
    if (--c->open > 0)
        return;
    free(c->given);
    free(c);
}

static void close_one(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_all(struct child *c)
{
    close_one(&c->process);
    close_one(&c->timer);
    close_one(&c->input);
    close_one(&c->out.pipe);
    close_one(&c->error.pipe);
}

/* --- the end --- */

static struct slice trimmed(const struct output *o)
{
    struct slice s = { o->text, o->bytes };
    while (s.n > 0 && memchr("\r\n\t ", s.p[s.n - 1], 4))
        s.n--;
    return s;
}

static void finish(struct child *c)
{
    child_done *done = c->done;
    c->done = NULL;
    c->end.out = trimmed(&c->out);
    c->end.error = trimmed(&c->error);
    c->end.out_over = c->out.over;
    close_all(c);
    if (done)
        done(c->ctx, &c->end);
}

static void one_less(struct child *c)
{
    if (--c->busy == 0)
        finish(c);
}

static void kill_group(const struct child *c)
{
    if (c->process.pid > 0 && !uv_is_closing((const uv_handle_t *)&c->process))
        kill(-c->process.pid, SIGKILL);
}

static void end_output(struct child *c, struct output *o)
{
    if (!o->reading)
        return;
    o->reading = false;
    close_one(&o->pipe);
    one_less(c);
}

/* What it has started and let go may hold its output for ever. */
static void on_timeout(uv_timer_t *timer)
{
    struct child *c = timer->data;
    c->end.timed_out = !uv_is_closing((uv_handle_t *)&c->process);
    kill_group(c);
    end_output(c, &c->out);
    end_output(c, &c->error);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct child *c = process->data;
    c->end.status = (int)status;
    c->end.signal = signal;
    close_one(process);
    if (c->timed)
        uv_timer_start(&c->timer, on_timeout, LINGER_MS, 0);
    one_less(c);
}

/* --- its pipes --- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct output *o = CONTAINER_OF((uv_pipe_t *)handle, struct output, pipe);
    static char rest[1024]; /* read and thrown away, so that it can end */
    *buf = o->bytes == sizeof(o->text)
               ? uv_buf_init(rest, sizeof(rest))
               : uv_buf_init(o->text + o->bytes, (unsigned)(sizeof(o->text) - o->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct output *o = CONTAINER_OF((uv_pipe_t *)stream, struct output, pipe);
    if (n > 0 && o->bytes == sizeof(o->text))
        o->over = true;
    else if (n > 0)
        o->bytes += (size_t)n;
    if (n < 0)
        end_output(stream->data, o);
}

/* Who does not read it all may end well all the same. */
static void on_written(uv_write_t *write, int status)
{
    close_one(&((struct child *)write->data)->input);
}

/* --- its begin --- */

static uv_stdio_container_t pipe_to(uv_pipe_t *pipe, int flag)
{
    return (uv_stdio_container_t){ .flags = UV_CREATE_PIPE | flag,
                                   .data.stream = (uv_stream_t *)pipe };
}

static int spawn(struct child *c, const struct child_options *o, char **env, uv_loop_t *loop)
{
    const uv_stdio_container_t log = { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO };
    uv_stdio_container_t stdio[3] = {
        c->given ? pipe_to(&c->input, UV_READABLE_PIPE)
                 : (uv_stdio_container_t){ .flags = UV_IGNORE },
        o->logs ? log : pipe_to(&c->out.pipe, UV_WRITABLE_PIPE),
        o->logs ? log : pipe_to(&c->error.pipe, UV_WRITABLE_PIPE),
    };
    uv_process_options_t options = { .exit_cb = on_exited,
                                     .file = o->argv[0],
                                     .args = (char **)o->argv,
                                     .env = env,
                                     .cwd = o->directory,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio_count = ARRAY_LEN(stdio),
                                     .stdio = stdio };
    return uv_spawn(loop, &c->process, &options);
}

static void begin_output(struct child *c, struct output *o)
{
    o->reading = true;
    c->busy++;
    uv_read_start((uv_stream_t *)&o->pipe, on_room, on_read);
}

static void begin(struct child *c, const struct child_options *o)
{
    c->busy = 1;
    if (!o->logs) {
        begin_output(c, &c->out);
        begin_output(c, &c->error);
    }
    c->timed = o->timeout_us > 0;
    if (c->timed)
        uv_timer_start(&c->timer, on_timeout, (uint64_t)(o->timeout_us / US_PER_MS), 0);
    if (!c->given)
        return;
    uv_buf_t buf = uv_buf_init(c->given, (unsigned)strlen(c->given));
    uv_write(&c->write, (uv_stream_t *)&c->input, &buf, 1, on_written);
}

int child_start(uv_loop_t *loop, const struct child_options *o, child_done *done, void *ctx,
                struct child **ret)
{
    _cleanup_free_ char **env = command_environment();
    char *given = o->input ? strdup(o->input) : NULL;
    struct child *c = calloc(1, sizeof(*c));
    if (!c || !env || (o->input && !given)) {
        free(c);
        free(given);
        return UV_ENOMEM;
    }
    c->given = given;
    c->ctx = ctx;
    c->open = 5;
    uv_pipe_init(loop, &c->input, 0);
    uv_pipe_init(loop, &c->out.pipe, 0);
    uv_pipe_init(loop, &c->error.pipe, 0);
    uv_timer_init(loop, &c->timer);
    c->process.data = c->timer.data = c->input.data = c->write.data = c;
    c->out.pipe.data = c->error.pipe.data = c;
    int rc = spawn(c, o, env, loop);
    if (rc < 0) {
        close_all(c);
        return rc;
    }
    c->done = done;
    begin(c, o);
    *ret = c;
    return 0;
}

void child_cancel(struct child *c)
{
    if (!c)
        return;
    c->done = NULL;
    kill_group(c);
    end_output(c, &c->out);
    end_output(c, &c->error);
}

/* --- how it was --- */

bool child_ended_well(const struct child_end *end)
{
    return !end->timed_out && end->signal == 0 && end->status == 0;
}

void child_describe(const struct child_end *end, char *buf, size_t cap)
{
    const struct slice *e = &end->error;
    const char *newline = e->n > 0 ? memrchr(e->p, '\n', e->n) : NULL;
    const char *line = newline ? newline + 1 : e->p;
    int n = (int)MIN((size_t)(e->p + e->n - line), (size_t)LINE_MAX_BYTES);
    const char *colon = n > 0 ? ": " : "";
    if (end->timed_out)
        fmt(buf, cap, "did not end in time%s%.*s", colon, n, line);
    else if (end->signal)
        fmt(buf, cap, "was killed by signal %d%s%.*s", end->signal, colon, n, line);
    else
        fmt(buf, cap, "exited with status %d%s%.*s", end->status, colon, n, line);
}
