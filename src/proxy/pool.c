/* Takes a snapshot in. Refuses whole what is wrong anywhere: the proxy then stays on the old one.
 */
#include "proxy/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "balance/balance.h"
#include "link/gauges.h"
#include "proxy/address.h"
#include "sys/mem.h"

#define SNAPSHOT_BYTES_MAX (64u << 20)

static int check_service(const struct snapshot *s, const struct snapshot_service *v,
                         struct err *err)
{
    if (v->slot >= GAUGES_SERVICES_MAX)
        return err_set(err, -ERANGE, "service %s: slot %u is out of range", v->name, v->slot);
    if (!balance_find(slice_of(v->balance)))
        return err_set(err, -EINVAL, "service %s: unknown balance '%s'", v->name, v->balance);
    for (uint32_t i = 0; i < v->listener_count; i++)
        if (v->listener[i] >= s->listener_count)
            return err_set(err, -ERANGE, "service %s: listener out of range", v->name);
    for (uint32_t i = 0; i < v->instance_count; i++) {
        const struct snapshot_instance *in = &v->instances[i];
        struct address ignored;
        if (in->slot >= GAUGES_INSTANCES_MAX)
            return err_set(err, -ERANGE, "instance %s: slot out of range", in->name);
        if (address_parse(in->address, &ignored) < 0)
            return err_set(err, -EINVAL, "instance %s: bad address '%s'", in->name, in->address);
    }
    return 0;
}

static int decode(struct pool *p, int memfd, struct err *err)
{
    struct stat st;
    if (fstat(memfd, &st) < 0)
        return err_set(err, -errno, "cannot stat the snapshot");
    if (st.st_size <= 0 || st.st_size > SNAPSHOT_BYTES_MAX)
        return err_set(err, -EMSGSIZE, "snapshot of %lld bytes", (long long)st.st_size);
    size_t bytes = (size_t)st.st_size;
    void *map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, memfd, 0);
    if (map == MAP_FAILED)
        return err_set(err, -errno, "cannot map the snapshot");
    int rc = snapshot_decode(map, bytes, &p->arena, &p->snapshot, err);
    munmap(map, bytes);
    for (uint32_t i = 0; rc == 0 && i < p->snapshot.service_count; i++)
        rc = check_service(&p->snapshot, &p->snapshot.services[i], err);
    return rc;
}

int pool_new(int memfd, struct pool **ret, struct err *err)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (!p)
        return err_set(err, -ENOMEM, "out of memory");
    atomic_store(&p->refs, 1);
    mem_arena_init(&p->arena, 2 * (size_t)SNAPSHOT_BYTES_MAX);
    int rc = decode(p, memfd, err);
    if (rc < 0) {
        pool_unref(p);
        return rc;
    }
    *ret = p;
    return 0;
}

struct pool *pool_ref(struct pool *p)
{
    atomic_fetch_add(&p->refs, 1);
    return p;
}

void pool_unref(struct pool *p)
{
    if (!p || atomic_fetch_sub(&p->refs, 1) > 1)
        return;
    arena_done(&p->arena);
    free(p);
}
