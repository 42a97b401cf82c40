/* What a command of the operator would be answered, before it is given: the core takes events in
 * and answers nobody, so whoever has somebody waiting asks here first. */
#pragma once

struct control;
struct event;

/* Of an EVENT_OPERATOR: 0 = it does what it says. -ENOENT: its service is not there or leaves the
 * configuration, or its instance has gone. -ENOTSUP: it names who is to go, or to stay, and the
 * service's engine chooses that itself. -EINVAL: it is no command, or its count is out of range. */
int control_check_operator(const struct control *c, const struct event *e);
