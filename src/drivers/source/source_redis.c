/* How much waits in Redis: a list (LLEN), a sorted set (ZCARD), a stream (XLEN), or what a
 * consumer group of a stream has not done yet: its lag and what is pending (XINFO GROUPS). A
 * connection for each question needs no upkeep and cannot be half dead. hiredis writes and reads
 * the protocol. */
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "drivers/source/dialog.h"
#include "drivers/source/feed.h"
#include "sys/mem.h"

#define REPLY_BYTES_MAX ((size_t)256 * 1024)
#define PASSWORD_BYTES_MAX 512
#define PORT 6379

struct redis_conf {
    const char *address, *user, *password, *password_file;
    int64_t db;
    const char *list, *sorted_set, *stream, *group;
};

struct question {
    struct dialog *dialog;
    redisReader *reader;
    size_t heard_bytes;
    unsigned preambles; /* replies to AUTH and SELECT still to come */
};

/* --- asking --- */

static void put_command(struct str *out, int count, const char **words)
{
    char *text = NULL;
    int n = redisFormatCommandArgv(&text, count, words, NULL);
    if (n > 0)
        str_put_n(out, text, (size_t)n);
    else
        out->cut = true;
    redisFreeCommand(text);
}

static int read_password(const char *path, char *buf, size_t cap)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, cap - 1);
    if (n < 0)
        return -errno;
    buf[n] = '\0';
    buf[strcspn(buf, "\r\n")] = '\0';
    return 0;
}

static int put_auth(struct feed *f, struct question *q, struct str *out)
{
    const struct redis_conf *conf = f->conf.conf;
    char secret[PASSWORD_BYTES_MAX];
    const char *password = conf->password;
    int rc = conf->password_file ? read_password(conf->password_file, secret, sizeof(secret)) : 0;
    if (rc < 0) {
        feed_fail(f, "cannot be asked: %s: %s", conf->password_file, strerror(-rc));
        return rc;
    }
    if (conf->password_file)
        password = secret;
    if (!password)
        return 0;
    const char *with_user[] = { "AUTH", conf->user, password };
    const char *without[] = { "AUTH", password };
    put_command(out, conf->user ? 3 : 2, conf->user ? with_user : without);
    q->preambles++;
    return 0;
}

static void put_question(const struct redis_conf *conf, struct question *q, struct str *out)
{
    char db[24];
    fmt(db, sizeof(db), "%lld", (long long)conf->db);
    if (conf->db != 0) {
        put_command(out, 2, (const char *[]){ "SELECT", db });
        q->preambles++;
    }
    if (conf->list)
        put_command(out, 2, (const char *[]){ "LLEN", conf->list });
    else if (conf->sorted_set)
        put_command(out, 2, (const char *[]){ "ZCARD", conf->sorted_set });
    else if (conf->group)
        put_command(out, 3, (const char *[]){ "XINFO", "GROUPS", conf->stream });
    else
        put_command(out, 2, (const char *[]){ "XLEN", conf->stream });
}

static void question_free(struct question *q)
{
    if (q->reader)
        redisReaderFree(q->reader);
    free(q);
}

static void redis_cancel(struct feed *f)
{
    struct question *q = f->self;
    f->self = NULL;
    if (!q)
        return;
    dialog_cancel(q->dialog);
    question_free(q);
}

/* --- the answer --- */

/* The value behind a name in a flat list of names and values. */
static const redisReply *member(const redisReply *list, const char *name)
{
    for (size_t i = 0; i + 1 < list->elements; i += 2)
        if (list->element[i]->str && strcmp(list->element[i]->str, name) == 0)
            return list->element[i + 1];
    return NULL;
}

static void take_groups(struct feed *f, const redisReply *groups)
{
    const struct redis_conf *conf = f->conf.conf;
    for (size_t i = 0; i < groups->elements; i++) {
        const redisReply *group = groups->element[i];
        const redisReply *name = member(group, "name"), *lag = member(group, "lag");
        const redisReply *pending = member(group, "pending");
        if (!name || !name->str || strcmp(name->str, conf->group) != 0)
            continue;
        if (!lag || !pending || lag->type != REDIS_REPLY_INTEGER ||
            pending->type != REDIS_REPLY_INTEGER)
            feed_fail(f,
                      "does not know how far group %s lags (Redis 7 does, unless entries were "
                      "deleted)",
                      conf->group);
        else
            feed_answer(f, (double)lag->integer + (double)pending->integer);
        return;
    }
    feed_fail(f, "stream %s has no group %s", conf->stream, conf->group);
}

/* Only the question says which answer it can be. */
static void take_reply(struct feed *f, const redisReply *reply)
{
    bool of_groups = ((const struct redis_conf *)f->conf.conf)->group != NULL;
    if (reply->type == REDIS_REPLY_ERROR)
        feed_fail(f, "says %.160s", reply->str);
    else if (!of_groups && reply->type == REDIS_REPLY_INTEGER)
        feed_answer(f, (double)reply->integer);
    else if (of_groups && reply->type == REDIS_REPLY_ARRAY)
        take_groups(f, reply);
    else
        feed_fail(f, "answers with something that is no number");
}

/* The reply that counts has come, or one before it that ends the matter: it is freed. */
static bool conclude(struct feed *f, struct question *q, redisReply *reply)
{
    if (q->preambles > 0 && reply->type != REDIS_REPLY_ERROR) {
        q->preambles--;
        freeReplyObject(reply);
        return false;
    }
    f->self = NULL;
    question_free(q);
    take_reply(f, reply);
    freeReplyObject(reply);
    return true;
}

static bool hear(void *ctx, const char *bytes, size_t count)
{
    struct feed *f = ctx;
    struct question *q = f->self;
    void *reply = NULL;
    q->heard_bytes += count;
    redisReaderFeed(q->reader, bytes, count);
    while (q->heard_bytes <= REPLY_BYTES_MAX &&
           redisReaderGetReply(q->reader, &reply) == REDIS_OK) {
        if (!reply)
            return false;
        if (conclude(f, q, reply))
            return true;
        reply = NULL;
    }
    f->self = NULL;
    question_free(q);
    feed_fail(f, "does not speak as Redis does");
    return true;
}

static void fail(void *ctx, const char *why)
{
    struct feed *f = ctx;
    question_free(f->self);
    f->self = NULL;
    feed_fail(f, "cannot be asked: %s", why);
}

static void redis_ask(struct feed *f)
{
    const struct redis_conf *conf = f->conf.conf;
    const struct dialog_listener listener = { .ctx = f, .hear = hear, .fail = fail };
    struct endpoint to;
    char text[4096];
    struct str out;
    struct question *q = calloc(1, sizeof(*q));
    str_init(&out, text, sizeof(text));
    if (!q || endpoint_parse(conf->address, PORT, &to, NULL) < 0 || put_auth(f, q, &out) < 0) {
        free(q);
        if (f->asking)
            feed_fail(f, "cannot be asked: no memory");
        return;
    }
    put_question(conf, q, &out);
    q->reader = redisReaderCreate();
    q->dialog = q->reader && !out.cut
                    ? dialog_start(f->tools->env.loop, &to, out.p, out.len, &listener)
                    : NULL;
    f->self = q;
    if (q->dialog)
        return;
    question_free(q);
    f->self = NULL;
    feed_fail(f, "cannot be asked: no memory");
}

/* --- the section --- */

static int redis_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct redis_conf *c = section;
    struct endpoint to;
    struct err why = { 0 };
    if (endpoint_parse(c->address, PORT, &to, &why) < 0)
        return schema_error(ctx, "address", err, "%s", why.text);
    if ((c->list != NULL) + (c->sorted_set != NULL) + (c->stream != NULL) != 1)
        return schema_error(ctx, NULL, err, "has one of list, sorted-set and stream");
    if (c->group && !c->stream)
        return schema_error(ctx, "group", err, "is a stream's; say which, with stream:");
    if (c->password && c->password_file)
        return schema_error(ctx, "password-file", err, "password is given as well; keep one");
    if (c->user && !c->password && !c->password_file)
        return schema_error(ctx, "user", err, "needs a password or a password-file");
    return 0;
}

#define AT(member_) .offset = offsetof(struct redis_conf, member_)
#define TEXT(name_, member_, help_)                                         \
    {                                                                       \
        .name = (name_), .type = SCHEMA_TEXT, AT(member_), .help = (help_), \
    }

static const struct schema_key keys[] = {
    { .name = "address",
      .type = SCHEMA_TEXT,
      AT(address),
      .fallback = "127.0.0.1:6379",
      .help = "host and port, or unix:/path" },
    TEXT("user", user, "of its access control list; absent = the default one"),
    TEXT("password", password, "its password"),
    TEXT("password-file", password_file, "file whose first line is it; read at each question"),
    { .name = "db",
      .type = SCHEMA_INT,
      AT(db),
      .fallback = "0",
      .min = 0,
      .max = 65535,
      .help = "number of the database" },
    TEXT("list", list, "key of a list: its length counts"),
    TEXT("sorted-set", sorted_set, "key of a sorted set: its size counts"),
    TEXT("stream", stream, "key of a stream: its length counts"),
    TEXT("group", group,
         "consumer group of the stream: what it has not been given and what it has not yet "
         "acknowledged count instead (Redis 7)"),
    { 0 },
};

static const struct schema_section section = {
    .name = "redis",
    .help = "Asks Redis, or what speaks like it, how much waits.",
    .size_bytes = sizeof(struct redis_conf),
    .keys = keys,
    .check = redis_check,
};

const struct feed_ops source_redis = {
    .name = "redis",
    .section = &section,
    .ask = redis_ask,
    .cancel = redis_cancel,
};
