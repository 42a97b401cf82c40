"""Containers in bad moments: whoever makes them dies in the middle, the engine comes back while requests are
under way, memory runs out inside, somebody reads a log for the first time."""

import json
import os
import signal
import time
import urllib.parse

import pytest

from plimsoll import Load, wait
from test_docker import inspect, owned, run, texts  # noqa: F401  a fixture

MANY = ("{min: 1, max: 40, rules: [target: {metric: concurrency, value: 1000}], "
        "behavior: {up: {stabilize: 0s, at-most: 1000 per 1s}}}")
SCRIPT = """
docker: {{host: "{host}"}}
services:
  worker:
    docker:
      image: {image}
      command: [/bin/sh, -c, '{script}']
      stop: {{grace: 0s}}
      limits: {{memory: 8MiB}}
    scale: {{min: 1, max: 1, rules: [threshold: {{metric: cpu, above: 80%, for: 5m, add: 1}}]}}
"""


@pytest.fixture
def worker(make, docker):
    """A plimsoll with one container that runs a script of the shell."""
    def new(script):
        p = make(config=SCRIPT.format(host=docker.host, image=docker.image, script=script)).start()
        p.wait_ready(1, within=60)
        return p
    return new


# --- who makes them dies ---


@pytest.mark.parametrize("roles", [("controller",), ("keeper", "controller", "proxy")])
def test_killed_in_the_middle_of_starts(run, docker, roles):
    p = run(scale=MANY, ready=1)
    p.cli("scale", "shop", "20")
    wait(lambda: len(owned(docker, p, None)) >= 5, 30, "some of them to be made", every=0.002)
    s = p.status()
    made = {c["Id"] for c in owned(docker, p, None).values()}
    for role in roles:
        os.kill(s[role]["pid"], signal.SIGKILL)
    if "keeper" in roles:
        p.process.wait(10)
        p.start()
    wait(lambda: (s := p.try_status()) and s["services"] and s["services"][0]["ready"] == 20, 90, "20 of them")
    wait(lambda: len(owned(docker, p, None)) == 20, 30, "no more than 20")
    assert made <= {c["Id"] for c in owned(docker, p).values()}
    assert p.get("/")[0] == 200


def test_their_pids_are_known_to_the_next_controller(run, docker):
    p = run()
    pids = {inspect(docker, c)["State"]["Pid"] for c in owned(docker, p).values()}
    assert {i["pid"] for i in p.service()["instances"]} == pids
    old = p.kill_role("controller")
    wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != old and s["services"][0]["ready"] == 2, 20,
         "a new controller")
    assert {i["pid"] for i in p.service()["instances"]} == pids


# --- the engine comes back ---


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_traffic_goes_on_while_the_engine_comes_back(run, docker, how):
    """Without live-restore its containers end with it, or with its next start: nobody gets an error for that."""
    p = run()
    before = {c["Id"] for c in owned(docker, p).values()}
    with Load(p.port, pause=0.005) as load:
        load.wait_ok(20)
        getattr(docker, how)()
        wait(lambda: p.service()["trouble"], 20, "the engine to be missed")
        docker.start()
        wait(lambda: p.service()["ready"] == 2 and not before & {c["Id"] for c in owned(docker, p).values()}, 60,
             "others")
        load.wait_ok(50)
    assert not load.failures


# --- out of memory ---


def out_of_memory(docker, since):
    """When the engine saw it happen, in Unix seconds."""
    filters = urllib.parse.quote('{"event":["oom"]}')
    _, body = docker.api("GET", f"/events?since={int(since)}&until={int(time.time()) + 1}&filters={filters}")
    lines = [body] if isinstance(body, dict) else map(json.loads, body.splitlines())
    return [line["timeNano"] / 1e9 for line in lines]


def test_a_process_in_it_runs_out_of_memory(worker, docker):
    began = time.time()
    p = worker("while :; do /bin/busybox tail /dev/zero; sleep 0.2; done")
    text = "worker-1: a process in it was killed, out of memory"
    wait(lambda: text in texts(p), 30, "it to be told")
    assert text in p.cli("status").stdout
    assert p.service("worker")["instances"][0]["id"] == "worker-1"
    wait(lambda: len(out_of_memory(docker, began)) > 5, 30, "it to go on and on")
    assert texts(p).count(text) == 1


def test_who_survived_it_was_not_killed_by_it(worker, docker):
    began = time.time()
    p = worker('trap "/bin/busybox tail /dev/zero" USR1; while :; do sleep 0.2; done')
    container, = owned(docker, p).values()  # it runs, so the engine watches its memory
    docker.api("POST", f"/containers/{container['Id']}/kill?signal=USR1")
    wait(lambda: any("a process in it was killed, out of memory" in t for t in texts(p)), 30, "it to be told")
    wait(lambda: time.time() - max(out_of_memory(docker, began)) > 3, 20, "it to be survived", every=0.2)
    docker.api("POST", f"/containers/{container['Id']}/kill?signal=KILL")
    wait(lambda: any("exited 137" in t for t in texts(p)), 20, "its end")
    assert not any("killed, out of memory" in t for t in texts(p) if "exited" in t), texts(p)


# --- logs ---


def test_the_first_who_asks_gets_the_log(worker):
    p = worker("i=0; while [ $i -lt 500 ]; do echo line $i of many; i=$((i+1)); done; while :; do sleep 1; done")
    lines = [f"line {i} of many" for i in range(500)]
    assert p.cli("logs", "worker-1", "-n", "1000").stdout.splitlines() == lines
    assert p.cli("logs", "worker-1", "-n", "2").stdout.splitlines() == lines[-2:]
    assert p.cli("logs", "--all", "-n", "1").stdout.splitlines() == [f"worker-1 | {lines[-1]}"]


def test_a_log_of_nothing(worker):
    p = worker("while :; do sleep 1; done")
    done = p.cli("logs", "worker-1")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_log_that_the_engine_does_not_give(worker, docker):
    p = worker("echo working; while :; do sleep 1; done")
    docker.pause()
    done = p.cli("logs", "worker-1", check=False)
    assert done.returncode == 1 and "the engine has not sent its output yet" in done.stderr
    wait(lambda: "does not answer" in p.cli("logs", "worker-1", check=False).stderr, 40, "the engine to be missed")
    assert p.cli("logs", "worker-1", check=False).returncode == 1
    docker.resume()
    wait(lambda: p.cli("logs", "worker-1", check=False).stdout == "working\n", 40, "its output")
