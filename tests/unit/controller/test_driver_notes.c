/* What a driver says is wrong lasts until it is over, and is an event once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "controller/controller_int.h"
#include "sys/clock.h"
#include "unit/store/scratch.h"

static struct controller c;

static int setup(void **state)
{
    static struct control_caps caps = { .services = 4, .instances = 16, .points = 64 };
    memset(&c, 0, sizeof(c));
    if (scratch_make(state) < 0)
        return -1;
    c.control_memory = aligned_alloc(64, (control_bytes(&caps) + 63) / 64 * 64);
    memset(c.control_memory, 0, control_bytes(&caps));
    c.control = control_init(c.control_memory, &caps);
    struct store_options o = { .path = scratch_path("plimsoll.db"), .batch_us = US_PER_MS };
    return store_open(&o, &c.store);
}

static int teardown(void **state)
{
    store_close(c.store);
    free(c.control_memory);
    return scratch_drop(state);
}

/* How many events the store has, once `wanted` are there. */
static size_t events(size_t wanted)
{
    size_t count = 0;
    for (int64_t end_us = clock_now_us() + 20 * US_PER_S; clock_now_us() < end_us;) {
        json_t *list = NULL;
        if (store_read_events(c.store, NULL, 0, 100, &list) == 0)
            count = json_array_size(list);
        json_decref(list);
        if (count >= wanted)
            break;
    }
    return count;
}

static void test_lasting(void **state)
{
    char longer[400];
    memset(longer, 'x', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = '\0';
    controller_note_driver(&c, 3, false, "there was nothing");
    controller_note_driver(&c, 3, true, "the image does not exist");
    controller_note_driver(&c, 3, true, "the image does not exist");
    assert_string_equal(c.driver_trouble[3], "the image does not exist");
    controller_note_driver(&c, UINT32_MAX, true, longer);
    controller_note_driver(&c, UINT32_MAX, true, longer);
    assert_true(c.driver_trouble[MODEL_SERVICES_MAX][0] == 'x');
    controller_note_driver(&c, 3, true, "the engine refuses");
    assert_string_equal(c.driver_trouble[3], "the engine refuses");
    controller_note_driver(&c, 3, false, "all is well");
    controller_note_driver(&c, 3, false, "all is well");
    assert_string_equal(c.driver_trouble[3], "");
    assert_int_equal(events(4), 4);
}

/* What is shown can be shown: no half characters, and nothing that a terminal would obey. */
static void test_words_of_others(void **state)
{
    char text[400] = "\033[31mred\n";
    while (strlen(text) + 3 < sizeof(text))
        strcat(text, "\xe2\x82\xac");
    controller_note_driver(&c, 3, true, text);
    json_t *json = json_string(c.driver_trouble[3]); /* NULL when it is no UTF-8 */
    assert_non_null(json);
    assert_memory_equal(c.driver_trouble[3], " [31mred \xe2\x82\xac", 12);
    json_decref(json);
    controller_note_driver(&c, 3, true, text); /* no news */
    assert_int_equal(events(1), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lasting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_words_of_others, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
