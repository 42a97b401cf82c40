/* Matching by comparison over the services of one listener. Pure. */
#include "proxy/router.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "proxy/service.h"

enum host_rank { HOST_NONE, HOST_ANY, HOST_WILDCARD, HOST_EXACT };

struct match {
    enum host_rank rank;
    size_t host_bytes; /* of the pattern: a longer wildcard says more */
    size_t path_bytes;
};

static void match_host(const struct snapshot_service *v, struct slice host, struct match *m)
{
    if (v->host_count == 0) {
        m->rank = HOST_ANY;
        return;
    }
    for (uint32_t i = 0; i < v->host_count; i++) {
        struct slice want = slice_of(v->host[i]);
        if (slice_eq_nocase(want, host)) {
            m->rank = HOST_EXACT;
            m->host_bytes = want.n;
            return;
        }
        if (want.n < 3 || want.p[0] != '*' || host.n < want.n)
            continue;
        struct slice suffix = { want.p + 1, want.n - 1 };
        struct slice tail = { host.p + host.n - suffix.n, suffix.n };
        if (slice_eq_nocase(suffix, tail) && want.n > m->host_bytes) {
            m->rank = HOST_WILDCARD;
            m->host_bytes = want.n;
        }
    }
}

/* "/a" covers "/a" and "/a/b", not "/ab". */
static bool match_path(const char *prefix, struct slice path, struct match *m)
{
    size_t n = strlen(prefix);
    while (n > 0 && prefix[n - 1] == '/')
        n--;
    m->path_bytes = n;
    if (n == 0)
        return true;
    return path.n >= n && memcmp(path.p, prefix, n) == 0 && (path.n == n || path.p[n] == '/');
}

static bool better(const struct match *a, const struct match *b)
{
    if (a->rank != b->rank)
        return a->rank > b->rank;
    if (a->host_bytes != b->host_bytes)
        return a->host_bytes > b->host_bytes;
    return a->path_bytes > b->path_bytes;
}

struct service *router_find(const struct site *site, struct slice host, struct slice path,
                            int *ret_status)
{
    struct service *best = NULL;
    struct match best_match = { 0 };
    bool host_known = false;
    if (host.n > 1 && host.p[host.n - 1] == '.')
        host.n--;
    for (uint32_t i = 0; i < site->count; i++) {
        struct service *s = site->services[i];
        struct match m = { 0 };
        match_host(&s->conf, host, &m);
        if (m.rank == HOST_NONE)
            continue;
        host_known = true;
        if (match_path(s->conf.path, path, &m) && (!best || better(&m, &best_match))) {
            best = s;
            best_match = m;
        }
    }
    if (!best)
        *ret_status = host_known || site->count == 0 ? 404 : 421;
    return best;
}
