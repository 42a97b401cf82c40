/* Any bytes as a line from a plugin: refused with a text, or read whole; what is read obeys its
 * bounds. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "drivers/plugin/plugin_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void check_instance(const struct plugin_instance *i)
{
    assert(memchr(i->name, '\0', sizeof(i->name)));
    assert(memchr(i->address, '\0', sizeof(i->address)));
    assert(!i->address[0] || strncmp(i->address, "tcp:", 4) == 0 ||
           strncmp(i->address, "unix:/", 6) == 0);
    assert(i->drain_us >= -1);
    assert(i->pid >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct plugin_said said;
    struct plugin_instance item;
    char why[PLUGIN_TEXT_MAX] = "";
    if (plugin_decode((const char *)data, bytes, &said, why, sizeof(why)) < 0) {
        assert(why[0]);
        return 0;
    }
    if (said.type == PLUGIN_HELLO)
        assert(said.version == PLUGIN_VERSION && said.at_once > 0);
    else
        check_instance(&said.instance);
    assert(memchr(said.text, '\0', sizeof(said.text)));
    for (size_t n = 0; plugin_said_item(&said, n, &item, why, sizeof(why)); n++)
        check_instance(&item);
    plugin_said_done(&said);
    return 0;
}
