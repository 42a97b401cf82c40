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

/* The map of services, drivers' sections included. Reports its errors; -EINVAL or -ENOMEM. */
int config_read_services(struct schema_context *ctx, const struct schema_node *node,
                         const struct schema_section *const *sections, struct config *config);

/* Custom keys of the tables: remember the node for the check that follows. */
int config_keep_node(struct schema_context *ctx, const struct schema_node *node, void *field,
                     struct err *err);

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
void config_name_rule(struct rule_conf *rule, const struct model_conf *model);

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

/* What no single service can see: listeners, routes, the admin address. Reports. */
int config_check_whole(struct schema_context *ctx, const struct schema_node *root,
                       struct config *config);
