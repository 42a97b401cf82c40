/* Loads a configuration and shows what is wrong with it the way compilers do. */
#include "cli/load.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "config/config.h"
#include "controller/controller.h"
#include "sys/mem.h"

/* The file's text again: a configuration that failed to parse has kept nothing. NULL when it cannot
 * be read twice, as standard input. */
static char *read_text(const char *path)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    _cleanup_free_ char *text = f ? malloc(CONFIG_TEXT_MAX + 1) : NULL;
    if (!text)
        return NULL;
    size_t n = fread(text, 1, CONFIG_TEXT_MAX, f);
    text[n] = 0;
    return TAKE_PTR(text);
}

static void print_error(const char *text, const struct err *error)
{
    char buf[2048];
    struct str out;
    str_init(&out, buf, sizeof(buf));
    if (text && error->place[0])
        config_show_error(text, error, &out);
    else
        str_putf(&out, "%s%s%s\n", error->place, error->place[0] ? ": " : "", error->text);
    fputs(buf, stderr);
}

void load_print_error(const char *path, const struct err *error)
{
    _cleanup_free_ char *text = read_text(path);
    print_error(text, error);
}

int load_config(struct arena *arena, const char *path, struct config **ret)
{
    struct err errors[LOAD_ERRORS_MAX] = { 0 };
    size_t count = 0;
    int rc = controller_load_config(arena, path, ret, errors, ARRAY_LEN(errors), &count);
    for (size_t i = 0; rc < 0 && i < count; i++)
        load_print_error(path, &errors[i]);
    return rc;
}

int load_text(struct arena *arena, const char *name, const struct str *text, struct config **ret)
{
    struct err errors[LOAD_ERRORS_MAX] = { 0 };
    size_t count = 0;
    int rc = controller_parse_config(arena, name, text->p, text->len, ret, errors,
                                     ARRAY_LEN(errors), &count);
    for (size_t i = 0; rc < 0 && i < count; i++)
        print_error(text->p, &errors[i]);
    return rc;
}
