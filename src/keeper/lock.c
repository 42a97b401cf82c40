/* An open file description's lock (F_OFD_SETLK): it goes when the last descriptor of that opening
 * is closed, so with its process however that ends, and not when somebody else here opens the file.
 * The file says whose it is. Where it cannot be written, an abstract socket's name does the same.
 */
#include "keeper/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/num.h"
#include "keeper/identity.h"
#include "keeper/rendezvous.h"
#include "sys/log.h"
#include "sys/mem.h"

static int held_fd = -1; /* the lock, once it is ours */

int lock_identify(const char *state_dir, char ret[LOCK_IDENTITY_MAX], struct err *err)
{
    struct stat st;
    if (stat(state_dir, &st) < 0)
        return err_set(err, -errno, "cannot use the state directory %s: %s", state_dir,
                       strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "the state directory %s is not a directory", state_dir);
    char own[LOCK_IDENTITY_MAX];
    snprintf(own, sizeof(own), "%llx-%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    if (!identity_inherited(state_dir, own, ret))
        memcpy(ret, own, sizeof(own));
    return 0;
}

static int busy(struct err *err, const char *state_dir, pid_t pid)
{
    char who[64] = "by a process that does not say who it is";
    if (pid > 0)
        snprintf(who, sizeof(who), "pid %d", (int)pid);
    return err_set(
        err, -EBUSY,
        "plimsoll is already running on %s, %s: use `plimsoll stop`, another --state, or "
        "--standby to take over when it ends",
        state_dir, who);
}

static socklen_t name_of(const char *identity, struct sockaddr_un *ret)
{
    char name[RENDEZVOUS_NAME_MAX];
    snprintf(name, sizeof(name), "plimsoll-keeper-%s", identity);
    return rendezvous_address(name, ret);
}

/* The pid of whoever holds the name; 0 = nobody. */
static pid_t name_holder(const char *identity)
{
    struct sockaddr_un a;
    struct ucred peer = { 0 };
    socklen_t bytes = name_of(identity, &a), peer_bytes = sizeof(peer);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, bytes) == 0)
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes);
    return peer.pid;
}

static int take_name(const char *state_dir, const char *identity, struct err *err)
{
    struct sockaddr_un a;
    socklen_t bytes = name_of(identity, &a);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(err, -errno, "cannot make a socket: %s", strerror(errno));
    if (bind(fd, (const struct sockaddr *)&a, bytes) < 0 || listen(fd, SOMAXCONN) < 0)
        return busy(err, state_dir, name_holder(identity));
    held_fd = TAKE_FD(fd);
    return 0;
}

static int open_file(const char *state_dir, int flags)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/keeper.lock", state_dir);
    return open(path, O_RDWR | O_CLOEXEC | flags, 0600);
}

/* Who wrote it last; 0 = nobody, or a disk that was full. */
static pid_t read_pid(int fd)
{
    char text[16] = "";
    int64_t pid = 0;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n > 0)
        num_parse_i64((struct slice){ text, strcspn(text, "\n") }, &pid);
    return (pid_t)pid;
}

static void write_pid(int fd)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0)
        log_debug("cannot say in keeper.lock whose it is: %s", strerror(errno));
}

/* 0, -EAGAIN (another keeper's), or -errno: a file system without locks. */
static int lock_file(int fd, int command)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    if (fcntl(fd, command, &lock) < 0)
        return errno == EACCES ? -EAGAIN : -errno;
    return 0;
}

pid_t lock_holder(const char *state_dir, const char *identity)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    _cleanup_close_ int fd = open_file(state_dir, 0);
    if (fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        return lock.l_pid > 0 ? lock.l_pid : read_pid(fd) ?: LOCK_HOLDER_UNKNOWN;
    return name_holder(identity);
}

int lock_look(const char *state_dir, const char *identity, struct err *err)
{
    pid_t pid = lock_holder(state_dir, identity);
    return pid != 0 ? busy(err, state_dir, pid) : 0;
}

int lock_take(const char *state_dir, const char *identity, struct err *err)
{
    if (held_fd >= 0)
        return 0;
    _cleanup_close_ int fd = open_file(state_dir, O_CREAT);
    if (fd < 0) {
        log_warn("cannot write to the state directory %s: %s; going on without", state_dir,
                 strerror(errno));
        return take_name(state_dir, identity, err);
    }
    int rc = lock_file(fd, F_OFD_SETLK);
    if (rc == -EAGAIN)
        return busy(err, state_dir, read_pid(fd));
    if (rc < 0)
        return take_name(state_dir, identity, err);
    write_pid(fd);
    held_fd = TAKE_FD(fd);
    return 0;
}

/* The holder of the name never accepts; the connection ends when it does. */
static void wait_for_name(const char *identity)
{
    struct sockaddr_un a;
    char byte;
    socklen_t bytes = name_of(identity, &a);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&a, bytes) == 0)
        (void)!recv(fd, &byte, 1, 0);
}

int lock_wait(const char *state_dir, const char *identity, struct err *err)
{
    int rc;
    while ((rc = lock_take(state_dir, identity, err)) == -EBUSY) {
        _cleanup_close_ int fd = open_file(state_dir, 0);
        if (fd < 0 || lock_file(fd, F_OFD_SETLKW) < 0) {
            wait_for_name(identity);
            continue;
        }
        write_pid(fd);
        held_fd = TAKE_FD(fd);
        return 0;
    }
    return rc;
}
