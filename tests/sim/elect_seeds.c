/* Runs elections over a range of seeds and over those that failed once.
 *   elect_seeds [FIRST LAST] [--file SEEDS] [--drift PPM] [--unnamed] [--expect LAW] [--verbose]
 * A failing seed prints the command that repeats it alone; put the seed into elect_seeds.txt. With
 * --expect the promise that --drift or --unnamed breaks must be seen to break that law. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/elect/elect_sim.h"

struct job {
    uint64_t first, last;
    const char *file, *expect;
    struct elect_sim_options options;
    unsigned long runs, failures, expected;
    uint64_t messages, terms, acts;
};

static void complain(const struct job *j, const struct elect_sim_report *r)
{
    printf("seed %" PRIu64 ": law %s broken (at %.3f s): %s\n  repeat: elect_seeds %" PRIu64
           " %" PRIu64 " --verbose",
           r->seed, r->law, (double)r->at_us / 1e6, r->text, r->seed, r->seed);
    if (j->options.drift_ppm_max)
        printf(" --drift %" PRId64, j->options.drift_ppm_max);
    printf("%s\n", j->options.unnamed ? " --unnamed" : "");
}

static void run_one(struct job *j, uint64_t seed)
{
    struct elect_sim_report r, again;
    int rc = elect_sim_run(seed, &j->options, &r);
    j->runs++;
    j->messages += r.messages;
    j->terms += r.terms;
    j->acts += r.acts;
    if (rc > 0 && j->expect && strcmp(r.law, j->expect) == 0) {
        j->expected++;
        return;
    }
    if (rc > 0)
        complain(j, &r);
    j->failures += rc != 0 && !j->expect;
    /* Now and then the same seed again: it must be the same run. */
    if (seed % 50 == 0 && elect_sim_run(seed, &j->options, &again) >= 0 && again.hash != r.hash) {
        printf("seed %" PRIu64 ": two runs differ\n", seed);
        j->failures++;
    }
}

static int run_file(struct job *j)
{
    FILE *f = fopen(j->file, "r");
    if (!f) {
        perror(j->file);
        return -1;
    }
    char line[256];
    while (fgets(line, sizeof(line), f)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        if (end != line)
            run_one(j, seed);
    }
    fclose(f);
    return 0;
}

static int parse(struct job *j, int argc, char **argv)
{
    int positional = 0;
    for (int n = 1; n < argc; n++) {
        if (strcmp(argv[n], "--verbose") == 0)
            j->options.verbose = true;
        else if (strcmp(argv[n], "--unnamed") == 0)
            j->options.unnamed = true;
        else if (strcmp(argv[n], "--drift") == 0 && n + 1 < argc)
            j->options.drift_ppm_max = strtoll(argv[++n], NULL, 10);
        else if (strcmp(argv[n], "--expect") == 0 && n + 1 < argc)
            j->expect = argv[++n];
        else if (strcmp(argv[n], "--file") == 0 && n + 1 < argc)
            j->file = argv[++n];
        else if (positional++ == 0)
            j->first = j->last = strtoull(argv[n], NULL, 10);
        else
            j->last = strtoull(argv[n], NULL, 10);
    }
    return j->first > j->last ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct job j = { .first = 1, .last = 1000 };
    if (parse(&j, argc, argv) < 0) {
        fprintf(stderr, "usage: elect_seeds [FIRST LAST] [--file SEEDS] [--drift PPM] [--unnamed] "
                        "[--expect LAW] [--verbose]\n");
        return 2;
    }
    if (j.file && run_file(&j) < 0)
        return 2;
    for (uint64_t seed = j.first; seed <= j.last; seed++)
        run_one(&j, seed);
    printf("%lu runs, %lu failed; %" PRIu64 " messages, %" PRIu64 " terms, %" PRIu64 " acts\n",
           j.runs, j.failures, j.messages, j.terms, j.acts);
    if (j.expect)
        printf("law %s was seen to break in %lu of them\n", j.expect, j.expected);
    return j.failures > 0 || (j.expect && j.expected == 0);
}
