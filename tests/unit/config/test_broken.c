/* Every broken file in tests/system/broken_configs is refused at the place and with the text that
 * its first line expects. Those in its folder `sections` are for the whole program, which has the
 * drivers' sections. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/us.h"
#include "config/config.h"
#include "sys/mem.h"

#include "unit/config/driver_section.h"

#define FILES_MIN 30
#define NOW_US (INT64_C(1780000000) * US_PER_S)

static size_t read_file(const char *path, char *text, size_t cap)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t n = fread(text, 1, cap - 1, file);
    fclose(file);
    text[n] = '\0';
    return n;
}

/* "# expect: LINE:COLUMN fragment" */
static void split_expectation(const char *text, char *place, size_t place_cap, char *fragment,
                              size_t fragment_cap)
{
    static const char start[] = "# expect: ";
    assert_int_equal(strncmp(text, start, sizeof(start) - 1), 0);
    text += sizeof(start) - 1;
    size_t n = strcspn(text, " ");
    snprintf(place, place_cap, "%.*s", (int)n, text);
    text += n + 1;
    snprintf(fragment, fragment_cap, "%.*s", (int)strcspn(text, "\n"), text);
}

/* 1 = it was not refused as it says. */
static int check_file(const char *directory, const char *name)
{
    static char text[65536];
    char path[512], place[32], fragment[300], want[600];
    _cleanup_arena_ struct arena arena = { 0 };
    struct err errors[8];
    size_t count = 0;
    struct config *config;
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    size_t n = read_file(path, text, sizeof(text));
    split_expectation(text, place, sizeof(place), fragment, sizeof(fragment));
    mem_arena_init(&arena, (size_t)16 << 20);
    int rc = config_parse(&arena, name, text, n, &test_all_sections, NOW_US, &config, errors,
                          ARRAY_LEN(errors), &count);
    snprintf(want, sizeof(want), "%s:%s", name, place);
    if (rc == -EINVAL && count > 0 && strcmp(errors[0].place, want) == 0 &&
        strstr(errors[0].text, fragment))
        return 0;
    print_error("%s\n  expected %s %s\n", name, place, fragment);
    for (size_t i = 0; i < count; i++)
        print_error("  got %s: %s\n", errors[i].place, errors[i].text);
    return 1;
}

static void test_broken_files(void **state)
{
    char directory[400];
    int wrong = 0, files = 0;
    const char *tests = getenv("PLIMSOLL_TESTS");
    assert_non_null(tests);
    snprintf(directory, sizeof(directory), "%s/system/broken_configs", tests);
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (!strstr(e->d_name, ".yaml"))
            continue;
        wrong += check_file(directory, e->d_name);
        files++;
    }
    closedir(dir);
    assert_int_equal(wrong, 0);
    assert_true(files >= FILES_MIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_broken_files) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
