/* Credentials for registries, as the `docker` command keeps them in its config.json. Reads the file
 * each time, for a login changes it; never runs a credential helper. */
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/str.h"
#include "drivers/docker/engine.h"
#include "sys/mem.h"

#define HUB "index.docker.io"
#define HUB_KEY "https://index.docker.io/v1/"

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

static json_t *credentials(const json_t *entry, const char *registry)
{
    const char *server = strcmp(registry, HUB) == 0 ? HUB_KEY : registry;
    const char *token = text_of(entry, "identitytoken");
    if (token)
        return json_pack("{s:s, s:s}", "identitytoken", token, "serveraddress", server);
    return with_password(entry, server);
}

char *engine_auth(const char *image)
{
    char registry[256];
    registry_of(image, registry, sizeof(registry));
    json_t *file = load();
    json_t *entry = find(json_object_get(file, "auths"), registry);
    json_t *found = entry ? credentials(entry, registry) : NULL;
    _cleanup_free_ char *text = found ? json_dumps(found, JSON_COMPACT) : NULL;
    json_decref(found);
    json_decref(file);
    return text ? encode(text) : NULL;
}

bool engine_auth_unsupported(const char *image, char *buf, size_t cap)
{
    char registry[256];
    registry_of(image, registry, sizeof(registry));
    json_t *file = load();
    json_t *own = find(json_object_get(file, "credHelpers"), registry);
    bool listed = find(json_object_get(file, "auths"), registry) != NULL;
    const char *helper = own ? json_string_value(own) : listed ? text_of(file, "credsStore") : NULL;
    if (helper)
        fmt(buf, cap,
            "docker-credential-%s keeps the password of %s, and is not run: pull it by hand",
            helper, registry);
    json_decref(file);
    return helper != NULL;
}
