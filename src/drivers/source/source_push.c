/* Values that somebody brings: POST to the admin API, and StatsD over UDP. Nothing is asked; who
 * falls silent is unknown when the next value is overdue. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/source/endpoint.h"
#include "drivers/source/feed.h"
#include "drivers/source/statsd.h"

struct push_conf {
    const char *statsd, *name;
};

struct push {
    struct statsd_listener *listener;
    char name[128];
    struct statsd_rate rate;
};

/* Of a value that nobody knows, nobody knows the outcome either. */
static void change(struct feed *f, double by)
{
    if (feed_is_current(f))
        feed_answer(f, f->value + by);
    else
        feed_fail(f, "is told to change a value that is not known; it has to be set first");
}

static void end_packet(struct feed *f, struct statsd_rate *r, int64_t at_us)
{
    double rate;
    if (statsd_rate_end(r, at_us, f->conf.every_us, feed_held_us(f), &rate))
        feed_answer(f, rate);
}

static void on_heard(void *ctx, const struct statsd_metric *m)
{
    struct feed *f = ctx;
    struct push *p = f->self;
    switch (m->type) {
    case STATSD_GAUGE:
        feed_answer(f, m->value);
        break;
    case STATSD_CHANGE:
        change(f, m->value);
        break;
    case STATSD_COUNT:
        statsd_rate_count(&p->rate, m->value);
        break;
    case STATSD_BAD: /* the sum that it would have been a part of is not known either */
        p->rate = (struct statsd_rate){ 0 };
        feed_fail(f, "is told \"%.*s\", which is no number", (int)MIN(m->text.n, (size_t)40),
                  m->text.p);
        break;
    case STATSD_END:
        end_packet(f, &p->rate, m->at_us);
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
