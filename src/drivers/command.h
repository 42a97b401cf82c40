/* Programs that are run as configured, as children of the controller: their words and their
 * environment. Starts nothing. */
#pragma once

#include "config/schema.h"

#define COMMAND_WORDS_MAX 256
#define COMMAND_ARGV_MAX (COMMAND_WORDS_MAX + 4)

/* As with `run`: a single text with more than a word in it is the shell's. What is over
 * COMMAND_WORDS_MAX is left out. Borrows the words. */
void command_words(const struct schema_list *words, char *argv[COMMAND_ARGV_MAX]);
/* Our own, but for what is meant for us alone: tokens by which the keeper knows its children. To be
 * freed, its texts not; NULL = no memory. */
char **command_environment(void);
