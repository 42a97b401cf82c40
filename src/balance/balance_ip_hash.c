/* The same client goes to the same instance: rendezvous hashing (Thaler and Ravishankar, 1998).
 * Every pair of client and instance has a fixed pseudo-random score and the highest wins, so an
 * instance that comes takes its share of clients from each of the others, one that goes leaves its
 * clients to all the others, and nobody else moves. Weighted after Schindelhauer and Schomaker,
 * "Weighted distributed hash tables", 2005: the highest weight / -log(u) wins. */
#include "balance/balance_int.h"

#include <string.h>

#include "base/util.h"

#define LOG_BITS 16

/* The finisher of splitmix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static uint64_t client_key(struct slice ip)
{
    uint64_t words[2] = { 0, 0 };
    if (ip.n > 0)
        memcpy(words, ip.p, MIN(ip.n, sizeof(words)));
    return mix(mix(words[0] + ip.n) ^ words[1]);
}

static uint64_t score_of(uint64_t key, uint32_t number)
{
    return mix(key ^ mix(number + UINT64_C(0x9e3779b97f4a7c15)));
}

/* -log2((score + 1) / 2^64) with LOG_BITS bits behind the point, one bit per squaring. Integers,
 * so that every machine agrees. */
static uint64_t minus_log2(uint64_t score)
{
    uint64_t u = score | 1;
    unsigned zeros = (unsigned)__builtin_clzll(u);
    uint64_t mantissa = u << zeros >> 32; /* 1 <= x < 2, scaled by 2^31 */
    uint64_t fraction = 0;
    for (int bit = 0; bit < LOG_BITS; bit++) {
        mantissa = mantissa * mantissa >> 31;
        fraction <<= 1;
        if (mantissa >> 32) {
            fraction |= 1;
            mantissa >>= 1;
        }
    }
    return ((uint64_t)(zeros + 1) << LOG_BITS) - fraction;
}

struct bid {
    uint64_t score;
    uint32_t weight;
};

static bool beats(struct bid a, struct bid b)
{
    if (a.weight == b.weight)
        return a.score > b.score;
    return a.weight * minus_log2(b.score) > b.weight * minus_log2(a.score);
}

static int pick(struct balance *b, const struct balance_request *r)
{
    uint64_t key = client_key(r->client_ip);
    int best = BALANCE_NONE;
    struct bid highest = { 0 };
    for (size_t i = 0; i < b->count; i++) {
        if (!balance_may(b, i, r))
            continue;
        struct bid bid = { score_of(key, b->candidates[i].number),
                           balance_weight(b, i, r->now_us) };
        if (best == BALANCE_NONE || beats(bid, highest)) {
            best = (int)i;
            highest = bid;
        }
    }
    return best;
}

const struct balance_ops balance_ip_hash = {
    .name = "ip-hash",
    .help = "the same client to the same instance, as long as it lasts",
    .pick = pick,
};
