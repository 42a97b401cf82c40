/* Well-formed UTF-8 out of any bytes. It knows nothing of what characters mean. */
#include "sim/utf8.h"

#define REPLACEMENT SLICE("\xef\xbf\xbd")

size_t utf8_length(struct slice text)
{
    static const struct {
        unsigned char first_from, first_to, second_from, second_to, bytes;
    } forms[] = {
        { 0x01, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
        { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
        { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
    };
    const unsigned char *p = (const unsigned char *)text.p;
    for (size_t n = 0; text.n > 0 && n < ARRAY_LEN(forms); n++) {
        size_t bytes = forms[n].bytes;
        if (p[0] < forms[n].first_from || p[0] > forms[n].first_to)
            continue;
        if (bytes > text.n ||
            (bytes > 1 && (p[1] < forms[n].second_from || p[1] > forms[n].second_to)))
            return 0;
        for (size_t k = 2; k < bytes; k++) {
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        }
        return bytes;
    }
    return 0;
}

void utf8_put(struct str *s, struct slice text)
{
    while (text.n > 0) {
        size_t bytes = utf8_length(text);
        struct slice put = bytes > 0 ? (struct slice){ text.p, bytes } : REPLACEMENT;
        if (s->len + put.n >= s->cap) {
            s->cut = true;
            return;
        }
        str_put_n(s, put.p, put.n);
        bytes = MAX(bytes, 1);
        text = (struct slice){ text.p + bytes, text.n - bytes };
    }
}
