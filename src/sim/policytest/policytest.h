/* Unit tests of policies: a file of them, and what came of running one. The core decides in virtual
 * time on samples that the test gives; nothing here decides anything. docs/testing-policies.md
 * describes the files. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/config.h"
#include "core/decision.h"
#include "core/event.h"
#include "core/hpa.h"

#define POLICYTEST_TESTS_MAX 1000
#define POLICYTEST_ENTRIES_MAX 1000
#define POLICYTEST_PODS_MAX 100
#define POLICYTEST_INSTANCES_MAX MODEL_COUNT_MAX
#define POLICYTEST_SPAN_US (32 * US_PER_DAY) /* of one test */
#define POLICYTEST_SAMPLES_MAX 200000        /* and as many times as the core wakes between two */
#define POLICYTEST_PAST_US (15 * US_PER_DAY)

/* Where an instance is named in the file. */
struct policytest_named {
    uint32_t number; /* 0 = none by name */
    uint32_t line, column;
};

/* What a test says of one metric from some moment on. */
struct policytest_value {
    enum metric metric;
    struct policytest_named instance; /* number 0 = of the service */
    bool known;
    double value;
};

/* What happens to instances. */
struct policytest_happening {
    enum policytest_what {
        POLICYTEST_READY,       /* a start that was slow is over */
        POLICYTEST_START_FAILS, /* it exits before it is ready */
        POLICYTEST_FAILS,       /* as many probes fail as it takes */
        POLICYTEST_RECOVERS,
        POLICYTEST_EXITS,
    } what;
    struct policytest_named instance; /* number 0 = all of those it can happen to */
};

/* What is to be so, after the core has looked at that moment. -1 = anything. */
struct policytest_expect {
    bool given;
    uint32_t line, column;
    int64_t desired, at_least, at_most, ready, starting, draining;
    struct schema_list reason; /* each is to be somewhere in the explanation */
    uint32_t rule_count;       /* what each rule needs at least; 0 = no matter, or all of them */
    int32_t rules[MODEL_RULES_MAX];
    bool rule_given[MODEL_RULES_MAX]; /* false = no matter */
};

struct policytest_operator {
    bool given, flag;
    enum operator_op op;
    int32_t count;
    struct policytest_named instance;
};

/* A line of the timeline. */
struct policytest_entry {
    int64_t at_us;
    uint32_t service; /* of the configuration */
    int64_t hold_us;  /* its values are unknown after this; US_NEVER = they stay */
    uint32_t value_count, happening_count;
    struct policytest_value *values;
    struct policytest_happening *happenings;
    struct policytest_operator operator;
    int64_t wall_us; /* the clock is set; -1 = it is not */
    struct policytest_expect expect;
};

/* Values from before the test, oldest first; NaN = unknown. With a step of its own they are what
 * the store remembers; else they were sampled, the last of them at the test's first moment. */
struct policytest_past {
    enum metric metric;
    int64_t step_us; /* 0 = sampled */
    uint32_t count;
    uint32_t times; /* the store's: they are told so often, one after the other */
    double *values;
};

struct policytest_begun {
    int64_t age_us;
    bool starting; /* and it will not be ready by itself */
};

/* What a service begins with. */
struct policytest_start {
    uint32_t instance_count;
    struct policytest_begun *instances; /* the oldest first */
    uint32_t past_count;
    struct policytest_past *pasts;
};

enum policytest_kind {
    POLICYTEST_DECIDE,    /* the core decides along a timeline */
    POLICYTEST_REFUSED,   /* the policy is no policy */
    POLICYTEST_CALCULATE, /* core/hpa.h on its own */
};

enum policytest_measure {
    POLICYTEST_UTILISATION,
    POLICYTEST_PLAIN,
    POLICYTEST_WHOLE,
    POLICYTEST_TOTAL,
    POLICYTEST_CLASSES,
};

struct policytest_pod {
    const char *name;
    struct hpa_pod pod;
};

struct policytest_calculation {
    enum policytest_measure measure;
    struct hpa_conf conf;
    int32_t current, ready;
    int64_t target;
    int64_t value; /* of the whole */
    uint32_t pod_count;
    struct policytest_pod *pods;
    /* What is to come out. -1 = anything. */
    int64_t replicas, utilisation, average, ready_count;
    const char *error; /* NULL, "no-data", "no-request" */
    struct schema_list classes[HPA_IGNORED + 1];
};

struct policytest {
    const char *name;
    uint32_t line, column;
    enum policytest_kind kind;
    const struct config *config;
    int64_t wall_us;  /* the clock at its begin */
    int64_t every_us; /* samples come this often */
    int64_t boot_us, drain_us;
    struct policytest_start *starts; /* of each service of the configuration */
    uint32_t entry_count;
    struct policytest_entry *entries; /* in the order of time */
    const char *refused;              /* to be part of the first error */
    const char *refusal;              /* that error; NULL = it was taken */
    struct policytest_calculation calculation;
};

struct policytest_file {
    const char *path;
    uint32_t test_count;
    struct policytest *tests;
};

/* Loads the file that `config:` names, which stands in `of`. On error fills `errors` as
 * config_parse() does; neither -EINVAL nor -ENOMEM = the file could not be read. There is room for
 * one error at least. */
typedef int (*policytest_loader)(void *ctx, struct arena *arena, const char *of, const char *path,
                                 struct config **ret, struct err *errors, size_t errors_cap,
                                 size_t *ret_error_count);

/* Reads a test file. On -EINVAL and -ENOMEM fills `errors` as config_parse() does. `load` NULL =
 * files cannot name a configuration. */
int policytest_read(struct arena *arena, const char *path, const char *text, size_t bytes,
                    policytest_loader load, void *load_ctx, struct policytest_file *ret,
                    struct err *errors, size_t errors_cap, size_t *ret_error_count);

#define POLICYTEST_TRAIL_MAX 6

/* How a test went. Of several expectations that fail, the first: the others follow from it. */
struct policytest_result {
    bool passed;
    int64_t at_us;         /* of the expectation that failed, or of the mistake */
    uint32_t line, column; /* and where it is written */
    char expected[160], got[160];
    char mistake[300]; /* in their place: what the test says that cannot be; "" = nothing */
    bool decided;
    struct decision decision; /* as `why` would show it at that moment */
    uint32_t expectations;    /* that held */
    uint32_t trail_count;     /* the last moves before, oldest first */
    struct {
        int64_t at_us;
        int32_t before, desired;
        char service[MODEL_NAME_MAX], summary[200];
    } trail[POLICYTEST_TRAIL_MAX];
};

/* 0, or -ENOMEM. */
int policytest_run(const struct policytest *t, struct policytest_result *ret);
