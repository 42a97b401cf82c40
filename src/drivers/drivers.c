/* The full list of drivers. */
#include "drivers/driver.h"

const struct provision_ops *const provision_all[] = { &provision_process, NULL };
const struct source_ops *const source_all[] = { &source_proxy, &source_proc, NULL };
