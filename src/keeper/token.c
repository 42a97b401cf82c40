/* The tag is a keyed hash of all that follows it: SipHash-2-4 (Aumasson and Bernstein, 2012), whose
 * 64 bits are plenty where every guess costs a restart of the keeper. */
#include "keeper/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_DIGITS 16

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(uint64_t v[4], int count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[2] = rotate(v[2], 32);
    }
}

static uint64_t word_of(const void *bytes, size_t n)
{
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++)
        word |= (uint64_t)((const uint8_t *)bytes)[i] << 8 * i;
    return word;
}

static uint64_t hash(const uint8_t secret[TOKEN_SECRET_BYTES], const char *text)
{
    size_t bytes = strlen(text), left = bytes;
    uint64_t k0 = word_of(secret, 8), k1 = word_of(secret + 8, 8);
    uint64_t v[4] = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261,
                      k1 ^ 0x7465646279746573 };
    for (bool last = false; !last;) {
        last = left < 8;
        uint64_t word = word_of(text, last ? left : 8) | (last ? (uint64_t)bytes << 56 : 0);
        v[3] ^= word;
        sip_rounds(v, 2);
        v[0] ^= word;
        text += last ? left : 8;
        left -= last ? left : 8;
    }
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void token_write(const struct token_key *key, uid_t uid, const char *text, char ret[TOKEN_MAX])
{
    char signed_text[TOKEN_TEXT_MAX + 16];
    snprintf(signed_text, sizeof(signed_text), "%u/%s", (unsigned)uid, text);
    snprintf(ret, TOKEN_MAX, "%s/%016llx-%s", key->identity,
             (unsigned long long)hash(key->secret, signed_text), signed_text);
}

bool token_read(const struct token_key *key, const char *token, uid_t *ret_uid,
                const char **ret_text)
{
    char tag[TAG_DIGITS + 1];
    size_t identity_bytes = strlen(key->identity);
    if (strncmp(token, key->identity, identity_bytes) != 0 || token[identity_bytes] != '/')
        return false;
    token += identity_bytes + 1;
    if (strnlen(token, TAG_DIGITS + 1) <= TAG_DIGITS || token[TAG_DIGITS] != '-')
        return false;
    const char *signed_text = token + TAG_DIGITS + 1, *slash = strchr(signed_text, '/');
    snprintf(tag, sizeof(tag), "%016llx", (unsigned long long)hash(key->secret, signed_text));
    if (!slash || memcmp(tag, token, TAG_DIGITS) != 0)
        return false;
    *ret_uid = (uid_t)strtoul(signed_text, NULL, 10);
    *ret_text = slash + 1;
    return true;
}
