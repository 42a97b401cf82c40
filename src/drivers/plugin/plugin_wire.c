/* Lines of JSON from and to a plugin. */
#include "drivers/plugin/plugin_wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "base/fmt.h"
#include "base/num.h"
#include "base/str.h"
#include "base/us.h"

#define AT_ONCE_DEFAULT 8
#define AT_ONCE_MAX 256
#define SHOWN_MAX 60 /* bytes of a wrong line that a person is shown */

static const char *const do_names[] = {
    [PLUGIN_LIST] = "list",     [PLUGIN_START] = "start",         [PLUGIN_STOP] = "stop",
    [PLUGIN_RESIZE] = "resize", [PLUGIN_SUBSCRIBE] = "subscribe",
};
static const char *const event_names[] = {
    [PLUGIN_EXITED] = "exited", [PLUGIN_STARTED] = "started", [PLUGIN_READY] = "ready",
    [PLUGIN_UNWELL] = "unwell", [PLUGIN_ENGINE] = "engine",
};
/* In the order of enum plugin_can's bits. */
static const char *const can_names[] = { "resize", "subscribe" };

/* --- to the plugin --- */

char *plugin_line(json_t *json, int64_t until_us)
{
    if (json_object_get(json, "until")) /* in its place */
        json_object_set_new(json, "until", json_integer(until_us / US_PER_MS));
    char *text = json_dumps(json, JSON_COMPACT);
    size_t n = text ? strlen(text) : 0;
    char *line = text ? malloc(n + 2) : NULL;
    json_decref(json);
    if (line) {
        memcpy(line, text, n);
        memcpy(line + n, "\n", 2);
    }
    free(text);
    return line;
}

json_t *plugin_encode_hello(const char *owner)
{
    return json_pack("{si ss}", "plimsoll", PLUGIN_VERSION, "owner", owner);
}

static json_t *map_of(const struct schema_map *map)
{
    json_t *all = json_object();
    for (size_t i = 0; map && i < map->count; i++)
        json_object_set_new(all, map->names[i], json_string(map->values[i]));
    return all;
}

/* Never a number: 64 bits are more than many readers of JSON can hold. */
static json_t *hex_of(uint64_t value)
{
    char text[17];
    fmt(text, sizeof(text), "%llx", (unsigned long long)value);
    return json_string(text);
}

static json_t *seconds_of(int64_t us)
{
    return us % US_PER_S == 0 ? json_integer(us / US_PER_S)
                              : json_real((double)us / (double)US_PER_S);
}

static void put_start(json_t *json, const struct plugin_request *r)
{
    json_object_set_new(json, "service", json_string(r->service));
    json_object_set_new(json, "number", json_integer(r->number));
    json_object_set_new(json, "template", hex_of(r->template));
    json_object_set_new(json, "drain", seconds_of(r->drain_us));
    json_object_set_new(json, "serves", json_boolean(r->serves));
    json_object_set_new(json, "log", json_string(r->log));
}

/* What people wrote comes last, so that even a shell can tell the rest from it. */
json_t *plugin_encode(const struct plugin_request *r, uint64_t id)
{
    json_t *json = json_pack("{sI ss}", "id", (json_int_t)id, "do", do_names[r->what]);
    if (!json)
        return NULL;
    json_object_set_new(json, "deadline", seconds_of(r->deadline_us));
    if (r->name) {
        json_object_set_new(json, "name", json_string(r->name));
        json_object_set_new(json, "token", json_integer((json_int_t)r->token));
        json_object_set_new(json, "until", json_integer(0));
    }
    if (r->what == PLUGIN_STOP)
        json_object_set_new(json, "grace", seconds_of(r->grace_us));
    if (r->what == PLUGIN_START)
        put_start(json, r);
    if (r->what == PLUGIN_START || r->what == PLUGIN_RESIZE)
        json_object_set_new(json, "shape", hex_of(r->shape));
    if (r->what == PLUGIN_START)
        json_object_set_new(json, "config", map_of(r->config));
    if (r->what == PLUGIN_START || r->what == PLUGIN_RESIZE)
        json_object_set_new(json, "size", map_of(r->size));
    return json;
}

/* --- from the plugin --- */

/* Of a text's first `n` bytes those before a character that is not whole: half of one makes the
 * whole text unreadable for others. */
static size_t whole_characters(const char *text, size_t n)
{
    while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

void plugin_copy(char *ret, size_t cap, const char *text)
{
    if (fmt(ret, cap, "%s", text) >= cap)
        fmt(ret, cap, "%.*s...", (int)whole_characters(text, cap - sizeof("...")), text);
    str_clean(ret);
}

static int wrong(char *why, size_t cap, const char *text)
{
    fmt(why, cap, "%s", text);
    return -EPROTO;
}

static int find_name(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; name && i < count; i++)
        if (strcmp(names[i], name) == 0)
            return (int)i;
    return -1;
}

static const char *text_of(const json_t *json, const char *key)
{
    const char *text = json_string_value(json_object_get(json, key));
    return text ? text : "";
}

static bool read_hex(const json_t *json, const char *key, uint64_t *ret)
{
    const char *text = text_of(json, key);
    size_t n = strspn(text, "0123456789abcdefABCDEF");
    *ret = 0;
    if (n > 16 || text[n])
        return false;
    *ret = strtoull(text, NULL, 16);
    return true;
}

static bool is_tcp(const char *text)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    unsigned char binary[16];
    int64_t port;
    size_t n = colon ? (size_t)(colon - text) : sizeof(host);
    if (n >= sizeof(host) || num_parse_i64(slice_of(colon + 1), &port) < 0 || port < 1 ||
        port > 65535)
        return false;
    fmt(host, sizeof(host), "%.*s", (int)n, text);
    if (inet_pton(AF_INET, host, binary) == 1)
        return true;
    if (n < 3 || host[0] != '[' || host[n - 1] != ']')
        return false;
    host[n - 1] = '\0';
    return inet_pton(AF_INET6, host + 1, binary) == 1;
}

/* "10.0.0.7:8080", "[::1]:80", "unix:/path"; names are the plugin's to look up, once. */
static bool read_address(const char *text, char *ret, size_t cap)
{
    ret[0] = '\0';
    if (strncmp(text, "unix:/", 6) == 0)
        return strlen(text) - 5 < sizeof(((struct sockaddr_un *)0)->sun_path) &&
               str_is_clean(text) && str_copy(ret, cap, text);
    if (strncmp(text, "tcp:", 4) == 0)
        text += 4;
    return !text[0] || (is_tcp(text) && fmt(ret, cap, "tcp:%s", text) < cap);
}

static int read_instance(const json_t *json, struct plugin_instance *ret, char *why, size_t cap)
{
    const char *name = text_of(json, "name"), *address = text_of(json, "address");
    const json_t *drain = json_object_get(json, "drain");
    const json_t *given = json_object_get(json, "address");
    char shown[SHOWN_MAX];
    *ret = (struct plugin_instance){ .drain_us = -1 };
    if (!json_is_object(json))
        return wrong(why, cap, "has an instance that is no object");
    if (!str_is_clean(name))
        return wrong(why, cap, "has a name with control characters");
    if (!str_copy(ret->name, sizeof(ret->name), name))
        return wrong(why, cap, "has too long a name");
    if (given && !json_is_string(given) && !json_is_null(given))
        return wrong(why, cap, "has an address that is no text");
    if (!read_address(address, ret->address, sizeof(ret->address))) {
        plugin_copy(shown, sizeof(shown), address);
        fmt(why, cap,
            "gives the address \"%s\", which is none of IP:PORT, [IPv6]:PORT and unix:/PATH",
            shown);
        return -EPROTO;
    }
    if (!read_hex(json, "template", &ret->template) || !read_hex(json, "shape", &ret->shape))
        return wrong(why, cap, "has a template or shape that is not the text it was given");
    if (json_is_number(drain) && json_number_value(drain) >= 0 && json_number_value(drain) < 1e6)
        ret->drain_us = (int64_t)(json_number_value(drain) * (double)US_PER_S);
    ret->pid = MAX(json_integer_value(json_object_get(json, "pid")), 0);
    return 0;
}

static int read_hello(struct plugin_said *said, char *why, size_t cap)
{
    const json_t *spoken = json_object_get(said->json, "plimsoll");
    double version = json_number_value(spoken);
    json_int_t at_once = json_integer_value(json_object_get(said->json, "at-once"));
    const json_t *can = json_object_get(said->json, "can"), *item;
    size_t n;
    said->type = PLUGIN_HELLO;
    plugin_copy(said->text, sizeof(said->text), text_of(said->json, "name"));
    said->at_once = at_once > 0 ? (unsigned)MIN(at_once, AT_ONCE_MAX) : AT_ONCE_DEFAULT;
    if (!json_is_number(spoken))
        return wrong(why, cap, "says hello with a version that is no number: {\"plimsoll\":1}");
    if (version != PLUGIN_VERSION) {
        fmt(why, cap, "says that it speaks version %g; this is version %d", version,
            PLUGIN_VERSION);
        return -EPROTO;
    }
    said->version = PLUGIN_VERSION;
    json_array_foreach(can, n, item)
    {
        int bit = find_name(can_names, ARRAY_LEN(can_names), json_string_value(item));
        if (bit >= 0) /* what later versions can is theirs */
            said->can |= BIT(bit);
    }
    return 0;
}

static int read_result(struct plugin_said *said, char *why, size_t cap)
{
    const json_t *ok = json_object_get(said->json, "ok");
    const json_t *error = json_object_get(said->json, "error");
    if ((ok != NULL) == (error != NULL))
        return wrong(why, cap, "has not either \"ok\" or \"error\"");
    if (error && !json_is_string(error))
        return wrong(why, cap, "has an error that is no text");
    said->ok = ok != NULL;
    plugin_copy(said->text, sizeof(said->text), error ? json_string_value(error) : "");
    return json_is_object(ok) ? read_instance(ok, &said->instance, why, cap) : 0;
}

/* Whoever asked is to know that there was an answer, whatever it says. */
static int read_answer(struct plugin_said *said, char *why, size_t cap)
{
    const json_t *id = json_object_get(said->json, "id");
    said->type = PLUGIN_ANSWER;
    if (json_is_string(id))
        return wrong(why, cap, "has an id that is a text, and no number as it was asked with");
    if (!json_is_integer(id) || json_integer_value(id) < 1)
        return wrong(why, cap, "has no id of a request");
    said->id = (uint64_t)json_integer_value(id);
    said->garbled = read_result(said, said->text, sizeof(said->text)) < 0;
    said->ok &= !said->garbled;
    return 0;
}

static int read_event(struct plugin_said *said, char *why, size_t cap)
{
    const char *name = text_of(said->json, "event");
    const json_t *status = json_object_get(said->json, "status");
    char shown[SHOWN_MAX];
    int event = find_name(event_names, ARRAY_LEN(event_names), name);
    said->type = PLUGIN_EVENT;
    if (event < 0) {
        plugin_copy(shown, sizeof(shown), name);
        fmt(why, cap, "tells an event \"%s\", which is none", shown);
        return -EPROTO;
    }
    said->event = (enum plugin_event)event;
    said->flag = json_is_true(json_object_get(said->json, "up"));
    said->status_known = json_is_integer(status);
    said->status = (int32_t)CLAMP(json_integer_value(status), -1, 1 << 20);
    plugin_copy(said->text, sizeof(said->text), text_of(said->json, "text"));
    int rc = read_instance(said->json, &said->instance, why, cap);
    if (rc == 0 && said->event != PLUGIN_ENGINE && !said->instance.name[0])
        return wrong(why, cap, "tells an event of no instance: \"name\" is missing");
    return rc;
}

static int read_any(struct plugin_said *said, char *why, size_t cap)
{
    if (!json_is_object(said->json))
        return wrong(why, cap, "is no JSON object");
    if (json_object_get(said->json, "plimsoll"))
        return read_hello(said, why, cap);
    if (json_object_get(said->json, "event"))
        return read_event(said, why, cap);
    return read_answer(said, why, cap);
}

/* The beginning of a line as a person may see it. */
static void show(char *buf, size_t cap, const char *line, size_t bytes)
{
    size_t n = MIN(bytes, MIN(cap - 4, (size_t)SHOWN_MAX));
    for (size_t i = 0; i < n; i++)
        buf[i] = line[i] >= ' ' && line[i] < 127 ? line[i] : '?';
    fmt(buf + n, cap - n, "%s", n < bytes ? "..." : "");
}

/* What many a library writes, or reads, without a word. */
static const char *why_no_json(const json_error_t *error)
{
    static const struct {
        enum json_error_code code;
        const char *words;
    } known[] = {
        { json_error_duplicate_key, "has a key twice" },
        { json_error_null_character, "has \\u0000 in a text" },
        { json_error_null_byte_in_key, "has \\u0000 in a key" },
        { json_error_invalid_utf8, "is not UTF-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (json_error_code(error) == known[i].code)
            return known[i].words;
    return "is not JSON";
}

int plugin_decode(const char *line, size_t bytes, struct plugin_said *ret, char *why, size_t cap)
{
    struct plugin_said said = { 0 };
    char shown[SHOWN_MAX + 8];
    json_error_t error;
    said.json = json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!said.json) {
        show(shown, sizeof(shown), line, bytes);
        fmt(why, cap, "%s: %s", why_no_json(&error), shown);
        return -EPROTO;
    }
    int rc = read_any(&said, why, cap);
    if (rc < 0) {
        plugin_said_done(&said);
        return rc;
    }
    *ret = said;
    return 0;
}

bool plugin_said_item(const struct plugin_said *said, size_t n, struct plugin_instance *ret,
                      char *why, size_t cap)
{
    const json_t *all = json_object_get(said->json, "ok");
    why[0] = '\0';
    *ret = (struct plugin_instance){ 0 };
    if (!json_is_array(all)) {
        wrong(why, cap, "answers a list with no array");
        return n == 0;
    }
    if (n >= json_array_size(all))
        return false;
    if (read_instance(json_array_get(all, n), ret, why, cap) == 0 && !ret->name[0])
        wrong(why, cap, "lists an instance without a name");
    return true;
}

void plugin_said_done(struct plugin_said *said)
{
    json_decref(said->json);
    said->json = NULL;
}
