/* plimsoll logs: what instances wrote to stdout and stderr. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/str.h"
#include "cli/remote.h"
#include "cli/show.h"
#include "sys/mem.h"

#define LOGS_BYTES 65536
#define LOGS_INSTANCES_MAX 1024
#define LOGS_POLL_NS 250000000L
#define LOGS_TRY_NS 100000000L
#define LOGS_TRIES 50      /* to wait for what an engine keeps */
#define LOGS_ELSEWHERE 501 /* of an instance whose engine keeps its output to itself */

struct logs_tail {
    char id[128];
    int64_t offset; /* where the next piece begins; -1 = from the tail */
    bool coming;    /* to be asked again: it is not all here yet */
};

struct logs {
    struct remote *remote;
    int64_t lines;
    bool prefix; /* print whose line it is */
    bool json;
    struct logs_tail *tails;
    size_t count;
    int tries;           /* how often one that is coming is asked again */
    char elsewhere[128]; /* the last service of which was said where its output is */
};

static void print_line(const struct logs *l, const struct logs_tail *t, const char *line, size_t n)
{
    if (l->json) {
        _cleanup_json_ json_t *root =
            json_pack("{s:s, s:o?}", "instance", t->id, "line", json_stringn(line, n));
        json_dumpf(root, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    printf("%s%s%.*s\n", l->prefix ? t->id : "", l->prefix ? " | " : "", (int)n, line);
}

static void print_text(const struct logs *l, const struct logs_tail *t, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        print_line(l, t, text, n);
        text += n + (text[n] == '\n');
    }
    fflush(stdout);
}

static const char *last_lines(const char *text, int64_t lines)
{
    const char *p = text + strlen(text);
    if (p > text && p[-1] == '\n')
        p--;
    for (; p > text; p--)
        if (p[-1] == '\n' && --lines == 0)
            return p;
    return text;
}

/* Of one of many: the words on the others of its service are the same. */
static bool is_news(struct logs *l, const char *id)
{
    const char *number = strrchr(id, '-');
    size_t n = number ? (size_t)(number - id) : strlen(id);
    if (strlen(l->elsewhere) == n && memcmp(l->elsewhere, id, n) == 0)
        return false;
    memcpy(l->elsewhere, id, n);
    l->elsewhere[n] = '\0';
    return true;
}

/* An instance that has just been started may have no log yet, and one that has just gone none any
 * more: nothing to complain about when it is one of many. */
static int ask_log(struct logs *l, const char *id, const char *path, struct remote_answer *ret)
{
    struct err err = { 0 };
    int rc = remote_ask(l->remote, "GET", path, NULL, ret, &err);
    if (rc < 0)
        return remote_fail(rc, &err);
    if (ret->status == 200 || ret->status == 202 || (ret->status == 404 && l->prefix))
        return 0;
    if (ret->status != LOGS_ELSEWHERE || !l->prefix)
        return remote_refuse(ret);
    if (is_news(l, id))
        remote_refuse(ret);
    return 0;
}

static bool has_lines(const struct remote_answer *a)
{
    return a->status == 200 || a->status == 202;
}

static int read_tail(struct logs *l, struct logs_tail *t)
{
    char path[512], query[64];
    struct str s;
    str_init(&s, query, sizeof(query));
    if (t->offset < 0)
        str_putf(&s, "?bytes=%d", LOGS_BYTES);
    else
        str_putf(&s, "?offset=%lld", (long long)t->offset);
    struct remote_answer answer = { 0 };
    int rc = remote_path(path, sizeof(path), "/v1/logs/", t->id, query);
    if (rc == 0)
        rc = ask_log(l, t->id, path, &answer);
    bool late = rc == 0 && answer.status == 202;
    t->coming = late && t->offset < 0 && l->tries > 0;
    if (late && l->tries == 0 && t->offset < 0 && answer.bytes == 0) {
        rc = command_fail(COMMAND_FAILED, "%s: the engine has not sent its output yet", t->id);
    } else if (rc == 0 && has_lines(&answer) && !t->coming) {
        print_text(l, t, t->offset < 0 ? last_lines(answer.body, l->lines) : answer.body);
        t->offset =
            answer.log_offset >= 0 ? answer.log_offset : MAX(t->offset, 0) + (int64_t)answer.bytes;
    }
    free(answer.body);
    return rc;
}

static bool known(const struct logs *l, const char *id)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->tails[i].id, id) == 0)
            return true;
    return false;
}

static void add_tail(struct logs *l, const char *id)
{
    if (l->count == LOGS_INSTANCES_MAX || known(l, id))
        return;
    l->tails[l->count] = (struct logs_tail){ .offset = -1, .coming = true };
    if (str_copy(l->tails[l->count].id, sizeof(l->tails[l->count].id), id))
        l->count++;
}

/* All instances of a service, or of every service for "". */
static int add_service(struct logs *l, const char *name)
{
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_call_json(l->remote, "GET", "/v1/status", NULL, &root);
    const json_t *service, *instance;
    size_t i, k;
    json_array_foreach(json_object_get(root, "services"), i, service)
    {
        if (name[0] && strcmp(show_text(service, "name"), name) != 0)
            continue;
        json_array_foreach(json_object_get(service, "instances"), k, instance)
            add_tail(l, show_text(instance, "id"));
    }
    return rc;
}

/* One that status does not tell of: the answer says which was meant. */
static int check_service(struct logs *l, const char *name)
{
    char path[512];
    _cleanup_json_ json_t *root = NULL;
    int rc = remote_path(path, sizeof(path), "/v1/services/", name, "/why?limit=1");
    return rc != 0 ? rc : remote_call_json(l->remote, "GET", path, NULL, &root);
}

static void pause_for(long ns)
{
    nanosleep(&(struct timespec){ .tv_nsec = ns }, NULL);
}

/* All are asked before any is waited for. */
static int read_tails(struct logs *l)
{
    bool coming = true;
    for (l->tries = LOGS_TRIES; coming; l->tries--) {
        coming = false;
        for (size_t i = 0; i < l->count; i++) {
            int rc = l->tails[i].coming ? read_tail(l, &l->tails[i]) : 0;
            if (rc != 0)
                return rc;
            coming = coming || l->tails[i].coming;
        }
        if (coming)
            pause_for(LOGS_TRY_NS);
    }
    return 0;
}

static int follow(struct logs *l, const char *service)
{
    for (;;) {
        pause_for(LOGS_POLL_NS);
        int rc = service ? add_service(l, service) : 0;
        for (size_t i = 0; i < l->count && rc == 0; i++)
            rc = read_tail(l, &l->tails[i]);
        if (rc != 0)
            return rc;
    }
}

static int run(const struct options *o)
{
    struct err err = { 0 };
    struct logs l = { .lines = 100 };
    bool all = options_flag(o, "all");
    const char *word = o->word_count > 0 ? o->words[0] : "";
    if (options_int(o, "lines", 1, 1000000, &l.lines, &err) < 0)
        return command_fail_err(COMMAND_USAGE, &err);
    if (!all && !word[0])
        return command_fail(COMMAND_USAGE, "say which: plimsoll logs INSTANCE, or plimsoll logs "
                                           "--all [SERVICE]");
    _cleanup_remote_ struct remote *remote = NULL;
    _cleanup_free_ struct logs_tail *tails = calloc(LOGS_INSTANCES_MAX, sizeof(*tails));
    int rc = remote_open(o, &remote);
    if (rc != 0 || !tails)
        return rc ? rc : COMMAND_FAILED;
    l.remote = remote;
    l.tails = tails;
    l.prefix = all;
    l.json = options_flag(o, "json");
    if (all)
        rc = add_service(&l, word);
    else
        add_tail(&l, word);
    if (rc == 0 && l.count == 0 && word[0])
        rc = check_service(&l, word);
    if (rc == 0)
        rc = read_tails(&l);
    if (rc == 0 && options_flag(o, "follow"))
        rc = follow(&l, all ? word : NULL);
    return rc;
}

static const struct option_spec own_options[] = {
    { "follow", 'f', NULL, "go on printing what is added" },
    { "lines", 'n', "N", "how many lines to begin with (default 100)" },
    { "all", 'a', NULL, "all instances, of one service or of every one" },
    { 0 },
};

const struct command command_logs = {
    .name = "logs",
    .summary = "what an instance wrote to stdout and stderr",
    .arguments = "INSTANCE | --all [SERVICE]",
    .examples = "  plimsoll logs shop-3\n"
                "  plimsoll logs shop-3 --follow\n"
                "  plimsoll logs --all shop -n 20\n",
    .options = own_options,
    .remote = true,
    .words_max = 1,
    .run = run,
};
