/* What a container is told: the words of its command and its environment. */
#include <errno.h>
#include <string.h>

#include "base/fmt.h"
#include "drivers/docker/docker.h"
#include "drivers/process/process.h"
#include "sys/mem.h"

#define TEXT_MAX 32768

/* --- placeholders --- */

static bool put_value(struct str *s, const struct docker_identity *who, const char **text)
{
    static const struct slice port = SLICE("{port}"), instance = SLICE("{instance}"),
                              service = SLICE("{service}");
    if (strncmp(*text, port.p, port.n) == 0) {
        str_putf(s, "%u", (unsigned)who->port);
        *text += port.n;
    } else if (strncmp(*text, instance.p, instance.n) == 0) {
        str_putf(s, "%s-%u", who->service, who->number);
        *text += instance.n;
    } else if (strncmp(*text, service.p, service.n) == 0) {
        str_put(s, who->service);
        *text += service.n;
    } else {
        return false;
    }
    return true;
}

static json_t *replaced(const char *text, const struct docker_identity *who)
{
    char buf[TEXT_MAX];
    struct str s;
    str_init(&s, buf, sizeof(buf));
    while (*text)
        if (!put_value(&s, who, &text))
            str_put_char(&s, *text++);
    return s.cut ? NULL : json_stringn(s.p, s.len);
}

static int add(json_t *list, const char *text, const struct docker_identity *who)
{
    return json_array_append_new(list, replaced(text, who));
}

/* --- words --- */

/* The next word of a text into `buf`, quotes and backslashes resolved. false = there is none. */
static bool next_word(const char **text, char *buf, size_t cap)
{
    const char *p = *text + strspn(*text, " \t\r\n");
    struct str s;
    char quote = '\0';
    bool any = *p != '\0';
    str_init(&s, buf, cap);
    for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
        if (*p == quote) {
            quote = '\0';
        } else if (!quote && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else {
            if (*p == '\\' && quote != '\'' && p[1])
                p++;
            str_put_char(&s, *p);
        }
    }
    *text = p;
    return any;
}

static int split(json_t *list, const char *text, const struct docker_identity *who)
{
    char word[TEXT_MAX];
    int rc = 0;
    while (rc == 0 && next_word(&text, word, sizeof(word)))
        rc = add(list, word, who);
    return rc;
}

json_t *docker_words(const struct schema_list *list, const struct docker_identity *who)
{
    json_t *words = json_array();
    int rc = words ? 0 : -1;
    if (list->count == 1 && rc == 0)
        rc = split(words, list->items[0], who);
    for (size_t i = 0; i < list->count && list->count > 1 && rc == 0; i++)
        rc = add(words, list->items[i], who);
    if (rc == 0)
        return words;
    json_decref(words);
    return NULL;
}

/* --- environment --- */

/* The engine keeps a name that is given twice twice: here the last one wins. */
static int set_variable(json_t *map, const char *name, const char *value,
                        const struct docker_identity *who)
{
    return name[0] ? json_object_set_new(map, name, replaced(value, who)) : 0;
}

/* NAME=value, the value perhaps in quotes; empty lines and those with # are skipped. */
static int set_line(json_t *map, char *line)
{
    line += strspn(line, " \t");
    if (strncmp(line, "export ", 7) == 0)
        line += 7;
    char *equals = strchr(line, '=');
    if (line[0] == '#' || !equals || equals == line)
        return 0;
    *equals = '\0';
    struct slice value = slice_trim(slice_of(equals + 1));
    if (value.n >= 2 && (value.p[0] == '"' || value.p[0] == '\'') &&
        value.p[value.n - 1] == value.p[0])
        value = (struct slice){ value.p + 1, value.n - 2 };
    return json_object_set_new(map, line, json_stringn(value.p, value.n));
}

static int set_file(json_t *map, const char *path, struct err *err)
{
    _cleanup_free_ char *text = process_read_env_file(path);
    if (!text)
        return err_set(err, -ENOENT, "cannot read env-file %s: %s", path, strerror(errno));
    char *rest = NULL;
    int rc = 0;
    for (char *line = strtok_r(text, "\r\n", &rest); line && rc == 0;
         line = strtok_r(NULL, "\r\n", &rest))
        rc = set_line(map, line);
    return rc;
}

static int set_all(json_t *map, const struct docker_conf *conf, const struct docker_identity *who,
                   struct err *err)
{
    int rc = conf->env_file ? set_file(map, conf->env_file, err) : 0;
    for (size_t i = 0; i < conf->env.count && rc == 0; i++)
        rc = set_variable(map, conf->env.names[i], conf->env.values[i], who);
    if (rc == 0)
        rc = set_variable(map, "PLIMSOLL_INSTANCE", "{instance}", who);
    return rc == 0 && who->port ? set_variable(map, "PORT", "{port}", who) : rc;
}

static json_t *listed(json_t *map)
{
    char text[TEXT_MAX];
    const char *name;
    json_t *value, *list = json_array();
    json_object_foreach(map, name, value)
    {
        fmt(text, sizeof(text), "%s=%s", name, json_string_value(value));
        json_array_append_new(list, json_string(text));
    }
    return list;
}

json_t *docker_environment(const struct docker_conf *conf, const struct docker_identity *who,
                           struct err *err)
{
    json_t *map = json_object();
    int rc = map ? set_all(map, conf, who, err) : -1;
    json_t *list = rc == 0 ? listed(map) : NULL;
    json_decref(map);
    if (!list && err->code == 0)
        err_set(err, -E2BIG, "a text of the environment is no UTF-8, or over %d bytes", TEXT_MAX);
    return list;
}
