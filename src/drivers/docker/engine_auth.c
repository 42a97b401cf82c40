/* Credentials for registries, as the `docker` command keeps them: in its config.json, which is read
 * each time, for a login changes it, or with a credential helper that is named there
 * (https://github.com/docker/docker-credential-helpers: `docker-credential-NAME get`, the registry
 * on standard input, JSON on standard output). */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "base/us.h"
#include "drivers/child.h"
#include "drivers/docker/engine.h"
#include "sys/mem.h"

#define HUB "index.docker.io"
#define HUB_KEY "https://index.docker.io/v1/"
#define HELPER_US (30 * US_PER_S)

/* --- base64 --- */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* RFC 4648, section 5. Malloc'd. */
static char *encode(const char *text)
{
    size_t n = strlen(text), at = 0;
    char *out = malloc((n + 2) / 3 * 4 + 1);
    for (size_t i = 0; out && i < n; i += 3) {
        unsigned have = (unsigned)MIN(n - i, (size_t)3), bits = 0;
        for (unsigned k = 0; k < 3; k++)
            bits = bits << 8 | (k < have ? (unsigned char)text[i + k] : 0);
        for (unsigned k = 0; k < 4; k++)
            out[at++] = k <= have ? digits[bits >> (18 - 6 * k) & 63] : '=';
    }
    if (out)
        out[at] = '\0';
    return out;
}

/* Of either alphabet; what is none ends it. Malloc'd. */
static char *decode(const char *text)
{
    char *out = malloc(strlen(text) + 1);
    size_t at = 0;
    unsigned bits = 0, have = 0;
    for (; out && *text; text++) {
        char ch = *text == '+' ? '-' : *text == '/' ? '_' : *text;
        const char *digit = strchr(digits, ch);
        if (!digit)
            break;
        bits = bits << 6 | (unsigned)(digit - digits);
        have += 6;
        if (have >= 8)
            out[at++] = (char)(bits >> (have -= 8));
    }
    if (out)
        out[at] = '\0';
    return out;
}

/* --- names --- */

/* The registry's host: what stands before the first "/" if it looks like one. */
static void registry_of(const char *image, char *buf, size_t cap)
{
    size_t n = strcspn(image, "/");
    struct slice first = { image, n };
    bool host = image[n] == '/' && (memchr(image, '.', n) || memchr(image, ':', n) ||
                                    slice_eq(first, SLICE("localhost")));
    if (!host || slice_eq(first, SLICE("docker.io")))
        fmt(buf, cap, HUB);
    else
        fmt(buf, cap, "%.*s", (int)n, image);
}

/* "https://registry.example.com/v1/" and "registry.example.com" are the same. */
static bool same_registry(const char *key, const char *registry)
{
    const char *scheme = strstr(key, "://");
    key = scheme ? scheme + 3 : key;
    return slice_eq((struct slice){ key, strcspn(key, "/") }, slice_of(registry));
}

/* --- the file --- */

static json_t *load(void)
{
    char path[512];
    const char *directory = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    if (directory && directory[0])
        fmt(path, sizeof(path), "%s/config.json", directory);
    else
        fmt(path, sizeof(path), "%s/.docker/config.json", home ? home : "");
    return json_load_file(path, 0, NULL);
}

static json_t *find(json_t *entries, const char *registry)
{
    const char *key;
    json_t *entry;
    json_object_foreach(entries, key, entry) if (same_registry(key, registry)) return entry;
    return NULL;
}

static const char *text_of(const json_t *entry, const char *name)
{
    const char *text = json_string_value(json_object_get(entry, name));
    return text && text[0] ? text : NULL;
}

/* "user:password" of `auth`, or the two by name. */
static json_t *with_password(const json_t *entry, const char *server)
{
    const char *auth = text_of(entry, "auth");
    _cleanup_free_ char *plain = auth ? decode(auth) : NULL;
    const char *user = text_of(entry, "username"), *password = text_of(entry, "password");
    char *colon = plain ? strchr(plain, ':') : NULL;
    if (colon) {
        *colon = '\0';
        user = plain;
        password = colon + 1;
    }
    if (!user || !password)
        return NULL;
    return json_pack("{s:s, s:s, s:s}", "username", user, "password", password, "serveraddress",
                     server);
}

static const char *server_of(const char *registry)
{
    return strcmp(registry, HUB) == 0 ? HUB_KEY : registry;
}

static json_t *with_token(const char *token, const char *server)
{
    return json_pack("{s:s, s:s}", "identitytoken", token, "serveraddress", server);
}

static json_t *credentials(const json_t *entry, const char *registry)
{
    const char *token = text_of(entry, "identitytoken");
    return token ? with_token(token, server_of(registry))
                 : with_password(entry, server_of(registry));
}

/* As `docker` chooses: the registry's own helper, or the one for all. */
static const char *helper_for(const json_t *file, const char *registry)
{
    const char *own = json_string_value(find(json_object_get(file, "credHelpers"), registry));
    return own && own[0] ? own : text_of(file, "credsStore");
}

/* --- asking --- */

struct engine_auth {
    struct child *child;
    char helper[64], registry[256];
    engine_auth_done *done;
    void *ctx;
};

static void tell(const struct engine_auth *a, json_t *found, const char *error)
{
    _cleanup_free_ char *text = found ? json_dumps(found, JSON_COMPACT) : NULL;
    _cleanup_free_ char *auth = text ? encode(text) : NULL;
    json_decref(found);
    a->done(a->ctx, auth, error);
}

/* "Username" and "Secret"; the name "<token>" says that the secret is an identity token. */
static json_t *of_helper(const struct slice *out, const char *registry)
{
    json_t *answer = json_loadb(out->p, out->n, 0, NULL);
    const char *user = text_of(answer, "Username"), *secret = text_of(answer, "Secret");
    json_t *found = NULL;
    if (user && secret && strcmp(user, "<token>") == 0)
        found = with_token(secret, server_of(registry));
    else if (user && secret)
        found = json_pack("{s:s, s:s, s:s}", "username", user, "password", secret, "serveraddress",
                          server_of(registry));
    json_decref(answer);
    return found;
}

/* What a helper complains of is on its standard output; so are secrets, which nobody may quote. */
static struct slice complaint(const struct child_end *end)
{
    const struct slice *o = &end->out;
    bool quotable = !end->timed_out && end->signal == 0 && end->status != 0 &&
                    !memchr(o->p, '{', o->n) && !memmem(o->p, o->n, "ecret", 5);
    const char *newline = memchr(o->p, '\n', o->n);
    size_t n = newline ? (size_t)(newline - o->p) : o->n;
    return (struct slice){ o->p, quotable ? MIN(n, (size_t)100) : 0 };
}

static void on_helper(void *ctx, const struct child_end *end)
{
    _cleanup_free_ struct engine_auth *a = ctx;
    char error[ENGINE_ERROR_MAX] = "", how[ENGINE_ERROR_MAX];
    bool well = child_ended_well(end);
    bool knows_none = !well && memmem(end->out.p, end->out.n, "credentials not found", 21);
    json_t *found = well ? of_helper(&end->out, a->registry) : NULL;
    struct slice said = complaint(end);
    child_describe(end, how, sizeof(how));
    if (!well && !knows_none)
        fmt(error, sizeof(error), "docker-credential-%s %.60s%s%.*s", a->helper, how,
            said.n ? ": " : "", (int)said.n, said.p);
    else if (well && !found)
        fmt(error, sizeof(error), "docker-credential-%s gives no user name and secret for %.100s",
            a->helper, a->registry);
    tell(a, found, error);
}

static struct engine_auth *ask_helper(uv_loop_t *loop, const struct engine_auth *asked)
{
    char program[96], error[ENGINE_ERROR_MAX];
    fmt(program, sizeof(program), "docker-credential-%s", asked->helper);
    const struct child_options options = { .argv = (char *[]){ program, (char[]){ "get" }, NULL },
                                           .input = server_of(asked->registry),
                                           .timeout_us = HELPER_US };
    struct engine_auth *a = malloc(sizeof(*a));
    if (a)
        *a = *asked;
    int rc = a ? child_start(loop, &options, on_helper, a, &a->child) : UV_ENOMEM;
    if (rc == 0)
        return a;
    free(a);
    fmt(error, sizeof(error), "%s keeps the credentials of %.100s and cannot be run: %s", program,
        asked->registry, uv_strerror(rc));
    tell(asked, NULL, error);
    return NULL;
}

struct engine_auth *engine_auth_ask(uv_loop_t *loop, const char *image, engine_auth_done *done,
                                    void *ctx)
{
    struct engine_auth a = { .done = done, .ctx = ctx };
    registry_of(image, a.registry, sizeof(a.registry));
    json_t *file = load();
    const char *helper = helper_for(file, a.registry);
    json_t *entry = find(json_object_get(file, "auths"), a.registry);
    json_t *found = entry && !helper ? credentials(entry, a.registry) : NULL;
    bool fits = !helper || str_copy(a.helper, sizeof(a.helper), helper);
    json_decref(file);
    if (helper && fits)
        return ask_helper(loop, &a);
    tell(&a, found, fits ? "" : "the credential helper's name is too long");
    return NULL;
}

void engine_auth_cancel(struct engine_auth *a)
{
    if (!a)
        return;
    child_cancel(a->child);
    free(a);
}
