/* A command that prints a number. It runs in a session of its own, and when its time is up, or the
 * controller wants no more of it, the whole process group is killed. Its output is bounded. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "drivers/command.h"
#include "drivers/source/feed.h"
#include "sys/mem.h"

#define OUTPUT_MAX 4096

struct exec_conf {
    struct schema_list command;
    const char *directory;
};

struct output {
    uv_pipe_t pipe;
    char text[OUTPUT_MAX];
    size_t bytes;
    bool over; /* more came than there is room for */
};

/* One run. It lives until its process and both pipes are closed, whatever became of the feed. */
struct run {
    uv_process_t process;
    struct output out, error;
    struct feed *feed; /* NULL = nobody waits any more */
    unsigned open;     /* handles */
    int64_t status;
    int signal;
};

static void trim(struct output *o)
{
    while (o->bytes > 0 && memchr("\r\n\t ", o->text[o->bytes - 1], 4))
        o->bytes--;
}

static void complain(struct feed *f, struct run *r)
{
    struct output *e = &r->error;
    trim(e);
    const char *newline = memrchr(e->text, '\n', e->bytes);
    const char *line = newline ? newline + 1 : e->text;
    int n = (int)MIN((size_t)(e->text + e->bytes - line), (size_t)120);
    if (r->signal)
        feed_fail(f, "was killed by signal %d%s%.*s", r->signal, n ? ": " : "", n, line);
    else
        feed_fail(f, "exited with status %d%s%.*s", (int)r->status, n ? ": " : "", n, line);
}

/* The process has ended and all that it wrote has been read. */
static void judge(struct feed *f, struct run *r)
{
    double value;
    trim(&r->out);
    if (r->signal || r->status != 0)
        complain(f, r);
    else if (r->out.over)
        feed_fail(f, "prints more than %d bytes", OUTPUT_MAX);
    else if (feed_number(r->out.text, r->out.bytes, &value))
        feed_answer(f, value);
    else
        feed_fail(f, "prints \"%.*s\", which is no number", (int)MIN(r->out.bytes, (size_t)40),
                  r->out.text);
}

static void on_closed(uv_handle_t *handle)
{
    struct run *r = handle->data;
    struct feed *f = r->feed;
    if (--r->open > 0)
        return;
    if (f) {
        f->self = NULL;
        judge(f, r);
    }
    free(r);
}

static void on_exited(uv_process_t *process, int64_t status, int signal)
{
    struct run *r = process->data;
    r->status = status;
    r->signal = signal;
    uv_close((uv_handle_t *)process, on_closed);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct output *o = CONTAINER_OF((uv_pipe_t *)handle, struct output, pipe);
    static char rest[1024]; /* read and thrown away, so that the command can end */
    o->over |= o->bytes == OUTPUT_MAX;
    *buf = o->over ? uv_buf_init(rest, sizeof(rest))
                   : uv_buf_init(o->text + o->bytes, (unsigned)(OUTPUT_MAX - o->bytes));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct output *o = CONTAINER_OF((uv_pipe_t *)stream, struct output, pipe);
    if (n > 0 && buf->base == o->text + o->bytes)
        o->bytes += (size_t)n;
    if (n < 0)
        uv_close((uv_handle_t *)stream, on_closed);
}

static void kill_group(const struct run *r)
{
    if (r->process.pid > 0 && !uv_is_closing((const uv_handle_t *)&r->process))
        kill(-r->process.pid, SIGKILL);
}

static void close_output(struct output *o)
{
    if (!uv_is_closing((uv_handle_t *)&o->pipe))
        uv_close((uv_handle_t *)&o->pipe, on_closed);
}

static void open_output(struct run *r, struct output *o, uv_loop_t *loop)
{
    uv_pipe_init(loop, &o->pipe, 0);
    o->pipe.data = r;
    r->open++;
}

static void exec_cancel(struct feed *f)
{
    struct run *r = f->self;
    f->self = NULL;
    if (!r)
        return;
    r->feed = NULL;
    kill_group(r);
    close_output(&r->out);
    close_output(&r->error);
}

static int spawn(struct run *r, const struct exec_conf *conf, char **env, uv_loop_t *loop)
{
    char *argv[COMMAND_ARGV_MAX];
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_IGNORE },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&r->out.pipe },
        { .flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE,
          .data.stream = (uv_stream_t *)&r->error.pipe },
    };
    uv_process_options_t options = { .exit_cb = on_exited,
                                     .args = argv,
                                     .env = env,
                                     .cwd = conf->directory,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio_count = ARRAY_LEN(stdio),
                                     .stdio = stdio };
    command_words(&conf->command, argv);
    options.file = argv[0];
    int rc = uv_spawn(loop, &r->process, &options);
    if (rc < 0)
        return rc;
    uv_read_start((uv_stream_t *)&r->out.pipe, on_room, on_read);
    uv_read_start((uv_stream_t *)&r->error.pipe, on_room, on_read);
    return 0;
}

static void exec_ask(struct feed *f)
{
    uv_loop_t *loop = f->tools->env.loop;
    _cleanup_free_ char **env = command_environment();
    struct run *r = calloc(1, sizeof(*r));
    if (!r || !env) {
        free(r);
        feed_fail(f, "cannot be run: no memory");
        return;
    }
    r->feed = f;
    r->process.data = r;
    r->open = 1;
    f->self = r;
    open_output(r, &r->out, loop);
    open_output(r, &r->error, loop);
    int rc = spawn(r, f->conf.conf, env, loop);
    if (rc == 0)
        return;
    exec_cancel(f);
    uv_close((uv_handle_t *)&r->process, on_closed);
    feed_fail(f, "cannot be run: %s", uv_strerror(rc));
}

static int exec_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct exec_conf *conf = section;
    if (conf->command.count == 0 || !conf->command.items[0][0])
        return schema_error(ctx, "command", err, "is empty; write a command that prints a number");
    if (conf->command.count > COMMAND_WORDS_MAX)
        return schema_error(ctx, "command", err, "has over %d words", COMMAND_WORDS_MAX);
    return 0;
}

#define AT(member) .offset = offsetof(struct exec_conf, member)

static const struct schema_key keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      AT(command),
      .required = true,
      .help = "program and arguments; prints one number and ends with status 0; a single text is "
              "run by a shell" },
    { .name = "directory", .type = SCHEMA_TEXT, AT(directory), .help = "working directory" },
    { 0 },
};

static const struct schema_section section = {
    .name = "exec",
    .help = "Runs a command that prints a number, with plimsoll's own rights.",
    .size_bytes = sizeof(struct exec_conf),
    .keys = keys,
    .check = exec_check,
};

const struct feed_ops source_exec = {
    .name = "exec",
    .section = &section,
    .ask = exec_ask,
    .cancel = exec_cancel,
};
