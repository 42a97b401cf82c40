/* See hpa.h. It owns the arithmetic of the HPA, dead bands and guesses included, and must stay
 * free of everything of ours, so that it can be read beside the original. */
#include "core/hpa.h"

#include <errno.h>
#include <math.h>

#include "base/us.h"
#include "base/util.h"

int64_t hpa_add(int64_t a, int64_t b)
{
    return us_add(a, b); /* it saturates, which is all that matters here */
}

int32_t hpa_ceil(double value)
{
    double up = ceil(value);
    if (!(up > INT32_MIN))
        return up <= INT32_MIN ? INT32_MIN : 0;
    return up >= INT32_MAX ? INT32_MAX : (int32_t)up;
}

static int64_t ceil_i64(double value)
{
    double up = ceil(value);
    if (!(up >= -0x1p63))
        return up < 0 ? INT64_MIN : 0;
    return up >= 0x1p63 ? INT64_MAX : (int64_t)up;
}

bool hpa_within(const struct hpa_conf *conf, double ratio)
{
    return 1 - conf->tolerance_down <= ratio && ratio <= 1 + conf->tolerance_up;
}

/* A cpu value is worth nothing while the instance starts up: in its first time when it is not
 * ready or the value's window began before it was; later when it never was ready. */
static bool cpu_unready(const struct hpa_pod *pod, const struct hpa_conf *conf)
{
    if (!pod->has_condition || !pod->started)
        return true;
    if (pod->start_age_us < conf->init_us)
        return !pod->ready || pod->value_age_us > us_sub(pod->transition_age_us, pod->window_us);
    return !pod->ready &&
           pod->transition_age_us > us_sub(pod->start_age_us, conf->readiness_delay_us);
}

enum hpa_class hpa_classify(const struct hpa_pod *pod, const struct hpa_conf *conf)
{
    if (pod->deleting || pod->phase == HPA_FAILED || pod->phase == HPA_SUCCEEDED)
        return HPA_IGNORED;
    if (pod->phase == HPA_PENDING)
        return HPA_UNREADY;
    if (!pod->has_value)
        return HPA_MISSING;
    if (conf->cpu && cpu_unready(pod, conf))
        return HPA_UNREADY;
    return HPA_READY;
}

void hpa_sum_pod(struct hpa_sum *sum, const struct hpa_pod *pod, const struct hpa_conf *conf)
{
    sum->any_value |= pod->has_value;
    sum->no_request |= !pod->has_request;
    switch (hpa_classify(pod, conf)) {
    case HPA_READY:
        sum->ready++;
        sum->value = hpa_add(sum->value, pod->value);
        sum->request = hpa_add(sum->request, pod->request);
        break;
    case HPA_UNREADY:
        sum->unready++;
        sum->unready_request = hpa_add(sum->unready_request, pod->request);
        break;
    case HPA_MISSING:
        sum->missing++;
        sum->missing_request = hpa_add(sum->missing_request, pod->request);
        break;
    case HPA_IGNORED:
        break;
    }
}

/* The count when instances were guessed: only if the guess leaves the direction as it was. */
static int32_t replicas_guessed(double ratio, double guessed, int64_t counted, int32_t current,
                                const struct hpa_conf *conf)
{
    if (hpa_within(conf, guessed) || (ratio < 1 && guessed > 1) || (ratio > 1 && guessed < 1))
        return current;
    int32_t replicas = hpa_ceil(guessed * (double)counted);
    if ((guessed < 1 && replicas > current) || (guessed > 1 && replicas < current))
        return current;
    return replicas;
}

static int32_t percent_of(int64_t value, int64_t request)
{
    int64_t percent = request > 0 ? us_mul(value, 100) / request : 0;
    return (int32_t)CLAMP(percent, INT32_MIN, INT32_MAX);
}

int hpa_utilisation(const struct hpa_sum *sum, int32_t current, double target,
                    const struct hpa_conf *conf, struct hpa_result *ret)
{
    struct hpa_sum s = *sum;
    if (s.any_value && s.no_request)
        return -EINVAL;
    if (s.ready == 0 || s.request <= 0)
        return -ENODATA;
    ret->utilisation = percent_of(s.value, s.request);
    ret->average = s.value / s.ready;
    ret->ratio = ret->utilisation / target;
    bool unready_counts = s.unready > 0 && ret->ratio > 1;
    if (!unready_counts && s.missing == 0) {
        ret->replicas =
            hpa_within(conf, ret->ratio) ? current : hpa_ceil(ret->ratio * (double)s.ready);
        return 0;
    }
    int64_t value = s.value, request = s.request, counted = s.ready;
    if (s.missing > 0 && ret->ratio != 1) {
        /* Scaling in, a missing one is taken as busy (all it asked for, or the target when that is
         * more); scaling out, as idle. */
        double fallback = ret->ratio < 1 ? MAX(100, target) : 0;
        value = hpa_add(value, (int64_t)((double)s.missing_request * fallback / 100));
        request = hpa_add(request, s.missing_request);
        counted += s.missing;
    }
    if (unready_counts) {
        request = hpa_add(request, s.unready_request);
        counted += s.unready;
    }
    ret->replicas =
        replicas_guessed(ret->ratio, percent_of(value, request) / target, counted, current, conf);
    return 0;
}

int hpa_plain(const struct hpa_sum *sum, int32_t current, int64_t target,
              const struct hpa_conf *conf, struct hpa_result *ret)
{
    struct hpa_sum s = *sum;
    if (s.ready == 0)
        return -ENODATA;
    ret->utilisation = 0;
    ret->average = s.value / s.ready;
    ret->ratio = (double)ret->average / (double)target;
    bool unready_counts = s.unready > 0 && ret->ratio > 1;
    if (!unready_counts && s.missing == 0) {
        ret->replicas =
            hpa_within(conf, ret->ratio) ? current : hpa_ceil(ret->ratio * (double)s.ready);
        return 0;
    }
    int64_t value = s.value;
    if (ret->ratio < 1)
        value = hpa_add(value, us_mul(target, s.missing));
    int64_t counted = s.ready + (ret->ratio != 1 ? s.missing : 0);
    if (unready_counts)
        counted += s.unready;
    double guessed = (double)(value / counted) / (double)target;
    ret->replicas = replicas_guessed(ret->ratio, guessed, counted, current, conf);
    return 0;
}

void hpa_value(double value, double target, int32_t current, int32_t ready,
               const struct hpa_conf *conf, struct hpa_result *ret)
{
    *ret = (struct hpa_result){ .ratio = target > 0 ? value / target : value };
    ret->average = ceil_i64(value);
    if (current == 0) /* from nothing there is no dead band */
        ret->replicas = hpa_ceil(ret->ratio);
    else if (hpa_within(conf, ret->ratio))
        ret->replicas = current;
    else
        ret->replicas = hpa_ceil(ret->ratio * ready);
}

void hpa_total(double total, double target, int32_t current, const struct hpa_conf *conf,
               struct hpa_result *ret)
{
    double ratio = total / (target * current);
    *ret = (struct hpa_result){ .ratio = ratio, .replicas = current };
    if (!hpa_within(conf, ratio)) /* nor when 0 / 0 made it NaN */
        ret->replicas = hpa_ceil(total / target);
    ret->average = current > 0 ? ceil_i64(total / current) : 0;
}
