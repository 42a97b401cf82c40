/* Reading a configuration with the drivers' sections, and completing what only drivers can compute.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "balance/balance.h"
#include "controller/alerts.h"
#include "controller/controller_int.h"
#include "core/series.h"
#include "drivers/lease/lease.h"
#include "sys/clock.h"
#include "sys/mem.h"

const struct config_sections *controller_sections(void)
{
    static const struct schema_section *provisioners[CONTROLLER_PROVISIONERS_MAX + 1];
    static const struct schema_section *sources[CONTROLLER_FEEDS_MAX + 1];
    static const struct schema_section *tops[CONTROLLER_PROVISIONERS_MAX + 3];
    static const struct config_sections sections = { provisioners, sources, tops };
    size_t n = 0;
    for (size_t i = 0; provision_all[i]; i++) {
        provisioners[i] = provision_all[i]->section;
        if (provision_all[i]->engine)
            tops[n++] = provision_all[i]->engine;
    }
    for (size_t i = 0; feed_all[i]; i++)
        sources[i] = feed_all[i]->section;
    tops[n++] = &lease_section;
    tops[n++] = &alerts_section;
    return &sections;
}

static int read_all(int fd, struct arena *arena, char **ret_text, size_t *ret_bytes)
{
    size_t cap = CONFIG_TEXT_MAX + 1, n = 0;
    _cleanup_free_ char *buf = malloc(cap);
    if (!buf)
        return -ENOMEM;
    while (n < cap) {
        ssize_t got = read(fd, buf + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        n += (size_t)got;
    }
    if (n == cap)
        return -EFBIG;
    char *text = arena_strndup(arena, buf, n);
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    *ret_bytes = n;
    return 0;
}

static const struct provision_ops *provisioner_of(const struct config_service *s)
{
    for (size_t i = 0; provision_all[i]; i++)
        if (provision_all[i]->section == s->driver)
            return provision_all[i];
    return NULL;
}

/* Every second the core is told what a source's newest value is, until that is overdue: so a second
 * between two samples is no gap, however often the source is asked. */
static void complete_metrics(struct service_conf *conf)
{
    for (uint32_t i = 0; i < conf->metric_count; i++)
        conf->metrics[i].stale_us = MAX(conf->metrics[i].stale_us, SERIES_STALE_US);
}

bool controller_serves(const struct config_service *s)
{
    return s->listener_count > 0 || s->probe != CONFIG_PROBE_NONE;
}

void controller_complete_config(struct config *config)
{
    for (uint32_t i = 0; i < config->service_count; i++) {
        struct config_service *s = &config->services[i];
        const struct provision_ops *p = provisioner_of(s);
        complete_metrics(s->scale);
        if (!p)
            continue;
        s->scale->template = p->template(s->driver_conf, controller_serves(s));
        s->scale->start_within_us = p->start_within_us(s->driver_conf);
        s->scale->launch_within_us = p->launch_within_us;
        s->scale->can_choose_victim = p->caps & PROVISION_CAN_CHOOSE_VICTIM;
        s->scale->can_resize = p->caps & PROVISION_CAN_RESIZE && p->shape;
        s->scale->shape = s->scale->can_resize ? p->shape(s->driver_conf) : 0;
        s->scale->drain_us = s->drain_us;
    }
}

int controller_parse_config(struct arena *arena, const char *path, const char *text, size_t bytes,
                            struct config **ret, struct err *errors, size_t errors_cap,
                            size_t *ret_error_count)
{
    int rc = config_parse(arena, path, text, bytes, controller_sections(), clock_wall_us(), ret,
                          errors, errors_cap, ret_error_count);
    if (rc == 0)
        rc = controller_check_group(*ret, &errors[0]);
    if (rc == 0)
        controller_complete_config(*ret);
    else
        *ret_error_count = MAX(*ret_error_count, (size_t)1);
    return rc;
}

int controller_load_config(struct arena *arena, const char *path, struct config **ret,
                           struct err *errors, size_t errors_cap, size_t *ret_error_count)
{
    char *text = NULL;
    size_t bytes = 0;
    bool standard_input = strcmp(path, "-") == 0;
    _cleanup_close_ int file = standard_input ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    *ret_error_count = 0;
    int rc = !standard_input && file < 0
                 ? -errno
                 : read_all(standard_input ? STDIN_FILENO : file, arena, &text, &bytes);
    if (rc < 0) {
        *ret_error_count = 1;
        return err_at(&errors[0], rc, path, "cannot read the configuration: %s", strerror(-rc));
    }
    return controller_parse_config(arena, path, text, bytes, ret, errors, errors_cap,
                                   ret_error_count);
}

void controller_features(FILE *out)
{
    fprintf(out, "balance:");
    for (size_t i = 0; balance_all[i]; i++)
        fprintf(out, " %s", balance_all[i]->name);
    fprintf(out, "\ndrivers:");
    for (size_t i = 0; provision_all[i]; i++)
        fprintf(out, " %s", provision_all[i]->name);
    fprintf(out, "\nsources:");
    for (size_t i = 0; source_all[i]; i++)
        fprintf(out, " %s", source_all[i]->name);
    for (size_t i = 0; feed_all[i]; i++)
        fprintf(out, " %s", feed_all[i]->name);
    fprintf(out, "\n");
}
