/* Elections in virtual time: some members with the real election code, a modelled etcd, a network
 * that delays, loses and repeats, clocks that drift, processes that are stopped and killed, and an
 * engine on which whoever leads acts. The laws:
 *   one      never two who may act at one moment
 *   token    each leader's is larger than all before
 *   late     what arrives of an older leader after a newer one began was sent before that
 *   once     nothing that is done takes effect twice
 *   leader   when the faults end, somebody leads within ttl + 1 s, and goes on leading
 *   traffic  in calm weather a member asks etcd at most five times a second
 * Same seed, same run, on every machine. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct elect_sim_options {
    /* Promises to break, so that the laws are seen to fail: clocks that differ by more than the
     * margin bears, and an engine in which names do not make a second creation harmless. */
    int64_t drift_ppm_max; /* of each clock; 0 = 50000, which two of them together may just have */
    bool unnamed;
    bool verbose; /* print every step to stdout */
};

struct elect_sim_report {
    uint64_t seed, hash, messages, terms, acts;
    int64_t at_us;  /* of the violation */
    char law[16];   /* "" = all held */
    char text[200]; /* what was seen */
};

/* 0 = every law held; 1 = one did not, and the report says which; -ENOMEM. */
int elect_sim_run(uint64_t seed, const struct elect_sim_options *options,
                  struct elect_sim_report *ret);
