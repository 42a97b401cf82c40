/* An owner's name is made once and kept. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "controller/controller_int.h"
#include "unit/store/scratch.h"

static int choose(const char *state_dir, const char *cluster, char name[41])
{
    struct controller_options options = { .config_path = "x.yaml", .state_dir = state_dir };
    static struct controller c;
    struct err err;
    c = (struct controller){ .options = &options, .identity = "801-2f" };
    return owner_choose(&c, cluster, name, 41, &err);
}

static void test_a_cluster_is_the_owner(void **state)
{
    char name[41];
    assert_int_equal(choose(scratch_dir, "shop-1", name), 0);
    assert_string_equal(name, "shop-1");
    assert_int_equal(access(scratch_path("owner"), F_OK), -1);
    assert_int_equal(choose(scratch_dir, "Shop", name), -EINVAL);
    assert_int_equal(choose(scratch_dir, "", name), -EINVAL);
    assert_int_equal(choose(scratch_dir, "a23456789-b23456789-c23456789-d23456789-e", name),
                     -EINVAL);
}

static void test_a_name_is_made_once(void **state)
{
    char first[41], second[41];
    assert_int_equal(choose(scratch_dir, NULL, first), 0);
    assert_int_equal(strlen(first), 12);
    assert_int_equal(choose(scratch_dir, NULL, second), 0);
    assert_string_equal(first, second);
    unlink(scratch_path("owner"));
    assert_int_equal(choose(scratch_dir, NULL, second), 0);
    assert_string_not_equal(first, second);
}

static void test_a_name_that_is_there_is_taken(void **state)
{
    char name[41];
    scratch_write(scratch_path("owner"), "restored-one\n");
    assert_int_equal(choose(scratch_dir, NULL, name), 0);
    assert_string_equal(name, "restored-one");
    scratch_write(scratch_path("owner"), "not/a/name\n");
    assert_int_equal(choose(scratch_dir, NULL, name), -EINVAL);
}

static void test_a_directory_that_takes_no_file(void **state)
{
    char first[41], second[41];
    const char *nowhere = scratch_path("nowhere/at/all");
    assert_int_equal(choose(nowhere, NULL, first), 0);
    assert_int_equal(choose(nowhere, NULL, second), 0);
    assert_string_equal(first, second);
    assert_int_equal(strlen(first), 12);
}

#define SCRATCH_TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_drop)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCRATCH_TEST(test_a_cluster_is_the_owner),
        SCRATCH_TEST(test_a_name_is_made_once),
        SCRATCH_TEST(test_a_name_that_is_there_is_taken),
        SCRATCH_TEST(test_a_directory_that_takes_no_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
