/* Packets with descriptors: whole or not at all, and never a descriptor left over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/fdpass.h"

static int pair[2];

static int set_up(void **state)
{
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair);
}

static int tear_down(void **state)
{
    close(pair[0]);
    close(pair[1]);
    return 0;
}

/* The lowest free number: the same before and after means that nothing stayed open. */
static int lowest_free_fd(void)
{
    int fd = dup(STDIN_FILENO);
    close(fd);
    return fd;
}

static void test_text_and_fds(void **state)
{
    int fds[FDPASS_MAX], got[FDPASS_MAX];
    char buf[16];
    size_t n = 99;
    for (int i = 0; i < FDPASS_MAX; i++)
        fds[i] = STDERR_FILENO;
    assert_int_equal(fdpass_send(pair[0], "hello", 5, fds, FDPASS_MAX), 0);
    assert_int_equal(fdpass_send(pair[0], "x", 1, NULL, 0), 0);
    assert_int_equal(fdpass_recv(pair[1], buf, sizeof(buf), got, &n), 5);
    assert_memory_equal(buf, "hello", 5);
    assert_int_equal(n, FDPASS_MAX);
    for (int i = 0; i < FDPASS_MAX; i++) {
        assert_true(fcntl(got[i], F_GETFD) & FD_CLOEXEC);
        close(got[i]);
    }
    assert_int_equal(fdpass_recv(pair[1], buf, sizeof(buf), got, &n), 1);
    assert_int_equal(n, 0);
    assert_int_equal(fdpass_recv(pair[1], buf, sizeof(buf), got, &n), -EAGAIN);
}

static void test_too_long_leaves_nothing(void **state)
{
    int fds[2] = { STDERR_FILENO, STDERR_FILENO }, got[FDPASS_MAX];
    char buf[4];
    size_t n = 0;
    int free_before = lowest_free_fd();
    assert_int_equal(fdpass_send(pair[0], "longer than four", 16, fds, 2), 0);
    assert_int_equal(fdpass_recv(pair[1], buf, sizeof(buf), got, &n), -EMSGSIZE);
    assert_int_equal(lowest_free_fd(), free_before);
}

static void test_peer_gone(void **state)
{
    int got[FDPASS_MAX];
    char buf[4];
    size_t n = 0;
    shutdown(pair[1], SHUT_RDWR);
    assert_int_equal(fdpass_send(pair[0], "x", 1, NULL, 0), -EPIPE);
    assert_int_equal(fdpass_recv(pair[0], buf, sizeof(buf), got, &n), 0);
}

static void test_full(void **state)
{
    char block[1024] = { 0 };
    int rc;
    do {
        rc = fdpass_send(pair[0], block, sizeof(block), NULL, 0);
    } while (rc == 0);
    assert_int_equal(rc, -EAGAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_and_fds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_too_long_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_peer_gone, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
