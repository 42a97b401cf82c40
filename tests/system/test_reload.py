"""Reloads at awkward moments: in a storm, while a controller starts, while everything stops, and of a
service that still has requests in flight."""

import os
import signal

from plimsoll import Load, wait
from test_drain import Stream

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: 20s
    run:
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "5", APP_CONCURRENCY: "8"}
      ready: {http: /healthz}
    scale: {min: 2, max: 4, rules: [target: {metric: concurrency, value: 4}]}
  other:
    listen: "127.0.0.1:@PORT@"
    route: {host: other.example}
    run:
      command: ["@APP@"]
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
"""


def start(make):
    p = make(config=CONFIG).start()
    p.wait_ready(2, "shop")
    p.wait_ready(1, "other")
    return p


def instances(p):
    return {i["id"]: i["pid"] for s in p.status()["services"] for i in s["instances"]}


def test_a_storm_of_signals_is_one_reload_after_another(make):
    p = start(make)
    before, controller = instances(p), p.status()["controller"]["pid"]
    with Load(p.port, clients=2) as load:
        load.wait_ok(20)
        os.kill(controller, signal.SIGSTOP)
        for _ in range(5):
            os.kill(p.process.pid, signal.SIGHUP)
        os.kill(controller, signal.SIGCONT)
        wait(lambda: any("reloaded" in e["text"] for e in p.events()), 15, "a reload")
        p.cli("reload")
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]
    assert p.status()["controller"]["pid"] == controller and instances(p) == before


def test_signals_while_a_controller_starts(make):
    p = start(make)
    before = instances(p)
    for _ in range(5):
        old = p.kill_role("controller")
        for _ in range(3):
            os.kill(p.process.pid, signal.SIGHUP)
        wait(lambda: (p.try_status() or {}).get("controller", {}).get("pid") not in (None, old),
             20, "another controller")
        young = p.status()["controller"]["pid"]
        p.wait_ready(2, "shop")
        assert p.status()["controller"]["pid"] == young
    assert instances(p) == before


def test_no_reload_while_stopping(make):
    p = start(make)
    stream = Stream(p.port, 2)
    assert stream.begun.wait(20)
    p.config.write_text(p.config.read_text().replace("min: 2", "min: 4"))
    p.process.send_signal(signal.SIGTERM)
    wait(lambda: "stopping: draining" in p.log_tail(20000), 10, "the stop to begin")
    os.kill(p.process.pid, signal.SIGHUP)
    code, body = p.api("POST", "/v1/reload", {})
    assert code == 400 and "stopping" in body["error"]
    stream.join(20)
    assert stream.whole
    assert p.process.wait(30) == 0
    assert "shop-3: started" not in p.log_tail(20000)


def test_a_removed_service_ends_what_it_has_in_flight(make):
    p = start(make)
    streams = [Stream(p.port, 3) for _ in range(4)]
    for s in streams:
        assert s.begun.wait(20)
    text = p.config.read_text()
    p.config.write_text("services:\n  other:" + text.split("  other:")[1])
    p.cli("reload")
    for s in streams:
        s.join(20)
        assert s.whole
    wait(lambda: [s["name"] for s in p.status()["services"]] == ["other"], 20, "it to be gone")
    p.config.write_text(text)
    p.cli("reload")
    p.wait_ready(2, "shop")
    assert p.get("/")[0] == 200


def test_the_doorbell_rings_again_after_controllers_died_under_load(make):
    p = make(config=CONFIG.replace("min: 2,", "min: 1, window: 1s, behavior: {down: {stabilize: 0s}},"))
    p.start().wait_ready(1, "shop")
    for _ in range(4):
        with Load(p.port, clients=16) as load:
            load.wait_ok(60)
            old = p.kill_role("controller")
            wait(lambda: (p.try_status() or {}).get("controller", {}).get("pid") not in (None, old),
                 20, "another controller")
        assert not load.failures, load.failures[:5]
    wait(lambda: p.service("shop")["ready"] == 1 and not p.service("shop")["draining"], 40, "calm")
    seen = len(ups(p))
    with Load(p.port, clients=16) as load:
        up = wait(lambda: ups(p)[seen:], 20, "a decision")
    assert up[0]["cause"] == "doorbell", up[0]


def ups(p):
    found = [x["decision"] for x in p.journal() if "decision" in x]
    return [d for d in found if d["service"] == "shop" and d["desired"] > d["before"] > 0]
