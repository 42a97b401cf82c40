/* A journal may have been cut, edited or mixed up with another file: the reader takes any bytes,
 * and an event that it does take means the same once written again. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "store/event_json.h"
#include "store/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const struct event *e)
{
    json_t *json = event_json(e);
    char *text = json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(json);
    return text;
}

static int see(void *ctx, const struct journal_record *r)
{
    struct event again;
    if (r->type != JOURNAL_EVENT)
        return 0;
    char *text = text_of(&r->event);
    json_t *json = json_loads(text, JSON_ALLOW_NUL, NULL);
    assert(event_json_decode(json, &again, NULL) == 0);
    char *second = text_of(&again);
    assert(strcmp(text, second) == 0);
    event_json_done(&again);
    json_decref(json);
    free(text);
    free(second);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct err err = { 0 };
    int fd = memfd_create("journal", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int rc = journal_read(path, false, see, NULL, &err);
    assert((rc == 0) == (err.text[0] == '\0'));
    close(fd);
    return 0;
}
