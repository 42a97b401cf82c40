/* Any bytes as a configuration: refused with a place and a reason, or taken as something that is
 * consistent in itself and does not differ from itself. */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/us.h"
#include "config/config.h"
#include "sys/mem.h"

#define NOW_US (INT64_C(1780000000) * US_PER_S)

struct run {
    struct schema_list command;
    struct schema_map env;
};

static const struct schema_key run_keys[] = {
    { .name = "command",
      .type = SCHEMA_LIST,
      .offset = offsetof(struct run, command),
      .required = true,
      .help = "a program" },
    { .name = "env", .type = SCHEMA_MAP, .offset = offsetof(struct run, env) },
    { 0 },
};
static const struct schema_section run_section = {
    .name = "run",
    .size_bytes = sizeof(struct run),
    .keys = run_keys,
};
static const struct schema_section *const provisioners[] = { &run_section, NULL };
static const struct schema_key push_keys[] = { { 0 } };
static const struct schema_section push_section = {
    .name = "push",
    .size_bytes = 1,
    .keys = push_keys,
};
static const struct schema_section *const sources[] = { &push_section, NULL };
static const struct config_sections sections = { .provisioners = provisioners, .sources = sources };

static void check_config(const struct config *c)
{
    char buf[256];
    struct str out;
    assert(c->service_count >= 1 && c->service_count == c->model.service_count);
    for (uint32_t i = 0; i < c->service_count; i++) {
        const struct config_service *s = &c->services[i];
        assert(s->driver_conf && s->scale->name[0] != '\0');
        assert(s->scale->min >= 0 && s->scale->min <= s->scale->max);
        assert(s->scale->rule_count >= 1 || s->scale->min == s->scale->max);
        assert(s->scale->budget < (int32_t)c->model.budget_count);
        for (uint32_t m = 0; m < s->source_count; m++)
            assert(s->sources[m].timeout_us <= s->sources[m].every_us);
        for (uint32_t r = 0; r < s->scale->rule_count; r++)
            assert(s->scale->rules[r].name[0] != '\0');
    }
    str_init(&out, buf, sizeof(buf));
    assert(config_diff(c, c, &out) == 0);
}

static void check_errors(const char *text, const struct err *errors, size_t count)
{
    char buf[2048];
    assert(count >= 1 && count <= 4);
    for (size_t i = 0; i < count; i++) {
        struct str out;
        str_init(&out, buf, sizeof(buf));
        assert(errors[i].place[0] != '\0' && errors[i].text[0] != '\0');
        config_show_error(text, &errors[i], &out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err errors[4];
    size_t count = 0;
    struct config *config = NULL;
    _cleanup_arena_ struct arena arena = { 0 };
    _cleanup_free_ char *text = malloc(size + 1);
    assert(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    mem_arena_init(&arena, (size_t)64 << 20);
    int rc = config_parse(&arena, "fuzz", text, size, &sections, NOW_US, &config, errors,
                          ARRAY_LEN(errors), &count);
    if (rc == 0)
        check_config(config);
    else
        check_errors(text, errors, count);
    return 0;
}
