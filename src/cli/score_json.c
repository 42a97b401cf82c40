/* The keys of a score. docs/simulate.md says what they mean. */
#include "cli/score_json.h"

json_t *score_json(const struct score *s)
{
    return json_pack(
        "{s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:I,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f,s:f}",
        "seconds", s->seconds, "requests", s->requests, "waited", s->waited, "refused", s->refused,
        "violations", s->violations, "instance_hours", s->instance_hours, "cost", s->cost,
        "energy_kwh", s->energy_kwh, "co2_g", s->co2_g, "moves", (json_int_t)s->moves,
        "utilisation", s->mean_utilisation, "latency_p50_s", s->latency_p50_s, "latency_p95_s",
        s->latency_p95_s, "latency_p99_s", s->latency_p99_s, "theta_u", s->theta_u, "theta_o",
        s->theta_o, "tau_u", s->tau_u, "tau_o", s->tau_o, "upsilon", s->upsilon, "accuracy_u",
        s->bungee_u, "accuracy_o", s->bungee_o, "jitter", s->jitter);
}
