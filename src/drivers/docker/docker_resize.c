/* Changing the limits of a container while it runs. */
#include "base/fmt.h"
#include "drivers/docker/docker_step.h"

void resize_ask(struct container *c)
{
    const struct docker_conf *conf = step_conf(c);
    char path[DOCKER_PATH_MAX];
    json_t *body = conf ? docker_update_body(conf) : NULL;
    if (!body) {
        step_go(c, STEP_RUN);
        return;
    }
    c->shape_asked = docker_shape(conf);
    step_path(c, "/update", path);
    step_ask(c, &(struct engine_request){
                    .method = ENGINE_POST, .path = path, .body = body, .acts = true });
    json_decref(body);
}

void resize_on_done(struct container *c, int status, json_t *json, const char *error)
{
    struct event e = { .type = EVENT_RESIZED, .flag = status < 300, .shape = c->shape_asked };
    if (e.flag)
        c->shape = c->shape_asked;
    else
        fmt(e.text, sizeof(e.text), "%.150s", error);
    docker_emit(c, &e);
    step_go(c, STEP_RUN);
    if (c->resize_wanted)
        step_resize(c);
}

void step_resize(struct container *c)
{
    c->resize_wanted = c->step != STEP_RUN;
    if (c->step == STEP_RUN)
        step_go(c, STEP_RESIZE);
}
