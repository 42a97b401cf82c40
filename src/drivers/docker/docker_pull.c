/* Fetching an image: the registry's credentials are looked up, then the engine is told to pull. */
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fmt.h"
#include "base/us.h"
#include "drivers/docker/docker_step.h"
#include "sys/log.h"

/* --- credentials --- */

static void on_credentials(void *ctx, const char *auth, const char *error)
{
    struct container *c = ctx;
    c->pull.asked = NULL;
    free(c->pull.auth);
    c->pull.auth = auth ? strdup(auth) : NULL;
    str_copy(c->pull.error, sizeof(c->pull.error), error);
    if (error[0])
        log_warn("%s-%u: %s", c->service, c->number, error);
    step_go(c, STEP_PULL); /* who is not known may still be allowed to */
}

void pull_ask_credentials(struct container *c)
{
    const struct docker_conf *conf = step_conf(c);
    if (!conf)
        make_fail(c, "", "its service is not configured any more");
    else
        c->pull.asked = engine_auth_ask(c->docker->env.loop, conf->image, on_credentials, c);
}

void docker_pull_end(struct container *c)
{
    engine_auth_cancel(c->pull.asked);
    free(c->pull.auth);
    c->pull.asked = NULL;
    c->pull.auth = NULL;
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
    char *image = curl_easy_escape(NULL, conf->image, 0);
    fmt(path, sizeof(path), "/images/create?fromImage=%s%s", image ? image : "",
        has_tag(conf->image) ? "" : "&tag=latest");
    curl_free(image);
    step_ask(c, &(struct engine_request){ .method = ENGINE_POST,
                                          .path = path,
                                          .auth = c->pull.auth,
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
    char prefix[160];
    if (status < 300 && !said) {
        step_go(c, STEP_CREATE);
        return;
    }
    fmt(prefix, sizeof(prefix), "cannot pull %.100s: ", conf ? conf->image : "the image");
    make_fail(c, prefix, c->pull.error[0] ? c->pull.error : heart_of(said ? said : error));
}
