/* A Docker Engine as far as the driver can tell, on the test's own loop and a Unix socket: keeps
 * containers in an array, answers as the real one does, and can be told to misbehave. */
#pragma once

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "base/util.h"

#define FAKE_CONTAINERS 2048
#define FAKE_CLIENTS 256

struct fake_container {
    char name[160], id[65], status[16];
    json_t *labels;
    int exit_code;
};

struct fake_client {
    uv_pipe_t pipe;
    struct fake_engine *engine;
    char in[65536];
    size_t bytes;
    bool events, closed;
};

struct fake_engine {
    uv_loop_t *loop;
    uv_pipe_t server;
    char path[108];
    bool listening;
    const char *version; /* Api-Version */
    bool hangs;          /* takes requests and does not answer */
    bool rubbish;        /* answers with what is no JSON */
    const char
        *lose; /* does what is asked, and breaks off instead of answering (a part of the path) */
    int lose_count;
    const char *fail; /* answers with status 500 */
    int fail_count;
    const char *slow; /* takes for ever over it (a part of the path) */
    int slow_count;
    bool no_image; /* until it is pulled */
    const char *pull_error;
    int requests, creates, created, started, pulls, lists, connections, most_connections;
    struct fake_container containers[FAKE_CONTAINERS];
    size_t count;
    struct fake_client *clients[FAKE_CLIENTS];
    char last_body[8192], last_auth[512];
};

/* --- bytes --- */

struct fake_write {
    uv_write_t write;
    char bytes[];
};

static void fake_written(uv_write_t *w, int status)
{
    free(w);
}

static void fake_send(struct fake_client *c, const char *bytes, size_t count)
{
    struct fake_write *w = malloc(sizeof(*w) + count);
    if (c->closed || !w) {
        free(w);
        return;
    }
    memcpy(w->bytes, bytes, count);
    uv_buf_t buf = uv_buf_init(w->bytes, (unsigned)count);
    uv_write(&w->write, (uv_stream_t *)&c->pipe, &buf, 1, fake_written);
}

static void fake_closed(uv_handle_t *handle)
{
    struct fake_client *c = handle->data;
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (c->engine->clients[i] == c)
            c->engine->clients[i] = NULL;
    free(c);
}

static void fake_close(struct fake_client *c)
{
    if (c->closed)
        return;
    c->closed = true;
    c->engine->connections--;
    uv_close((uv_handle_t *)&c->pipe, fake_closed);
}

static void fake_answer(struct fake_client *c, int status, const char *body)
{
    size_t cap = strlen(body) + 256;
    char *text = malloc(cap);
    int n = snprintf(text, cap,
                     "HTTP/1.1 %d X\r\nApi-Version: %s\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s",
                     status, c->engine->version, status == 204 || status == 304 ? 0 : strlen(body),
                     status == 204 || status == 304 ? "" : body);
    fake_send(c, text, (size_t)n);
    free(text);
}

static void fake_answer_json(struct fake_client *c, int status, json_t *json)
{
    char *text = json_dumps(json, JSON_COMPACT);
    fake_answer(c, status, text);
    free(text);
    json_decref(json);
}

static void fake_refuse(struct fake_client *c, int status, const char *message)
{
    fake_answer_json(c, status, json_pack("{s:s}", "message", message));
}

static void fake_chunk(struct fake_client *c, const char *bytes, size_t count)
{
    char head[16];
    fake_send(c, head, (size_t)snprintf(head, sizeof(head), "%zx\r\n", count));
    fake_send(c, bytes, count);
    fake_send(c, "\r\n", 2);
}

static void fake_begin_chunks(struct fake_client *c)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n";
    fake_send(c, head, sizeof(head) - 1);
}

/* --- containers --- */

static struct fake_container *fake_find(struct fake_engine *e, const char *name)
{
    for (size_t i = 0; i < e->count; i++) {
        struct fake_container *k = &e->containers[i];
        if (k->labels && (strcmp(k->name, name) == 0 || strcmp(k->id, name) == 0))
            return k;
    }
    return NULL;
}

static struct fake_container *fake_add(struct fake_engine *e, const char *name, json_t *labels)
{
    struct fake_container *k = &e->containers[e->count++];
    snprintf(k->name, sizeof(k->name), "%s", name);
    snprintf(k->id, sizeof(k->id), "%064zx", e->count);
    snprintf(k->status, sizeof(k->status), "created");
    k->labels = json_incref(labels);
    e->created++;
    return k;
}

/* `times`: how often it is said. */
static void fake_event(struct fake_engine *e, const struct fake_container *k, const char *action,
                       int times)
{
    char code[8];
    snprintf(code, sizeof(code), "%d", k->exit_code);
    json_t *json =
        json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s}}}", "Type", "container", "Action", action,
                  "Actor", "ID", k->id, "Attributes", "name", k->name, "exitCode", code);
    char *text = json_dumps(json, JSON_COMPACT);
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        for (int n = 0; n < times && e->clients[i] && e->clients[i]->events; n++) {
            size_t half = strlen(text) / 2; /* it may come in pieces */
            fake_chunk(e->clients[i], text, half);
            fake_chunk(e->clients[i], text + half, strlen(text) - half);
        }
    free(text);
    json_decref(json);
}

static void fake_die(struct fake_engine *e, struct fake_container *k, int exit_code, int times)
{
    k->exit_code = exit_code;
    snprintf(k->status, sizeof(k->status), "exited");
    fake_event(e, k, "die", times);
}

static json_t *fake_networks(void)
{
    return json_pack("{s:{s:{s:s}}}", "Networks", "bridge", "IPAddress", "127.0.0.1");
}

static json_t *fake_listed(const struct fake_container *k)
{
    char status[64];
    snprintf(status, sizeof(status),
             strcmp(k->status, "exited") ? "Up 2 seconds" : "Exited (%d) ago", k->exit_code);
    return json_pack("{s:s, s:[o], s:O, s:s, s:s, s:o}", "Id", k->id, "Names",
                     json_sprintf("/%s", k->name), "Labels", k->labels, "State", k->status,
                     "Status", status, "NetworkSettings", fake_networks());
}

static json_t *fake_inspected(const struct fake_container *k)
{
    return json_pack("{s:s, s:o, s:{s:O}, s:{s:s, s:i, s:i, s:b}, s:o}", "Id", k->id, "Name",
                     json_sprintf("/%s", k->name), "Config", "Labels", k->labels, "State", "Status",
                     k->status, "Pid", 0, "ExitCode", k->exit_code, "OOMKilled",
                     k->exit_code == 137, "NetworkSettings", fake_networks());
}

/* --- requests --- */

static void fake_create(struct fake_client *c, const char *name, const char *body)
{
    struct fake_engine *e = c->engine;
    json_t *json = json_loads(body, 0, NULL);
    e->creates++;
    snprintf(e->last_body, sizeof(e->last_body), "%s", body);
    if (e->no_image)
        fake_refuse(c, 404, "No such image: x:latest");
    else if (fake_find(e, name))
        fake_refuse(c, 409, "Conflict. The container name is already in use");
    else
        fake_answer_json(
            c, 201,
            json_pack("{s:s}", "Id", fake_add(e, name, json_object_get(json, "Labels"))->id));
    json_decref(json);
}

static void fake_pull(struct fake_client *c, const char *head)
{
    struct fake_engine *e = c->engine;
    const char *auth = strstr(head, "X-Registry-Auth: ");
    e->pulls++;
    sscanf(auth ? auth + 17 : "", "%500s", e->last_auth);
    fake_begin_chunks(c);
    fake_chunk(c, "{\"status\":\"Pulling\"}\r\n", 22);
    char text[256];
    int n = snprintf(text, sizeof(text),
                     e->pull_error ? "{\"error\":\"%s\"}" : "{\"status\":\"done\"}", e->pull_error);
    fake_chunk(c, text, (size_t)n);
    fake_send(c, "0\r\n\r\n", 5);
    e->no_image = e->pull_error != NULL;
}

/* Who follows is told more for as long as there is any. */
static void fake_logs(struct fake_client *c, bool follows)
{
    fake_begin_chunks(c);
    fake_chunk(c, "\1\0\0\0\0\0\0\5last \2\0\0\0\0", 18);
    fake_chunk(c, "\0\0\6words\n", 9);
    if (!follows)
        fake_send(c, "0\r\n\r\n", 5);
}

static void fake_stats(struct fake_client *c)
{
    static unsigned long long ns, at;
    ns += 250000000;
    at++;
    fake_answer_json(
        c, 200,
        json_pack("{s:o, s:{s:{s:I}}, s:{s:I, s:{s:I}}}", "read",
                  json_sprintf("2026-01-02T03:%02llu:%02llu.5Z", at / 60 % 60, at % 60),
                  "cpu_stats", "cpu_usage", "total_usage", (json_int_t)ns, "memory_stats", "usage",
                  (json_int_t)5000, "stats", "inactive_file", (json_int_t)1000));
}

static void fake_of_one(struct fake_client *c, const char *method, char *name, const char *body)
{
    struct fake_engine *e = c->engine;
    size_t n = strcspn(name, "/?");
    const char *what = name[n] == '/' ? name + n + 1 : "";
    name[n] = '\0';
    struct fake_container *k = fake_find(e, name);
    if (!k) {
        fake_refuse(c, 404, "No such container");
    } else if (strcmp(method, "DELETE") == 0) {
        json_decref(k->labels);
        k->labels = NULL;
        fake_answer(c, 204, "");
    } else if (strncmp(what, "start", 5) == 0) {
        bool again = strcmp(k->status, "running") == 0;
        snprintf(k->status, sizeof(k->status), "running");
        e->started += !again;
        fake_answer(c, again ? 304 : 204, "");
    } else if (strncmp(what, "stop", 4) == 0) {
        if (strcmp(k->status, "running") == 0)
            fake_die(e, k, 143, 1);
        fake_answer(c, 204, "");
    } else if (strncmp(what, "json", 4) == 0) {
        fake_answer_json(c, 200, fake_inspected(k));
    } else if (strncmp(what, "logs", 4) == 0) {
        fake_logs(c, strstr(what, "follow=1"));
    } else if (strncmp(what, "stats", 5) == 0) {
        fake_stats(c);
    } else if (strncmp(what, "update", 6) == 0) {
        snprintf(e->last_body, sizeof(e->last_body), "%s", body);
        fake_answer(c, 200, "{}");
    } else {
        fake_refuse(c, 404, "page not found");
    }
}

static void fake_list(struct fake_client *c)
{
    struct fake_engine *e = c->engine;
    json_t *list = json_array();
    e->lists++;
    for (size_t i = 0; i < e->count; i++)
        if (e->containers[i].labels)
            json_array_append_new(list, fake_listed(&e->containers[i]));
    fake_answer_json(c, 200, list);
}

static void fake_serve(struct fake_client *c, const char *method, char *path, const char *head,
                       const char *body)
{
    struct fake_engine *e = c->engine;
    char *rest = strncmp(path, "/v1.", 4) == 0 ? strchr(path + 1, '/') : path;
    if (strcmp(rest, "/_ping") == 0)
        fake_answer(c, 200, "OK");
    else if (strncmp(rest, "/events", 7) == 0) {
        c->events = true;
        fake_begin_chunks(c);
    } else if (e->rubbish)
        fake_answer(c, 200, "<html>{ no");
    else if (strncmp(rest, "/containers/json", 16) == 0)
        fake_list(c);
    else if (strncmp(rest, "/containers/create?name=", 24) == 0)
        fake_create(c, rest + 24, body);
    else if (strncmp(rest, "/images/create", 14) == 0)
        fake_pull(c, head);
    else
        fake_of_one(c, method, rest + strlen("/containers/"), body);
}

/* true = one that is to go wrong now */
static bool fake_trick(const char *part, int *count, const char *path)
{
    return part && strstr(path, part) && *count > 0 && (*count)-- > 0;
}

/* Takes whole requests out of what has come. */
static void fake_take(struct fake_client *c)
{
    struct fake_engine *e = c->engine;
    for (;;) {
        c->in[c->bytes] = '\0';
        char *end = strstr(c->in, "\r\n\r\n"), method[8], path[1024];
        if (!end || c->closed || e->hangs)
            return;
        *end = '\0';
        const char *length = strcasestr(c->in, "Content-Length: ");
        size_t body_bytes = length ? strtoul(length + 16, NULL, 10) : 0;
        size_t whole = (size_t)(end + 4 - c->in) + body_bytes;
        if (c->bytes < whole) {
            *end = '\r';
            return;
        }
        char *body = strndup(end + 4, body_bytes);
        sscanf(c->in, "%7s %1023s", method, path);
        char *head = strdup(c->in);
        memmove(c->in, c->in + whole, c->bytes - whole);
        c->bytes -= whole;
        e->requests++;
        if (e->slow && strstr(path, e->slow)) {
            e->slow_count++; /* and says nothing */
        } else if (fake_trick(e->fail, &e->fail_count, path)) {
            fake_refuse(c, 500, "the engine is not well");
        } else if (fake_trick(e->lose, &e->lose_count, path)) {
            struct fake_client nobody = { .engine = e, .closed = true };
            fake_serve(&nobody, method, path, head, body);
            fake_close(c);
        } else {
            fake_serve(c, method, path, head, body);
        }
        free(head);
        free(body);
    }
}

static void fake_alloc(uv_handle_t *handle, size_t size, uv_buf_t *buf)
{
    struct fake_client *c = handle->data;
    *buf = uv_buf_init(c->in + c->bytes, (unsigned)(sizeof(c->in) - 1 - c->bytes));
}

static void fake_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct fake_client *c = stream->data;
    if (n < 0) {
        fake_close(c);
        return;
    }
    c->bytes += (size_t)n;
    fake_take(c);
}

static void fake_connected(uv_stream_t *server, int status)
{
    struct fake_engine *e = server->data;
    struct fake_client *c = calloc(1, sizeof(*c));
    c->engine = e;
    uv_pipe_init(e->loop, &c->pipe, 0);
    c->pipe.data = c;
    uv_accept(server, (uv_stream_t *)&c->pipe);
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (!e->clients[i]) {
            e->clients[i] = c;
            break;
        }
    e->connections++;
    e->most_connections = MAX(e->most_connections, e->connections);
    uv_read_start((uv_stream_t *)&c->pipe, fake_alloc, fake_read);
}

/* --- life --- */

static void fake_listen(struct fake_engine *e)
{
    unlink(e->path);
    uv_pipe_init(e->loop, &e->server, 0);
    e->server.data = e;
    if (uv_pipe_bind(&e->server, e->path) != 0 ||
        uv_listen((uv_stream_t *)&e->server, 128, fake_connected) != 0)
        abort();
    e->listening = true;
}

static void fake_start(struct fake_engine *e, uv_loop_t *loop)
{
    memset(e, 0, sizeof(*e));
    e->loop = loop;
    e->version = "1.41";
    snprintf(e->path, sizeof(e->path), "/tmp/plimsoll-fake-%d.sock", (int)getpid());
    fake_listen(e);
}

/* As a crash: connections break, the containers stay. */
static void fake_kill(struct fake_engine *e)
{
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (e->clients[i])
            fake_close(e->clients[i]);
    if (e->listening)
        uv_close((uv_handle_t *)&e->server, NULL);
    e->listening = false;
    unlink(e->path);
    uv_run(e->loop, UV_RUN_NOWAIT);
    uv_run(e->loop, UV_RUN_NOWAIT);
}

/* It goes on with what it was asked while it hung. */
static void fake_wake(struct fake_engine *e)
{
    e->hangs = false;
    for (size_t i = 0; i < FAKE_CLIENTS; i++)
        if (e->clients[i])
            fake_take(e->clients[i]);
}

static void fake_end(struct fake_engine *e)
{
    fake_kill(e);
    for (size_t i = 0; i < e->count; i++)
        json_decref(e->containers[i].labels);
}
