/* Reading and writing the link's bytes. */
#include "link/wire.h"

#include <string.h>

void wire_put_bytes(struct wire_writer *w, const void *p, size_t n)
{
    if (n > 0 && w->n <= w->cap && n <= w->cap - w->n)
        memcpy(w->p + w->n, p, n);
    w->n += n;
}

void wire_put(struct wire_writer *w, uint64_t value, unsigned bytes)
{
    uint8_t le[8];
    for (unsigned i = 0; i < bytes; i++)
        le[i] = (uint8_t)(value >> (8 * i));
    wire_put_bytes(w, le, bytes);
}

void wire_put_text(struct wire_writer *w, struct slice text)
{
    wire_put(w, text.n, 4);
    wire_put_bytes(w, text.p, text.n);
}

const uint8_t *wire_get_bytes(struct wire_reader *r, size_t n)
{
    if (r->bad || n > r->left) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    r->left -= n;
    return p;
}

uint64_t wire_get(struct wire_reader *r, unsigned bytes)
{
    const uint8_t *p = wire_get_bytes(r, bytes);
    uint64_t value = 0;
    for (unsigned i = 0; p && i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

int64_t wire_get_in(struct wire_reader *r, unsigned bytes, int64_t min, int64_t max)
{
    int64_t value = (int64_t)wire_get(r, bytes);
    if (r->bad || value < min || value > max) {
        r->bad = true;
        return 0;
    }
    return value;
}

struct slice wire_get_text(struct wire_reader *r, size_t n_max)
{
    size_t n = (size_t)wire_get(r, 4);
    const uint8_t *p = n <= n_max ? wire_get_bytes(r, n) : NULL;
    if (!p || memchr(p, '\0', n)) {
        r->bad = true;
        return (struct slice){ "", 0 };
    }
    return (struct slice){ (const char *)p, n };
}
