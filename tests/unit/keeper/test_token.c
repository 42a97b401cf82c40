/* Tokens: what was signed is read back, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/util.h"
#include "keeper/token.h"

static const struct token_key key = { .identity = "fd01-2a", .secret = "0123456789abcde" };

static void test_is_read_back(void **state)
{
    static const char *const texts[] = {
        "shop-3/template=0 address=unix:/a/b", "/proxy", "/", "", "seven 7", "eight 88", "nine 9999"
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        char token[TOKEN_MAX];
        const char *text;
        uid_t uid;
        token_write(&key, 1000, texts[i], token);
        assert_true(token_read(&key, token, &uid, &text));
        assert_int_equal(uid, 1000);
        assert_string_equal(text, texts[i]);
    }
}

static void test_every_byte_counts(void **state)
{
    char token[TOKEN_MAX];
    const char *text;
    uid_t uid;
    token_write(&key, 0, "shop-3/address=tcp:127.0.0.1:80", token);
    size_t bytes = strlen(token);
    for (size_t i = 0; i < bytes; i++) {
        token[i] ^= 1;
        assert_false(token_read(&key, token, &uid, &text));
        token[i] ^= 1;
    }
    for (size_t i = 0; i < bytes; i++) {
        char cut[TOKEN_MAX] = "";
        memcpy(cut, token, i);
        assert_false(token_read(&key, cut, &uid, &text));
    }
    assert_true(token_read(&key, token, &uid, &text));
}

static void test_other_secrets_are_other_tokens(void **state)
{
    char token[TOKEN_MAX];
    const char *text;
    uid_t uid;
    token_write(&key, 0, "shop-3/", token);
    for (size_t i = 0; i < TOKEN_SECRET_BYTES; i++) {
        struct token_key other = key;
        other.secret[i] ^= 1;
        assert_false(token_read(&other, token, &uid, &text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_read_back),
        cmocka_unit_test(test_every_byte_counts),
        cmocka_unit_test(test_other_secrets_are_other_tokens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
