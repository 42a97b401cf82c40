/* Process trees and what they use, read from the real /proc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/us.h"
#include "drivers/driver.h"
#include "drivers/proctree.h"
#include "sys/clock.h"

#define MEMORY_BYTES ((size_t)64 << 20)

static struct proctree *tree;
static int ready[2]; /* a child writes when it has set itself up */

static int set_up(void **state)
{
    tree = proctree_new();
    return tree && pipe(ready) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    proctree_free(tree);
    close(ready[0]);
    close(ready[1]);
    return 0;
}

static pid_t run_child(void (*what)(void))
{
    char c;
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        what();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(-pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

static void say_ready(void)
{
    if (write(ready[1], "x", 1) != 1)
        _exit(1);
}

/* The memory is the grandchild's, which has left the group and the session. */
static void use_memory(void)
{
    pid_t parent = getpid();
    if (fork() == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        char *p =
            mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        memset(p, 1, MEMORY_BYTES);
        say_ready();
        pause();
    }
    pause();
}

static void use_cpu(void)
{
    say_ready();
    for (;;)
        getppid();
}

static void test_tree_has_grandchildren(void **state)
{
    struct proctree_use use;
    pid_t pid = run_child(use_memory);
    assert_int_equal(proctree_refresh(tree, clock_now_us(), 0), 0);
    assert_true(proctree_read(tree, pid, &use));
    assert_true(use.rss_bytes > (int64_t)MEMORY_BYTES);
    assert_true(use.rss_bytes < 4 * (int64_t)MEMORY_BYTES);
    assert_false(proctree_read(tree, 0x7ffffff0, &use));
    kill(pid, SIGKILL); /* the grandchild, in its own session, goes by the parent's death signal */
    waitpid(pid, NULL, 0);
}

static void test_old_look_is_kept(void **state)
{
    struct proctree_use use;
    assert_int_equal(proctree_refresh(tree, 1000, 0), 0);
    pid_t pid = run_child(use_cpu);
    assert_int_equal(proctree_refresh(tree, 2000, 5000), 0);
    assert_false(proctree_read(tree, pid, &use));
    assert_int_equal(proctree_refresh(tree, 9000, 5000), 0);
    assert_true(proctree_read(tree, pid, &use));
    end_child(pid);
}

static void test_listens(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(a);
    char address[64];
    pid_t other = run_child(use_cpu);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    getsockname(fd, (struct sockaddr *)&a, &bytes);
    snprintf(address, sizeof(address), "tcp:127.0.0.1:%d", ntohs(a.sin_port));
    proctree_refresh(tree, clock_now_us(), 0);
    assert_int_equal(proctree_listens(tree, getpid(), address), 0); /* bound is not listening */
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(proctree_listens(tree, getpid(), address), 1);
    assert_int_equal(proctree_listens(tree, other, address), 0);
    end_child(other);
    close(fd);
    assert_int_equal(proctree_listens(tree, getpid(), address), 0);
}

/* NaN when it is not among the samples. */
static double value_of(const struct source_sink *sink, enum metric m, uint32_t number)
{
    for (size_t i = 0; i < sink->count; i++)
        if (sink->samples[i].metric == m && sink->samples[i].number == number)
            return sink->samples[i].value;
    return (double)NAN;
}

static void test_source(void **state)
{
    void *source;
    struct err err;
    struct sample samples[64];
    pid_t pid = run_child(use_cpu);
    struct source_instance instances[] = { { .number = 5, .pid = pid },
                                           { .number = 6, .pid = 0x7ffffff0 } };
    struct source_service service = { .instances = instances, .instance_count = 2 };
    struct source_sink sink = { .samples = samples, .cap = 64 };
    assert_int_equal(source_proc.open(&(struct driver_env){ 0 }, &source, &err), 0);
    source_proc.sample(source, &service, clock_now_us(), &sink);
    assert_true(isnan(value_of(&sink, METRIC_CPU, 5))); /* one look says nothing */
    assert_true(isnan(value_of(&sink, METRIC_HOST_CPU, 0)));
    assert_true(value_of(&sink, METRIC_MEMORY, 5) > 0);
    assert_in_range((int)(value_of(&sink, METRIC_HOST_MEMORY, 0) * 1000), 1, 1000);
    int64_t give_up_us = clock_now_us() + 20 * US_PER_S;
    double cpu;
    do {
        sink.count = 0;
        source_proc.sample(source, &service, clock_now_us(), &sink);
        cpu = value_of(&sink, METRIC_CPU, 5);
    } while (!(cpu > 0.1) && clock_now_us() < give_up_us);
    assert_true(cpu > 0.1 && cpu < 1.5);
    assert_true(value_of(&sink, METRIC_HOST_CPU, 0) > 0);
    assert_true(value_of(&sink, METRIC_HOST_CPU, 0) <= 1);
    assert_true(isnan(value_of(&sink, METRIC_CPU, 6)));
    assert_true(isnan(value_of(&sink, METRIC_MEMORY, 6)));
    source_proc.close(source);
    end_child(pid);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_tree_has_grandchildren),
        TEST(test_old_look_is_kept),
        TEST(test_listens),
        TEST(test_source),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
