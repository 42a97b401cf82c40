#!/usr/bin/env python3
"""Turns tests/vectors/*.json, what other autoscalers compute, into test files for `plimsoll test`.

    vectors_to_tests.py VECTORS_DIR OUT_DIR

Each case becomes one test whose name begins with the case's id and which expects what the other
autoscaler does. Those of DIFFERENT expect what plimsoll does instead. NOT_RUN are the cases that no
test of a policy can say. The files are YAML with one test a line, each in JSON, which YAML takes as
it is.
"""
import json
import pathlib
import sys

LONG_AGO = "1000000s"
POLL_S = 30  # of KEDA
SOFT_LIMIT = 20  # of a fly machine

# What has no word in a policy, and why.
NOT_RUN = {
    "keda-formula-01": "arithmetic over several triggers is done in a source's query",
    "aws-pred-04": "no forecast goes beyond max, with or without a buffer",
    "aws-pred-05": "no forecast goes beyond max, with or without a buffer",
    "aws-warm-01": "no pool of stopped instances is kept",
    "aws-warm-02": "no pool of stopped instances is kept",
}


# ---- Kubernetes: core/hpa.h on its own, for its instances have requests, phases and 2^63 ----

def sum_containers(values, container):
    """Of all containers, or of the one that counts; None when there is no value."""
    if values is None:
        return None
    if container:
        only = 1 if container == "container2" else 0
        return values[only] if only < len(values) else None
    return sum(values)


def seconds(age):
    return LONG_AGO if age is None else f"{age}s"


def replica_pod(pod, container, resource):
    """Times that Kubernetes' test leaves out are long ago there."""
    start = seconds(pod["start_age_s"])
    test = {"phase": pod["phase"].lower(), "deleting": pod["deleting"], "ready": pod["ready"],
            "started": start, "changed": start, "window": "60s"}
    if resource:
        value = sum_containers(pod.get("usage_m_per_container"), container)
        request = sum_containers(pod.get("request_m_per_container"), container)
    else:
        value, request = pod.get("metric_m"), None
    if value is not None:
        test["value"] = value
    if request is not None:
        test["request"] = request
    return test


MEASURES = {"resource_utilization": "utilisation", "pods_metric": "plain", "object": "whole",
            "external": "whole", "object_per_pod": "total", "external_per_pod": "total"}


def replica_expect(expect):
    if "error" in expect:
        return {"error": "no-request" if "missing request" in expect["error"] else "no-data"}
    test = {"replicas": expect["replicas"],
            "average": expect.get("raw_average_m", expect.get("usage_m"))}
    if "utilization_pct" in expect:
        test["utilisation"] = expect["utilization_pct"]
    return test


def hpa_replicas(vectors):
    constants = vectors["constants"]
    for case in vectors["cases"]:
        resource = case["kind"] == "resource_utilization"
        pods = case.get("pods", [])
        yield case, {"calculate": {
            "measure": MEASURES[case["kind"]],
            "tolerance-up": case["tolerance_scale_up"],
            "tolerance-down": case["tolerance_scale_down"],
            "cpu": resource,
            "initialization": f"{constants['cpu_initialization_period_s']}s",
            "readiness-delay": f"{constants['initial_readiness_delay_s']}s",
            "current": case["current_replicas"],
            "ready": sum(p["ready"] and p["phase"] == "Running" for p in pods),
            "target": case["target"],
            "value": min(sum(case.get("metric_values_m", [])), 2**63 - 1),
            "pods": [replica_pod(p, case.get("container"), resource) for p in pods],
            "expect": replica_expect(case["expect"])}}


def group_pod(pod):
    test = {"name": pod["name"], "phase": pod["phase"].lower(), "deleting": pod["deleting"],
            "changed": seconds(pod["ready_transition_age_s"])}
    if pod["start_age_s"] is not None:
        test["started"] = seconds(pod["start_age_s"])
    if pod["ready_condition"] is not None:
        test["ready"] = pod["ready_condition"]
    if pod["metric"] is not None:
        test.update({"value": 0, "value-age": seconds(pod["metric"]["age_s"]),
                     "window": f"{pod['metric']['window_s']}s"})
    return test


def hpa_groups(vectors):
    constants = vectors["constants"]
    for case in vectors["cases"]:
        expect = case["expect"]
        yield case, {"calculate": {
            "measure": "classes",
            "cpu": case["resource"] == "cpu",
            "initialization": f"{constants['cpu_initialization_period_s']}s",
            "readiness-delay": f"{constants['initial_readiness_delay_s']}s",
            "pods": [group_pod(p) for p in case["pods"]],
            "expect": {"ready": expect["ready_count"], "unready": expect["unready"],
                       "missing": expect["missing"], "ignored": expect["ignored"]}}}


# ---- everybody else: the core decides ----

def at_once(rules, **scale):
    """A policy whose decisions nothing delays."""
    scale = {"min": 0, "max": 1000, "window": "0s", **scale, "rules": rules}
    behavior = scale.setdefault("behavior", {})
    down = behavior.setdefault("down", {})
    down.setdefault("stabilize", "0s")
    return scale


def policy(rules, sources, **scale):
    """A worker that scales on metrics of its own; `sources` are those that are no totals."""
    return {"worker": True, "scale": at_once(rules, **scale), "sources": sources}


def total(*names):
    return {name: {} for name in names}


def whole(*names):
    return {name: {"global": True} for name in names}


def moment(count, metrics, expect, **more):
    """From so many instances, with these values, one decision."""
    return {"start": {"instances": count, **more},
            "timeline": [{"at": "0s", "metrics": metrics, "expect": expect}]}


def count_expected(case):
    """Nomad names the new count only when there is one."""
    return case["expect"].get("count", case["count"])


def most(config):
    """max_scale_up and max_scale_down: so many in one step."""
    behavior = {}
    for key, direction in (("max_scale_up", "up"), ("max_scale_down", "down")):
        if key in config:
            behavior[direction] = {"at-most": f"{config[key]} per 1s"}
    return behavior


# What plimsoll says where Nomad says that something is wrong.
NOMAD_ERRORS = [
    ("missing required field `target`", "value: is missing"),
    ("missing required field `value`", "changes nothing"),
    ("invalid value for `target`", "is not a number"),
    ("invalid value for `threshold`", "is not a ratio"),
    ("invalid value for `max_scale", "is not a rate"),
    ("invalid value for `value`", "is not a whole number"),
    ("_bound\"", "is not a number"),
    ("must have either", "needs add or remove"),
    ("only one of", "and only that"),
    ("within_bounds_trigger", "is not a whole number"),
]


def refused(error, test):
    return {**test, "refused": next(ours for theirs, ours in NOMAD_ERRORS if theirs in error)}


def nomad_target(case):
    """Beside the mistake that is meant stands a target that is none; it becomes one."""
    config = case["config"]
    target = {"metric": "m", "tolerance": config.get("threshold", 0.01)}
    if "target" in config:
        meant = "error" in case["expect"] and config["target"] == "0"
        target["value"] = "1" if meant else config["target"]
    test = policy([{"target": target}], whole("m"), behavior=most(config))
    if "error" in case["expect"]:
        return refused(case["expect"]["error"], test)
    before = {"before": {"m": case["metrics"]}} if case["metrics"] else {}
    return {**test, **moment(case["count"], {}, count_expected(case), **before)}


def nomad_direction(case):
    """Only the direction is asked for, which a hundredfold count shows whatever the rounding."""
    count = case["count"] * 100
    direction = case["expect"]["direction"]
    expect = {"up": {"at-least": count + 1}, "down": {"at-most": count - 1},
              "none": {"desired": count}}[direction]
    rules = [{"target": {"metric": "m", "value": 1, "tolerance": case["threshold"]}}]
    return {**policy(rules, whole("m")), **moment(count, {"m": case["factor"]}, expect)}


def nomad_step(config):
    """A step between the bounds, and what it does."""
    step = {}
    if "lower_bound" in config:
        step["from"] = config["lower_bound"]
    if "upper_bound" in config:
        step["to"] = config["upper_bound"]
    kind = "percent" if "percentage" in config else "exact" if "value" in config else "change"
    change = config.get("delta", config.get("percentage"))
    if change is not None:
        step["remove" if change.startswith("-") else "add"] = change.lstrip("-")
    if "value" in config:
        step["set"] = config["value"]
    return kind, step


def nomad_threshold(case):
    kind, step = nomad_step(case["config"])
    rule = {"metric": "m", "threshold": 0, "type": kind, "window": "60s", "steps": [step],
            "points": case["config"].get("within_bounds_trigger", "5")}
    test = policy([{"step": rule}], whole("m"))
    if "error" in case["expect"]:
        return refused(case["expect"]["error"], test)
    return {**test, **moment(case["count"], {}, count_expected(case),
                             before={"m": case["metrics"]})}


def nomad_pass_through(case):
    """The metric is the count: one instance for each."""
    rules = [{"target": {"metric": "m", "value": 1, "tolerance": 0}}]
    test = policy(rules, total("m"), behavior=most(case["config"]))
    if "error" in case["expect"]:
        return refused(case["expect"]["error"], test)
    metrics = {"m": case["metrics"][-1]} if case["metrics"] else {}
    return {**test, **moment(case["count"], metrics, count_expected(case))}


def nomad_fixed(case):
    schedule = {"cron": "* * * * *", "for": "1m"}
    if "value" in case["config"]:
        schedule["count"] = case["config"]["value"]
    test = policy([{"schedule": schedule}], {})
    if "error" in case["expect"]:
        return refused(case["expect"]["error"], test)
    return {**test, **moment(case["count"], {}, count_expected(case))}


def nomad_precedence(case):
    """Two opinions on a service of 10. Counts are labels that say which of two is larger, so an
    `up` to n is moved above 10."""
    def wanted(action):
        return {"up": 11 + action["count"], "down": action["count"],
                "none": 10}[action["direction"]]
    rules = [{"target": {"metric": m, "value": 1, "tolerance": 0}} for m in "ab"]
    return {**policy(rules, total("a", "b")),
            **moment(10, {m: wanted(case[m]) for m in "ab"}, wanted(case["expect"]))}


def nomad_cap(case):
    if case.get("dry_run"):
        rules = [{"target": {"metric": "m", "value": 1, "tolerance": 0}}]
        return {**policy(rules, total("m"), mode="advise"),
                **moment(2, {"m": case["count"]},
                         {"desired": case["expect"]["dry_run_count"], "ready": 2, "starting": 0})}
    # A max of 0 is a schedule's alone.
    rules = [{"target": {"metric": "m", "value": 1, "tolerance": 0}},
             {"schedule": {"cron": "* * * * *", "for": "1m", "min": case["min"],
                           "max": case["max"]}}]
    expect = {"desired": case["expect"]["count"]}
    if case["expect"]["capped"]:
        expect["reason"] = "schedule"
    return {**policy(rules, total("m")), **moment(case["count"], {"m": case["count"]}, expect)}


NOMAD = {"target_value": nomad_target, "target_value_direction": nomad_direction,
         "threshold": nomad_threshold, "pass_through": nomad_pass_through,
         "fixed_value": nomad_fixed, "multi_check_precedence": nomad_precedence,
         "cap_count": nomad_cap}


def nomad(vectors):
    for group, content in vectors["groups"].items():
        for case in content["cases"]:
            yield case, None if case["id"] in NOT_RUN else NOMAD[group](case)


def keda_activation(case):
    """KEDA's min beside an idle count is the queue's `least`; what an annotation pauses is a
    direction that is disabled."""
    idle = case["idle"]
    queue = {"metric": "jobs", "length": 10, "cooldown": f"{case['cooldown_s']}s",
             "least": case["min"] if idle is not None else 1}
    if case["fallback_replicas"] is not None:
        queue["fallback"] = {"after": f"{POLL_S}s", "count": case["fallback_replicas"]}
    paused = {"paused-scale-in": "down", "paused-scale-out": "up"}.get(case["annotation"])
    scale = {"min": case["min"] if idle is None else idle, "max": case["max"] or 100,
             "behavior": {paused: {"select": "disabled"}} if paused else {}}
    rules = [{"queue": queue}]
    if case["annotation"] == "force-activation":
        rules.append({"schedule": {"cron": "* * * * *", "for": "1m", "min": 1}})
    jobs = None if case["trigger_error"] else 1 if case["triggers_active"] else 0
    expect = case["expect"]["replicas"]
    test = moment(case["current"], {"jobs": jobs}, expect)
    since = case["seconds_since_last_active"]
    if since is not None:  # it was active, and then was not
        scale["window"] = "300s"
        test["timeline"] = [{"at": "0s", "metrics": {"jobs": 1}},
                            {"at": "1s", "metrics": {"jobs": jobs}},
                            {"at": f"{since}s", "expect": expect}]
    return {**policy(rules, total("jobs"), **scale), **test}


KEDA_BEHAVIORS = {"static": "static", "currentReplicas": "current",
                  "currentReplicasIfHigher": "if-higher", "currentReplicasIfLower": "if-lower"}


def keda_fallback(case):
    """A threshold of n failures is `after` n polls from the first of them. KEDA makes up a metric
    of so many replicas' worth; the rule says the count that comes to, and its HPA goes there."""
    each, threshold = case["target_per_replica"], case["failure_threshold"]
    as_what = KEDA_BEHAVIORS[case["behavior"]]
    fallback = {"after": f"{threshold * POLL_S}s", "as": as_what}
    if as_what != "current":
        fallback["count"] = case["fallback_replicas"]
    test = policy([{"queue": {"metric": "jobs", "length": each, "fallback": fallback}}],
                  total("jobs"))
    if threshold < 0:
        return {**test, "refused": "is not a duration"}
    current = case["current_replicas"] or 5
    wanted = None if "error" in case["expect"] else case["expect"]["metric"] // each
    return {**test,
            "start": {"instances": current},
            "timeline": [{"at": f"{case['failures_before'] * POLL_S}s",
                          "expect": {"rules": ["none" if wanted is None else wanted],
                                     "desired": current if wanted is None else wanted}}]}


# Minutes after Monday at which the window is open and shut, and how long one lasts.
THURSDAY = 3 * 1440
KEDA_CRON = {
    "keda-cron-01": ("1439m", [(THURSDAY - 1, False), (THURSDAY, True), (THURSDAY + 1438, True),
                               (THURSDAY + 1439, False), (THURSDAY + 1500, False)]),
    "keda-cron-02": ("60m", [(0, True), (59, True), (60, False), (119, False), (120, True),
                             (22 * 60 + 59, True), (23 * 60, False), (24 * 60, True)]),
    "keda-cron-03": ("15m", [(0, True), (14, True), (15, False), (29, False), (30, True),
                             (44, True), (45, False), (59, False), (60, True)]),
}


def keda_cron(case):
    lasts, minutes = KEDA_CRON[case["id"]]
    desired = case["desired"]
    rules = [{"target": {"metric": "m", "value": 1, "tolerance": 0}},
             {"schedule": {"cron": case["start"], "for": lasts, "timezone": case["timezone"],
                           "min": desired}}]
    return {**policy(rules, total("m")),
            "every": "1m",
            "start": {"time": "2026-01-05 00:00", "instances": 1},
            "timeline": [{"at": "0s", "metrics": {"m": 1}}] +
                        [{"at": f"{minute}m", "expect": desired if is_open else 1}
                         for minute, is_open in minutes]}


def keda_rejected(case):
    """`for` is what lies between KEDA's start and end, which are hourly. It reads both as cron
    expressions, and so do we: of an end that is none the same must be said."""
    if "start" not in case:
        return {**policy([{"schedule": {}}], {}), "refused": "is missing"}
    minutes = [int(case[key].split()[0]) for key in ("start", "end")]
    schedule = {"cron": case["start"], "for": f"{max(0, minutes[1] - minutes[0])}m"}
    says = "is too small" if minutes[0] == minutes[1] else "changes nothing"
    for key in ("start", "end"):
        if "-" in case[key]:
            schedule.update({"cron": case[key], "for": "15m"})
            says = "cron month" if minutes[0] >= 0 and minutes[1] >= 0 else "cron minute"
    if "timezone" in case:
        schedule["timezone"] = case["timezone"]
    else:
        says = "timezone"
    if "desiredReplicas" in case:
        schedule["min"] = case["desiredReplicas"]
    return {**policy([{"schedule": schedule}], {}), "refused": says}


def keda(vectors):
    for key, convert in (("activation_cases", keda_activation), ("fallback_cases", keda_fallback),
                         ("cron_windows", keda_cron), ("formula_cases", None)):
        for case in vectors[key]:
            yield case, None if case["id"] in NOT_RUN else convert(case)
    for number, case in enumerate(vectors["cron_rejected_configs"], 1):
        case = {"id": f"keda-rej-{number}", **case}
        yield case, None if case["id"] in NOT_RUN else keda_rejected(case)


STEP_TYPES = {"PercentChangeInCapacity": "percent", "ChangeInCapacity": "change",
              "ExactCapacity": "exact"}


def aws_change(kind, adjustment):
    if kind == "exact":
        return {"set": adjustment}
    return {"add": adjustment} if adjustment >= 0 else {"remove": -adjustment}


def aws_step(case):
    kind = STEP_TYPES[case["type"]]
    steps = []
    for step in case["out_steps"] + case["in_steps"]:
        bounds = {ours: step[theirs] for ours, theirs in (("from", "lower"), ("to", "upper"))
                  if step[theirs] is not None}
        steps.append({**bounds, **aws_change(kind, step["adjustment"])})
    rules = [{"step": {"metric": "m", "threshold": case["threshold"], "type": kind,
                       "steps": steps}}]
    return {**policy(rules, whole("m")),
            **moment(case["capacity"], {"m": case["metric"]}, case["expect"])}


def aws_adjustment(case):
    """One step that always holds."""
    kind = STEP_TYPES[case["type"]]
    rule = {"metric": "m", "threshold": 0, "type": kind,
            "steps": [aws_change(kind, case["adjustment"])]}
    if "min_magnitude" in case:
        rule["min-magnitude"] = case["min_magnitude"]
    return {**policy([{"step": rule}], whole("m")),
            **moment(case["capacity"], {"m": 1}, case["expect"])}


def aws_rounding(case):
    """The value as so many percent of a capacity."""
    cents = round(case["value"] * 100)
    percent = next(p for p in (10, 1) if cents % p == 0)
    capacity = abs(cents) // percent
    kind = "percent"
    rule = {"metric": "m", "threshold": 0, "type": kind,
            "steps": [aws_change(kind, percent if cents > 0 else -percent)]}
    return {**policy([{"step": rule}], whole("m")),
            **moment(capacity, {"m": 1}, capacity + case["expect"])}


def aws_tracking(case):
    names = "ab" if "policy_desired" in case else "a"
    rules = [{"target": {"metric": m, "value": case.get("target", 1), "tolerance": 0}}
             for m in names]
    capacity, expect = case.get("capacity", 9), case.get("expect")
    if "ideal_change" in case:
        values, expect = [capacity + case["ideal_change"]], capacity + case["expect_change"]
    elif "metric_per_instance" in case:
        values = [capacity * case["metric_per_instance"]]
    else:
        values = case.get("policy_desired", [None])
    return {**policy(rules, total(*names)),
            **moment(capacity, dict(zip(names, values)), expect)}


def aws_predictive(case):
    """Three weeks of one load, and now another."""
    rules = [{"target": {"metric": "m", "value": 1, "tolerance": 0}},
             {"predictive": {"metric": "m", "value": 1, "margin": "0s"}}]
    return {**policy(rules, total("m"), min=case["min"], max=case["max"]),
            **moment(case["actual"], {"m": case["actual"]}, case["expect"],
                     history={"m": {"step": "1h", "values": [case["predicted"]],
                                    "repeat": 15 * 24}})}


def aws(vectors):
    for key, convert in (("step_cases", aws_step), ("adjustment_cases", aws_adjustment),
                         ("rounding_cases", aws_rounding),
                         ("target_tracking_cases", aws_tracking),
                         ("predictive_cases", aws_predictive), ("warm_pool_cases", None)):
        for case in vectors[key]:
            yield case, None if case["id"] in NOT_RUN else convert(case)


def azure_case(case):
    """At least x is above what is just under x. Of az-07 only the outcome is documented: a step of
    10 from 30 becomes one of 3 for a metric of which 27 is the least that holds."""
    rule = case["rule"]
    metric, below = case["metric"], rule.get("in_below")
    if metric is None:
        metric, below = 62, 63
    if below is None:
        below = rule["in_at_most"] + 1e-6
    above = rule.get("out_above")
    if above is None:
        above = rule["out_at_least"] - 1e-6
    threshold = {"metric": "m", "above": f"{above:.6f}", "below": f"{below:.6f}",
                 "add": rule.get("step_out", 1), "remove": rule["step_in"]}
    if float(threshold["above"]) <= float(threshold["below"]):
        # Thresholds that are equal are two rules here.
        up = {k: v for k, v in threshold.items() if k not in ("below", "remove")}
        down = {k: v for k, v in threshold.items() if k not in ("above", "add")}
        rules = [{"threshold": up}, {"threshold": down}]
    else:
        rules = [{"threshold": threshold}]
    return {**policy(rules, whole("m")), **moment(case["instances"], {"m": metric},
                                                  case["expect"])}


def azure(vectors):
    for case in vectors["cases"]:
        yield case, azure_case(case)


def fly_case(case):
    """A load that fills k machines and half of one more needs k + 1 at a target of the soft limit;
    behavior stops one in each pass."""
    load = case.get("load", case["soft_limit_exceeded"] * SOFT_LIMIT + SOFT_LIMIT / 2)
    rules = [{"target": {"metric": "concurrency", "value": SOFT_LIMIT, "tolerance": 0}}]
    scale = at_once(rules, behavior={"down": {"at-most": "1 per 3m"}})
    return {"scale": scale, **moment(case["running"], {"concurrency": load},
                                     case["running"] - case["expect_stop"])}


def fly(vectors):
    for case in vectors["cases"]:
        yield case, fly_case(case)


FILES = {"hpa_replica_calculator": hpa_replicas, "hpa_group_pods": hpa_groups,
         "nomad_strategies": nomad, "keda": keda, "aws_documented": aws, "azure_flapping": azure,
         "fly_autostop": fly}


def from_half_past(at, count):
    """A service of none until half past."""
    return {"start": {"time": "2026-01-05 00:00", "instances": 0},
            "timeline": [{"at": "29m", "expect": 0}, {"at": at, "expect": count}]}


# What plimsoll does otherwise and why, and what comes out of it.
DIFFERENT = {
    "nomad-tv-12": (
        "a target of 0 is refused: no count comes of it. What is to go to none is a queue, or a "
        "target of a total, with min: 0",
        {"refused": "cannot be a target"}),
    "nomad-th-16": (
        "a step without bounds is taken: it holds for every value",
        moment(1, {}, 2, before={"m": 5 * [0]})),
    "keda-rej-3": (
        "a schedule without time zone is taken: it is in UTC",
        from_half_past("30m", 10)),
    "keda-fb-07": (
        "unknown never scales in, so a fallback is a floor: KEDA goes from 15 down to 10",
        {"start": {"instances": 15},
         "timeline": [{"at": "90s", "expect": {"rules": [10], "desired": 15}}]}),
    "keda-act-14": (
        "a fallback moves the count itself: KEDA's operator writes none and leaves it to its HPA",
        {"start": {"instances": 3},
         "timeline": [{"at": "0s", "metrics": {"jobs": 1}, "expect": 3},
                      {"at": "1s", "metrics": {"jobs": None}},
                      {"at": "1000s", "expect": 5}]}),
}
OUTCOME = ("start", "timeline", "refused")


def convert(vectors_dir, name):
    """The tests of one file as the other autoscaler would pass them, by id; None for NOT_RUN."""
    vectors = json.loads((pathlib.Path(vectors_dir) / f"{name}.json").read_text())
    return {case["id"]: test and {"name": f"{case['id']} {case.get('name', '')}".strip(), **test}
            for case, test in FILES[name](vectors)}


def ours(case_id, test):
    """The same test as plimsoll is to pass it."""
    if case_id not in DIFFERENT:
        return test
    return {**{k: v for k, v in test.items() if k not in OUTCOME}, **DIFFERENT[case_id][1]}


def write_tests(path, tests):
    path.write_text("tests:\n" + "".join(f"  - {json.dumps(test)}\n" for test in tests))
    return path


def write(vectors_dir, out_dir, name):
    """Writes the test file; returns its path and the tests by id."""
    tests = {i: ours(i, test) for i, test in convert(vectors_dir, name).items()}
    path = pathlib.Path(out_dir) / f"{name}.test.yaml"
    return write_tests(path, filter(None, tests.values())), tests


def main(vectors_dir, out_dir):
    for file in FILES:
        print(write(vectors_dir, out_dir, file)[0])
    print("\ndiffers from the peer, and why:")
    for case_id, (reason, _) in DIFFERENT.items():
        print(f"  {case_id}: {reason}")
    print("\ncannot be expressed, and why:")
    for case_id, reason in NOT_RUN.items():
        print(f"  {case_id}: {reason}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
