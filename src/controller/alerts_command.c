/* A command that is told of alerts: the message on its standard input, its output in our own log.
 * It leads a process group of its own, which is killed when its time is up. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/alerts_int.h"
#include "drivers/command.h"
#include "sys/mem.h"

#define COMMAND_MS 30000

/* It lives until its process, its input and its timer are closed, whoever waits for it. */
struct alerts_command {
    uv_process_t process;
    uv_pipe_t input;
    uv_timer_t timer;
    uv_write_t write;
    char *body;
    unsigned open;                                /* handles */
    void (*done)(void *ctx, const char *trouble); /* NULL = nobody waits any more */
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    struct alerts_command *r = handle->data;
    if (--r->open > 0)
        return;
    free(r->body);
    free(r);
}

static void close_one(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void close_all(struct alerts_command *r)
{
    close_one(&r->process);
    close_one(&r->input);
    close_one(&r->timer);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct alerts_command *r = process->data;
    char trouble[ALERTS_TROUBLE_MAX] = "";
    if (signal)
        fmt(trouble, sizeof(trouble), "was killed by signal %d", signal);
    else if (status != 0)
        fmt(trouble, sizeof(trouble), "exited with status %d", (int)status);
    void (*done)(void *, const char *) = r->done;
    r->done = NULL;
    close_all(r);
    if (done)
        done(r->ctx, trouble);
}

static void kill_group(const struct alerts_command *r)
{
    if (r->process.pid > 0 && !uv_is_closing((const uv_handle_t *)&r->process))
        kill(-r->process.pid, SIGKILL);
}

static void on_timeout(uv_timer_t *timer)
{
    kill_group(timer->data);
}

/* Who does not read it all may end well all the same. */
static void on_written(uv_write_t *write, int status)
{
    struct alerts_command *r = write->data;
    close_one(&r->input);
}

static int spawn(struct alerts_command *r, const struct schema_list *words, uv_loop_t *loop)
{
    char *argv[COMMAND_ARGV_MAX];
    _cleanup_free_ char **env = command_environment();
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_CREATE_PIPE | UV_READABLE_PIPE, .data.stream = (uv_stream_t *)&r->input },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
        { .flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO },
    };
    uv_process_options_t options = { .exit_cb = on_exited,
                                     .args = argv,
                                     .env = env,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio_count = ARRAY_LEN(stdio),
                                     .stdio = stdio };
    command_words(words, argv);
    options.file = argv[0];
    return env ? uv_spawn(loop, &r->process, &options) : UV_ENOMEM;
}

struct alerts_command *alerts_command_start(uv_loop_t *loop, const struct schema_list *words,
                                            char *body,
                                            void (*done)(void *ctx, const char *trouble), void *ctx)
{
    struct alerts_command *r = calloc(1, sizeof(*r));
    char trouble[ALERTS_TROUBLE_MAX];
    if (!r) {
        free(body);
        done(ctx, "no memory");
        return NULL;
    }
    *r = (struct alerts_command){ .body = body, .open = 3, .done = done, .ctx = ctx };
    r->process.data = r->input.data = r->timer.data = r->write.data = r;
    uv_pipe_init(loop, &r->input, 0);
    uv_timer_init(loop, &r->timer);
    r->input.data = r->timer.data = r;
    int rc = spawn(r, words, loop);
    if (rc < 0) {
        r->done = NULL;
        close_all(r);
        fmt(trouble, sizeof(trouble), "cannot be run: %s", uv_strerror(rc));
        done(ctx, trouble);
        return NULL;
    }
    uv_timer_start(&r->timer, on_timeout, COMMAND_MS, 0);
    uv_buf_t buf = uv_buf_init(r->body, (unsigned)strlen(r->body));
    uv_write(&r->write, (uv_stream_t *)&r->input, &buf, 1, on_written);
    return r;
}

void alerts_command_cancel(struct alerts_command *r)
{
    r->done = NULL;
    kill_group(r);
}
