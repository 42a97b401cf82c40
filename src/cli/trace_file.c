/* Feeds files to the trace reader, and tells which rows it did not take. */
#include "cli/trace_file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "sys/mem.h"

#define PIECE_BYTES 65536

static void tell_bad(const char *name, const struct trace_reader *r, uint64_t *ret_bad)
{
    const struct trace_bad *bad;
    size_t count;
    uint64_t total = trace_reader_bad(r, &bad, &count);
    for (size_t n = 0; n < count; n++)
        fprintf(stderr, "%s:%llu: %s\n", name, (unsigned long long)bad[n].line, bad[n].reason);
    if (total > 0)
        fprintf(stderr, "%s: %llu bad row%s\n", name, (unsigned long long)total,
                total == 1 ? "" : "s");
    if (ret_bad)
        *ret_bad = total;
}

static int feed_all(struct trace_reader *r, FILE *f, const char *name, struct err *err)
{
    char piece[PIECE_BYTES];
    size_t n;
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        int rc = trace_reader_feed(r, piece, n, err);
        if (rc < 0)
            return rc;
    }
    return ferror(f) ? err_set(err, -EIO, "%s: %s", name, strerror(errno)) : 0;
}

int trace_file_read(const char *path, struct trace *ret, uint64_t *ret_bad, struct err *err)
{
    bool standard = strcmp(path, "-") == 0;
    const char *name = standard ? "standard input" : path;
    _cleanup_fclose_ FILE *opened = standard ? NULL : fopen(path, "re");
    if (!standard && !opened)
        return err_set(err, -errno, "%s: %s", path, strerror(errno));
    struct trace_reader *r = trace_reader_new(name);
    int rc = r ? feed_all(r, standard ? stdin : opened, name, err) : -ENOMEM;
    if (rc == 0)
        rc = trace_reader_end(r, ret, err);
    if (r)
        tell_bad(name, r, ret_bad);
    trace_reader_free(r);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}
