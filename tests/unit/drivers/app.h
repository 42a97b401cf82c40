/* A tiny web app for tests: answers every request with 200 (or 503 while the file NOT_READY in its
 * environment exists), on PORT or SOCKET. */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int app_listen(void)
{
    const char *port = getenv("PORT"), *path = getenv("SOCKET");
    struct sockaddr_in v4 = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t)atoi(port ? port : "0")),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    const int on = 1;
    int fd = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (path)
        snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
    if ((path ? bind(fd, (struct sockaddr *)&un, sizeof(un))
              : bind(fd, (struct sockaddr *)&v4, sizeof(v4))) < 0 ||
        listen(fd, 64) < 0)
        exit(3);
    return fd;
}

static _Noreturn void app_main(void)
{
    static const char good[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    static const char bad[] = "HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n";
    const char *not_ready = getenv("NOT_READY");
    int fd = app_listen();
    printf("listening\n");
    fflush(stdout);
    for (;;) {
        char request[2048];
        int client = accept(fd, NULL, NULL);
        if (client < 0)
            continue;
        ssize_t n = read(client, request, sizeof(request));
        bool ready = !not_ready || access(not_ready, F_OK) != 0;
        if (n > 0)
            n = ready ? write(client, good, sizeof(good) - 1) : write(client, bad, sizeof(bad) - 1);
        close(client);
    }
}
