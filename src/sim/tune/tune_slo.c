/* Goals. At tick fidelity requests differ by their wait alone, so a limit on latency is one on the
 * wait after the mean service time. */
#include "sim/tune/tune_slo.h"

#include <errno.h>
#include <string.h>

#include "base/num.h"
#include "base/str.h"
#include "base/us.h"

#define WAIT_ANY 1e9 /* seconds: longer than any run */

static struct slice skip(struct slice s, size_t n)
{
    return slice_trim((struct slice){ s.p + n, s.n - n });
}

static bool take(struct slice *s, const char *word)
{
    size_t n = strlen(word);
    if (s->n < n || memcmp(s->p, word, n) != 0)
        return false;
    *s = skip(*s, n);
    return true;
}

static int parse(struct slice s, struct tune_slo *ret)
{
    int64_t limit_us;
    double percentile;
    size_t n = 0;
    ret->wait = take(&s, "wait");
    bool named = ret->wait || take(&s, "latency");
    if (named) /* "wait-p95", as `capacity` writes it */
        (void)take(&s, "-");
    if (!take(&s, "p"))
        return -EINVAL;
    while (n < s.n && (s.p[n] == '.' || (s.p[n] >= '0' && s.p[n] <= '9')))
        n++;
    if (num_parse_double((struct slice){ s.p, n }, &percentile) < 0)
        return -EINVAL;
    s = skip(s, n);
    if (!take(&s, "<=") && !take(&s, "<") && !take(&s, "below"))
        return -EINVAL;
    if (num_parse_duration(s, &limit_us) < 0 || limit_us <= 0)
        return -EINVAL;
    if (!(percentile > 0 && percentile < 100))
        return -EINVAL;
    ret->share = (100 - percentile) / 100;
    ret->limit_s = (double)limit_us / (double)US_PER_S;
    return 0;
}

int tune_slo_parse(const char *text, struct tune_slo *ret, struct err *err)
{
    struct tune_slo slo;
    if (parse(slice_trim(slice_of(text)), &slo) < 0)
        return err_set(err, -EINVAL,
                       "\"%.60s\" is not a goal; write for example p99<250ms, or wait-p95<100ms",
                       text);
    *ret = slo;
    return 0;
}

int tune_slo_set(const struct tune_slo *slo, struct run_options *o, struct err *err)
{
    double service_s = o->slots / o->capacity;
    bool latency = !slo->wait && o->fidelity == RUN_REQUEST;
    double wait_s = slo->wait ? slo->limit_s : slo->limit_s - service_s;
    if (wait_s <= 0)
        return err_set(
            err, -EINVAL,
            "a request takes %g s when nothing is in its way (slots / capacity), so none "
            "could be done within %g s; say --capacity and --slots, or another limit",
            service_s, slo->limit_s);
    o->slo_wait_s = latency ? WAIT_ANY : wait_s;
    o->slo_latency_s = latency ? slo->limit_s : 0;
    return 0;
}
