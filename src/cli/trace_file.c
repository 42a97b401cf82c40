/* Feeds files to the trace reader, and tells which rows it did not take. */
#include "cli/trace_file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/util.h"
#include "sys/mem.h"

#define PIECE_BYTES 65536

static const char *plural(uint64_t count)
{
    return count == 1 ? "" : "s";
}

static void tell_losses(const char *name, const struct trace_losses *l)
{
    size_t kept = (size_t)MIN(l->said, TRACE_SAID_MAX);
    for (size_t n = 0; n < kept; n++) {
        if (l->first[n].line > 0)
            fprintf(stderr, "%s:%" PRIu64 ": %s\n", name, l->first[n].line, l->first[n].text);
        else
            fprintf(stderr, "%s: %s\n", name, l->first[n].text);
    }
    if (l->said > kept)
        fprintf(stderr, "%s: and %" PRIu64 " more\n", name, l->said - kept);
    if (l->bad_rows > 0)
        fprintf(stderr, "%s: %" PRIu64 " bad row%s\n", name, l->bad_rows, plural(l->bad_rows));
    if (l->missing_steps > 0)
        fprintf(stderr, "%s: %" PRIu64 " missing step%s\n", name, l->missing_steps,
                plural(l->missing_steps));
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
    if (r) {
        const struct trace_losses *l = trace_reader_losses(r);
        tell_losses(name, l);
        if (ret_bad)
            *ret_bad = l->bad_rows + l->missing_steps;
    }
    trace_reader_free(r);
    return rc == -ENOMEM ? err_set(err, rc, "out of memory") : rc;
}
