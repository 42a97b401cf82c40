/* The tables of the configuration's own keys and the steps that turn what was read into the model;
 * private to config/. */
#pragma once

#include "config/config.h"
#include "config/read.h"

#define CONFIG_NAME_MAX 48      /* of a service */
#define CONFIG_LISTENERS_MAX 64 /* different ones, over all services */
#define CONFIG_HOSTS_MAX 16
#define CONFIG_TRUST_MAX 32
#define CONFIG_HOST_BYTES_MAX 127
#define CONFIG_PATH_BYTES_MAX 127

extern const struct schema_section config_section_top;     /* struct config */
extern const struct schema_section config_section_service; /* struct config_service */
extern const struct schema_section config_section_scale;   /* struct config_scale */
extern const struct schema_section config_section_direction_up, config_section_direction_down;
extern const struct schema_section config_section_rules; /* the kinds of rules, for the reference */
/* Maps from names to sections, and items of lists: these are one entry's. */
extern const struct schema_section config_section_source, config_section_budget,
    config_section_share, config_section_carbon_window;

int config_read_root(struct schema_context *ctx, const struct schema_node *root,
                     const struct config_sections *sections, struct config *config);

/* schema_context.join of a configuration. */
int config_join_documents(struct schema_context *ctx, const struct schema_node *const *roots,
                          size_t count, const struct schema_node **ret);
/* The map of services (NULL = none), drivers' sections included. Reports its errors; -EINVAL or
 * -ENOMEM. */
int config_read_services(struct schema_context *ctx, const struct schema_node *node,
                         const struct config_sections *sections, struct config *config);
/* `scale` and `sources` of a service whose map has been read; `whole` = without errors. Report. */
int config_read_scale(struct schema_context *ctx, const struct schema_node *service,
                      struct config_service *s, bool whole);
int config_read_sources(struct schema_context *ctx, const struct schema_section *const *sections,
                        struct config_service *s);

/* a-z, 0-9 and "-" inside, at most so long; `what` is it the name of? -EINVAL, placed. */
int config_check_name(struct schema_context *ctx, const struct schema_node *key, const char *what,
                      size_t bytes_max, struct err *err);
/* A table that knows the drivers' sections beside its own keys, and leaves them alone. */
int config_join_drivers(struct schema_context *ctx, const struct schema_section *own,
                        const struct schema_section *const *drivers, struct schema_section *ret);
/* The one section of a driver in the map `node`, into a struct of its own; `nothing` says what is
 * wrong when there is none. */
int config_read_driver(struct schema_context *ctx, const struct schema_section *const *sections,
                       const struct schema_node *node, const char *nothing,
                       const struct schema_section **ret, void **ret_conf, struct err *err);

/* `budgets`, before the services; a service's share of one; whether the ceilings leave room. */
int config_read_budgets(struct schema_context *ctx, const struct schema_node *node,
                        struct model_conf *model);
int config_read_budget_of(struct schema_context *ctx, const struct schema_node *node,
                          struct service_conf *conf, struct err *err);
int config_check_budgets(struct schema_context *ctx, const struct config *config, struct err *err);
/* `energy` into the model. Reports. */
int config_read_carbon(struct schema_context *ctx, const struct config *config,
                       struct carbon_conf *carbon);
/* `after` into the model; then, of all services, that what they name is there and in no circle. */
int config_read_after(struct schema_context *ctx, const struct schema_list *after,
                      struct service_conf *conf, struct err *err);
int config_check_groups(struct schema_context *ctx, const struct config *config, struct err *err);

/* The check of a direction: at-most and policies, the two vocabularies. */
int config_check_direction(struct schema_context *ctx, void *section, struct err *err);
/* "at most 10% per 1m, stabilize 5m" */
void config_print_direction(const struct behavior_direction *d, struct str *out);

/* The list of rules into conf->rules. Reports; -EINVAL or -ENOMEM. */
int config_read_rules(struct schema_context *ctx, const struct schema_node *node,
                      struct service_conf *conf);
/* The window of a metric in a rule that names none. */
int64_t config_default_window_us(enum metric m);
/* What applies when no rule is written. */
void config_default_rules(const struct config_service *s, struct service_conf *conf);
/* The name that explanations show, "target concurrency 20", from the rest of it. */
void config_name_rule(struct rule_conf *rule, const struct model_conf *model,
                      const struct service_conf *service);

/* ":8080" -> "tcp:*:8080". -EINVAL with a text that is complete but for the place. */
int config_canonical_listener(const char *text, char *ret, size_t cap, struct err *err);
/* The address part of two canonical listeners cannot be bound at the same time, though they
 * differ. */
bool config_listeners_overlap(const char *a, const char *b);
bool config_listener_is_loopback(const char *canonical); /* Unix sockets too */
/* "10.0.0.0/8", "::1". -EINVAL with a text. */
int config_check_network(const char *text, struct err *err);

/* Index into model->zones, read from the system's zone files the first time. -EINVAL, -ENOMEM. */
int config_find_zone(struct schema_context *ctx, const char *name, uint32_t *ret, struct err *err);
/* The keys "cron" and "timezone" of the section being checked. -EINVAL (placed), -ENOMEM. */
int config_read_times(struct schema_context *ctx, const char *cron, const char *zone,
                      struct cron *ret_cron, uint32_t *ret_zone, struct err *err);

/* What no single service can see: listeners, routes, the admin address, and, when all of it is
 * `whole`, groups and budgets. Reports. */
int config_check_whole(struct schema_context *ctx, const struct schema_node *root,
                       struct config *config, bool whole);
