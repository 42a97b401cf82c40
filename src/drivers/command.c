/* A command as words, and what of our environment it gets. */
#include "drivers/command.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/util.h"

void command_words(const struct schema_list *words, char *argv[COMMAND_ARGV_MAX])
{
    if (words->count == 1 && strpbrk(words->items[0], " ;&|<>()`$\n")) {
        const char *const shell[] = { "/bin/sh", "-c", words->items[0], NULL };
        memcpy(argv, shell, sizeof(shell));
        return;
    }
    size_t count = MIN(words->count, (size_t)COMMAND_WORDS_MAX);
    memcpy(argv, words->items, count * sizeof(argv[0]));
    argv[count] = NULL;
}

char **command_environment(void)
{
    size_t count = 0, n = 0;
    while (environ[count])
        count++;
    char **env = calloc(count + 1, sizeof(*env));
    for (size_t i = 0; env && i < count; i++)
        if (strncmp(environ[i], "PLIMSOLL_", 9) != 0)
            env[n++] = environ[i];
    return env;
}
