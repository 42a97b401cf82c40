/* SHA-1 (FIPS 180-4) and base64 (RFC 4648) for one purpose, the WebSocket handshake. Not for
 * anything that has to be secret. */
#include "ws.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define SHA1_BLOCK 64

static uint32_t rotate(uint32_t x, int n)
{
    return x << n | x >> (32 - n);
}

static void sha1_block(uint32_t h[5], const uint8_t *p)
{
    uint32_t w[80];
    for (int i = 0; i < 16; i++)
        w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 |
               (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < 80; i++) {
        uint32_t f, k;
        if (i < 20)
            f = (b & c) | (~b & d), k = 0x5a827999;
        else if (i < 40)
            f = b ^ c ^ d, k = 0x6ed9eba1;
        else if (i < 60)
            f = (b & c) | (b & d) | (c & d), k = 0x8f1bbcdc;
        else
            f = b ^ c ^ d, k = 0xca62c1d6;
        uint32_t t = rotate(a, 5) + f + e + k + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* Texts of up to 119 bytes: two blocks. */
static void sha1(const char *text, uint8_t ret[20])
{
    uint32_t h[5] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0 };
    uint8_t data[2 * SHA1_BLOCK] = { 0 };
    size_t n = strlen(text);
    size_t blocks = n + 9 <= SHA1_BLOCK ? 1 : 2;
    memcpy(data, text, n);
    data[n] = 0x80;
    data[blocks * SHA1_BLOCK - 2] = (uint8_t)(n * 8 >> 8);
    data[blocks * SHA1_BLOCK - 1] = (uint8_t)(n * 8);
    for (size_t i = 0; i < blocks; i++)
        sha1_block(h, data + i * SHA1_BLOCK);
    for (int i = 0; i < 20; i++)
        ret[i] = (uint8_t)(h[i / 4] >> (24 - 8 * (i % 4)));
}

void ws_accept(const char *key, char ret[WS_ACCEPT_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[112];
    uint8_t hash[21] = { 0 };
    snprintf(text, sizeof(text), "%.64s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    sha1(text, hash);
    for (int i = 0; i < 7; i++) {
        uint32_t v = (uint32_t)hash[3 * i] << 16 | (uint32_t)hash[3 * i + 1] << 8 | hash[3 * i + 2];
        for (int k = 0; k < 4; k++)
            ret[4 * i + k] = digits[v >> (18 - 6 * k) & 63];
    }
    ret[27] = '=';
    ret[28] = 0;
}
