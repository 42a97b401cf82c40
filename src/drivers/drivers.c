/* The full list of drivers. */
#include "drivers/driver.h"

const struct provision_ops *const provision_all[] = { &provision_process, &provision_docker,
                                                      &provision_swarm, &provision_exec, NULL };
const struct source_ops *const source_all[] = { &source_proxy, &source_proc, NULL };
const struct feed_ops *const feed_all[] = {
    &source_prometheus, &source_http, &source_redis, &source_postgres,
    &source_exec,       &source_push, NULL,
};
