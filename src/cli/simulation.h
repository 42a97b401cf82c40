/* What commands that simulate have in common: the load, the policy and the world, from options. */
#pragma once

#include <jansson.h>

#include "base/arena.h"
#include "cli/options.h"
#include "sim/default_policy.h"
#include "sim/run.h"
#include "sim/subset.h"

#define SIMULATION_NOTES_MAX (SUBSET_NOTES_MAX + 8)

struct config;
struct page;

/* What stands in the tables of all such commands. */
#define SIMULATION_OPTIONS                                                                         \
    { "trace", 0, "FILE",                                                                          \
      "the load: CSV with a header, a Prometheus range query's JSON, or an access log; - is "      \
      "standard input" },                                                                          \
        { "recorded", 0, "TIME",                                                                   \
          "the load: the last TIME (7d, at most 400d) from plimsoll's own store" },                \
        { "state", 0, "DIR", "the state directory that the store is in" },                         \
        { "config", 'f', "FILE",                                                                   \
          "the policy: a service of this configuration; else the default one" },                   \
        { "service", 0, "NAME",                                                                    \
          "which service of --config, or of the store (default: the only one)" },                  \
        { "boot", 0, "TIME", "from the start order to ready (default 60s)" },                      \
        { "seed", 0, "N", "of all that is random (default 1)" },                                   \
        { "scale", 0, "X", "the load times X" },                                                   \
        { "time-scale", 0, "X", "time runs X times as fast" },                                     \
        { "from", 0, "TIME", "begin this far into the load" },                                     \
        { "for", 0, "TIME", "and take so much of it" },                                            \
        { "resample", 0, "STEP", "the load in whole steps of this length" },                       \
        { "denoise", 0, NULL,                                                                      \
          "with --scale: as if more people came, so that the noise does not grow with them" },     \
        { "capacity", 0, "RPS",                                                                    \
          "requests a second of one instance (default: the mean load / 15)" },                     \
        { "slots", 0, "N",                                                                         \
          "requests at a time of one instance (default: the configuration's max-concurrency, "     \
          "else 20)" },                                                                            \
        { "fidelity", 0, "KIND",                                                                   \
          "tick (a fluid queue a second; default) or request (each an event)" },                   \
        { "service-time", 0, "KIND",                                                               \
          "fixed (default), exponential, lognormal:CV or histogram:FILE (rows: below_s,share)" },  \
        { "discipline", 0, "KIND", "within an instance: ps (shared, default) or fcfs" },           \
        { "balance", 0, "NAME", "which instance gets a request (default least-conn)" },            \
        { "boot-spread", 0, "SHARE", "ready within boot * (1 +- SHARE)" },                         \
        { "start-failures", 0, "SHARE", "of the starts fail" },                                    \
        { "crashes", 0, "N", "a day, of each ready instance" },                                    \
        { "noisy", 0, "SHARE[:X]", "of the instances do their work X times as slow (default 2)" }, \
        { "slo-wait", 0, "TIME", "a request violates that waits longer (default 500ms)" },         \
        { "slo-latency", 0, "TIME", "or takes longer in all" },                                    \
        { "cost", 0, "N", "of an instance for an hour" }, { "watts", 0, "N", "of an instance" },   \
    {                                                                                              \
        "carbon", 0, "GRAMS", "of CO2 for a kWh"                                                   \
    }

struct simulation {
    struct trace trace;
    uint64_t bad_rows;
    struct arena arena;
    struct config *config; /* NULL = the default policy */
    struct default_policy fallback;
    struct subset policy; /* as simulated */
    struct run_histogram histogram;
    struct carbon_conf carbon;
    struct run_options run; /* all but the policy */
    uint32_t note_count;
    char notes[SIMULATION_NOTES_MAX][320]; /* what whoever reads the result should know */
};

/* A list of options that do nothing alone; the last one has no name. `why` ends the sentence. */
struct simulation_need {
    const char *name, *other, *why;
};
/* 0, or -EINVAL with a text. */
int simulation_need(const struct options *o, const struct simulation_need *needs, struct err *err);

/* --html: "-" is standard output, which then has nothing else in it. */
bool simulation_page_is_output(const struct options *o);
/* 0, or an exit status after having said what is wrong. */
int simulation_write_page(const char *path, const struct page *page);

/* Said on standard error, and kept for the report. */
void simulation_note(struct simulation *s, const char *format, ...) _printf_(2, 3);
/* A list of them, as an owned json_t. */
json_t *simulation_notes_json(const struct simulation *s);

/* 0, or an exit status after having said what is wrong. */
int simulation_read(const struct options *o, struct simulation *ret);
void simulation_done(struct simulation *s);

/* "1m54s", "24ms". */
void simulation_format_time(char *buf, size_t cap, double s);
/* Options that are numbers; absent ones leave *ret as it is. 0 or -EINVAL with a text. */
int simulation_number(const struct options *o, const char *name, double min, double max,
                      double *ret, struct err *err);
int simulation_duration(const struct options *o, const char *name, int64_t *ret_us,
                        struct err *err);
