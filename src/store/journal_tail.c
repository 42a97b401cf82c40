/* The journal as a stream for others: whole lines of a segment from an offset on, and where the
 * next ones are. The segment in memory, when there is one, comes behind those in files. It
 * understands no line, and keeps nothing between two questions. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/util.h"
#include "store/journal.h"
#include "store/journal_int.h"
#include "sys/mem.h"

/* The segment behind `segment`; of 0 the newest. 0 = there is none. */
static uint64_t segment_after(const uint64_t *numbers, size_t count, uint64_t segment)
{
    for (size_t i = 0; i < count && segment > 0; i++)
        if (numbers[i] > segment)
            return numbers[i];
    return segment == 0 && count > 0 ? numbers[count - 1] : 0;
}

static int read_piece(int fd, uint64_t offset, size_t bytes, char **ret, size_t *ret_bytes)
{
    _cleanup_free_ char *text = malloc(bytes ? bytes : 1);
    size_t got = 0;
    ssize_t n = 1;
    while (text && got < bytes && n > 0) {
        n = pread(fd, text + got, bytes - got, (off_t)(offset + got));
        got += n > 0 ? (size_t)n : 0;
    }
    if (!text || n < 0)
        return text ? -errno : -ENOMEM;
    *ret = TAKE_PTR(text);
    *ret_bytes = got;
    return 0;
}

/* Whole lines: a head may be longer than what was asked for. */
static int read_lines(int fd, uint64_t offset, size_t bytes, struct journal_chunk *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    uint64_t left = (uint64_t)st.st_size > offset ? (uint64_t)st.st_size - offset : 0;
    for (size_t want = MIN(bytes, left);; want = MIN(2 * want, left)) {
        int rc = read_piece(fd, offset, want, &ret->text, &ret->bytes);
        if (rc < 0)
            return rc;
        const char *end = memrchr(ret->text, '\n', ret->bytes);
        if (end || want >= left) {
            ret->bytes = end ? (size_t)(end - ret->text) + 1 : 0;
            return 0;
        }
        free(ret->text);
    }
}

static int tail_file(const char *directory, uint64_t segment, uint64_t offset, size_t bytes,
                     struct journal_chunk *ret)
{
    _cleanup_free_ uint64_t *numbers = NULL;
    size_t count = 0;
    int rc = journal_list(directory, &numbers, &count);
    if (rc < 0)
        return rc;
    struct journal_chunk chunk = { .segment = segment ? segment : segment_after(numbers, count, 0),
                                   .offset = segment ? offset : 0 };
    _cleanup_free_ char *path = journal_path(directory, chunk.segment);
    _cleanup_close_ int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return path ? -errno : -ENOMEM;
    /* Listed before it is read: when there is a next one, this one has had its last line. */
    uint64_t next = segment_after(numbers, count, chunk.segment);
    rc = read_lines(fd, chunk.offset, MAX(bytes, (size_t)1), &chunk);
    if (rc < 0)
        return rc;
    chunk.offset += chunk.bytes;
    if (chunk.bytes == 0 && next > 0) {
        chunk.segment = next;
        chunk.offset = 0;
    }
    *ret = chunk;
    return 0;
}

static int tail_memory(const struct journal_memory *m, uint64_t offset, struct journal_chunk *ret)
{
    struct journal_chunk chunk = { .segment = m->segment, .offset = m->bytes };
    chunk.bytes = m->bytes - MIN((size_t)offset, m->bytes);
    chunk.text = malloc(chunk.bytes ? chunk.bytes : 1);
    if (!chunk.text)
        return -ENOMEM;
    memcpy(chunk.text, m->text + m->bytes - chunk.bytes, chunk.bytes);
    *ret = chunk;
    return 0;
}

int journal_tail(const struct journal *j, uint64_t segment, uint64_t offset, size_t bytes,
                 struct journal_chunk *ret)
{
    struct journal_memory m = journal_memory(j);
    if (m.lost)
        return -ENOMEM;
    if (m.segment && (segment == 0 || segment == m.segment))
        return tail_memory(&m, segment ? offset : 0, ret);
    int rc = tail_file(m.directory, segment, offset, bytes, ret);
    if (rc == 0 && m.segment && ret->bytes == 0 && ret->segment == segment) {
        ret->segment = m.segment;
        ret->offset = 0;
    }
    return rc;
}
