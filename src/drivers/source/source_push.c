/* Values that somebody brings: POST to the admin API, and StatsD over UDP. Nothing is asked; who
 * falls silent is unknown when the next value is overdue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "drivers/source/endpoint.h"
#include "drivers/source/feed.h"
#include "drivers/source/statsd.h"
#include "sys/clock.h"

struct push_conf {
    const char *statsd, *name;
};

struct push {
    struct statsd_listener *listener;
    char name[128];
    int64_t since_us; /* counts are summed since then; 0 = none yet */
    double sum;
};

/* Counters become a rate: what came in an interval, divided by it. */
static void count(struct feed *f, struct push *p, double n)
{
    int64_t now_us = clock_now_us(), took_us = us_sub(now_us, p->since_us);
    if (p->since_us == 0)
        p->since_us = now_us;
    p->sum += n;
    if (p->since_us == now_us || took_us < f->conf.every_us)
        return;
    double rate = p->sum / ((double)took_us / (double)US_PER_S);
    p->since_us = now_us;
    p->sum = 0;
    feed_answer(f, rate);
}

static void on_heard(void *ctx, const struct statsd_metric *m)
{
    struct feed *f = ctx;
    switch (m->type) {
    case STATSD_GAUGE:
        feed_answer(f, m->value);
        break;
    case STATSD_CHANGE: /* of a value that is not known: nobody knows the outcome */
        if (f->answered_us != 0)
            feed_answer(f, f->value + m->value);
        break;
    case STATSD_COUNT:
        count(f, f->self, m->value);
        break;
    case STATSD_BAD:
        feed_fail(f, "is told \"%.*s\", which is no number", (int)MIN(m->text.n, (size_t)40),
                  m->text.p);
        break;
    }
}

static int push_open(struct feed *f, struct err *err)
{
    const struct push_conf *conf = f->conf.conf;
    struct push *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "no memory");
    str_copy(p->name, sizeof(p->name), conf->name ? conf->name : f->conf.name);
    int rc = conf->statsd ? statsd_listen(f->tools->statsd, conf->statsd, p->name, on_heard, f,
                                          &p->listener, err)
                          : 0;
    if (rc < 0) {
        free(p);
        return rc;
    }
    f->self = p;
    return 0;
}

static void push_close(struct feed *f)
{
    struct push *p = f->self;
    statsd_leave(p->listener);
    free(p);
}

static int push_check(struct schema_context *ctx, void *section, struct err *err)
{
    const struct push_conf *conf = section;
    struct endpoint at;
    struct sockaddr_storage a;
    struct err why = { 0 };
    if (conf->name && strlen(conf->name) >= sizeof(((struct push *)0)->name))
        return schema_error(ctx, "name", err, "is too long");
    if (!conf->statsd)
        return conf->name ? schema_error(ctx, "name", err, "is StatsD's; say where, with statsd:")
                          : 0;
    if (endpoint_parse(conf->statsd, 0, &at, &why) < 0)
        return schema_error(ctx, "statsd", err, "%s", why.text);
    if (at.port == 0 || (uv_ip4_addr(at.host, at.port, (struct sockaddr_in *)&a) < 0 &&
                         uv_ip6_addr(at.host, at.port, (struct sockaddr_in6 *)&a) < 0))
        return schema_error(ctx, "statsd", err,
                            "\"%s\" is no IP address and port to listen on, as in 127.0.0.1:8125",
                            conf->statsd);
    return 0;
}

#define AT(member) .offset = offsetof(struct push_conf, member)

static const struct schema_key keys[] = {
    { .name = "statsd",
      .type = SCHEMA_TEXT,
      AT(statsd),
      .help = "UDP address on which StatsD packets are taken, as in 127.0.0.1:8125: gauges, and "
              "counters as a rate a second" },
    { .name = "name",
      .type = SCHEMA_TEXT,
      AT(name),
      .help = "its name in StatsD packets; absent = the source's" },
    { 0 },
};

static const struct schema_section section = {
    .name = "push",
    .help = "Is told: by POST /v1/services/NAME/metrics, and by StatsD.",
    .size_bytes = sizeof(struct push_conf),
    .keys = keys,
    .check = push_check,
};

const struct feed_ops source_push = {
    .name = "push",
    .section = &section,
    .open = push_open,
    .close = push_close,
};
