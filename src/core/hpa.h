/* Kubernetes' HPA v2 replica calculator as pure functions on integers: from the samples of single
 * instances to a raw count, before min, max, behavior and stabilization. Source: Kubernetes,
 * pkg/controller/podautoscaler/replica_calculator.go and metrics/utilization.go. Quantities are in
 * any unit, the same for value and request or target (Kubernetes takes thousandths). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hpa_phase { HPA_PENDING, HPA_RUNNING, HPA_SUCCEEDED, HPA_FAILED };

/* Ages are microseconds before now. */
struct hpa_pod {
    enum hpa_phase phase;
    bool deleting;
    bool started;       /* start_age_us is known */
    bool has_condition; /* ready and transition_age_us are known */
    bool ready;
    bool has_value;
    bool has_request;
    int64_t start_age_us;
    int64_t transition_age_us; /* since `ready` last changed */
    int64_t value;
    int64_t value_age_us;
    int64_t window_us; /* the time over which the value was measured */
    int64_t request;   /* what counts as 100 % */
};

enum hpa_class { HPA_READY, HPA_UNREADY, HPA_MISSING, HPA_IGNORED };

struct hpa_conf {
    double tolerance_up, tolerance_down; /* the dead band is 1 - down <= ratio <= 1 + up */
    bool cpu;                            /* a value says little while an instance is warming up */
    int64_t init_us;                     /* cpu: how long after the start; Kubernetes 300 s */
    int64_t readiness_delay_us;          /* cpu: unready since before this age = never was; 30 s */
};

struct hpa_result {
    int32_t replicas;
    int32_t utilisation; /* percent; hpa_utilisation() only */
    int64_t average;     /* of the instances with values; total / count for per-instance totals */
    double ratio;        /* usage to target, before missing ones are guessed */
};

enum hpa_class hpa_classify(const struct hpa_pod *pod, const struct hpa_conf *conf);

/* All instances added up; zeroed to begin with. */
struct hpa_sum {
    int64_t value, request;          /* of those that are ready */
    int64_t ready, unready, missing; /* how many */
    int64_t unready_request, missing_request;
    bool any_value, no_request; /* of any at all */
};

void hpa_sum_pod(struct hpa_sum *sum, const struct hpa_pod *pod, const struct hpa_conf *conf);

/* Target in percent of request. -ENODATA when no instance has a usable value, -EINVAL when one has
 * no request. */
int hpa_utilisation(const struct hpa_sum *sum, int32_t current, double target,
                    const struct hpa_conf *conf, struct hpa_result *ret);
/* Target as a value for each instance. -ENODATA. */
int hpa_plain(const struct hpa_sum *sum, int32_t current, int64_t target,
              const struct hpa_conf *conf, struct hpa_result *ret);
/* One value for the whole ("Value" of an object or external metric): the count scales with it.
 * `ready` instances made it. */
void hpa_value(double value, double target, int32_t current, int32_t ready,
               const struct hpa_conf *conf, struct hpa_result *ret);
/* A total to be shared out ("AverageValue"): target is for each instance. */
void hpa_total(double total, double target, int32_t current, const struct hpa_conf *conf,
               struct hpa_result *ret);

bool hpa_within(const struct hpa_conf *conf, double ratio);
/* ceil() into an int32_t that saturates; NaN is 0. */
int32_t hpa_ceil(double value);
/* Saturating sum. */
int64_t hpa_add(int64_t a, int64_t b);
