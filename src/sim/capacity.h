/* From users and what they do to requests a second, to instances that keep a target, to money, with
 * each step and the law behind it. Plain arithmetic on what it is given; nothing is measured here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/queueing.h"
#include "core/usl.h"

#define CAPACITY_CLASSES_MAX 16
#define CAPACITY_STEPS_MAX 64
#define CAPACITY_SERVERS_MAX INT64_C(10000000)
#define CAPACITY_WARNINGS_MAX 4

#define CAPACITY_NONE 1 /* the answer: no number of instances keeps the target */

/* One kind of request. */
struct capacity_class {
    char name[32];
    double rate_per_s;
    double service_s; /* mean */
    double service_cv2;
};

struct capacity_conf {
    /* What comes, on average; all of it is added. */
    double rate_per_s;
    double users, think_s, response_s; /* at a time; response < 0 = the service time */
    double daily_users, requests_a_day;
    struct capacity_class classes[CAPACITY_CLASSES_MAX];
    uint32_t class_count;
    double peak_to_mean; /* >= 1 */
    /* What a request takes, classes aside. 0 = not given. */
    double service_s;
    double service_cv2, arrival_cv2;
    int64_t concurrency; /* requests at a time of one instance */
    bool has_usl;
    struct usl usl; /* instances and requests a second */
    double usl_r2;
    struct usl_point usl_worst; /* the measured row that the law misses most; n 0 = unknown */
    /* What is wanted. */
    struct queueing_slo slo;
    char slo_text[32]; /* as it was written; "" = none */
    double fan_out;    /* calls that one answer waits for; >= 1 */
    double headroom;   /* share of the capacity kept free, 0..1 */
    int64_t spare;     /* may be broken at a time */
    int64_t zones;     /* one of so many may be lost; 0 or 1 = not considered */
    double connections, connections_each,
        refused_ratio;     /* persistent ones; each = of an instance */
    int64_t instances_max; /* 0 = as many as it takes */
    double cost;           /* of an instance-hour; 0 = unknown */
    double watts, grams_per_kwh;
};

enum capacity_unit {
    CAPACITY_NUMBER,
    CAPACITY_COUNT,
    CAPACITY_PER_S,
    CAPACITY_SECONDS,
    CAPACITY_RATIO,
    CAPACITY_MONEY,
    CAPACITY_KWH,
    CAPACITY_KG,
    CAPACITY_UNIT_MAX,
};

struct capacity_step {
    char name[48];
    enum capacity_unit unit;
    double value;
    char how[176]; /* the law and the numbers in it */
};

/* Why the answer may be worth little. */
struct capacity_warning {
    char text[240];
};

struct capacity_result {
    double mean_per_s, peak_per_s; /* requests */
    double service_s;              /* of a request, mean, alone on an instance */
    int64_t working;               /* instances that the load needs */
    int64_t instances;             /* with spare ones and zones */
    bool fits;                     /* in instances_max */
    double fitting_per_s;          /* the load that does, when it does not */
    double utilisation;            /* of the working ones, at the peak */
    double cost_month, kwh_month, co2_kg_month;
    struct capacity_step steps[CAPACITY_STEPS_MAX];
    uint32_t step_count;
    struct capacity_warning warnings[CAPACITY_WARNINGS_MAX];
    uint32_t warning_count;
};

/* 0; -EINVAL: the conf contradicts itself; CAPACITY_NONE: `ret` has the load, the service time, the
 * warnings and the steps up to there, and neither instances nor what follows from them. `err` says
 * what to do unless it is 0. */
int capacity_compute(const struct capacity_conf *conf, struct capacity_result *ret,
                     struct err *err);
const char *capacity_unit_name(enum capacity_unit u); /* "/s"; "" for plain numbers */
/* Four digits that count, or all of a whole number. */
void capacity_format(char *buf, size_t cap, double value);
/* The row that the law misses most, in relative terms; n 0 when there are none. */
struct usl_point capacity_worst_row(const struct usl *u, const struct usl_point *points,
                                    uint32_t count);
