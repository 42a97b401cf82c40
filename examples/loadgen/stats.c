/* Counts, and computes percentiles exactly: every latency is kept until the end. */
#include "stats.h"

#include <stdlib.h>

struct stats_latency {
    uint32_t second, us;
};

static const char *const failure_names[STATS_FAILURE_MAX] = {
    [STATS_CONNECT] = "connect",     [STATS_CLOSED] = "closed", [STATS_TIMEOUT] = "timeout",
    [STATS_MALFORMED] = "malformed", [STATS_STATUS] = "status", [STATS_CROWDED] = "crowded",
};

static struct stats_second *at(struct stats *s, uint32_t second)
{
    if (second >= STATS_SECONDS_MAX)
        second = STATS_SECONDS_MAX - 1;
    if (second >= s->second_count)
        s->second_count = second + 1;
    return &s->seconds[second];
}

void stats_sent(struct stats *s, uint32_t second)
{
    s->sent++;
    at(s, second)->sent++;
}

void stats_ok(struct stats *s, uint32_t second, uint32_t latency_us, int code)
{
    s->ok++;
    s->codes[code]++;
    at(s, second)->ok++;
    s->latency_sum_us += latency_us;
    if (s->latency_count == s->latency_cap) {
        s->latency_cap = s->latency_cap ? s->latency_cap * 2 : 65536;
        s->latencies = realloc(s->latencies, s->latency_cap * sizeof(*s->latencies));
        if (!s->latencies)
            abort();
    }
    s->latencies[s->latency_count++] = (struct stats_latency){ second, latency_us };
}

void stats_failed(struct stats *s, uint32_t second, enum stats_failure kind, int code)
{
    s->failed++;
    s->failures[kind]++;
    if (kind == STATS_STATUS)
        s->codes[code]++;
    at(s, second)->failed++;
}

static int by_latency(const void *a, const void *b)
{
    const struct stats_latency *x = a, *y = b;
    return (x->us > y->us) - (x->us < y->us);
}

void stats_finish(struct stats *s)
{
    if (s->latency_count > 0)
        qsort(s->latencies, s->latency_count, sizeof(*s->latencies), by_latency);
}

/* Nearest rank, over all. */
static double percentile_ms(const struct stats *s, double p)
{
    if (s->latency_count == 0)
        return 0;
    uint64_t rank = (uint64_t)(p * (double)s->latency_count);
    if (rank >= s->latency_count)
        rank = s->latency_count - 1;
    return s->latencies[rank].us / 1e3;
}

void stats_write_summary(const struct stats *s, double seconds, FILE *out)
{
    fprintf(out, "{\"requests\":%llu,\"ok\":%llu,\"failed\":%llu,\"seconds\":%.3f,\"failures\":{",
            (unsigned long long)s->sent, (unsigned long long)s->ok, (unsigned long long)s->failed,
            seconds);
    for (int i = 0; i < STATS_FAILURE_MAX; i++)
        fprintf(out, "%s\"%s\":%llu", i ? "," : "", failure_names[i],
                (unsigned long long)s->failures[i]);
    fputs("},\"codes\":{", out);
    const char *comma = "";
    for (int i = 0; i < STATS_CODE_MAX; i++)
        if (s->codes[i]) {
            fprintf(out, "%s\"%d\":%llu", comma, i, (unsigned long long)s->codes[i]);
            comma = ",";
        }
    fprintf(out,
            "},\"latency_ms\":{\"mean\":%.3f,\"p50\":%.3f,\"p90\":%.3f,\"p95\":%.3f,\"p99\":%.3f,"
            "\"p999\":%.3f,\"max\":%.3f}}\n",
            s->latency_count ? (double)s->latency_sum_us / 1e3 / (double)s->latency_count : 0,
            percentile_ms(s, .5), percentile_ms(s, .9), percentile_ms(s, .95),
            percentile_ms(s, .99), percentile_ms(s, .999), percentile_ms(s, 1));
}

/* Median and p99 of each second: the latencies are sorted, so a second's own, picked out of them,
 * are sorted too. */
static void second_percentiles(const struct stats *s, uint32_t second, uint32_t ok, double *ret_p50,
                               double *ret_p99)
{
    uint64_t want50 = ok / 2, want99 = (uint64_t)(ok * .99), seen = 0;
    *ret_p50 = *ret_p99 = 0;
    for (uint64_t i = 0; i < s->latency_count && seen <= want99; i++) {
        if (s->latencies[i].second != second)
            continue;
        if (seen == want50)
            *ret_p50 = s->latencies[i].us / 1e3;
        if (seen == want99)
            *ret_p99 = s->latencies[i].us / 1e3;
        seen++;
    }
}

void stats_write_seconds(const struct stats *s, FILE *out)
{
    fputs("second,rate,sent,ok,failed,in_flight,p50_ms,p99_ms\n", out);
    for (uint32_t i = 0; i < s->second_count; i++) {
        const struct stats_second *x = &s->seconds[i];
        double p50, p99;
        second_percentiles(s, i, x->ok, &p50, &p99);
        fprintf(out, "%u,%.2f,%u,%u,%u,%u,%.3f,%.3f\n", i, x->rate, x->sent, x->ok, x->failed,
                x->in_flight, p50, p99);
    }
}

void stats_done(struct stats *s)
{
    free(s->latencies);
}
