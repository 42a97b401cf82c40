/* The heap, the table, the list and the arena, each against a plain model of itself. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/fmt.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"
#include "base/table.h"

#define ITEMS 64

/* The item that must be on top: the smallest key, then the oldest. */
static struct heap_item *expected_top(struct heap_item *items)
{
    struct heap_item *top = NULL;
    for (size_t i = 0; i < ITEMS; i++) {
        struct heap_item *it = &items[i];
        if (it->index > 0 &&
            (!top || it->key < top->key || (it->key == top->key && it->sequence < top->sequence)))
            top = it;
    }
    return top;
}

static void heap_agrees_with_a_search(void **state)
{
    struct heap_item items[ITEMS] = { 0 }, *places[ITEMS];
    struct heap h;
    struct rng rng;
    heap_init(&h, places, ITEMS);
    rng_init(&rng, 21);
    for (int n = 0; n < 50000; n++) {
        struct heap_item *it = &items[rng_below(&rng, ITEMS)];
        int64_t key = (int64_t)rng_below(&rng, 20) - 10;
        if (it->index == 0)
            assert_int_equal(heap_push(&h, it, key), 0);
        else if (rng_below(&rng, 2))
            heap_remove(&h, it);
        else
            heap_move(&h, it, key);
        assert_ptr_equal(heap_top(&h), expected_top(items));
    }
}

static void heap_fires_ties_in_order(void **state)
{
    struct heap_item items[ITEMS] = { 0 }, *places[ITEMS];
    struct heap h;
    heap_init(&h, places, ITEMS);
    assert_null(heap_top(&h));
    for (size_t i = 0; i < ITEMS; i++)
        assert_int_equal(heap_push(&h, &items[i], 5), 0);
    struct heap_item more = { 0 };
    assert_int_equal(heap_push(&h, &more, 5), -ENOBUFS);
    assert_int_equal(more.index, 0);
    for (size_t i = 0; i < ITEMS; i++) {
        assert_ptr_equal(heap_top(&h), &items[i]);
        heap_remove(&h, &items[i]);
    }
    assert_null(heap_top(&h));
}

#define KEYS 96

static void table_agrees_with_an_array(void **state)
{
    struct table_slot slots[128] = { 0 };
    char names[KEYS][8];
    bool in[KEYS] = { false };
    struct table t;
    struct rng rng;
    table_init(&t, slots, ARRAY_LEN(slots));
    rng_init(&rng, 22);
    for (unsigned i = 0; i < KEYS; i++)
        fmt(names[i], sizeof(names[i]), "k%u", i);
    for (int n = 0; n < 20000; n++) {
        size_t i = rng_below(&rng, KEYS);
        struct slice key = slice_of(names[i]);
        if (rng_below(&rng, 2)) {
            assert_int_equal(table_put(&t, key, names[i]), in[i] ? -EEXIST : 0);
            in[i] = true;
        } else {
            assert_ptr_equal(table_take(&t, key), in[i] ? names[i] : NULL);
            in[i] = false;
        }
        size_t count = 0;
        for (size_t k = 0; k < KEYS; k++) {
            assert_ptr_equal(table_get(&t, slice_of(names[k])), in[k] ? names[k] : NULL);
            count += in[k];
        }
        assert_int_equal(t.count, count);
    }
}

static void table_is_bounded(void **state)
{
    struct table_slot slots[4] = { 0 };
    struct table t;
    table_init(&t, slots, 4);
    assert_int_equal(table_put(&t, SLICE("a"), slots), 0);
    assert_int_equal(table_put(&t, SLICE("b"), slots), 0);
    assert_int_equal(table_put(&t, SLICE(""), slots), 0);
    assert_int_equal(table_put(&t, SLICE("d"), slots), -ENOBUFS);
    assert_int_equal(table_put(&t, SLICE("a"), slots), -EEXIST);
    assert_ptr_equal(table_get(&t, SLICE("")), slots);
    assert_null(table_get(&t, SLICE("d")));
    assert_ptr_equal(table_take(&t, SLICE("b")), slots);
    assert_int_equal(table_put(&t, SLICE("d"), slots), 0);
}

struct thing {
    int value;
    struct list link;
};

static int sum_in_order(struct list *head)
{
    int sum = 0;
    LIST_FOR_EACH (it, head)
        sum = sum * 10 + LIST_ENTRY(it, struct thing, link)->value;
    return sum;
}

static void list_keeps_order(void **state)
{
    struct list head;
    struct thing a = { .value = 1 }, b = { .value = 2 }, c = { .value = 3 };
    list_init(&head);
    assert_true(list_empty(&head));
    list_push_back(&head, &b.link);
    list_push_back(&head, &c.link);
    list_push_front(&head, &a.link);
    assert_int_equal(sum_in_order(&head), 123);
    list_remove(&b.link);
    list_remove(&b.link);
    assert_int_equal(sum_in_order(&head), 13);
    list_insert_before(&a.link, &b.link);
    assert_int_equal(sum_in_order(&head), 213);
    LIST_FOR_EACH (it, &head)
        list_remove(it);
    assert_true(list_empty(&head));
}

static int chunks_alive, chunks_left;

static void *count_alloc(size_t bytes)
{
    if (chunks_left == 0)
        return NULL;
    chunks_left--;
    chunks_alive++;
    return malloc(bytes);
}

static void count_free(void *chunk)
{
    chunks_alive--;
    free(chunk);
}

static void arena_gives_zeroed_aligned_blocks(void **state)
{
    struct arena a;
    struct rng rng;
    rng_init(&rng, 23);
    chunks_left = 1000;
    arena_init(&a, count_alloc, count_free, (size_t)1 << 24);
    for (int n = 0; n < 2000; n++) {
        size_t bytes = rng_below(&rng, n % 100 == 0 ? 200000 : 500);
        unsigned char *p = arena_alloc(&a, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < bytes; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xff, bytes);
    }
    assert_true(a.used_bytes <= a.cap_bytes && chunks_alive > 1);
    arena_done(&a);
    assert_int_equal(chunks_alive, 0);
    assert_int_equal(a.used_bytes, 0);
}

static void arena_holds_to_its_cap(void **state)
{
    struct arena a;
    size_t given = 0;
    chunks_left = 1000;
    arena_init(&a, count_alloc, count_free, 10000); /* less than one chunk of the usual size */
    while (arena_alloc(&a, 100))
        given += 100;
    assert_in_range(given, 8000, 10000);
    assert_true(a.used_bytes <= 10000);
    assert_null(arena_alloc(&a, 5000));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 40));
    assert_null(arena_alloc_array(&a, SIZE_MAX / 2, 3));
    arena_done(&a);
    arena_init(&a, count_alloc, count_free, 0);
    assert_null(arena_alloc(&a, 1));
    assert_int_equal(chunks_alive, 0);
}

static void arena_passes_failures_on(void **state)
{
    struct arena a;
    chunks_left = 1;
    arena_init(&a, count_alloc, count_free, (size_t)1 << 24);
    assert_non_null(arena_alloc(&a, 60000));
    assert_null(arena_alloc(&a, 60000));
    assert_null(arena_strdup(&a, "this still fits") ? NULL : "it must");
    arena_done(&a);
    assert_int_equal(chunks_alive, 0);
}

static void arena_copies_text(void **state)
{
    struct arena a;
    chunks_left = 10;
    arena_init(&a, count_alloc, count_free, (size_t)1 << 20);
    assert_string_equal(arena_strdup(&a, "shop"), "shop");
    assert_string_equal(arena_strndup(&a, "shopping", 4), "shop");
    assert_string_equal(arena_strndup(&a, NULL, 0), "");
    int *numbers = ARENA_ARRAY(&a, int, 3);
    assert_true(numbers[0] == 0 && numbers[2] == 0);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heap_agrees_with_a_search),
        cmocka_unit_test(heap_fires_ties_in_order),
        cmocka_unit_test(table_agrees_with_an_array),
        cmocka_unit_test(table_is_bounded),
        cmocka_unit_test(list_keeps_order),
        cmocka_unit_test(arena_gives_zeroed_aligned_blocks),
        cmocka_unit_test(arena_holds_to_its_cap),
        cmocka_unit_test(arena_passes_failures_on),
        cmocka_unit_test(arena_copies_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
