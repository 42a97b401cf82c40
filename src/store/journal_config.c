/* CONFIG in the journal: the text, what only drivers could compute of it, and the time zones'
 * coming transitions, so that a replay needs no zone files of the same age. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/codec.h"
#include "store/journal_int.h"

static json_t *zone_json(const struct zone_conf *z)
{
    json_t *transitions = json_array();
    for (uint32_t i = 0; i < z->transition_count; i++)
        json_array_append_new(transitions, json_pack("[I, i]", (json_int_t)z->transition[i].at_s,
                                                     z->transition[i].offset_s));
    return json_pack("{s:s, s:i, s:o}", "name", z->name, "offset", z->offset_s, "transitions",
                     transitions);
}

json_t *journal_config_json(const struct journal_config *c)
{
    json_t *templates = json_array(), *zones = json_array(), *shapes = json_array();
    for (size_t i = 0; i < c->template_count; i++)
        json_array_append_new(templates, codec_hex(c->templates[i]));
    for (size_t i = 0; c->shapes && i < c->template_count; i++)
        json_array_append_new(shapes, codec_hex(c->shapes[i]));
    for (size_t i = 0; i < c->zone_count; i++)
        json_array_append_new(zones, zone_json(&c->zones[i]));
    return json_pack("{s:s, s:o, s:I, s:o, s:o, s:o}", "path", c->path ? c->path : "", "text",
                     codec_text(c->text, c->text_bytes), "wall_us", (json_int_t)c->wall_us,
                     "templates", templates, "shapes", shapes, "zones", zones);
}

static int zone_decode(const json_t *json, struct zone_conf *ret)
{
    const char *name = json_string_value(json_object_get(json, "name"));
    const json_t *transitions = json_object_get(json, "transitions");
    *ret = (struct zone_conf){
        .offset_s = (int32_t)json_integer_value(json_object_get(json, "offset")),
        .transition_count = (uint32_t)json_array_size(transitions),
    };
    if (!name || !str_copy(ret->name, sizeof(ret->name), name) || !json_is_array(transitions) ||
        json_array_size(transitions) > ZONE_TRANSITIONS_MAX)
        return -EPROTO;
    for (uint32_t i = 0; i < ret->transition_count; i++) {
        const json_t *pair = json_array_get(transitions, i);
        ret->transition[i].at_s = json_integer_value(json_array_get(pair, 0));
        ret->transition[i].offset_s = (int32_t)json_integer_value(json_array_get(pair, 1));
    }
    return 0;
}

static int zones_decode(const json_t *json, struct journal_config_copy *ret)
{
    size_t n = json_array_size(json);
    ret->zones = calloc(n ? n : 1, sizeof(*ret->zones));
    if (!ret->zones || !json_is_array(json) || n > MODEL_ZONES_MAX)
        return -EPROTO;
    for (size_t i = 0; i < n; i++)
        if (zone_decode(json_array_get(json, i), &ret->zones[i]) < 0)
            return -EPROTO;
    ret->config.zones = ret->zones;
    ret->config.zone_count = n;
    return 0;
}

/* Either one for each service, or none. */
static int shapes_decode(const json_t *json, struct journal_config_copy *ret)
{
    size_t n = json_array_size(json);
    if (n == 0)
        return 0;
    ret->shapes = calloc(n, sizeof(*ret->shapes));
    if (!ret->shapes || n != ret->config.template_count)
        return -EPROTO;
    for (size_t i = 0; i < n; i++)
        if (codec_hex_decode(json_array_get(json, i), &ret->shapes[i]) < 0)
            return -EPROTO;
    ret->config.shapes = ret->shapes;
    return 0;
}

int journal_config_decode(const json_t *json, struct journal_config_copy *ret)
{
    const json_t *wall = json_object_get(json, "wall_us");
    const json_t *templates = json_object_get(json, "templates");
    struct journal_config *c = &ret->config;
    size_t path_bytes, n = json_array_size(templates);
    ret->path = codec_text_decode(json_object_get(json, "path"), &path_bytes);
    ret->text = codec_text_decode(json_object_get(json, "text"), &c->text_bytes);
    ret->templates = calloc(n ? n : 1, sizeof(*ret->templates));
    if (!ret->path || !ret->text || !ret->templates || !json_is_integer(wall) ||
        !json_is_array(templates))
        return -EPROTO;
    for (size_t i = 0; i < n; i++)
        if (codec_hex_decode(json_array_get(templates, i), &ret->templates[i]) < 0)
            return -EPROTO;
    c->path = ret->path;
    c->text = ret->text;
    c->wall_us = json_integer_value(wall);
    c->templates = ret->templates;
    c->template_count = n;
    if (shapes_decode(json_object_get(json, "shapes"), ret) < 0)
        return -EPROTO;
    return zones_decode(json_object_get(json, "zones"), ret);
}

void journal_config_done(struct journal_config_copy *c)
{
    free(c->path);
    free(c->text);
    free(c->templates);
    free(c->shapes);
    free(c->zones);
}
