/* The lines between plimsoll and a plugin, both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "drivers/plugin/plugin_wire.h"

static void encodes(const struct plugin_request *r, const char *wanted)
{
    char *line = plugin_line(plugin_encode(r, 7), 1500 * US_PER_MS);
    assert_string_equal(line, wanted);
    free(line);
}

static void test_requests(void **state)
{
    const char *names[] = { "command", "port" }, *values[] = { "a \"b\" \\c", "21000" };
    const struct schema_map config = { 2, names, values }, size = { 1, names + 1, values + 1 };
    const struct plugin_request start = { .what = PLUGIN_START,
                                          .name = "plimsoll-me-shop-3",
                                          .service = "shop",
                                          .number = 3,
                                          .template = 0xabcdef0123456789,
                                          .shape = 0x12,
                                          .token = 99,
                                          .deadline_us = 30 * US_PER_S,
                                          .drain_us = US_PER_S / 2,
                                          .serves = true,
                                          .log = "/l/shop-3.log",
                                          .config = &config,
                                          .size = &size };
    struct plugin_request r = { .what = PLUGIN_LIST, .deadline_us = 30 * US_PER_S };
    encodes(&r, "{\"id\":7,\"do\":\"list\",\"deadline\":30}\n");
    /* A shell can read it: what people wrote comes last. */
    encodes(&start, "{\"id\":7,\"do\":\"start\",\"deadline\":30,\"name\":\"plimsoll-me-shop-3\","
                    "\"token\":99,\"until\":1500,\"service\":\"shop\",\"number\":3,"
                    "\"template\":\"abcdef0123456789\",\"drain\":0.5,\"serves\":true,"
                    "\"log\":\"/l/shop-3.log\",\"shape\":\"12\","
                    "\"config\":{\"command\":\"a \\\"b\\\" \\\\c\",\"port\":\"21000\"},"
                    "\"size\":{\"port\":\"21000\"}}\n");
    r = start;
    r.what = PLUGIN_STOP;
    r.grace_us = 10 * US_PER_S;
    encodes(&r, "{\"id\":7,\"do\":\"stop\",\"deadline\":30,\"name\":\"plimsoll-me-shop-3\","
                "\"token\":99,\"until\":1500,\"grace\":10}\n");
    r.what = PLUGIN_RESIZE;
    encodes(&r, "{\"id\":7,\"do\":\"resize\",\"deadline\":30,\"name\":\"plimsoll-me-shop-3\","
                "\"token\":99,\"until\":1500,\"shape\":\"12\",\"size\":{\"port\":\"21000\"}}\n");
}

static struct plugin_said read(const char *line)
{
    struct plugin_said said;
    char why[PLUGIN_TEXT_MAX] = "";
    if (plugin_decode(line, strlen(line), &said, why, sizeof(why)) < 0)
        fail_msg("%s: %s", line, why);
    return said;
}

static void test_hello(void **state)
{
    char *line = plugin_line(plugin_encode_hello("me"), 0);
    assert_string_equal(line, "{\"plimsoll\":1,\"owner\":\"me\"}\n");
    free(line);
    struct plugin_said said =
        read("{\"plimsoll\":1,\"name\":\"x\",\"can\":[\"subscribe\",\"fly\"]}");
    assert_int_equal(said.type, PLUGIN_HELLO);
    assert_int_equal(said.can, PLUGIN_CAN_SUBSCRIBE);
    assert_int_equal(said.at_once, 8);
    plugin_said_done(&said);
    said = read("{\"plimsoll\":1.0,\"at-once\":1}");
    assert_int_equal(said.at_once, 1);
    plugin_said_done(&said);
}

static void test_answers(void **state)
{
    struct plugin_said said = read("{\"id\":5,\"ok\":{\"address\":\"10.0.0.7:80\",\"pid\":12}}");
    assert_int_equal(said.type, PLUGIN_ANSWER);
    assert_true(said.ok);
    assert_int_equal(said.id, 5);
    assert_string_equal(said.instance.address, "tcp:10.0.0.7:80");
    assert_int_equal(said.instance.pid, 12);
    assert_int_equal(said.instance.drain_us, -1);
    plugin_said_done(&said);
    said = read("{\"id\":6,\"error\":\"no such image\"}");
    assert_false(said.ok);
    assert_string_equal(said.text, "no such image");
    plugin_said_done(&said);
}

static void test_list(void **state)
{
    struct plugin_instance item;
    char why[PLUGIN_TEXT_MAX];
    struct plugin_said said =
        read("{\"id\":5,\"ok\":[{\"name\":\"a-1\",\"template\":\"ff\"},"
             "{\"name\":\"a-2\",\"address\":\"unix:/run/a\",\"drain\":1.5}]}");
    assert_true(plugin_said_item(&said, 0, &item, why, sizeof(why)));
    assert_int_equal(item.template, 0xff);
    assert_true(plugin_said_item(&said, 1, &item, why, sizeof(why)));
    assert_string_equal(item.address, "unix:/run/a");
    assert_int_equal(item.drain_us, 3 * US_PER_S / 2);
    assert_false(plugin_said_item(&said, 2, &item, why, sizeof(why)));
    assert_string_equal(why, "");
    plugin_said_done(&said);
    said =
        read("{\"id\":5,\"ok\":[{\"name\":\"a-1\",\"address\":\"web1:80\"},{\"name\":\"a-2\"}]}");
    assert_true(plugin_said_item(&said, 0, &item, why, sizeof(why)));
    assert_string_equal(item.name, "a-1");
    assert_non_null(strstr(why, "gives the address \"web1:80\""));
    assert_true(plugin_said_item(&said, 1, &item, why, sizeof(why)));
    assert_string_equal(why, "");
    plugin_said_done(&said);
    said = read("{\"id\":5,\"ok\":[{\"name\":\"\"}]}");
    assert_true(plugin_said_item(&said, 0, &item, why, sizeof(why)));
    assert_string_equal(why, "lists an instance without a name");
    plugin_said_done(&said);
    said = read("{\"id\":5,\"ok\":{}}");
    assert_true(plugin_said_item(&said, 0, &item, why, sizeof(why)));
    assert_string_equal(why, "answers a list with no array");
    assert_false(plugin_said_item(&said, 1, &item, why, sizeof(why)));
    plugin_said_done(&said);
}

static void test_events(void **state)
{
    struct plugin_said said = read("{\"event\":\"exited\",\"name\":\"a-1\",\"status\":3}");
    assert_int_equal(said.type, PLUGIN_EVENT);
    assert_int_equal(said.event, PLUGIN_EXITED);
    assert_true(said.status_known);
    assert_int_equal(said.status, 3);
    plugin_said_done(&said);
    said = read("{\"event\":\"engine\",\"up\":true}");
    assert_int_equal(said.event, PLUGIN_ENGINE);
    assert_true(said.flag);
    plugin_said_done(&said);
}

static void test_refused(void **state)
{
    static const char *const all[][2] = {
        { "DEBUG: start\033", "is not JSON: DEBUG: start?" },
        { "{\"id\":1,\"ok\"", "is not JSON: {\"id\":1,\"ok\"" },
        { "{\"id\":1,\"id\":1}", "has a key twice: {\"id\":1,\"id\":1}" },
        { "{\"id\":1,\"error\":\"\\u0000\"}",
          "has \\u0000 in a text: {\"id\":1,\"error\":\"\\u0000\"}" },
        { "{\"id\":1,\"error\":\"\xe4\"}", "is not UTF-8: {\"id\":1,\"error\":\"?\"}" },
        { "{\"id\":\"1\",\"ok\":{}}",
          "has an id that is a text, and no number as it was asked with" },
        { "[1]", "is no JSON object" },
        { "{}", "has no id of a request" },
        { "{\"id\":0,\"ok\":{}}", "has no id of a request" },
        { "{\"plimsoll\":2}", "says that it speaks version 2; this is version 1" },
        { "{\"plimsoll\":1.5}", "says that it speaks version 1.5; this is version 1" },
        { "{\"plimsoll\":\"1\"}", "says hello with a version that is no number: {\"plimsoll\":1}" },
        { "{\"event\":\"boom\",\"name\":\"a-1\"}", "tells an event \"boom\", which is none" },
        { "{\"event\":\"exited\"}", "tells an event of no instance: \"name\" is missing" },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct plugin_said said;
        char why[PLUGIN_TEXT_MAX];
        int rc = plugin_decode(all[i][0], strlen(all[i][0]), &said, why, sizeof(why));
        assert_int_equal(rc, -EPROTO);
        assert_string_equal(why, all[i][1]);
    }
}

/* Whoever asked hears that there was an answer. */
static void test_garbled(void **state)
{
    static const char *const all[][2] = {
        { "{\"id\":1}", "has not either \"ok\" or \"error\"" },
        { "{\"id\":1,\"ok\":{},\"error\":\"x\"}", "has not either \"ok\" or \"error\"" },
        { "{\"id\":1,\"error\":7}", "has an error that is no text" },
        { "{\"id\":1,\"ok\":{\"address\":\"web1:80\"}}",
          "gives the address \"web1:80\", which is none of IP:PORT, [IPv6]:PORT and unix:/PATH" },
        { "{\"id\":1,\"ok\":{\"address\":8080}}", "has an address that is no text" },
        { "{\"id\":1,\"ok\":{\"template\":\"xyz\"}}",
          "has a template or shape that is not the text it was given" },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct plugin_said said = read(all[i][0]);
        assert_int_equal(said.id, 1);
        assert_true(said.garbled);
        assert_false(said.ok);
        assert_string_equal(said.text, all[i][1]);
        plugin_said_done(&said);
    }
}

/* What a plugin says ends up on terminals: nothing in it is obeyed there. */
static void test_control_characters(void **state)
{
    struct plugin_instance item;
    char why[PLUGIN_TEXT_MAX];
    struct plugin_said said = read(
        "{\"id\":6,\"error\":\"a \\u001b[31mred\\u001b[0m one\\nand\\u009bmore\\u007f \\u00e4\"}");
    assert_string_equal(said.text, "a  [31mred [0m one and  more  \xc3\xa4");
    plugin_said_done(&said);
    said = read("{\"event\":\"exited\",\"name\":\"a-1\",\"text\":\"\\rgone\\b\"}");
    assert_string_equal(said.text, " gone ");
    plugin_said_done(&said);
    said = read("{\"plimsoll\":1,\"name\":\"x\\u001bc\"}");
    assert_string_equal(said.text, "x c");
    plugin_said_done(&said);
    said = read("{\"id\":1,\"ok\":{\"address\":\"unix:/a\\u001bb\"}}");
    assert_true(said.garbled);
    assert_string_equal(said.text, "gives the address \"unix:/a b\", which is none of IP:PORT, "
                                   "[IPv6]:PORT and unix:/PATH");
    plugin_said_done(&said);
    said = read("{\"id\":1,\"ok\":[{\"name\":\"a-1\",\"address\":\"\\u001b\"}]}");
    assert_true(plugin_said_item(&said, 0, &item, why, sizeof(why)));
    assert_null(strchr(why, '\033'));
    plugin_said_done(&said);
    said = read("{\"id\":1,\"ok\":{\"name\":\"a\\u001b-1\"}}");
    assert_true(said.garbled);
    assert_string_equal(said.text, "has a name with control characters");
    plugin_said_done(&said);
    const char *line = "{\"event\":\"b\\u001bm\",\"name\":\"a-1\"}";
    assert_int_equal(plugin_decode(line, strlen(line), &said, why, sizeof(why)), -EPROTO);
    assert_string_equal(why, "tells an event \"b m\", which is none");
}

/* Half a character would make the text unreadable for whoever gets it. */
static void test_cut_texts(void **state)
{
    for (size_t begin = 0; begin < 4; begin++) {
        char line[1200] = "{\"id\":6,\"error\":\"", text[8];
        size_t n = strlen(line);
        n += (size_t)snprintf(line + n, sizeof(line) - n, "%.*s", (int)begin, "aaaa");
        while (n + 8 < sizeof(line))
            n += (size_t)snprintf(line + n, sizeof(line) - n, "\xe2\x82\xac");
        snprintf(line + n, sizeof(line) - n, "\"}");
        struct plugin_said said = read(line);
        json_t *json = json_string(said.text); /* NULL when it is no UTF-8 */
        assert_non_null(json);
        json_decref(json);
        assert_true(strlen(said.text) > PLUGIN_TEXT_MAX - 8);
        snprintf(text, sizeof(text), "%s", said.text + strlen(said.text) - 6);
        assert_string_equal(text, "\xe2\x82\xac...");
        plugin_said_done(&said);
    }
}

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool good;
    } all[] = {
        { "1.2.3.4:1", true },  { "tcp:1.2.3.4:65535", true },
        { "[::1]:80", true },   { "unix:/a", true },
        { "1.2.3.4:0", false }, { "1.2.3.4:65536", false },
        { "1.2.3.4", false },   { "::1:80", false },
        { "unix:a", false },    { "localhost:80", false },
        { ":80", false },       { "1.2.3.4:8o", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        struct plugin_said said;
        char line[128];
        snprintf(line, sizeof(line), "{\"id\":1,\"ok\":{\"address\":\"%s\"}}", all[i].text);
        said = read(line);
        if (said.ok != all[i].good)
            fail_msg("%s", all[i].text);
        plugin_said_done(&said);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_garbled),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_cut_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
