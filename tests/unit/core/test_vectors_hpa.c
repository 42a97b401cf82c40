/* Every case of Kubernetes' own replica calculator and pod grouping tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "base/us.h"
#include "core/hpa.h"
#include "unit/core/vectors.h"

#define LONG_AGO_US (INT64_C(1000000) * US_PER_S)
#define PODS_MAX 32

static enum hpa_phase phase_of(const char *name)
{
    static const char *const names[] = { "Pending", "Running", "Succeeded", "Failed" };
    for (unsigned i = 0; i < 4; i++)
        if (strcmp(names[i], name) == 0)
            return (enum hpa_phase)i;
    fail_msg("phase %s", name);
    return HPA_FAILED;
}

/* The sum over a pod's containers, or the one that counts; false when there is no value. */
static bool containers_sum(const json_t *list, const char *container, int64_t *ret)
{
    size_t only = strcmp(container, "container2") == 0 ? 1 : 0;
    bool all = container[0] == '\0';
    int64_t sum = 0;
    if (!json_is_array(list) || (!all && only >= json_array_size(list)))
        return false;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (all || i == only)
            sum += json_integer_value(json_array_get(list, i));
    *ret = sum;
    return true;
}

/* Kubernetes' test leaves times it does not name at zero, which is long ago, and takes the start
 * for the last change of readiness. */
static struct hpa_pod replica_pod(const json_t *p, const char *container, bool resource)
{
    const json_t *start = json_object_get(p, "start_age_s");
    struct hpa_pod pod = { .phase = phase_of(vectors_text(p, "phase")),
                           .deleting = json_is_true(json_object_get(p, "deleting")),
                           .started = true,
                           .has_condition = true,
                           .ready = json_is_true(json_object_get(p, "ready")),
                           .window_us = 60 * US_PER_S };
    pod.start_age_us = json_is_integer(start) ? json_integer_value(start) * US_PER_S : LONG_AGO_US;
    pod.transition_age_us = pod.start_age_us;
    if (resource) {
        pod.has_value =
            containers_sum(json_object_get(p, "usage_m_per_container"), container, &pod.value);
        pod.has_request =
            containers_sum(json_object_get(p, "request_m_per_container"), container, &pod.request);
    } else {
        pod.has_value = json_is_integer(json_object_get(p, "metric_m"));
        pod.value = vectors_integer(p, "metric_m", 0);
    }
    return pod;
}

static int64_t values_sum(const json_t *c)
{
    const json_t *values = json_object_get(c, "metric_values_m");
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_size(values); i++)
        sum = hpa_add(sum, json_integer_value(json_array_get(values, i)));
    return sum;
}

static int32_t count_ready(const json_t *pods)
{
    int32_t ready = 0;
    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *p = json_array_get(pods, i);
        ready += json_is_true(json_object_get(p, "ready")) &&
                 strcmp(vectors_text(p, "phase"), "Running") == 0;
    }
    return ready;
}

static int run_case(const json_t *c, struct hpa_result *ret)
{
    const char *kind = vectors_text(c, "kind");
    bool resource = strcmp(kind, "resource_utilization") == 0;
    int32_t current = (int32_t)vectors_integer(c, "current_replicas", -1);
    int64_t target = vectors_integer(c, "target", 0);
    const json_t *pods = json_object_get(c, "pods");
    struct hpa_conf conf = { .tolerance_up = vectors_number(c, "tolerance_scale_up", -1),
                             .tolerance_down = vectors_number(c, "tolerance_scale_down", -1),
                             .cpu = resource,
                             .init_us = 120 * US_PER_S,
                             .readiness_delay_us = 10 * US_PER_S };
    struct hpa_sum sum = { 0 };
    for (size_t i = 0; i < json_array_size(pods); i++) {
        struct hpa_pod pod =
            replica_pod(json_array_get(pods, i), vectors_text(c, "container"), resource);
        hpa_sum_pod(&sum, &pod, &conf);
    }
    if (resource)
        return hpa_utilisation(&sum, current, (double)target, &conf, ret);
    if (strcmp(kind, "pods_metric") == 0)
        return hpa_plain(&sum, current, target, &conf, ret);
    if (strcmp(kind, "object") == 0 || strcmp(kind, "external") == 0)
        hpa_value((double)values_sum(c), (double)target, current, count_ready(pods), &conf, ret);
    else if (strcmp(kind, "object_per_pod") == 0 || strcmp(kind, "external_per_pod") == 0)
        hpa_total((double)values_sum(c), (double)target, current, &conf, ret);
    else
        fail_msg("kind %s", kind);
    return 0;
}

static void test_replica_calculator(void **state)
{
    json_t *root = vectors_load("hpa_replica_calculator.json");
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 86);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        const char *error = vectors_text(expect, "error"), *id = vectors_text(c, "id");
        struct hpa_result got = { 0 };
        int rc = run_case(c, &got);
        int want_rc = error[0] == '\0' ? 0 : strstr(error, "missing request") ? -EINVAL : -ENODATA;
        if (rc != want_rc)
            fail_msg("%s (%s): returned %d, not %d", id, vectors_text(c, "name"), rc, want_rc);
        if (rc < 0)
            continue;
        if (got.replicas != vectors_integer(expect, "replicas", -1))
            fail_msg("%s (%s): %d replicas, not %lld", id, vectors_text(c, "name"), got.replicas,
                     (long long)vectors_integer(expect, "replicas", -1));
        if (got.utilisation != vectors_integer(expect, "utilization_pct", got.utilisation))
            fail_msg("%s: utilisation %d", id, got.utilisation);
        int64_t average =
            vectors_integer(expect, "raw_average_m", vectors_integer(expect, "usage_m", -1));
        if (got.average != average)
            fail_msg("%s: average %lld, not %lld", id, (long long)got.average, (long long)average);
    }
    json_decref(root);
}

static int64_t age_us(const json_t *o, const char *key)
{
    const json_t *age = json_object_get(o, key);
    return json_is_integer(age) ? json_integer_value(age) * US_PER_S : LONG_AGO_US;
}

static struct hpa_pod group_pod(const json_t *p)
{
    const json_t *ready = json_object_get(p, "ready_condition");
    const json_t *metric = json_object_get(p, "metric");
    return (struct hpa_pod){
        .phase = phase_of(vectors_text(p, "phase")),
        .deleting = json_is_true(json_object_get(p, "deleting")),
        .started = json_is_integer(json_object_get(p, "start_age_s")),
        .has_condition = json_is_boolean(ready),
        .ready = json_is_true(ready),
        .has_value = json_is_object(metric),
        .start_age_us = age_us(p, "start_age_s"),
        .transition_age_us = age_us(p, "ready_transition_age_s"),
        .value_age_us = age_us(metric, "age_s"),
        .window_us = vectors_integer(metric, "window_s", 0) * US_PER_S,
    };
}

static bool has_name(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), name) == 0)
            return true;
    return false;
}

static void test_group_pods(void **state)
{
    static const char *const lists[] = {
        [HPA_UNREADY] = "unready", [HPA_MISSING] = "missing", [HPA_IGNORED] = "ignored"
    };
    json_t *root = vectors_load("hpa_group_pods.json");
    const json_t *cases = json_object_get(root, "cases");
    assert_int_equal(json_array_size(cases), 15);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *expect = json_object_get(c, "expect");
        const json_t *pods = json_object_get(c, "pods");
        struct hpa_conf conf = { .cpu = strcmp(vectors_text(c, "resource"), "cpu") == 0,
                                 .init_us = 120 * US_PER_S,
                                 .readiness_delay_us = 10 * US_PER_S };
        int64_t ready = 0;
        for (size_t k = 0; k < json_array_size(pods); k++) {
            const json_t *p = json_array_get(pods, k);
            struct hpa_pod pod = group_pod(p);
            enum hpa_class class = hpa_classify(&pod, &conf);
            ready += class == HPA_READY;
            for (int l = HPA_UNREADY; l <= HPA_IGNORED; l++)
                if (has_name(json_object_get(expect, lists[l]), vectors_text(p, "name")) !=
                    (l == (int)class))
                    fail_msg("%s: %s is of class %d", vectors_text(c, "id"),
                             vectors_text(p, "name"), class);
        }
        if (ready != vectors_integer(expect, "ready_count", -1))
            fail_msg("%s: %lld ready", vectors_text(c, "id"), (long long)ready);
    }
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replica_calculator),
        cmocka_unit_test(test_group_pods),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
