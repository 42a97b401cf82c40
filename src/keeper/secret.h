/* The secret behind our tokens: made once for a state directory, and known to its keepers alone.
 * Private to keeper/. */
#pragma once

#include "keeper/token.h"

/* Fills key->secret; key->identity is there. From STATE/keeper/.secret or, where that can be
 * neither read nor written, from the run-time directory. Never fails: where nothing can be kept, it
 * says what that means, and the secret lasts as long as this keeper. */
void secret_load(const char *state_dir, struct token_key *key);
/* Nothing carries a token any more: what lies in the run-time directory goes. */
void secret_forget(const struct token_key *key);
