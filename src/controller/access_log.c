/* The access log's file: opened here, for the controller may, and handed to the proxy, which may
 * not; rotated by size, one old one kept. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fmt.h"
#include "controller/controller_int.h"
#include "sys/log.h"

static void access_log_path(const struct controller *c, char *buf, size_t cap)
{
    if (c->config->access_log)
        fmt(buf, cap, "%s", c->config->access_log);
    else
        fmt(buf, cap, "%s/log/access.log", c->options->state_dir);
}

void controller_open_access_log(struct controller *c)
{
    char path[512];
    if (c->access_log_fd >= 0)
        close(c->access_log_fd);
    c->access_log_fd = -1;
    access_log_path(c, path, sizeof(path));
    if (strcmp(path, "off") != 0) {
        char folder[512];
        fmt(folder, sizeof(folder), "%s/log", c->options->state_dir);
        mkdir(folder, 0755);
        /* A FIFO that nobody reads must hold up nobody. */
        c->access_log_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
        if (c->access_log_fd < 0)
            log_warn("no access log: cannot open %s: %s", path, strerror(errno));
    }
    proxy_link_send_log(c);
}

void controller_rotate_access_log(struct controller *c)
{
    struct stat st;
    char path[512], old[520];
    if (c->access_log_fd < 0 || fstat(c->access_log_fd, &st) < 0 ||
        st.st_size < c->config->access_log_bytes)
        return;
    access_log_path(c, path, sizeof(path));
    fmt(old, sizeof(old), "%s.1", path);
    if (rename(path, old) == 0)
        controller_open_access_log(c);
}
