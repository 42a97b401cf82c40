/* A POSIX record lock: the kernel drops it with its process, fork() does not copy it, and F_GETLK
 * tells who has it. Such a lock goes when any descriptor of the file is closed, so nobody else here
 * may ever open it. Where the file cannot be written, an abstract socket's name does the same. */
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

#include "keeper/rendezvous.h"
#include "sys/log.h"
#include "sys/mem.h"

int lock_identify(const char *state_dir, char ret[LOCK_IDENTITY_MAX], struct err *err)
{
    struct stat st;
    if (stat(state_dir, &st) < 0)
        return err_set(err, -errno, "cannot use the state directory %s: %s", state_dir,
                       strerror(errno));
    if (!S_ISDIR(st.st_mode))
        return err_set(err, -ENOTDIR, "the state directory %s is not a directory", state_dir);
    snprintf(ret, LOCK_IDENTITY_MAX, "%llx-%llx", (unsigned long long)st.st_dev,
             (unsigned long long)st.st_ino);
    return 0;
}

static int busy(struct err *err, const char *state_dir, pid_t pid)
{
    return err_set(err, -EBUSY,
                   "plimsoll is already running on %s, pid %d: use `plimsoll stop` or another "
                   "--state",
                   state_dir, (int)pid);
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
    TAKE_FD(fd); /* stays open: it is the lock */
    return 0;
}

int lock_look(const char *state_dir, const char *identity, struct err *err)
{
    char path[PATH_MAX];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    snprintf(path, sizeof(path), "%s/keeper.lock", state_dir);
    _cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK)
        return busy(err, state_dir, lock.l_pid);
    pid_t pid = name_holder(identity);
    return pid > 0 ? busy(err, state_dir, pid) : 0;
}

int lock_take(const char *state_dir, const char *identity, struct err *err)
{
    char path[PATH_MAX];
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    snprintf(path, sizeof(path), "%s/keeper.lock", state_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        log_warn("cannot write to the state directory %s: %s; going on without", state_dir,
                 strerror(errno));
        return take_name(state_dir, identity, err);
    }
    if (fcntl(fd, F_SETLK, &lock) == 0)
        return 0; /* fd stays open: it is the lock */
    int rc = -errno;
    if (rc != -EACCES && rc != -EAGAIN) { /* a file system without locks */
        close(fd);
        return take_name(state_dir, identity, err);
    }
    fcntl(fd, F_GETLK, &lock);
    close(fd);
    return busy(err, state_dir, lock.l_type == F_UNLCK ? 0 : lock.l_pid);
}
