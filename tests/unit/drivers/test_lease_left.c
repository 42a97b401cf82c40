/* What a state directory knows of the lease that its last controller had, and when it does not
 * believe it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fmt.h"
#include "base/util.h"
#include "drivers/lease/lease_left.h"
#include "sys/clock.h"

#define LEASE INT64_C(7587891234567890123)

static char directory[64], path[80];

static void put(const char *text)
{
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

static void get(char line[200])
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, 200, f));
    fclose(f);
}

static void test_kept(void **state)
{
    assert_int_equal(lease_left_read(directory), 0);
    assert_int_equal(lease_left_write(directory, LEASE), 0);
    assert_int_equal(lease_left_read(directory), LEASE);
    assert_int_equal(lease_left_write(directory, 5), 0);
    assert_int_equal(lease_left_read(directory), 5);
    assert_true(lease_left_write("/no/such/directory", LEASE) < 0);
    assert_int_equal(lease_left_read("/no/such/directory"), 0);
}

/* Whoever was there before the boot, or in the directory that this one is a copy of, may live. */
static void test_of_another_boot_or_directory(void **state)
{
    char line[200], other[200];
    lease_left_write(directory, LEASE);
    get(line);
    char *boot = strstr(line, clock_boot_id()), *inode = strrchr(line, ':');
    assert_non_null(boot);
    assert_non_null(inode);
    strcpy(other, line);
    other[boot - line] = other[boot - line] == '0' ? '1' : '0';
    put(other);
    assert_int_equal(lease_left_read(directory), 0);
    fmt(other, sizeof(other), "%.*s:1\n", (int)(inode - line), line);
    put(other);
    assert_int_equal(lease_left_read(directory), 0);
    put(line);
    assert_int_equal(lease_left_read(directory), LEASE);
}

static void test_rubbish(void **state)
{
    static const char *const texts[] = { "",  "\n",         "x",
                                         "5", "-1 a 1:2\n", "99999999999999999999999 a 1:2\n" };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        put(texts[i]);
        assert_int_equal(lease_left_read(directory), 0);
    }
}

static int begin(void **state)
{
    strcpy(directory, "/tmp/plimsoll-left-XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    fmt(path, sizeof(path), "%s/lease", directory);
    return 0;
}

static int leave(void **state)
{
    unlink(path);
    return rmdir(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kept, begin, leave),
        cmocka_unit_test_setup_teardown(test_of_another_boot_or_directory, begin, leave),
        cmocka_unit_test_setup_teardown(test_rubbish, begin, leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
