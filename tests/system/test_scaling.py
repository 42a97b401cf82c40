"""Load goes up, instances follow at once; load goes away, they follow down to min, or to zero."""

import threading
import time

import pytest

from plimsoll import Load, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    {limit}
    run:
      command: ["@APP@"]
      env: {{APP_SERVICE_MS: "20", APP_CONCURRENCY: "4"}}
      ready: {{http: /healthz}}
    scale:
      min: {minimum}
      max: 5
      window: 2s
      rules:
        - target: {{metric: concurrency, value: 4}}
      behavior: {{down: {{stabilize: 1s}}}}
"""


def config(limit="", minimum=1):
    return CONFIG.format(limit=limit, minimum=minimum)


def decisions_up(p):
    return [
        line["decision"] for line in p.journal()
        if "decision" in line and line["decision"]["desired"] > line["decision"]["before"] > 0
    ]


@pytest.mark.parametrize("limit", ["", "max-concurrency: 4"])
def test_step_is_decided_by_the_doorbell_and_nothing_fails(make, limit):
    p = make(config=config(limit)).start()
    p.wait_ready(1)
    with Load(p.port, clients=2) as calm:
        calm.wait_ok(5)
        with Load(p.port, clients=18) as burst:
            p.wait_ready(4)
            burst.wait_ok(100)
        assert not burst.failures, burst.failures[:5]
        up = decisions_up(p)
        assert up and up[0]["cause"] == "doorbell", up
    assert not calm.failures, calm.failures[:5]
    with Load(p.port, clients=1, pause=0.05) as trickle:
        wait(lambda: p.service()["ready"] == 1, 30, "back to min")
    assert not trickle.failures, trickle.failures[:5]
    assert len(p.service()["instances"]) >= 1


def test_without_load_nothing_moves(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    before = [i["id"] for i in p.service()["instances"]]
    first = len([x for x in p.journal() if x.get("event", {}).get("type") == "tick"])
    wait(lambda: len([x for x in p.journal() if x.get("event", {}).get("type") == "tick"]) > first + 4,
         20, "five more ticks")
    assert [i["id"] for i in p.service()["instances"]] == before


def test_to_zero_and_back_the_first_request_waits(make):
    p = make(config=config("queue: {deadline: 10s}", minimum=0)).start()
    wait(lambda: not p.service()["instances"] or p.service()["ready"], 15, "a first look")
    wait(lambda: not p.service()["instances"], 30, "no instance")
    code, body, _ = p.get("/")
    assert code == 200, body
    assert p.service()["ready"] >= 1
    wait(lambda: not p.service()["instances"], 30, "to zero again")
    results = []
    threads = [threading.Thread(target=lambda: results.append(p.get("/")[0])) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert results == [200] * 8


def test_a_start_that_fails_answers_503_and_does_not_hang(make):
    """Clients are not told what is wrong inside; whoever looks is, once for each failure."""
    text = config("queue: {deadline: 3s}", minimum=0).replace(
        'command: ["@APP@"]', 'command: ["/nonexistent/server"]')
    p = make(config=text).start()
    began = time.monotonic()
    code, body, headers = p.get("/")
    assert code == 503
    assert time.monotonic() - began < 10
    assert b"no instance" in body and b"nonexistent" not in body, body
    assert headers.get("Retry-After")
    assert "/nonexistent/server" in p.service()["trouble"]
    told = [e["text"] for e in p.events() if "/nonexistent/server" in e["text"] and "shop-1 " in e["text"]]
    assert len(told) == 1, told


def test_operator_wins_over_rules_and_max_over_operator(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    p.cli("scale", "shop", "3")
    p.wait_ready(3)
    p.cli("scale", "shop", "9")
    p.wait_ready(5)
    assert p.service()["desired"] == 5
    p.cli("scale", "shop", "auto")
    wait(lambda: p.service()["ready"] == 1, 30, "rules decide again")


def test_pause_keeps_the_count_and_resume_lets_go(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    p.cli("pause", "shop")
    with Load(p.port, clients=12) as load:
        load.wait_ok(100)
        assert p.service()["desired"] == 1
        p.cli("resume", "shop")
        p.wait_ready(3)
    assert not load.failures, load.failures[:5]


def test_restart_is_rolling_and_no_request_fails(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    p.cli("scale", "shop", "3")
    p.wait_ready(3)
    before = {i["id"] for i in p.service()["instances"]}
    with Load(p.port, clients=6) as load:
        load.wait_ok(50)
        p.cli("restart", "shop")
        wait(lambda: not before & {i["id"] for i in p.service()["instances"]}, 40, "all replaced")
        load.wait_ok(50)
    assert not load.failures, load.failures[:5]
    assert p.service()["ready"] >= 3


def test_drain_one_instance(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    victim = p.service()["instances"][0]["id"]
    with Load(p.port, clients=2) as load:
        load.wait_ok(20)
        p.cli("drain", victim)
        wait(lambda: victim not in [i["id"] for i in p.service()["instances"]], 30, "drained")
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]


def test_advise_decides_and_acts_on_nothing(make):
    text = config().replace("scale:", "scale:\n      mode: advise")
    p = make(config=text).start()
    p.wait_ready(1)
    with Load(p.port, clients=16) as load:
        load.wait_ok(100)
        wait(lambda: any(d["desired"] > 1 for d in p.why("shop")["decisions"]), 20, "an advice")
        assert len(p.service()["instances"]) == 1
    assert not load.failures, load.failures[:5]


def test_reload_replaces_one_by_one_and_a_broken_one_changes_nothing(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    before = {i["id"] for i in p.service()["instances"]}
    good = p.config.read_text()
    p.config.write_text(good.replace("max: 5", "max: -5"))
    broken = p.cli("reload", check=False)
    assert broken.returncode != 0
    assert "plimsoll.yaml:" in broken.stderr + broken.stdout
    assert {i["id"] for i in p.service()["instances"]} == before
    p.config.write_text(good.replace('APP_SERVICE_MS: "20"', 'APP_SERVICE_MS: "10"'))
    assert "run" in p.cli("diff").stdout
    with Load(p.port, clients=4) as load:
        load.wait_ok(20)
        p.cli("reload")
        wait(lambda: not before & {i["id"] for i in p.service()["instances"]}, 40, "all replaced")
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]
