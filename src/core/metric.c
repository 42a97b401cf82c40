/* The built-in metrics: one table. It owns names, natures and how a value is shown, and must never
 * say where a value comes from. */
#include "core/metric.h"

#include "base/fmt.h"
#include "base/num.h"

const struct metric_info metric_builtin[METRIC_BUILTIN_MAX] = {
    [METRIC_CONCURRENCY] = { "concurrency", METRIC_TOTAL, true, false, "",
                             "requests in flight and queued" },
    [METRIC_RPS] = { "rps", METRIC_TOTAL, true, false, "/s", "requests answered a second" },
    [METRIC_ARRIVALS] = { "arrivals", METRIC_TOTAL, false, false, "/s",
                          "requests that came, a second" },
    [METRIC_QUEUE] = { "queue", METRIC_TOTAL, false, false, "",
                       "requests waiting for an instance" },
    [METRIC_LATENCY_P50] = { "latency-p50", METRIC_GLOBAL, false, false, "s",
                             "half of the answers came within this" },
    [METRIC_LATENCY_P95] = { "latency-p95", METRIC_GLOBAL, false, false, "s",
                             "95 % of the answers came within this" },
    [METRIC_LATENCY_P99] = { "latency-p99", METRIC_GLOBAL, false, false, "s",
                             "99 % of the answers came within this" },
    [METRIC_ERRORS] = { "errors", METRIC_TOTAL, true, false, "/s", "failed requests a second" },
    [METRIC_CONNECTIONS] = { "connections", METRIC_TOTAL, true, false, "",
                             "open tunnels and tcp connections" },
    [METRIC_BYTES_IN] = { "bytes-in", METRIC_TOTAL, true, false, "B/s",
                          "bytes a second from clients" },
    [METRIC_BYTES_OUT] = { "bytes-out", METRIC_TOTAL, true, false, "B/s",
                           "bytes a second to clients" },
    [METRIC_CPU] = { "cpu", METRIC_UTILISATION, true, true, "",
                     "share of one core that an instance uses" },
    [METRIC_MEMORY] = { "memory", METRIC_UTILISATION, true, false, "B",
                        "bytes that an instance has in memory" },
    [METRIC_HOST_CPU] = { "host-cpu", METRIC_GLOBAL, false, true, "",
                          "share of the whole machine in use" },
    [METRIC_HOST_MEMORY] = { "host-memory", METRIC_GLOBAL, false, true, "",
                             "share of the machine's memory in use" },
};

const char *metric_name(enum metric m)
{
    static const char *const custom[METRIC_CUSTOM_MAX] = {
        "custom-1", "custom-2", "custom-3", "custom-4",
        "custom-5", "custom-6", "custom-7", "custom-8",
    };
    const struct metric_info *info = metric_info(m);
    if (m >= METRIC_CUSTOM && m < METRIC_MAX)
        return custom[m - METRIC_CUSTOM];
    return info ? info->name : "unknown";
}

enum metric metric_find(struct slice name)
{
    for (unsigned m = 0; m < METRIC_BUILTIN_MAX; m++)
        if (slice_eq(slice_of(metric_builtin[m].name), name))
            return (enum metric)m;
    return METRIC_BUILTIN_MAX;
}

size_t metric_format(char *buf, size_t cap, enum metric m, double value)
{
    const struct metric_info *info = metric_info(m);
    char number[40];
    if (!info || info->unit[0] == '\0') {
        bool ratio = info && info->ratio;
        fmt_double(number, sizeof(number), ratio ? value * 100 : value, ratio ? 1 : 2);
        return fmt(buf, cap, "%s%s", number, ratio ? "%" : "");
    }
    if (info->unit[0] == 'B' && value >= 0 && value < 9e18) {
        /* Whole KiB above one: nobody wants to read a mean to the byte. */
        int64_t bytes = value < 1024 ? (int64_t)value : (int64_t)value / 1024 * 1024;
        num_format_size(number, sizeof(number), bytes);
        return fmt(buf, cap, "%s%s", number, info->unit + 1);
    }
    fmt_double(number, sizeof(number), value, info->unit[0] == 's' ? 4 : 2);
    return fmt(buf, cap, "%s%s", number, info->unit);
}
