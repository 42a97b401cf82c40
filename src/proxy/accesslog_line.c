/* One request as a line of JSON. */
#include <time.h>

#include "base/str.h"
#include "proxy/exchange.h"
#include "proxy/loop.h"
#include "sys/clock.h"

#define LINE_BYTES_MAX 4096

static void put_escaped(struct str *s, const char *text, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            str_put_char(s, '\\');
            str_put_char(s, (char)c);
        } else if (c < 0x20 || c >= 0x7f) {
            char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
            str_put_n(s, u, sizeof(u));
        } else {
            str_put_char(s, (char)c);
        }
    }
}

static void put_text(struct str *s, const char *name, const char *text, size_t n)
{
    str_put(s, ",\"");
    str_put(s, name);
    str_put(s, "\":\"");
    put_escaped(s, text, n);
    str_put_char(s, '"');
}

static void put_number(struct str *s, const char *name, int64_t value)
{
    str_putf(s, ",\"%s\":%lld", name, (long long)value);
}

static void put_time(struct loop *l, struct str *s)
{
    int64_t wall_us = clock_wall_us(), second = wall_us / US_PER_S;
    if (second != l->second) {
        time_t t = (time_t)second;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(l->second_text, sizeof(l->second_text), "%Y-%m-%dT%H:%M:%S", &tm);
        l->second = second;
    }
    long long us = wall_us % US_PER_S;
    str_putf(s, "{\"ts\":\"%s.%06lldZ\"", l->second_text, us);
}

static void put_line(struct loop *l, struct str *s, const struct exchange *x)
{
    const struct exchange_note *n = &x->note;
    int64_t upstream_us = x->sent_us && x->first_byte_us ? x->first_byte_us - x->sent_us : -1;
    put_time(l, s);
    put_text(s, "service", x->service->conf.name, slice_of(x->service->conf.name).n);
    put_text(s, "instance", n->instance, slice_of(n->instance).n);
    put_text(s, "client", x->client->ip_text, slice_of(x->client->ip_text).n);
    put_text(s, "method", n->method, slice_of(n->method).n);
    put_text(s, "host", n->host, slice_of(n->host).n);
    put_text(s, "path", n->target, slice_of(n->target).n);
    put_number(s, "status", x->status);
    put_number(s, "bytes_in", (int64_t)x->bytes_in);
    put_number(s, "bytes_out", (int64_t)x->bytes_out);
    put_number(s, "duration_us", l->now_us - x->start_us);
    put_number(s, "upstream_us", upstream_us);
    put_number(s, "queue_us", x->queue_us);
    put_number(s, "retries", x->retries);
    put_text(s, "request_id", x->request_id, x->request_id_bytes);
    put_text(s, "agent", n->agent, slice_of(n->agent).n);
    put_text(s, "reason", x->reason, slice_of(x->reason).n);
    str_put(s, "}\n");
}

void accesslog_note(struct loop *l, const struct exchange *x)
{
    struct accesslog *log = &l->shared->log;
    if (!atomic_load_explicit(&log->on, memory_order_relaxed))
        return;
    char buf[LINE_BYTES_MAX];
    struct str s;
    str_init(&s, buf, sizeof(buf));
    put_line(l, &s, x);
    if (s.cut || !accesslog_ring_put(&log->rings[l->index], s.p, s.len)) {
        atomic_fetch_add(&l->shared->gauges->log_dropped, 1);
        return;
    }
    if (atomic_exchange(&log->asleep, false))
        accesslog_wake(log);
}
