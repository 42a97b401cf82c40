/* Any bytes as a member's report of its proxy. What is taken can be told again, and is the same. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/source/proxy_report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static char *tell(const struct proxy_report *r)
{
    json_t *json = proxy_report_json(r);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct proxy_report *r, *again;
    struct err err = { 0 };
    if (proxy_report_read((const char *)data, bytes, &r, &err) < 0) {
        assert(err.text[0]);
        return 0;
    }
    char *text = tell(r);
    assert(text);
    int rc = proxy_report_read(text, strlen(text), &again, &err);
    assert(rc == 0);
    char *same = tell(again);
    assert(strcmp(text, same) == 0);
    free(same);
    free(text);
    proxy_report_free(again);
    proxy_report_free(r);
    return 0;
}
