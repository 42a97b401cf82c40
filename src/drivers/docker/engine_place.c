/* Where the engine is: the section's word, then DOCKER_HOST and its companions as the `docker`
 * command reads them, then the usual socket. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "drivers/docker/engine_int.h"

#define DEFAULT_HOST "unix:///var/run/docker.sock"
#define PORT_PLAIN 2375
#define PORT_TLS 2376

static int set_file(char *field, size_t cap, const char *path, const char *what, struct err *err)
{
    if (!path)
        return 0;
    if (!str_copy(field, cap, path))
        return err_set(err, -ENAMETOOLONG, "the path of the engine's %s is too long", what);
    return access(path, R_OK) < 0
               ? err_set(err, -errno, "cannot read %s (%s): %s", path, what, strerror(errno))
               : 0;
}

static int set_files(struct engine_place *p, const struct engine_conf *conf, struct err *err)
{
    int rc = set_file(p->ca, sizeof(p->ca), conf->ca, "ca", err);
    if (rc == 0)
        rc = set_file(p->cert, sizeof(p->cert), conf->cert, "cert", err);
    if (rc == 0)
        rc = set_file(p->key, sizeof(p->key), conf->key, "key", err);
    return rc;
}

/* DOCKER_TLS_VERIFY: three files of fixed names in DOCKER_CERT_PATH. */
static int set_files_of_environment(struct engine_place *p, struct err *err)
{
    char ca[512], cert[512], key[512];
    const char *verify = getenv("DOCKER_TLS_VERIFY"), *directory = getenv("DOCKER_CERT_PATH");
    if (!verify || !verify[0] || !directory)
        return 0;
    fmt(ca, sizeof(ca), "%s/ca.pem", directory);
    fmt(cert, sizeof(cert), "%s/cert.pem", directory);
    fmt(key, sizeof(key), "%s/key.pem", directory);
    struct engine_conf conf = { .ca = ca, .cert = cert, .key = key };
    return set_files(p, &conf, err);
}

static int set_tcp(struct engine_place *p, const char *authority, struct err *err)
{
    bool tls = p->ca[0] || p->cert[0];
    size_t n = strcspn(authority, "/");
    const char *port = memrchr(authority, ':', n), *bracket = memrchr(authority, ']', n);
    bool has_port = port && (!bracket || port > bracket);
    char number[16] = "";
    if (!has_port)
        fmt(number, sizeof(number), ":%d", tls ? PORT_TLS : PORT_PLAIN);
    if (n == 0 || fmt(p->base, sizeof(p->base), "%s://%.*s%s", tls ? "https" : "http", (int)n,
                      authority, number) >= sizeof(p->base))
        return err_set(err, -EINVAL, "\"%s\" is no host for an engine", p->host);
    return 0;
}

int engine_place_set(struct engine_place *p, const struct engine_conf *conf, struct err *err)
{
    const char *environment = getenv("DOCKER_HOST");
    bool of_environment = !conf->host && environment && environment[0];
    const char *host = conf->host ? conf->host : of_environment ? environment : DEFAULT_HOST;
    *p = (struct engine_place){ 0 };
    if (!str_copy(p->host, sizeof(p->host), host))
        return err_set(err, -ENAMETOOLONG, "the engine's host is too long");
    int rc = set_files(p, conf, err);
    if (rc == 0 && of_environment && !p->ca[0])
        rc = set_files_of_environment(p, err);
    if (rc < 0)
        return rc;
    if (strncmp(host, "tcp://", 6) == 0)
        return set_tcp(p, host + 6, err);
    if (strncmp(host, "unix://", 7) != 0)
        return err_set(err, -EINVAL,
                       "DOCKER_HOST is \"%s\": plimsoll knows unix:///PATH and tcp://HOST:PORT",
                       host);
    str_copy(p->base, sizeof(p->base), "http://localhost");
    if (!str_copy(p->unix_path, sizeof(p->unix_path), host + 7) || !host[7])
        return err_set(err, -ENAMETOOLONG, "%s is no path for a Unix socket", host + 7);
    return 0;
}
