/* Labels of an engine: whatever they say, what comes of them is one service that the reader of
 * configurations takes or refuses with the line of a label. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/fmt.h"
#include "config/config.h"
#include "drivers/swarm/swarm.h"
#include "sys/mem.h"

#define LABELS_MAX 64

static const struct schema_section *const provisioners[] = { &swarm_section, NULL };
static const struct schema_section *const tops[] = { &swarm_engine_section, NULL };
static const struct config_sections sections = { provisioners, NULL, tops };

/* Lines of NAME=VALUE. */
static size_t split(char *text, struct swarm_label *labels)
{
    size_t count = 0;
    for (char *line = strtok(text, "\n"); line && count < LABELS_MAX; line = strtok(NULL, "\n")) {
        char *equals = strchr(line, '=');
        if (!equals)
            continue;
        *equals = '\0';
        labels[count++] = (struct swarm_label){ line, equals + 1 };
    }
    return count;
}

static void check_text(const struct driver_discovery *found)
{
    size_t lines = 0;
    for (const char *p = found->text; *p; p++)
        lines += *p == '\n';
    assert(lines == found->line_count);
    for (size_t i = 0; i < lines; i++)
        assert(found->places[i][0]);
}

static void parse(struct arena *arena, const struct driver_discovery *found)
{
    struct err errors[8];
    struct config *config;
    size_t count, cap = strlen(found->text) + 64;
    char *text = arena_alloc(arena, cap);
    size_t n = fmt(text, cap, "swarm: {discover: true}\n---\nservices:\n%s", found->text);
    if (config_parse(arena, "labels", text, n, &sections, 0, &config, errors, 8, &count) == 0)
        assert(config->service_count == 1);
    else
        assert(count > 0 && errors[0].text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct swarm_label labels[LABELS_MAX];
    struct driver_discovery found;
    _cleanup_arena_ struct arena arena;
    mem_arena_init(&arena, (size_t)64 * 1024 * 1024);
    char *text = size < 65536 ? arena_strndup(&arena, (const char *)data, size) : NULL;
    if (!text)
        return 0;
    size_t count = split(text, labels);
    if (swarm_labels_read("web", labels, count, &arena, &found) == 0) {
        check_text(&found);
        parse(&arena, &found);
    }
    return 0;
}
