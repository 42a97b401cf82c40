/* Fetching an image: the registry's credentials are looked up, then the engine is told to pull. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_step.h"
#include "sys/clock.h"
#include "sys/log.h"

/* --- credentials --- */

#define FRESH_US (10 * US_PER_S) /* a login while plimsoll runs is soon heard of */

static bool knows_login(const struct docker *d, const char *image)
{
    const struct docker_login *l = &d->login;
    return !l->asked && l->at_us != 0 && clock_now_us() - l->at_us < FRESH_US &&
           strcmp(l->image, image) == 0;
}

/* Those who wait for it go on before somebody else asks for another image's. */
static void serve_waiting(struct docker *d)
{
    LIST_FOR_EACH (it, &d->containers) {
        struct container *c = LIST_ENTRY(it, struct container, link);
        const struct docker_conf *conf = c->step == STEP_PULL ? step_conf(c) : NULL;
        if (conf && uv_is_active((uv_handle_t *)&c->again) && knows_login(d, conf->image))
            step_go(c, STEP_PULL);
    }
}

static void on_login(void *ctx, const char *auth, const char *error)
{
    struct docker *d = ctx;
    struct docker_login *l = &d->login;
    l->asked = NULL;
    l->at_us = clock_now_us();
    l->auth = auth ? strdup(auth) : NULL;
    str_copy(l->error, sizeof(l->error), error);
    if (error[0])
        log_warn("%s", error);
    serve_waiting(d);
}

static void ask_login(struct docker *d, const char *image)
{
    docker_login_end(d);
    str_copy(d->login.image, sizeof(d->login.image), image);
    d->login.asked = engine_auth_ask(d->env.loop, image, on_login, d);
}

void docker_login_end(struct docker *d)
{
    engine_auth_cancel(d->login.asked);
    free(d->login.auth);
    d->login = (struct docker_login){ 0 };
}

/* --- pull --- */

/* Without a tag the engine would fetch all there are. */
static bool has_tag(const char *image)
{
    const char *slash = strrchr(image, '/');
    return strchr(image, '@') || strchr(slash ? slash : image, ':');
}

void pull_ask(struct container *c)
{
    const struct docker_conf *conf = step_conf(c);
    char path[DOCKER_PATH_MAX];
    if (!conf) {
        make_fail(c, "", "its service is not configured any more");
        return;
    }
    if (strlen(conf->image) >= sizeof(c->docker->login.image)) {
        make_fail(c, "cannot pull its image: ", "the name is too long");
        return;
    }
    if (!knows_login(c->docker, conf->image) && !c->docker->login.asked)
        ask_login(c->docker, conf->image);
    if (!knows_login(c->docker, conf->image)) { /* one helper at a time, for all who need it */
        step_ask_later(c);
        return;
    }
    char *image = curl_easy_escape(NULL, conf->image, 0);
    fmt(path, sizeof(path), "/images/create?fromImage=%s%s", image ? image : "",
        has_tag(conf->image) ? "" : "&tag=latest");
    curl_free(image);
    step_ask(c, &(struct engine_request){ .method = ENGINE_POST,
                                          .path = path,
                                          .auth = c->docker->login.auth,
                                          .acts = true,
                                          .lane = ENGINE_SLOW,
                                          .timeout_us = US_NEVER });
}

/* The engine's words without the request that failed, `Head "https://...": `. */
static const char *heart_of(const char *said)
{
    const char *url = strchr(said, ' '), *end = strstr(said, "\": ");
    return url && url[1] == '"' && end ? end + 3 : said;
}

void pull_on_done(struct container *c, int status, json_t *json, const char *error)
{
    const struct docker_conf *conf = step_conf(c);
    const char *said = json_string_value(json_object_get(json, "error"));
    char prefix[160], why[ENGINE_ERROR_MAX];
    if (status < 300 && !said) {
        step_go(c, STEP_CREATE);
        return;
    }
    bool helpless = conf && knows_login(c->docker, conf->image) && c->docker->login.error[0];
    fmt(prefix, sizeof(prefix), "cannot pull %.100s: ", conf ? conf->image : "the image");
    fmt(why, sizeof(why), "%s%s%s", heart_of(said ? said : error), helpless ? "; " : "",
        helpless ? c->docker->login.error : "");
    make_fail(c, prefix, why);
}
