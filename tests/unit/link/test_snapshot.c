/* Snapshots: what the controller writes is what the proxy reads; anything that could lead the proxy
 * outside an array is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/util.h"
#include "link/gauges.h"
#include "link/snapshot.h"

static struct snapshot_instance instances[2];
static struct snapshot_service services[2];
static struct snapshot snapshot;
static uint8_t buffer[64 * 1024];

static int set_up(void **state)
{
    memset(instances, 0, sizeof(instances));
    memset(services, 0, sizeof(services));
    for (uint32_t i = 0; i < 2; i++) {
        instances[i] = (struct snapshot_instance){
            .name = "shop-3", .number = 3 + i, .slot = 70 + i, .weight = 1000, .ready_us = 99
        };
        strcpy(instances[i].address, "unix:/run/shop-3.sock");
        services[i] = (struct snapshot_service){ .name = "shop",
                                                 .slot = i,
                                                 .protocol = SNAPSHOT_TCP,
                                                 .balance = "least-conn",
                                                 .listener_count = 1,
                                                 .listener = { 1 },
                                                 .host_count = 1,
                                                 .host = { "*.example.com" },
                                                 .path = "/shop",
                                                 .max_concurrency = UINT32_MAX,
                                                 .queue_deadline_us = INT64_MAX,
                                                 .starting = true,
                                                 .unavailable = "it exits at once" };
    }
    services[1].instance_count = 2;
    services[1].instances = instances;
    snapshot = (struct snapshot){ .generation = UINT64_MAX - 1,
                                  .stopping = true,
                                  .connections_max = 10000,
                                  .listener_count = 2,
                                  .listeners = { "tcp:*:8080", "tcp:[::1]:8081" },
                                  .trust_count = 1,
                                  .trust = { { .address = { [15] = 1 }, .prefix_bits = 128 } },
                                  .service_count = 2,
                                  .services = services };
    return 0;
}

static size_t encode(void)
{
    size_t bytes = 0;
    assert_int_equal(snapshot_encode(&snapshot, buffer, sizeof(buffer), &bytes), 0);
    assert_int_equal(bytes, snapshot_size(&snapshot));
    return bytes;
}

static int decode(size_t bytes, struct arena *arena, struct snapshot *ret)
{
    struct err err = { 0 };
    uint8_t *exact = malloc(bytes + 1); /* so that the sanitizers see a read past the end */
    memcpy(exact, buffer, bytes);
    arena_init(arena, malloc, free, 1 << 20);
    int rc = snapshot_decode(exact, bytes, arena, ret, &err);
    free(exact);
    assert_true(rc == 0 || err.text[0]);
    return rc;
}

static int decode_and_drop(size_t bytes)
{
    struct arena arena;
    struct snapshot s;
    int rc = decode(bytes, &arena, &s);
    arena_done(&arena);
    return rc;
}

static void test_round_trip(void **state)
{
    struct arena arena;
    struct snapshot s;
    size_t bytes = encode(), again_bytes = 0;
    assert_int_equal(decode(bytes, &arena, &s), 0);
    assert_true(s.generation == UINT64_MAX - 1);
    assert_true(s.stopping);
    assert_string_equal(s.listeners[1], "tcp:[::1]:8081");
    assert_int_equal(s.trust[0].address[15], 1);
    assert_int_equal(s.trust[0].prefix_bits, 128);
    assert_memory_equal(&s.services[0], &services[0],
                        offsetof(struct snapshot_service, instance_count));
    assert_int_equal(s.services[1].instance_count, 2);
    assert_memory_equal(s.services[1].instances, instances, sizeof(instances));
    uint8_t *again = malloc(bytes);
    assert_int_equal(snapshot_encode(&s, again, bytes, &again_bytes), 0);
    assert_int_equal(again_bytes, bytes);
    assert_memory_equal(again, buffer, bytes);
    assert_int_equal(snapshot_encode(&s, again, bytes - 1, &again_bytes), -ENOBUFS);
    free(again);
    arena_done(&arena);
}

static void test_empty(void **state)
{
    snapshot = (struct snapshot){ .generation = 1 };
    assert_int_equal(decode_and_drop(encode()), 0);
}

static void test_refuses_other_lengths(void **state)
{
    size_t bytes = encode();
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(decode_and_drop(cut), -EPROTO);
    buffer[bytes] = 0;
    assert_int_equal(decode_and_drop(bytes + 1), -EPROTO);
}

static void spoil_weight_zero(void)
{
    instances[0].weight = 0;
}

static void spoil_weight_large(void)
{
    instances[0].weight = 1001;
}

static void spoil_instance_slot(void)
{
    instances[0].slot = GAUGES_INSTANCES_MAX;
}

static void spoil_instance_slot_twice(void)
{
    instances[0].slot = instances[1].slot;
}

static void spoil_service_slot(void)
{
    services[0].slot = GAUGES_SERVICES_MAX;
}

static void spoil_service_slot_twice(void)
{
    services[0].slot = services[1].slot;
}

static void spoil_listener(void)
{
    services[0].listener[0] = 2;
}

static void spoil_protocol(void)
{
    services[0].protocol = (enum snapshot_protocol)2;
}

static void spoil_prefix(void)
{
    snapshot.trust[0].prefix_bits = 129;
}

static void spoil_duration(void)
{
    services[0].drain_us = -1;
}

static void test_refuses_out_of_range(void **state)
{
    static void (*const spoil[])(void) = {
        spoil_weight_zero,   spoil_weight_large,
        spoil_instance_slot, spoil_instance_slot_twice,
        spoil_service_slot,  spoil_service_slot_twice,
        spoil_listener,      spoil_protocol,
        spoil_prefix,        spoil_duration,
    };
    for (size_t i = 0; i < ARRAY_LEN(spoil); i++) {
        set_up(NULL);
        spoil[i]();
        if (decode_and_drop(encode()) != -EPROTO)
            fail_msg("row %zu was taken", i);
    }
}

/* Whatever single byte is changed: refused, or taken as something that encodes to the same. */
static void test_any_byte(void **state)
{
    size_t bytes = encode();
    for (size_t i = 0; i < bytes; i++) {
        uint8_t was = buffer[i];
        struct arena arena;
        struct snapshot s;
        buffer[i] ^= 0x81;
        int rc = decode(bytes, &arena, &s);
        assert_true(rc == 0 || rc == -EPROTO);
        if (rc == 0) {
            static uint8_t again[sizeof(buffer)];
            size_t n = 0;
            assert_int_equal(snapshot_encode(&s, again, sizeof(again), &n), 0);
            assert_int_equal(n, bytes);
            assert_memory_equal(again, buffer, bytes);
        }
        arena_done(&arena);
        buffer[i] = was;
    }
}

static void test_memory_cap(void **state)
{
    struct arena arena;
    struct snapshot s;
    size_t bytes = encode();
    arena_init(&arena, malloc, free, 1024);
    assert_int_equal(snapshot_decode(buffer, bytes, &arena, &s, NULL), -ENOMEM);
    arena_done(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, set_up),
        cmocka_unit_test_setup(test_empty, set_up),
        cmocka_unit_test_setup(test_refuses_other_lengths, set_up),
        cmocka_unit_test_setup(test_refuses_out_of_range, set_up),
        cmocka_unit_test_setup(test_any_byte, set_up),
        cmocka_unit_test_setup(test_memory_cap, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
