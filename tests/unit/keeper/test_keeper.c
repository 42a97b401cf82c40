/* The real keeper in a process of its own. This program is also its controller and its proxy; the
 * test speaks for the controller. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "keeper/keeper.h"
#include "link/msg.h"
#include "sys/clock.h"
#include "sys/fdpass.h"
#include "unit/keeper/roles.h"

#define PATIENCE_MS 20000

static char state_dir[64];
static char relay_path[108];
static int relay_listen_fd = -1;
static pid_t keeper_pid;
static int link_fd = -1; /* to the keeper, through the relay */
static struct link_msg got;

/* --- helpers of the test --- */

static void wait_readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    if (poll(&p, 1, PATIENCE_MS) != 1)
        fail_msg("nothing came within %d ms", PATIENCE_MS);
}

/* Polls a condition that no descriptor tells about. */
#define WAIT_UNTIL(condition)                                              \
    do {                                                                   \
        int64_t give_up_us = clock_now_us() + PATIENCE_MS * INT64_C(1000); \
        while (!(condition)) {                                             \
            if (clock_now_us() > give_up_us)                               \
                fail_msg("never became true: %s", #condition);             \
            poll(NULL, 0, 5);                                              \
        }                                                                  \
    } while (0)

static bool gone(pid_t pid)
{
    char path[64], text[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return true;
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    fclose(f);
    const char *paren = strrchr(text, ')');
    return n == 0 || !paren || paren[2] == 'Z' || paren[2] == 'X';
}

static char *read_text(const char *path)
{
    static char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void say(const struct link_msg *m)
{
    int n = link_encode(m, packet, sizeof(packet));
    assert_true(n > 0);
    assert_int_equal(fdpass_send(link_fd, packet, (size_t)n, NULL, 0), 0);
}

/* The next message of that type; others in between are skipped. Its texts last until the next. */
static const struct link_msg *expect(enum link_type type)
{
    do {
        int fds[FDPASS_MAX];
        size_t n_fds = 0;
        wait_readable(link_fd);
        int n = fdpass_recv(link_fd, packet, sizeof(packet), fds, &n_fds);
        if (n <= 0)
            fail_msg("the link ended while waiting for %s", link_type_name(type));
        assert_int_equal(link_decode(packet, (size_t)n, NULL, &got, NULL), 0);
        for (size_t i = 0; i < n_fds; i++)
            close(fds[i]);
        got.fd_count = (uint32_t)n_fds;
    } while (got.type != type);
    return &got;
}

static void meet_controller(void)
{
    if (link_fd >= 0)
        close(link_fd);
    wait_readable(relay_listen_fd);
    link_fd = accept4(relay_listen_fd, NULL, NULL, SOCK_CLOEXEC);
    assert_true(link_fd >= 0);
}

static pid_t controller_pid(void)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    assert_int_equal(getsockopt(link_fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes), 0);
    return peer.pid;
}

static pid_t fork_keeper(const char *dir)
{
    const char *const controller[] = { "test_keeper", "--controller", relay_path, NULL };
    const char *const proxy[] = { "test_keeper", "--proxy", NULL };
    struct keeper_options options = { dir, controller, proxy };
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* a test that is killed leaves nothing behind */
        _exit(keeper_main(&options));
    }
    return pid;
}

static void start_keeper(void)
{
    keeper_pid = fork_keeper(state_dir);
    meet_controller();
}

static int wait_exit(pid_t pid)
{
    int status = 0;
    WAIT_UNTIL(waitpid(pid, &status, WNOHANG) == pid);
    return status;
}

static void kill_hard(pid_t pid)
{
    kill(pid, SIGKILL);
    WAIT_UNTIL(gone(pid));
}

static pid_t start_instance(const char *name, const char *script, const char *log)
{
    static struct link_start start;
    start = (struct link_start){ .name = slice_of(name),
                                 .meta = SLICE("meta of it"),
                                 .log_path = slice_of(log),
                                 .open_files_max = -1,
                                 .memory_bytes_max = -1,
                                 .processes_max = -1,
                                 .core_bytes_max = -1,
                                 .argc = 3,
                                 .argv = { SLICE("sh"), SLICE("-c"), slice_of(script) },
                                 .envc = 2,
                                 .env = { SLICE("PATH=/usr/bin:/bin"), SLICE("HOME=/") } };
    say(&(struct link_msg){ .type = LINK_START, .start = &start });
    const struct link_msg *m = expect(LINK_STARTED);
    return m->flag ? (pid_t)m->number : -(pid_t)m->status;
}

static void say_signal(const char *name, int signal)
{
    say(&(struct link_msg){ .type = LINK_SIGNAL, .name = slice_of(name), .number = signal });
}

static void say_exit(int status, bool detach)
{
    say(&(struct link_msg){
        .type = LINK_EXIT, .number = status, .text = SLICE(""), .flag = detach });
}

static const struct link_msg *ask_listen(const char *address, int sockets)
{
    say(&(struct link_msg){ .type = LINK_LISTEN, .text = slice_of(address), .number = sockets });
    return expect(LINK_LISTENING);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    return remove(path);
}

static void reap_orphans(void)
{
    while (waitpid(-1, NULL, WNOHANG) > 0)
        continue;
}

static int set_up(void **state)
{
    strcpy(state_dir, "/tmp/plimsoll-test-XXXXXX");
    if (!mkdtemp(state_dir))
        return -1;
    snprintf(relay_path, sizeof(relay_path), "%s/relay", state_dir);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    strcpy(a.sun_path, relay_path);
    relay_listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(relay_listen_fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(relay_listen_fd, 8) < 0)
        return -1;
    link_fd = -1;
    start_keeper();
    return 0;
}

static int tear_down(void **state)
{
    if (keeper_pid > 0) { /* twice: at once, and nothing is left behind */
        kill(keeper_pid, SIGTERM);
        kill(keeper_pid, SIGINT);
        wait_exit(keeper_pid);
    }
    if (link_fd >= 0)
        close(link_fd);
    close(relay_listen_fd);
    reap_orphans();
    return nftw(state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- tests --- */

static void test_controller_is_restarted(void **state)
{
    const struct link_msg *m = expect(LINK_KEEPER);
    assert_int_equal(m->number, keeper_pid);
    assert_true(m->flag);
    kill(controller_pid(), SIGKILL);
    meet_controller();
    m = expect(LINK_KEEPER);
    assert_true(m->flag); /* the first never came so far as to say that it was ready */
    say(&(struct link_msg){ .type = LINK_READY, .text = SLICE("well") });
    say(&(struct link_msg){ .type = LINK_LIST });
    expect(LINK_LIST_END);
    kill(controller_pid(), SIGKILL);
    meet_controller();
    assert_false(expect(LINK_KEEPER)->flag);
}

static void test_instance_life(void **state)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/log", state_dir);
    pid_t pid = start_instance("shop-1", "echo $PLIMSOLL_INSTANCE; exec sleep 1000", log);
    assert_true(pid > 0);
    WAIT_UNTIL(strcmp(read_text(log), "shop-1\n") == 0);
    assert_int_equal(getpgid(pid), pid);
    assert_int_equal(start_instance("shop-1", "true", log), -EEXIST);

    say(&(struct link_msg){ .type = LINK_LIST });
    const struct link_msg *m = expect(LINK_RUNNING);
    assert_true(slice_eq(m->name, SLICE("shop-1")));
    assert_true(slice_eq(m->text, SLICE("meta of it")));
    assert_int_equal(m->number, pid);
    assert_false(m->flag);
    expect(LINK_LIST_END);

    say_signal("shop-1", SIGTERM);
    m = expect(LINK_EXITED);
    assert_true(slice_eq(m->name, SLICE("shop-1")));
    assert_int_equal(m->number, pid);
    assert_true(WIFSIGNALED(m->status) && WTERMSIG(m->status) == SIGTERM);
    assert_false(m->flag);
}

/* A log that nobody reads from keeps its writer waiting before its program runs, as a lost network
 * file system would; the keeper does everything else meanwhile. */
static void test_start_that_hangs(void **state)
{
    char fifo[128];
    static struct link_start start = { .name = SLICE("shop-1"),
                                       .open_files_max = -1,
                                       .memory_bytes_max = -1,
                                       .processes_max = -1,
                                       .core_bytes_max = -1,
                                       .argc = 2,
                                       .argv = { SLICE("/bin/sleep"), SLICE("1000") } };
    snprintf(fifo, sizeof(fifo), "%s/fifo", state_dir);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    start.log_path = slice_of(fifo);
    say(&(struct link_msg){ .type = LINK_START, .start = &start });
    assert_true(start_instance("shop-2", "exec sleep 1000", "") > 0);
    say(&(struct link_msg){ .type = LINK_LIST });
    expect(LINK_LIST_END);

    int fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    const struct link_msg *m = expect(LINK_STARTED);
    assert_true(slice_eq(m->name, SLICE("shop-1")));
    assert_true(m->flag);
    close(fd);
}

/* One that overwrites its environment has no token to be found by, nor have its children. */
static void test_record_is_enough(void **state)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/log", state_dir);
    pid_t pid =
        start_instance("shop-1", "exec env -i sh -c 'sleep 1000 & echo $!; exec sleep 1000'", log);
    WAIT_UNTIL(read_text(log)[0]);
    pid_t child = (pid_t)atoi(read_text(log));
    kill_hard(keeper_pid);
    waitpid(keeper_pid, NULL, 0);
    start_keeper();
    say(&(struct link_msg){ .type = LINK_LIST });
    const struct link_msg *m = expect(LINK_RUNNING);
    assert_int_equal(m->number, pid);
    assert_true(slice_eq(m->text, SLICE("meta of it")));
    say_signal("shop-1", SIGKILL);
    assert_int_equal(expect(LINK_EXITED)->number, pid);
    WAIT_UNTIL(gone(child));
}

static pid_t start_bearer(const char *token)
{
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        setenv("PLIMSOLL_TOKEN", token, 1);
        execl("/bin/sleep", "sleep", "1000", NULL);
        _exit(1);
    }
    return pid;
}

static void test_forged_token(void **state)
{
    char token[256];
    struct stat st;
    assert_int_equal(stat(state_dir, &st), 0);
    kill_hard(keeper_pid);
    waitpid(keeper_pid, NULL, 0);
    snprintf(token, sizeof(token), "%llx-%llx/0123456789abcdef-0/shop-7/meta",
             (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    pid_t forger = start_bearer(token);
    start_keeper();
    /* It does not run already, as far as anyone here is concerned. */
    assert_true(start_instance("shop-7", "exec sleep 1000", "") > 0);
    kill(forger, SIGKILL);
    waitpid(forger, NULL, 0);
}

static void test_no_such_command(void **state)
{
    static struct link_start start = { .name = SLICE("shop-1"),
                                       .open_files_max = -1,
                                       .memory_bytes_max = -1,
                                       .processes_max = -1,
                                       .core_bytes_max = -1,
                                       .argc = 1,
                                       .argv = { SLICE("no-such-command-anywhere") } };
    say(&(struct link_msg){ .type = LINK_START, .start = &start });
    const struct link_msg *m = expect(LINK_STARTED);
    assert_false(m->flag);
    assert_int_equal(m->status, ENOENT);
    assert_non_null(memmem(m->text.p, m->text.n, "no-such-command-anywhere", 24));
}

static void test_nothing_is_inherited(void **state)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/log", state_dir);
    ask_listen("tcp:127.0.0.1:0", 2);
    /* The shell's own: 0, 1, 2; and what `ls` opens to look. */
    start_instance("shop-1", "exec ls /proc/self/fd", log);
    expect(LINK_EXITED);
    assert_string_equal(read_text(log), "0\n1\n2\n3\n");
}

static void test_daemon_does_not_survive_its_instance(void **state)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/log", state_dir);
    start_instance("shop-1", "setsid sleep 1000 & echo $!; sleep 1000 & exit 7", log);
    const struct link_msg *m = expect(LINK_EXITED);
    assert_int_equal(WEXITSTATUS(m->status), 7);
    pid_t daemon = (pid_t)atoi(read_text(log));
    assert_true(daemon > 0);
    WAIT_UNTIL(gone(daemon));
}

static void test_task_has_a_deadline(void **state)
{
    static struct link_start start = { .name = SLICE("shop-1.ready"),
                                       .task = true,
                                       .deadline_us = 20000,
                                       .open_files_max = -1,
                                       .memory_bytes_max = -1,
                                       .processes_max = -1,
                                       .core_bytes_max = -1,
                                       .argc = 2,
                                       .argv = { SLICE("sleep"), SLICE("1000") } };
    say(&(struct link_msg){ .type = LINK_START, .start = &start });
    assert_true(expect(LINK_STARTED)->flag);
    const struct link_msg *m = expect(LINK_EXITED);
    assert_true(WIFSIGNALED(m->status) && WTERMSIG(m->status) == SIGKILL);
}

static unsigned port_of(const struct link_msg *m)
{
    char text[128];
    snprintf(text, sizeof(text), "%.*s", (int)m->text.n, m->text.p);
    return (unsigned)atoi(strrchr(text, ':') + 1);
}

static int connect_port(unsigned port)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0)
        return fd;
    close(fd);
    return -1;
}

static pid_t who_answers(unsigned port)
{
    char text[16] = "";
    int fd = connect_port(port);
    assert_true(fd >= 0);
    wait_readable(fd);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    return n > 0 ? (pid_t)atoi(text) : 0;
}

static void test_listen(void **state)
{
    const struct link_msg *m = ask_listen("tcp:*:0", 3);
    assert_int_equal(m->number, 0);
    assert_true(slice_eq(m->name, SLICE("tcp:*:0")));
    unsigned port = port_of(m);
    assert_true(port > 0);
    assert_int_equal(port_of(ask_listen("tcp:*:0", 3)), port); /* the same again */
    close(connect_port(port));

    say(&(struct link_msg){ .type = LINK_UNLISTEN, .text = SLICE("tcp:*:0") });
    WAIT_UNTIL(connect_port(port) < 0);
    m = ask_listen("tcp:nowhere:80", 1);
    assert_int_equal(m->number, EINVAL);
}

static void test_listen_unix(void **state)
{
    char address[128];
    struct stat st;
    snprintf(address, sizeof(address), "unix:%s/web.sock", state_dir);
    int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    strcpy(a.sun_path, address + 5);
    assert_int_equal(bind(stale, (struct sockaddr *)&a, sizeof(a)), 0);
    close(stale); /* its file stays */
    assert_int_equal(ask_listen(address, 2)->number, 0);
    assert_int_equal(stat(address + 5, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0666);
}

static void test_foreign_listener(void **state)
{
    const int on = 1;
    for (int share = 0; share <= 1; share++) {
        struct sockaddr_in a = { .sin_family = AF_INET };
        socklen_t bytes = sizeof(a);
        char address[64];
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        if (share)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
        assert_int_equal(listen(fd, 1), 0);
        getsockname(fd, (struct sockaddr *)&a, &bytes);
        snprintf(address, sizeof(address), "tcp:*:%d", ntohs(a.sin_port));
        const struct link_msg *m = ask_listen(address, 2);
        assert_int_equal(m->number, EADDRINUSE);
        assert_true(slice_eq(m->text, slice_of(address)));
        assert_non_null(memmem(m->name.p, m->name.n, "another process", 15));
        close(fd);
    }
}

static pid_t start_proxy(int loops)
{
    say(&(struct link_msg){ .type = LINK_PROXY_CONFIG, .text = SLICE(""), .number = loops });
    const struct link_msg *m = expect(LINK_PROXY);
    assert_int_equal(m->fd_count, 1);
    return (pid_t)m->number;
}

/* Every socket of the group gets its share: a connection to one that nobody accepts from would
 * never be answered. */
static void test_proxy_serves_and_is_restarted(void **state)
{
    unsigned port = port_of(ask_listen("tcp:*:0", 3));
    pid_t proxy = start_proxy(3);
    for (int i = 0; i < 50; i++)
        assert_int_equal(who_answers(port), proxy);
    kill(proxy, SIGKILL);
    pid_t next = (pid_t)expect(LINK_PROXY)->number;
    assert_int_not_equal(next, proxy);
    assert_int_equal(who_answers(port), next);
    kill(controller_pid(), SIGKILL);
    meet_controller();
    assert_int_equal(expect(LINK_PROXY)->number, next);
}

static void test_keeper_killed(void **state)
{
    char log[128];
    snprintf(log, sizeof(log), "%s/log", state_dir);
    unsigned port = port_of(ask_listen("tcp:*:0", 2));
    pid_t proxy = start_proxy(2);
    assert_int_equal(who_answers(port), proxy);
    pid_t first = start_instance("shop-1", "exec sleep 1000", log);
    pid_t second = start_instance("shop-2", "exec sleep 1000", log);
    pid_t third = start_instance("shop-3", "setsid sleep 1000 & echo $!; exec sleep 1000", log);
    WAIT_UNTIL(read_text(log)[0]);
    pid_t escaped = (pid_t)atoi(read_text(log));

    kill_hard(keeper_pid);
    waitpid(keeper_pid, NULL, 0);
    kill_hard(third);
    assert_int_equal(who_answers(port), proxy);
    start_keeper();
    assert_true(expect(LINK_KEEPER)->flag);
    assert_int_equal(expect(LINK_PROXY)->number, proxy);
    WAIT_UNTIL(gone(escaped)); /* its instance is dead, so it goes too */

    say(&(struct link_msg){ .type = LINK_LIST });
    for (int i = 0; i < 2; i++) {
        const struct link_msg *m = expect(LINK_RUNNING);
        assert_true(m->number == first || m->number == second);
        assert_true(m->flag);
        assert_true(slice_eq(m->text, SLICE("meta of it")));
    }
    assert_int_equal(port_of(expect(LINK_LISTENING)), port);
    expect(LINK_LIST_END);
    assert_int_equal(who_answers(port), proxy);

    say_signal("shop-1", SIGTERM);
    const struct link_msg *m = expect(LINK_EXITED);
    assert_int_equal(m->number, first);
    assert_true(m->flag);
}

/* The records are lost: the tokens are enough. */
static void test_adopts_without_records(void **state)
{
    char path[128];
    pid_t pid = start_instance("shop-1", "exec sleep 1000", "");
    snprintf(path, sizeof(path), "%s/keeper/shop-1", state_dir);
    kill_hard(keeper_pid);
    waitpid(keeper_pid, NULL, 0);
    assert_int_equal(unlink(path), 0);
    start_keeper();
    say(&(struct link_msg){ .type = LINK_LIST });
    assert_int_equal(expect(LINK_RUNNING)->number, pid);
    assert_int_equal(access(path, F_OK), 0);
}

static void test_only_one_keeper(void **state)
{
    pid_t other = fork_keeper(state_dir);
    assert_int_equal(WEXITSTATUS(wait_exit(other)), 1);
    expect(LINK_KEEPER); /* the first one is well */
    assert_int_equal(keeper_is_free(state_dir, NULL), -EBUSY);
    say_exit(0, false);
    wait_exit(keeper_pid);
    keeper_pid = 0;
    assert_int_equal(keeper_is_free(state_dir, NULL), 0);
}

/* Where nothing can be written, even by root. */
static void test_read_only_state(void **state)
{
    say_exit(0, false);
    wait_exit(keeper_pid);
    keeper_pid = 0;
    pid_t first = fork_keeper("/proc/sys/kernel");
    meet_controller();
    expect(LINK_KEEPER);
    assert_int_equal(keeper_is_free("/proc/sys/kernel", NULL), -EBUSY);
    pid_t other = fork_keeper("/proc/sys/kernel");
    assert_int_equal(WEXITSTATUS(wait_exit(other)), 1);
    pid_t pid = start_instance("shop-1", "exec sleep 1000", "");
    assert_true(pid > 0);
    kill_hard(first);
    waitpid(first, NULL, 0);
    first = fork_keeper("/proc/sys/kernel");
    meet_controller();
    say(&(struct link_msg){ .type = LINK_LIST });
    assert_int_equal(expect(LINK_RUNNING)->number, pid);
    say_exit(0, false);
    assert_int_equal(WEXITSTATUS(wait_exit(first)), 0);
    assert_true(gone(pid));
}

static void test_stop_signals(void **state)
{
    pid_t pid = start_instance("shop-1", "trap '' TERM; while :; do sleep 1000; done", "");
    kill(keeper_pid, SIGTERM);
    assert_int_equal(expect(LINK_TERM)->number, 1);
    kill(controller_pid(), SIGKILL); /* the next one is told as well */
    meet_controller();
    assert_int_equal(expect(LINK_TERM)->number, 1);
    kill(keeper_pid, SIGTERM);
    assert_int_equal(WEXITSTATUS(wait_exit(keeper_pid)), 1);
    keeper_pid = 0;
    WAIT_UNTIL(gone(pid));
}

static void test_hup(void **state)
{
    kill(keeper_pid, SIGHUP);
    expect(LINK_HUP);
}

static void test_exit(void **state)
{
    char path[128];
    pid_t proxy = start_proxy(1);
    pid_t pid = start_instance("shop-1", "exec sleep 1000", "");
    say_exit(3, false);
    assert_int_equal(WEXITSTATUS(wait_exit(keeper_pid)), 3);
    keeper_pid = 0;
    assert_true(gone(proxy));
    assert_true(gone(pid));
    snprintf(path, sizeof(path), "%s/keeper/shop-1", state_dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void test_detach(void **state)
{
    unsigned port = port_of(ask_listen("tcp:*:0", 2));
    pid_t proxy = start_proxy(2);
    pid_t pid = start_instance("shop-1", "exec sleep 1000", "");
    say_exit(0, true);
    assert_int_equal(WEXITSTATUS(wait_exit(keeper_pid)), 0);
    assert_false(gone(pid));
    assert_int_equal(who_answers(port), proxy);
    start_keeper();
    assert_int_equal(expect(LINK_PROXY)->number, proxy);
    assert_int_equal(port_of(ask_listen("tcp:*:0", 2)) > 0, true);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--controller") == 0)
        return run_controller(argv[2]);
    if (argc > 1 && strcmp(argv[1], "--proxy") == 0)
        run_proxy();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* a killed keeper's children come to us */
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_controller_is_restarted),
        TEST(test_instance_life),
        TEST(test_start_that_hangs),
        TEST(test_record_is_enough),
        TEST(test_forged_token),
        TEST(test_no_such_command),
        TEST(test_nothing_is_inherited),
        TEST(test_daemon_does_not_survive_its_instance),
        TEST(test_task_has_a_deadline),
        TEST(test_listen),
        TEST(test_listen_unix),
        TEST(test_foreign_listener),
        TEST(test_proxy_serves_and_is_restarted),
        TEST(test_keeper_killed),
        TEST(test_adopts_without_records),
        TEST(test_only_one_keeper),
        TEST(test_read_only_state),
        TEST(test_stop_signals),
        TEST(test_hup),
        TEST(test_exit),
        TEST(test_detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
