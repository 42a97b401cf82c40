/* Flags to YAML. Every text is written in JSON's quotes, which YAML reads too, so nothing that is
 * typed can become structure. */
#include "config/flags.h"

#include <errno.h>
#include <string.h>

#define NAME_BYTES 49 /* of a service, the final NUL included */

/* Bytes that are not UTF-8 would make the text unreadable as a whole. */
static bool is_utf8(const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        int more = *p < 0x80             ? 0
                   : (*p & 0xe0) == 0xc0 ? 1
                   : (*p & 0xf0) == 0xe0 ? 2
                   : (*p & 0xf8) == 0xf0 ? 3
                                         : -1;
        if (more < 0)
            return false;
        for (p++; more > 0; more--, p++)
            if ((*p & 0xc0) != 0x80)
                return false;
    }
    return true;
}

static void put_quoted(struct str *out, const char *text, size_t n)
{
    str_put_char(out, '"');
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            str_putf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            str_putf(out, "\\u%04x", c);
        else
            str_put_char(out, (char)c);
    }
    str_put_char(out, '"');
}

/* "indent key: value", nothing when the flag was not given. */
static void put_line(struct str *out, const char *key, const char *value)
{
    if (!value)
        return;
    str_putf(out, "%s: ", key);
    put_quoted(out, value, strlen(value));
    str_put_char(out, '\n');
}

static void put_texts(struct str *out, const char *key, const char *const *texts, size_t count)
{
    str_putf(out, "%s: [", key);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            str_put(out, ", ");
        put_quoted(out, texts[i], strlen(texts[i]));
    }
    str_put(out, "]\n");
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

/* "/usr/bin/My_App.sh" -> "my-app-sh" */
static void name_from_program(const char *program, char *ret)
{
    const char *base = strrchr(program, '/');
    size_t n = 0;
    for (const char *p = base ? base + 1 : program; *p && n < NAME_BYTES - 1; p++) {
        char c = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
        if (is_name_char(c))
            ret[n++] = c;
        else if (n > 0 && ret[n - 1] != '-')
            ret[n++] = '-';
    }
    while (n > 0 && ret[n - 1] == '-')
        n--;
    ret[n] = '\0';
    if (n == 0)
        str_copy(ret, NAME_BYTES, "app");
}

/* Whose name says nothing of what runs: the program is the first argument that is no option. */
static bool is_interpreter(const char *name)
{
    static const char *const names[] = { "python", "nodejs", "node", "ruby", "perl",
                                         "php",    "java",   "deno", "bun" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t n = strlen(names[i]);
        if (strncmp(name, names[i], n) == 0 && strspn(name + n, "0123456789.-") == strlen(name + n))
            return true;
    }
    return false;
}

/* "node server.js" -> "server"; "python3 -m http.server" -> "http-server"; "./app -x" -> "app". */
static void name_from_command(const char *const *command, size_t count, char *ret)
{
    name_from_program(command[0], ret);
    if (!is_interpreter(ret))
        return;
    for (size_t i = 1; i < count; i++) {
        if (strcmp(command[i], "-c") == 0 || strcmp(command[i], "-e") == 0)
            return;
        if (command[i][0] == '-')
            continue;
        name_from_program(command[i], ret);
        static const char *const endings[] = { "-js", "-mjs", "-cjs", "-ts", "-py",
                                               "-rb", "-pl",  "-php", "-jar" };
        for (size_t k = 0; k < ARRAY_LEN(endings); k++) {
            size_t n = strlen(ret), m = strlen(endings[k]);
            if (n > m && strcmp(ret + n - m, endings[k]) == 0)
                ret[n - m] = '\0';
        }
        return;
    }
}

/* KEY=VALUE with both there (the value may be empty when `value_optional`). */
static int split(const char *flag, const char *text, bool value_optional, size_t *ret_key_bytes,
                 struct err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text || (!value_optional && equals[1] == '\0'))
        return err_set(err, -EINVAL, "%s %.100s: write %s", flag, text,
                       value_optional ? "KEY=VALUE" : "METRIC=VALUE, as in concurrency=20");
    *ret_key_bytes = (size_t)(equals - text);
    return 0;
}

static int put_env(const struct config_flags *f, struct str *out, struct err *err)
{
    if (f->env_count > 0)
        str_put(out, "      env:\n");
    for (size_t i = 0; i < f->env_count; i++) {
        size_t n = 0;
        int rc = split("--env", f->env[i], true, &n, err);
        if (rc < 0)
            return rc;
        str_put(out, "        ");
        put_quoted(out, f->env[i], n);
        put_line(out, "", f->env[i] + n + 1);
    }
    return 0;
}

static int put_ready(const struct config_flags *f, struct str *out, struct err *err)
{
    if (!f->ready && !f->ready_within)
        return 0;
    str_put(out, "      ready:\n");
    if (f->ready && f->ready[0] == '/')
        put_line(out, "        http", f->ready);
    else if (f->ready && strcmp(f->ready, "tcp") == 0)
        str_put(out, "        tcp: true\n");
    else if (f->ready)
        return err_set(err, -EINVAL, "--ready %.100s: write a path as in /healthz, or tcp",
                       f->ready);
    put_line(out, "        within", f->ready_within);
    return 0;
}

static int put_run(const struct config_flags *f, struct str *out, struct err *err)
{
    str_put(out, "    run:\n");
    put_texts(out, "      command", f->command, f->command_count);
    int rc = put_env(f, out, err);
    return rc < 0 ? rc : put_ready(f, out, err);
}

static int put_scale(const struct config_flags *f, struct str *out, struct err *err)
{
    if (!f->min && !f->max && f->target_count == 0)
        return 0;
    str_put(out, "    scale:\n");
    put_line(out, "      min", f->min);
    put_line(out, "      max", f->max);
    if (f->target_count > 0)
        str_put(out, "      rules:\n");
    for (size_t i = 0; i < f->target_count; i++) {
        size_t n = 0;
        int rc = split("--target", f->target[i], false, &n, err);
        if (rc < 0)
            return rc;
        str_put(out, "        - target: {metric: ");
        put_quoted(out, f->target[i], n);
        str_put(out, ", value: ");
        put_quoted(out, f->target[i] + n + 1, strlen(f->target[i] + n + 1));
        str_put(out, "}\n");
    }
    return 0;
}

static int put_service(const struct config_flags *f, struct str *out, struct err *err)
{
    char name[NAME_BYTES];
    name_from_command(f->command, f->command_count, name);
    str_put(out, "services:\n  ");
    put_quoted(out, f->name ? f->name : name, strlen(f->name ? f->name : name));
    str_put(out, ":\n");
    put_texts(out, "    listen", f->listen, f->listen_count);
    put_line(out, "    protocol", f->protocol);
    put_line(out, "    balance", f->balance);
    put_line(out, "    max-concurrency", f->max_concurrency);
    put_line(out, "    drain", f->drain);
    if (f->queue_deadline) {
        str_put(out, "    queue:\n");
        put_line(out, "      deadline", f->queue_deadline);
    }
    int rc = put_run(f, out, err);
    return rc < 0 ? rc : put_scale(f, out, err);
}

static int check_shape(const struct config_flags *f, struct err *err)
{
    if (f->swarm)
        return f->command_count == 0 && f->listen_count == 0
                   ? 0
                   : err_set(err, -EINVAL,
                             "--swarm takes the services from their labels in the "
                             "Swarm; leave out --listen and the command");
    if (f->command_count == 0 || f->command[0][0] == '\0')
        return err_set(err, -EINVAL,
                       "nothing to run; put the command behind \"--\", as in "
                       "plimsoll run --listen :8080 -- node server.js");
    if (f->listen_count == 0)
        return err_set(err, -EINVAL, "nowhere to listen; give --listen, as in --listen :8080");
    return 0;
}

int config_from_flags(const struct config_flags *flags, struct str *out, struct err *err)
{
    int rc = check_shape(flags, err);
    if (rc < 0)
        return rc;
    put_line(out, "admin", flags->admin);
    put_line(out, "state", flags->state);
    if (flags->swarm)
        str_put(out, "swarm:\n  discover: true\n");
    else
        rc = put_service(flags, out, err);
    if (rc < 0)
        return rc;
    if (out->cut)
        return err_set(err, -ENOBUFS, "the command line is too long; write a configuration file");
    if (!is_utf8(out->p))
        return err_set(err, -EINVAL,
                       "the command line holds bytes that are not UTF-8; write a "
                       "script that has them and run that");
    return 0;
}
