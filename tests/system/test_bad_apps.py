"""Apps that misbehave."""

import os
import time

from plimsoll import alive, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    queue: {{deadline: 2s}}
    drain: 1s
    run:
      command: {command}
      env: {{{env}}}
      ready: {{http: /healthz, within: 2s}}
      stop: {{grace: 1s}}
    scale: {{min: 1, max: 2}}
"""


def config(env="", command='["@APP@"]'):
    return CONFIG.format(env=env, command=command)


def trouble(p):
    return p.service()["trouble"]


def test_never_ready(make):
    p = make(config=config('APP_READY: "never"')).start()
    wait(lambda: trouble(p), 20, "a word about it")
    code, body, _ = p.get("/")
    assert code == 503 and body
    assert p.service()["ready"] == 0
    wait(lambda: any("ready" in e["text"] for e in p.events()), 10, "an event that says so")


def test_exits_at_once_backs_off_and_says_so(make):
    p = make(config=config('APP_EXIT: "3"')).start()
    wait(lambda: "3" in trouble(p), 20, "the exit status")
    starts = lambda: len([e for e in p.events() if "start" in e["text"] and e["kind"] == "instance"])
    wait(lambda: starts() >= 3, 20, "some tries")
    began, first = time.monotonic(), starts()
    wait(lambda: starts() > first, 30, "another try")
    assert starts() < 40, "it backs off"
    code, body, _ = p.get("/")
    assert code == 503 and b"no instance" in body and b"status 3" not in body
    assert time.monotonic() >= began


def test_ignores_term_is_killed_after_grace(make):
    p = make(config=config('APP_IGNORE_TERM: "1"')).start()
    p.wait_ready(1)
    pids = p.instance_pids()
    assert p.stop() == 0
    assert not any(alive(pid) for pid in pids)


def test_leaks_no_descriptors_into_it(make):
    p = make(config=config()).start()
    p.wait_ready(1)
    pid = p.instance_pids()[0]
    links = {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}
    foreign = [x for x in links if "memfd" in x or "plimsoll.db" in x or "journal" in x]
    assert not foreign, links


def test_that_leaks_descriptors_to_children_still_ends(make):
    p = make(config=config('APP_LEAK_FDS: "1"')).start()
    p.wait_ready(1)
    victim = p.service()["instances"][0]
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    p.cli("drain", victim["id"])
    wait(lambda: victim["id"] not in [i["id"] for i in p.service()["instances"]], 20, "gone")
    assert p.get("/")[0] == 200
    assert p.stop() == 0
    wait(lambda: not p.own_pids(), 10, "nothing left behind")


def test_that_forks_a_daemon_leaves_nothing_behind(make):
    p = make(config=config('APP_FORK_DAEMON: "1"')).start()
    p.wait_ready(1)
    wait(lambda: len(p.own_pids()) >= 5, 10, "the daemon")
    assert p.stop() == 0
    wait(lambda: not p.own_pids(), 10, "nothing left behind")


def test_port_taken_by_another_process_is_not_ready(make):
    """Ready means that the child itself listens: an app that ignores PORT never is."""
    p = make(config=config(command='["sleep", "1000"]').replace("http: /healthz", "tcp: true")).start()
    wait(lambda: trouble(p), 20, "a word about it")
    assert p.service()["ready"] == 0


def test_output_is_kept_per_instance(make):
    p = make(config=config(command='["/bin/sh", "-c", "echo hello-out; echo hello-err >&2; exec @APP@"]')).start()
    p.wait_ready(1)
    name = p.service()["instances"][0]["id"]
    text = p.cli("logs", name).stdout
    assert "hello-out" in text and "hello-err" in text
