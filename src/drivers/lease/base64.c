/* Four characters for three bytes. */
#include "drivers/lease/base64.h"

#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_write(char *ret, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i += 3) {
        size_t have = MIN(n - i, (size_t)3);
        uint32_t word = 0;
        for (size_t k = 0; k < 3; k++)
            word = word << 8 | (k < have ? p[i + k] : 0);
        for (size_t k = 0; k < 4; k++)
            *ret++ = k <= have ? alphabet[word >> (18 - 6 * k) & 63] : '=';
    }
    *ret = '\0';
}

long base64_read(char *ret, size_t cap, struct slice text)
{
    size_t n = 0, pad = 0;
    if (text.n % 4 != 0)
        return -1;
    while (pad < 2 && pad < text.n && text.p[text.n - 1 - pad] == '=')
        pad++;
    if (text.n / 4 * 3 - pad >= cap)
        return -1;
    for (size_t i = 0; i < text.n; i += 4) {
        uint32_t word = 0;
        for (size_t k = 0; k < 4; k++) {
            char c = text.p[i + k];
            const char *at = c ? strchr(alphabet, c) : NULL;
            if (!at && i + k < text.n - pad)
                return -1;
            word = word << 6 | (i + k < text.n - pad ? (uint32_t)(at - alphabet) : 0);
        }
        for (size_t k = 0; k < 3 && n < text.n / 4 * 3 - pad; k++)
            ret[n++] = (char)(word >> (16 - 8 * k));
    }
    ret[n] = '\0';
    return (long)n;
}
