/* An instance's requests in a small heap by when they end. It must never know of other instances,
 * nor why a request came to it. */
#include "sim/request/request_instance.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/util.h"

#define CAP_FIRST 32u

void request_instance_init(struct request_instance *i, uint32_t number, enum run_discipline d,
                           uint32_t slots, double slowness, int64_t now_ns)
{
    *i = (struct request_instance){
        .number = number,
        .shares = d == RUN_SHARED,
        .slots = slots,
        .slowness = slowness,
        .speed = 1 / slowness,
        .pace = slowness,
        .alone = true,
        .seen_ns = now_ns,
    };
}

void request_instance_done(struct request_instance *i)
{
    request_queue_done(&i->waiting);
    free(i->heap);
    i->heap = NULL;
    i->running = i->cap = 0;
}

static void set_in_flight(struct request_instance *i)
{
    atomic_store_explicit(&i->in_flight, i->running + i->waiting.count, memory_order_relaxed);
}

/* -- virtual time -------------------------------------------------------------------------------
 */

static void catch_up(struct request_instance *i, int64_t now_ns)
{
    i->done_ns += (double)(now_ns - i->seen_ns) * i->speed;
    i->seen_ns = now_ns;
}

/* After the number that runs has changed. An idle instance begins at 0 again: no bits are lost to
 * the past. */
static void set_speed(struct request_instance *i)
{
    if (i->running == 0)
        i->done_ns = 0;
    if (i->running <= i->slots && i->alone)
        return;
    i->alone = i->running <= i->slots;
    double share = i->alone ? 1 : (double)i->slots / (double)i->running;
    i->speed = share / i->slowness;
    i->pace = i->slowness / share;
}

int64_t request_instance_next_ns(const struct request_instance *i)
{
    if (i->running == 0)
        return INT64_MAX;
    double left_ns = (i->heap[0].end_ns - i->done_ns) * i->pace;
    int64_t whole_ns = (int64_t)left_ns;
    return i->seen_ns + MAX(whole_ns + ((double)whole_ns < left_ns), 0);
}

/* -- the heap -----------------------------------------------------------------------------------
 */

static int make_room(struct request_instance *i)
{
    if (i->running < i->cap)
        return 0;
    uint32_t cap = i->cap ? 2 * i->cap : CAP_FIRST;
    struct request_running *heap = realloc(i->heap, cap * sizeof(*heap));
    if (!heap)
        return -ENOMEM;
    i->heap = heap;
    i->cap = cap;
    return 0;
}

static int run(struct request_instance *i, struct request r)
{
    if (make_room(i) < 0)
        return -ENOMEM;
    struct request_running *heap = i->heap;
    double end_ns = i->done_ns + r.work_ns;
    uint32_t at = i->running++;
    for (; at > 0 && end_ns < heap[(at - 1) / 2].end_ns; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = (struct request_running){ end_ns, r };
    return 0;
}

static struct request pop(struct request_instance *i)
{
    struct request_running *heap = i->heap;
    struct request top = heap[0].request;
    struct request_running last = heap[--i->running];
    uint32_t at = 0;
    for (uint32_t child; (child = 2 * at + 1) < i->running; at = child) {
        if (child + 1 < i->running && heap[child + 1].end_ns < heap[child].end_ns)
            child++;
        if (last.end_ns <= heap[child].end_ns)
            break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return top;
}

/* -- coming and going ---------------------------------------------------------------------------
 */

int request_instance_add(struct request_instance *i, int64_t now_ns, struct request r)
{
    catch_up(i, now_ns);
    bool waits = !i->shares && i->running >= i->slots;
    int rc = waits ? request_queue_put(&i->waiting, r) : run(i, r);
    set_speed(i);
    set_in_flight(i);
    return rc;
}

struct request request_instance_take(struct request_instance *i, int64_t now_ns)
{
    assert(i->running > 0);
    catch_up(i, now_ns);
    struct request r = pop(i);
    if (i->waiting.count > 0)
        run(i, request_queue_take(&i->waiting)); /* there is room: one has just left */
    set_speed(i);
    set_in_flight(i);
    return r;
}
