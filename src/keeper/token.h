/* Tokens: what everything that we start carries in its environment, so that a keeper that knows
 * nothing can tell whose it is. "IDENTITY/TAG-UID/NAME/META": which state directory, proof that we
 * wrote it, for a process of which user, which instance, and what the driver wants to know of it
 * again. A token tells its bearer no other one, so no instance can pose as another, nor may a
 * process of another user as this one. Private to keeper/. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "keeper/lock.h"

#define TOKEN_NAME "PLIMSOLL_TOKEN"
#define TOKEN_TEXT_MAX 1024 /* NAME/META */
#define TOKEN_MAX (TOKEN_TEXT_MAX + LOCK_IDENTITY_MAX + 48)
#define TOKEN_SECRET_BYTES 16

struct token_key {
    char identity[LOCK_IDENTITY_MAX];
    uint8_t secret[TOKEN_SECRET_BYTES];
};

/* `text` is NAME/META. */
void token_write(const struct token_key *key, uid_t uid, const char *text, char ret[TOKEN_MAX]);
/* false = not ours. `ret_text` points into the token, behind the tag. */
bool token_read(const struct token_key *key, const char *token, uid_t *ret_uid,
                const char **ret_text);
