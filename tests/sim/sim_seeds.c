/* Runs the simulator over a range of seeds and over those that failed once.
 *   sim_seeds [FIRST LAST] [--engine NAME] [--file SEEDS] [--verbose]
 * A failing seed prints the command that repeats it alone; put the seed into seeds.txt. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"

struct job {
    uint64_t first, last;
    const char *file;
    struct sim_options options;
    unsigned long runs, failures, events, decisions;
};

static void complain(const struct sim_report *r)
{
    printf("seed %" PRIu64 ": law %s broken (at %.3f s): %s\n  repeat: sim_seeds %" PRIu64
           " %" PRIu64 " --engine %s --verbose\n",
           r->seed, r->law, (double)r->at_us / 1e6, r->text, r->seed, r->seed, r->engine);
}

static void run_one(struct job *j, uint64_t seed, const struct world_engine *engine)
{
    struct sim_options options = j->options;
    options.engine = engine;
    struct sim_report r;
    int rc = sim_run_seed(seed, &options, &r);
    j->runs++;
    if (rc < 0) {
        printf("seed %" PRIu64 ": out of memory\n", seed);
        j->failures++;
        return;
    }
    j->events += r.events;
    j->decisions += r.decisions;
    if (rc > 0) {
        complain(&r);
        j->failures++;
    }
    /* Now and then the same seed again: it must be the same run. */
    struct sim_report again;
    if (seed % 50 == 0 && sim_run_seed(seed, &options, &again) >= 0 && again.hash != r.hash) {
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
    char line[256], name[16];
    uint64_t seed;
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%" SCNu64 " %15s", &seed, name) == 2)
            run_one(j, seed, engine_find(name));
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
        else if (strcmp(argv[n], "--engine") == 0 && n + 1 < argc)
            j->options.engine = engine_find(argv[++n]);
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
        fprintf(stderr,
                "usage: sim_seeds [FIRST LAST] [--engine NAME] [--file SEEDS] [--verbose]\n");
        return 2;
    }
    if (j.file && run_file(&j) < 0)
        return 2;
    for (uint64_t seed = j.first; seed <= j.last; seed++)
        run_one(&j, seed, j.options.engine);
    printf("%lu runs, %lu failed; %lu events, %lu decisions\n", j.runs, j.failures, j.events,
           j.decisions);
    return j.failures > 0;
}
