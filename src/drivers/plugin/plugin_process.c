/* One life of a plugin's process: three pipes, cut into lines. It has a session of its own, so that
 * what a terminal sends to us does not reach it. Only the process itself is ever signalled, not its
 * group: what it has started is to outlive it. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "drivers/plugin/plugin.h"

#define READ_BYTES 16384
#define COMPLAINT_MAX 400 /* bytes of a line on stderr */
#define PATIENCE_MS 5000  /* to end in order */
#define LAST_WORDS_MS 250 /* what it started may hold its output open after its end */

/* A pipe that it writes to, and the line that is not whole yet. */
struct output {
    uv_pipe_t pipe;
    char *line;
    size_t bytes, cap, max;
    bool skip; /* the rest of a line that was too long */
    bool over;
};

struct plugin_life {
    uv_process_t process;
    uv_timer_t timer;
    uv_pipe_t in;
    struct output out, error;
    struct plugin_life_client client;
    bool forgotten, exited, closing;
    unsigned open; /* handles */
    int64_t status;
    int signal;
};

struct writing {
    uv_write_t request;
    char *line;
};

static void on_closed(uv_handle_t *handle)
{
    struct plugin_life *l = handle->data;
    if (--l->open > 0)
        return;
    free(l->out.line);
    free(l->error.line);
    free(l);
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_pipes(struct plugin_life *l)
{
    close_handle(&l->in);
    close_handle(&l->out.pipe);
    close_handle(&l->error.pipe);
}

/* --- its end --- */

static void end(struct plugin_life *l)
{
    char text[64];
    if (l->closing)
        return;
    l->closing = true;
    close_pipes(l);
    close_handle(&l->timer);
    close_handle(&l->process);
    if (l->forgotten)
        return;
    if (l->out.bytes > 0 && !l->out.skip)
        l->client.odd(l->client.ctx, "ended in the middle of a line");
    if (l->signal)
        fmt(text, sizeof(text), "was killed by signal %d", l->signal);
    else
        fmt(text, sizeof(text), "exited with status %d", (int)l->status);
    l->client.ended(l->client.ctx, text);
}

static void on_last_words(uv_timer_t *timer)
{
    end(timer->data);
}

static void end_when_silent(struct plugin_life *l)
{
    if (l->exited && l->out.over && l->error.over)
        end(l);
    else if (l->exited)
        uv_timer_start(&l->timer, on_last_words, LAST_WORDS_MS, 0);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct plugin_life *l = process->data;
    l->exited = true;
    l->status = status;
    l->signal = signal;
    if (l->forgotten)
        end(l);
    else
        end_when_silent(l);
}

void plugin_life_kill(struct plugin_life *l)
{
    if (!l->exited)
        uv_process_kill(&l->process, SIGKILL);
}

static void on_patience_over(uv_timer_t *timer)
{
    plugin_life_kill(timer->data);
}

void plugin_life_forget(struct plugin_life *l)
{
    l->forgotten = true;
    if (l->exited) {
        end(l);
        return;
    }
    close_pipes(l);
    uv_process_kill(&l->process, SIGTERM);
    uv_timer_start(&l->timer, on_patience_over, PATIENCE_MS, 0);
}

/* --- what it writes --- */

static void tell(struct plugin_life *l, struct output *o, char *line, size_t bytes)
{
    if (bytes > 0 && line[bytes - 1] == '\r')
        bytes--;
    line[bytes] = '\0'; /* in the newline's place */
    if (l->forgotten || bytes == 0)
        return;
    if (o == &l->out)
        l->client.line(l->client.ctx, line, bytes);
    else {
        str_clean(line);
        l->client.complaint(l->client.ctx, line);
    }
}

static void cut_lines(struct plugin_life *l, struct output *o)
{
    char *begin = o->line, *newline;
    size_t left = o->bytes;
    while (!l->closing && (newline = memchr(begin, '\n', left)) != NULL) {
        size_t n = (size_t)(newline - begin);
        if (!o->skip)
            tell(l, o, begin, n);
        o->skip = false;
        begin += n + 1;
        left -= n + 1;
    }
    memmove(o->line, begin, left);
    o->bytes = left;
}

static void check_length(struct plugin_life *l, struct output *o)
{
    if (o->bytes < o->max)
        return;
    if (!o->skip && o == &l->out && !l->forgotten)
        l->client.odd(l->client.ctx, "wrote a line of over 1 MiB");
    else if (!o->skip)
        tell(l, o, o->line, o->bytes - 1);
    o->skip = true;
    o->bytes = 0;
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct output *o = CONTAINER_OF((uv_pipe_t *)handle, struct output, pipe);
    if (o->cap - o->bytes < MIN(READ_BYTES, o->max - o->bytes)) {
        size_t cap = MIN(MAX(2 * o->cap, 2 * (size_t)READ_BYTES), o->max);
        char *line = realloc(o->line, cap);
        if (!line) {
            *buf = uv_buf_init(NULL, 0);
            return;
        }
        o->line = line;
        o->cap = cap;
    }
    *buf = uv_buf_init(o->line + o->bytes, (unsigned)(o->cap - o->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct plugin_life *l = stream->data;
    struct output *o = CONTAINER_OF((uv_pipe_t *)stream, struct output, pipe);
    if (n > 0) {
        o->bytes += (size_t)n;
        cut_lines(l, o);
        check_length(l, o);
    } else if (n < 0) {
        o->over = true;
        uv_read_stop(stream);
        if (o == &l->out) /* one that cannot answer is of no use */
            plugin_life_kill(l);
        end_when_silent(l);
    }
}

/* --- what it reads --- */

static void on_written(uv_write_t *request, int status)
{
    struct writing *w = CONTAINER_OF(request, struct writing, request);
    free(w->line); /* where it failed, the process has ended, and that is told elsewhere */
    free(w);
}

void plugin_life_write(struct plugin_life *l, char *line)
{
    struct writing *w = calloc(1, sizeof(*w));
    uv_buf_t buf = uv_buf_init(line, line ? (unsigned)strlen(line) : 0);
    if (w)
        w->line = line;
    if (!w || !line || uv_is_closing((uv_handle_t *)&l->in) ||
        uv_write(&w->request, (uv_stream_t *)&l->in, &buf, 1, on_written) < 0) {
        free(line);
        free(w);
    }
}

/* --- its begin --- */

static void open_pipe(struct plugin_life *l, uv_pipe_t *pipe, uv_loop_t *loop)
{
    uv_pipe_init(loop, pipe, 0);
    pipe->data = l;
    l->open++;
}

static int spawn(struct plugin_life *l, uv_loop_t *loop, char **argv, char **env,
                 const char *directory)
{
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&l->in },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&l->out.pipe },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
          .data.stream = (uv_stream_t *)&l->error.pipe },
    };
    uv_process_options_t options = { .exit_cb = on_exited,
                                     .file = argv[0],
                                     .args = argv,
                                     .env = env,
                                     .cwd = directory,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio_count = ARRAY_LEN(stdio),
                                     .stdio = stdio };
    int rc = uv_spawn(loop, &l->process, &options);
    if (rc < 0)
        return rc;
    uv_read_start((uv_stream_t *)&l->out.pipe, on_room, on_read);
    uv_read_start((uv_stream_t *)&l->error.pipe, on_room, on_read);
    return 0;
}

int plugin_life_begin(uv_loop_t *loop, char **argv, char **env, const char *directory,
                      const struct plugin_life_client *client, struct plugin_life **ret)
{
    struct plugin_life *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    l->client = *client;
    l->out.max = PLUGIN_LINE_MAX;
    l->error.max = COMPLAINT_MAX;
    l->process.data = l->timer.data = l;
    uv_timer_init(loop, &l->timer);
    l->open = 2;
    open_pipe(l, &l->in, loop);
    open_pipe(l, &l->out.pipe, loop);
    open_pipe(l, &l->error.pipe, loop);
    int rc = spawn(l, loop, argv, env, directory);
    if (rc < 0) { /* a process handle that was never started is closed like any other */
        l->forgotten = l->exited = true;
        end(l);
        return rc;
    }
    *ret = l;
    return 0;
}
