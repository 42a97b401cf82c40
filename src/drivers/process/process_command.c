/* From the section to the words the keeper execs: placeholders replaced, environment put together.
 * No shell is involved unless the command is a single text. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fmt.h"
#include "drivers/process/process.h"
#include "sys/mem.h"

#define TEXT_MAX 32768
#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define ENV_FILE_BYTES_MAX ((size_t)256 * 1024)

struct builder {
    const struct process_conf *conf;
    const struct process_identity *who;
    struct arena *arena;
    struct link_start *start;
    struct err *err;
};

static int no_memory(struct builder *b)
{
    return err_set(b->err, -ENOMEM, "no memory for the command of %s", b->who->name);
}

/* --- placeholders --- */

static const char *port_of(const struct builder *b)
{
    const char *colon = strrchr(b->who->address, ':');
    return strncmp(b->who->address, "tcp:", 4) == 0 ? colon + 1 : "";
}

static const char *socket_of(const struct builder *b)
{
    return strncmp(b->who->address, "unix:", 5) == 0 ? b->who->address + 5 : "";
}

/* The value of the placeholder that `text` begins with, or NULL. */
static const char *value_of(const struct builder *b, const char *text, size_t *ret_bytes)
{
    const struct {
        const char *name, *value;
    } all[] = {
        { "{port}", port_of(b) },
        { "{socket}", socket_of(b) },
        { "{instance}", b->who->name },
        { "{service}", b->who->service },
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        *ret_bytes = strlen(all[i].name);
        if (strncmp(text, all[i].name, *ret_bytes) == 0)
            return all[i].value;
    }
    return NULL;
}

static void put_replaced(struct builder *b, struct str *s, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "{"), bytes;
        str_put_n(s, text, n);
        text += n;
        const char *value = *text ? value_of(b, text, &bytes) : NULL;
        if (value) {
            str_put(s, value);
            text += bytes;
        } else if (*text) {
            str_put_char(s, *text++);
        }
    }
}

/* "PREFIX" and the text with its placeholders replaced, in the arena. */
static int replaced(struct builder *b, const char *prefix, const char *text, struct slice *ret)
{
    char buf[TEXT_MAX];
    struct str s;
    str_init(&s, buf, sizeof(buf));
    str_put(&s, prefix);
    put_replaced(b, &s, text);
    if (s.cut)
        return err_set(b->err, -E2BIG, "%s: a text of the command or environment is over %d bytes",
                       b->who->name, TEXT_MAX);
    const char *copy = arena_strndup(b->arena, s.p, s.len);
    if (!copy)
        return no_memory(b);
    *ret = (struct slice){ copy, s.len };
    return 0;
}

/* --- the command --- */

static int add_word(struct builder *b, const char *prefix, const char *text)
{
    if (b->start->argc == LINK_LIST_MAX)
        return err_set(b->err, -E2BIG, "%s: more than %d words in the command", b->who->name,
                       LINK_LIST_MAX);
    int rc = replaced(b, prefix, text, &b->start->argv[b->start->argc]);
    if (rc == 0)
        b->start->argc++;
    return rc;
}

/* Does it begin with a word that only the shell knows? (What needs a `;` is no simple command.) */
static bool is_shells_own(const char *text)
{
    static const char *const words[] = {
        ".",    "!",      ":",    "cd",  "command", "eval",   "exec",  "exit",
        "read", "export", "hash", "set", "trap",    "ulimit", "umask", "wait",
    };
    struct slice first = { text, strcspn(text, " \t") };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (slice_eq(first, slice_of(words[i])))
            return true;
    return false;
}

/* `exec` spares the shell's own process where the text is one simple command. */
static int add_shell(struct builder *b, const char *text)
{
    text += strspn(text, " \t");
    bool simple = !strpbrk(text, ";&|<>()`\n") && strcspn(text, "=") >= strcspn(text, " ") &&
                  !is_shells_own(text);
    int rc = add_word(b, "", "/bin/sh");
    if (rc == 0)
        rc = add_word(b, "", "-c");
    return rc == 0 ? add_word(b, simple ? "exec " : "", text) : rc;
}

static int build_command(struct builder *b, const struct schema_list *command)
{
    if (command->count == 1 && strpbrk(command->items[0], " ;&|<>()`$\n"))
        return add_shell(b, command->items[0]);
    for (size_t i = 0; i < command->count; i++) {
        int rc = add_word(b, "", command->items[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* --- the environment --- */

static int put_env(struct builder *b, struct slice entry)
{
    struct link_start *s = b->start;
    const char *equals = memchr(entry.p, '=', entry.n);
    if (!equals || equals == entry.p)
        return 0;
    size_t name_bytes = (size_t)(equals - entry.p) + 1;
    for (uint32_t i = 0; i < s->envc; i++)
        if (s->env[i].n >= name_bytes && memcmp(s->env[i].p, entry.p, name_bytes) == 0) {
            s->env[i] = entry; /* whoever comes later is the more particular */
            return 0;
        }
    if (s->envc == LINK_LIST_MAX)
        return err_set(b->err, -E2BIG, "%s: more than %d variables in the environment",
                       b->who->name, LINK_LIST_MAX);
    s->env[s->envc++] = entry;
    return 0;
}

static int put_named(struct builder *b, const char *name, const char *value)
{
    char prefix[256];
    struct slice entry;
    if (fmt(prefix, sizeof(prefix), "%s=", name) >= sizeof(prefix))
        return err_set(b->err, -E2BIG, "%s: too long a name: %s", b->who->name, name);
    int rc = replaced(b, prefix, value, &entry);
    return rc == 0 ? put_env(b, entry) : rc;
}

/* Whoever is somebody else gets of our environment only what is the machine's: the rest may be
 * ours alone. */
static bool hands_on(const struct builder *b, const char *entry)
{
    static const char *const machine[] = { "PATH=", "LANG=", "LC_", "TZ=" };
    if (!b->conf->user)
        return strncmp(entry, "PLIMSOLL_", 9) != 0;
    for (size_t i = 0; i < ARRAY_LEN(machine); i++)
        if (strncmp(entry, machine[i], strlen(machine[i])) == 0)
            return true;
    return false;
}

static int put_own(struct builder *b)
{
    int rc = b->conf->user ? put_env(b, SLICE("PATH=" DEFAULT_PATH)) : 0;
    for (char **entry = environ; *entry && rc == 0; entry++)
        if (hands_on(b, *entry))
            rc = put_env(b, slice_of(*entry));
    return rc;
}

/* As its user would be greeted by a login. One that does not exist is the keeper's to refuse. */
static int put_user(struct builder *b)
{
    const struct passwd *user = b->conf->user ? getpwnam(b->conf->user) : NULL;
    if (!user)
        return 0;
    const char *const vars[][2] = { { "HOME", user->pw_dir },
                                    { "USER", user->pw_name },
                                    { "LOGNAME", user->pw_name },
                                    { "SHELL", user->pw_shell[0] ? user->pw_shell : "/bin/sh" } };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(vars) && rc == 0; i++)
        rc = put_named(b, vars[i][0], vars[i][1]);
    return rc;
}

char *process_read_env_file(const char *path)
{
    _cleanup_fclose_ FILE *f = fopen(path, "re");
    _cleanup_free_ char *text = f ? malloc(ENV_FILE_BYTES_MAX) : NULL;
    if (!text)
        return NULL;
    text[fread(text, 1, ENV_FILE_BYTES_MAX - 1, f)] = '\0';
    return TAKE_PTR(text);
}

/* NAME=value, the value perhaps in quotes; empty lines and those with # are skipped. */
static int put_file_line(struct builder *b, char *line)
{
    line += strspn(line, " \t");
    if (strncmp(line, "export ", 7) == 0)
        line += 7;
    char *equals = strchr(line, '=');
    if (line[0] == '#' || !equals)
        return 0;
    *equals = '\0';
    struct slice value = slice_trim(slice_of(equals + 1));
    if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') &&
        value.p[value.n - 1] == value.p[0])
        value = (struct slice){ value.p + 1, value.n - 2 };
    const char *copy = arena_strndup(b->arena, value.p, value.n);
    return copy ? put_named(b, line, copy) : no_memory(b);
}

static int put_file(struct builder *b)
{
    if (!b->conf->env_file)
        return 0;
    _cleanup_free_ char *text = process_read_env_file(b->conf->env_file);
    if (!text)
        return err_set(b->err, -ENOENT, "cannot read env-file %s: %s", b->conf->env_file,
                       strerror(errno));
    char *rest = NULL;
    for (char *line = strtok_r(text, "\r\n", &rest); line; line = strtok_r(NULL, "\r\n", &rest)) {
        int rc = put_file_line(b, line);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int build_environment(struct builder *b)
{
    int rc = put_own(b);
    if (rc == 0)
        rc = put_user(b);
    if (rc == 0)
        rc = put_file(b);
    for (size_t i = 0; rc == 0 && i < b->conf->env.count; i++)
        rc = put_named(b, b->conf->env.names[i], b->conf->env.values[i]);
    const char *port = port_of(b), *path = socket_of(b);
    if (rc == 0 && port[0])
        rc = put_named(b, "PORT", port);
    if (rc == 0 && path[0])
        rc = put_named(b, "SOCKET", path);
    return rc;
}

static int64_t or_leave(int64_t limit)
{
    return limit > 0 ? limit : -1;
}

int process_command(const struct process_conf *conf, const struct process_identity *who, bool task,
                    struct arena *arena, struct link_start *ret, struct err *err)
{
    static const int64_t core_bytes[] = {
        [PROCESS_CORE_KEEP] = -1, [PROCESS_CORE_NONE] = 0, [PROCESS_CORE_UNLIMITED] = INT64_MAX
    };
    struct builder b = { .conf = conf, .who = who, .arena = arena, .start = ret, .err = err };
    *ret = (struct link_start){
        .name = slice_of(who->name),
        .meta = slice_of(who->meta),
        .task = task,
        .directory = slice_of(conf->directory ? conf->directory : ""),
        .user = slice_of(conf->user ? conf->user : ""),
        .group = slice_of(conf->group ? conf->group : ""),
        .log_path = slice_of(who->log_path),
        .open_files_max = or_leave(conf->limits.open_files),
        .memory_bytes_max = or_leave(conf->limits.memory_bytes),
        .processes_max = or_leave(conf->limits.processes),
        .core_bytes_max = core_bytes[conf->limits.core],
    };
    int rc = build_command(&b, task ? &conf->ready.exec : &conf->command);
    return rc == 0 ? build_environment(&b) : rc;
}
