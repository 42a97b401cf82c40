/* Who the things in an engine belong to: the group, or this state directory by a name that it keeps
 * for good, so that a restored one finds again what it had started. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "controller/controller_int.h"
#include "sys/files.h"
#include "sys/log.h"
#include "sys/mem.h"

#define LETTERS 12

static const char alphabet[] = "abcdefghijklmnopqrstuvwxyz0123456789";

static bool is_name(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return n > 0 && n <= 40 && text[n] == '\0';
}

static int read_from(const char *path, char *buf, size_t cap)
{
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, cap - 1);
    if (n < 0)
        return -errno;
    buf[n] = '\0';
    buf[strcspn(buf, "\r\n")] = '\0';
    return is_name(buf) ? 0 : -EINVAL;
}

static int write_to(const char *path, const char *name)
{
    char line[64];
    fmt(line, sizeof(line), "%s\n", name);
    return file_replace(path, line, strlen(line), 0644, true);
}

static void make_random(char name[LETTERS + 1])
{
    unsigned char bytes[LETTERS] = { 0 };
    if (getrandom(bytes, sizeof(bytes), 0) != sizeof(bytes))
        log_warn("the kernel gives no random numbers: %s", strerror(errno));
    for (size_t i = 0; i < LETTERS; i++)
        name[i] = alphabet[bytes[i] % (sizeof(alphabet) - 1)];
    name[LETTERS] = '\0';
}

/* The same at each start on this machine (FNV-1a), for a directory that takes no file. */
static void make_steady(const char *identity, char name[LETTERS + 1])
{
    char host[64] = "";
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    gethostname(host, sizeof(host) - 1);
    for (const char *p = identity; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    for (const char *p = host; *p; p++)
        hash = (hash ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < LETTERS; i++, hash /= sizeof(alphabet) - 1)
        name[i] = alphabet[hash % (sizeof(alphabet) - 1)];
    name[LETTERS] = '\0';
}

int owner_choose(const struct controller *c, const char *cluster, char *ret, size_t cap,
                 struct err *err)
{
    char path[512], name[64];
    if (cluster && !is_name(cluster))
        return err_at(err, -EINVAL, c->options->config_path,
                      "lease.cluster: \"%s\" must be 1 to 40 of a-z, 0-9 and \"-\"", cluster);
    if (cluster) {
        str_copy(ret, cap, cluster);
        return 0;
    }
    fmt(path, sizeof(path), "%s/owner", c->options->state_dir);
    int rc = read_from(path, name, sizeof(name));
    if (rc == -EINVAL)
        return err_at(err, rc, path, "this is no owner's name: 1 to 40 of a-z, 0-9 and \"-\"");
    if (rc < 0) {
        make_random(name);
        rc = write_to(path, name);
    }
    if (rc < 0) {
        log_warn("cannot keep the owner's name in %s: %s", path, strerror(-rc));
        make_steady(c->identity, name);
    }
    str_copy(ret, cap, name);
    return 0;
}
