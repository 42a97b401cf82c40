/* The child's side runs in a copy of a process with one thread, so it may do anything a program
 * may, and reports what went wrong as a whole struct err through a pipe that exec closes. */
#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/util.h"
#include "sys/log.h"
#include "sys/mem.h"

static const struct {
    int resource;
    const char *name;
} limit_info[SPAWN_LIMIT_MAX] = {
    [SPAWN_OPEN_FILES] = { RLIMIT_NOFILE, "open-files" },
    [SPAWN_MEMORY] = { RLIMIT_AS, "memory" },
    [SPAWN_PROCESSES] = { RLIMIT_NPROC, "processes" },
    [SPAWN_CORE] = { RLIMIT_CORE, "core" },
};

static void reset_signals(void)
{
    sigset_t none;
    for (int sig = 1; sig < NSIG; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* A log that cannot be opened (disk full, read-only) must not keep an instance from serving. */
static int redirect(const struct spawn *s, struct err *err)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return err_set(err, -errno, "cannot open /dev/null: %s", strerror(errno));
    int log_fd = null_fd;
    if (s->log_path) {
        log_fd = open(s->log_path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_CLOEXEC, 0640);
        if (log_fd < 0) {
            log_warn("cannot open the log %s: %s; its output is dropped", s->log_path,
                     strerror(errno));
            log_fd = null_fd;
        }
        dup2(log_fd, STDOUT_FILENO);
        dup2(log_fd, STDERR_FILENO);
    }
    dup2(null_fd, STDIN_FILENO);
    return 0;
}

static int set_limits(const struct spawn *s, struct err *err)
{
    setrlimit(RLIMIT_NOFILE, &s->open_files);
    for (int i = 0; i < SPAWN_LIMIT_MAX; i++) {
        if (s->limits[i] < 0)
            continue;
        struct rlimit limit = { (rlim_t)s->limits[i], (rlim_t)s->limits[i] };
        if (setrlimit(limit_info[i].resource, &limit) < 0)
            return err_set(err, -errno, "cannot set the limit %s to %lld: %s", limit_info[i].name,
                           (long long)s->limits[i], strerror(errno));
    }
    return 0;
}

static int find_user(const struct spawn *s, struct passwd **ret, struct err *err)
{
    if (!s->user || !s->user[0])
        return 0;
    errno = 0;
    struct passwd *user = getpwnam(s->user);
    if (!user)
        return err_set(err, errno ? -errno : -ENOENT,
                       "no user named \"%s\" on this machine: create it or change `user`", s->user);
    *ret = user;
    return 0;
}

static int become(const struct spawn *s, struct err *err)
{
    struct passwd *user = NULL;
    int rc = find_user(s, &user, err);
    if (rc < 0)
        return rc;
    struct group *group = NULL;
    if (s->group && s->group[0] && !(group = getgrnam(s->group)))
        return err_set(err, -ENOENT,
                       "no group named \"%s\" on this machine: create it or change `group`",
                       s->group);
    if (!user && !group)
        return 0;
    uid_t uid = user ? user->pw_uid : geteuid();
    gid_t gid = group ? group->gr_gid : user ? user->pw_gid : getegid();
    if (uid == geteuid() && gid == getegid() && uid != 0)
        return 0;
    if ((user ? initgroups(user->pw_name, gid) : setgroups(1, &gid)) < 0 || setgid(gid) < 0 ||
        setuid(uid) < 0)
        return err_set(err, -errno,
                       "cannot become user \"%s\" group \"%s\": %s; run plimsoll as root for that",
                       s->user ? s->user : "", s->group ? s->group : "", strerror(errno));
    return 0;
}

/* The bounding set while it may still be changed: as root without it, exec gains nothing. The
 * kernel knows fewer capabilities, or more, than its header; the first unknown one ends the walk.
 */
static void drop_capabilities(void)
{
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* not ours to drop: nothing to lose either */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
}

static int settle(const struct spawn *s, struct err *err)
{
    setsid();
    reset_signals();
    int rc = redirect(s, err);
    if (rc == 0)
        rc = set_limits(s, err);
    if (s->powerless)
        drop_capabilities();
    if (rc == 0)
        rc = become(s, err);
    if (rc < 0)
        return rc;
    if (s->directory && s->directory[0] && chdir(s->directory) < 0)
        return err_set(err, -errno, "cannot enter the directory %s: %s", s->directory,
                       strerror(errno));
    if (s->powerless && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return err_set(err, -errno, "cannot give up privileges: %s", strerror(errno));
    /* Ours are close-on-exec already; those that our own parent left open are not. */
    close_range(STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
    if (s->keep_fd >= 0 && fcntl(s->keep_fd, F_SETFD, 0) < 0)
        return err_set(err, -errno, "cannot hand on a descriptor: %s", strerror(errno));
    return 0;
}

static int become_program(const struct spawn *s, struct err *err)
{
    int rc = settle(s, err);
    if (rc < 0)
        return rc;
    char token[TOKEN_MAX];
    token_write(s->key, getuid(), s->token, token);
    environ = (char **)s->env; /* its PATH is the one to look in */
    if (setenv(TOKEN_NAME, token, 1) < 0)
        return err_set(err, -errno, "no memory for the environment within `limits`");
    if (s->exe)
        execv(s->exe, (char *const *)s->argv);
    else
        execvp(s->argv[0], (char *const *)s->argv);
    const char *hint = errno == ENOENT   ? "is it installed, and in PATH or given with its path?"
                       : errno == EACCES ? "is it executable, and may this user reach it?"
                                         : "check the command";
    return err_set(err, -errno, "cannot run \"%s\": %s; %s", s->argv[0], strerror(errno), hint);
}

static void report(int fd, const struct err *err)
{
    ssize_t n = write(fd, err, sizeof(*err));
    (void)n; /* the parent sees the exit status all the same */
}

pid_t spawn_start(const struct spawn *s, int *ret_fd, struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, -errno, "cannot make a pipe: %s", strerror(errno));
    _cleanup_close_ int read_fd = fds[0];
    _cleanup_close_ int write_fd = fds[1];
    pid_t pid = fork();
    if (pid < 0)
        return err_set(err, -errno, "cannot fork: %s", strerror(errno));
    if (pid == 0) {
        struct err failure = { 0 };
        become_program(s, &failure);
        report(write_fd, &failure);
        _exit(127);
    }
    *ret_fd = TAKE_FD(read_fd);
    return pid;
}

int spawn_result(int fd, struct err *err)
{
    struct err failure;
    _cleanup_close_ int owned_fd = fd;
    ssize_t n;
    do {
        n = read(owned_fd, &failure, sizeof(failure));
    } while (n < 0 && errno == EINTR);
    return n == sizeof(failure) ? err_set(err, failure.code, "%s", failure.text) : 0;
}

int spawn_wait(int fd, int timeout_ms, struct err *err)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int n;
    do {
        n = poll(&p, 1, timeout_ms);
    } while (n < 0 && errno == EINTR);
    if (n == 1)
        return spawn_result(fd, err);
    close(fd);
    return err_set(err, -ETIMEDOUT, "it does not begin: does the machine look up users slowly?");
}
