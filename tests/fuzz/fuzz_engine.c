/* Any bytes as what an engine sends: values come out the same however the bytes are cut, and a
 * container is read from whatever they are. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "drivers/docker/docker.h"
#include "drivers/docker/engine_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define BYTES_MAX 4096

static void check_seen(const struct docker_seen *seen)
{
    char text[160];
    assert(seen->id[0] && seen->service[0] && seen->number > 0);
    assert(!seen->address[0] || strncmp(seen->address, "tcp:", 4) == 0);
    docker_describe_exit(seen->exit_code, seen->out_of_memory, text, sizeof(text));
    assert(text[0]);
}

static void read_container(const json_t *json)
{
    struct docker_seen seen;
    if (docker_see_listed(json, "me", "127.0.0.1", &seen))
        check_seen(&seen);
    if (docker_see_inspected(json, "me", "::1", &seen))
        check_seen(&seen);
}

static bool on_value(void *ctx, json_t *value)
{
    size_t *count = ctx, i;
    json_t *entry;
    ++*count;
    read_container(value);
    json_array_foreach(value, i, entry) read_container(entry);
    return true;
}

/* How it ended; a value that is too long is found out earlier or later. */
static int feed(const char *text, size_t bytes, size_t piece, size_t *ret_count)
{
    struct json_stream s;
    int rc = 0;
    *ret_count = 0;
    json_stream_init(&s, BYTES_MAX);
    for (size_t at = 0; at < bytes && rc == 0; at += piece)
        rc = json_stream_feed(&s, text + at, MIN(piece, bytes - at), on_value, ret_count);
    json_stream_done(&s);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const char *text = (const char *)data;
    size_t whole, cut, piece = bytes > 0 ? 1 + data[bytes - 1] % 32 : 1;
    int rc = feed(text, bytes, bytes, &whole);
    int rc_cut = feed(text, bytes, piece, &cut);
    if (bytes < BYTES_MAX)
        assert(rc == rc_cut && whole == cut);
    return 0;
}
