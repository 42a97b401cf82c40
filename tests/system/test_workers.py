"""Workers: a service without a listener scales on its backlog, from zero and back to it. Readiness is
that it runs, and a job in hand is finished within the grace."""

import collections
import json
import pathlib
import sys

import pytest

from plimsoll import wait
from servers import Redis

WORKER = pathlib.Path(__file__).with_name("worker.py")

CONFIG = """
services:
  worker:
    run:
      command: {command}
      stop: {{grace: {grace}}}
    sources:
      backlog: {{every: 200ms, redis: {{address: "127.0.0.1:{port}", list: jobs}}}}
    scale:
      min: 0
      max: {most}
      window: 1s
      rules:
        - queue: {{metric: backlog, length: 5, cooldown: 1s}}
      behavior: {{down: {{stabilize: 1s}}}}
"""


@pytest.fixture
def redis(tmp_path):
    server = Redis(tmp_path / "redis").start()
    yield server
    server.stop()


def config(redis, seconds=0.1, grace="20s", most=4, command=None):
    words = command or [sys.executable, str(WORKER), str(redis.port), str(seconds)]
    return CONFIG.format(command=json.dumps(words), port=redis.port, grace=grace, most=most)


def push(redis, count, first=0):
    redis.ask("RPUSH", "jobs", *range(first, first + count))


def done(redis):
    """Jobs that were done, and by whom."""
    return [line.decode().split() for line in redis.ask("LRANGE", "done", 0, -1)]


def assert_all_done_once(redis, count):
    jobs = collections.Counter(int(job) for job, _ in done(redis))
    assert jobs == {n: 1 for n in range(count)}, jobs
    assert redis.ask("LLEN", "begun") == count and redis.ask("LLEN", "jobs") == 0


def wait_event(p, text):
    wait(lambda: any(text in e["text"] for e in p.events()), 5, f"the event: {text}")


def wait_none(p):
    wait(lambda: not p.service()["instances"], 30, "no instance")


def test_from_zero_and_back_and_no_job_is_lost(make, redis):
    p = make(config=config(redis)).start()
    wait(lambda: p.service()["sources"][0]["value"] == 0, 20, "the backlog to be known")
    assert p.service()["desired"] == 0 and not p.service()["instances"]
    assert p.service()["listen"] == []
    push(redis, 60)
    wait(lambda: p.service()["ready"] >= 3, 20, "workers")
    instances = [i for i in p.service()["instances"] if i["state"] == "ready"]
    assert all(not i["address"] and i["pid"] for i in instances), instances
    wait(lambda: len(done(redis)) == 60, 40, "all jobs to be done")
    wait_none(p)
    assert_all_done_once(redis, 60)
    assert len({pid for _, pid in done(redis)}) >= 3
    push(redis, 5, first=60)  # and again
    wait(lambda: len(done(redis)) == 65, 20, "the second backlog")
    wait_none(p)
    assert_all_done_once(redis, 65)
    wait_event(p, "exited with status 0")
    assert not any("signal" in e["text"] for e in p.events()), p.events()


def test_the_job_in_hand_has_the_grace(make, redis):
    """The list is empty while the job runs: TERM comes, the job goes on, KILL does not come."""
    p = make(config=config(redis, seconds=6)).start()
    push(redis, 1)
    wait(lambda: redis.ask("LLEN", "begun") == 1, 20, "the job to begin")
    wait(lambda: p.service()["draining"] == 1, 20, "it to be told to end")
    assert redis.ask("LLEN", "done") == 0
    wait_none(p)
    assert_all_done_once(redis, 1)
    wait_event(p, "exited with status 0")


def test_a_grace_that_is_too_short_cuts(make, redis):
    p = make(config=config(redis, seconds=60, grace="300ms")).start()
    push(redis, 1)
    wait(lambda: redis.ask("LLEN", "begun") == 1, 20, "the job to begin")
    wait_none(p)
    assert done(redis) == []
    wait_event(p, "signal 9")


def test_workers_outlive_the_controller(make, redis):
    p = make(config=config(redis, seconds=0.3, most=2)).start()
    push(redis, 30)
    wait(lambda: p.service()["ready"] == 2, 20, "two workers")
    before = sorted(p.instance_pids())
    p.kill_role("controller")
    wait(lambda: p.try_status() and p.service()["ready"] == 2, 20, "the next controller to know them")
    assert sorted(p.instance_pids()) == before
    wait(lambda: len(done(redis)) == 30, 30, "all jobs to be done")
    wait_none(p)
    assert_all_done_once(redis, 30)


def test_an_unknown_backlog_ends_nobody(make, redis):
    p = make(config=config(redis, seconds=0.2)).start()
    push(redis, 8)
    wait(lambda: p.service()["ready"] == 2, 20, "two workers")
    redis.stop()
    wait(lambda: p.service()["sources"][0]["value"] is None, 20, "the backlog to be unknown")
    began = p.service()["desired"]
    wait(lambda: p.why("worker")["current"]["opinions"][0]["block_in"], 20, "law 1")
    assert began == 2 == p.service()["desired"]


def test_one_that_does_not_stay_is_a_crash_loop(make, redis):
    p = make(config=config(redis, command=["sh", "-c", "exit 7"])).start()
    push(redis, 20)
    wait(lambda: "exited with status 7" in p.service()["trouble"], 20, "the trouble")
    wait(lambda: "tried again after" in p.service()["trouble"], 20, "the back-off")


def test_a_command_that_begins_with_exec(make, redis):
    p = make(config=config(redis, command="exec sleep 1000")).start()
    push(redis, 1)
    p.wait_ready(1)
    assert pathlib.Path(f"/proc/{p.instance_pids()[0]}/comm").read_text() == "sleep\n"


def test_beside_a_service_that_listens(make, redis):
    text = config(redis) + """
  web:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"], ready: {http: /healthz}}
"""
    p = make(config=text).start()
    p.wait_ready(1, "web")
    push(redis, 10)
    wait(lambda: len(done(redis)) == 10, 20, "the jobs")
    assert p.get("/")[0] == 200
    p.write_config(text.replace("max: 4", "max: 3"))
    p.cli("reload")
    assert p.get("/")[0] == 200
