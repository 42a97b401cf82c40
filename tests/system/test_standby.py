"""`run --standby`: a second plimsoll on the same state directory waits, and takes over."""

import os
import signal
import subprocess

import pytest

from plimsoll import APP, Load, alive, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"]}
    scale: {min: 2, max: 2}
"""


class Standby:
    """The second one: another process on the first one's directory."""

    def __init__(self, p):
        self.p = p
        self.log = p.directory / f"standby{len(list(p.directory.glob('standby*')))}.log"
        argv = p.argv()
        argv.insert(2, "--standby")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, env=p.env, stdin=subprocess.DEVNULL, stdout=log,
                                            stderr=log)

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_waiting(self):
        wait(lambda: "standing by" in self.text(), 10, "it to wait")
        return self

    def takes_over(self):
        """From now on it is the one that the fixture takes away."""
        self.p.process, self.p.log = self.process, self.log
        self.p.wait_live()

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def standby():
    made = []

    def new(p):
        made.append(Standby(p))
        return made[-1]

    yield new
    for s in made:
        if s.p.process is not s.process:
            s.end()


def start(make):
    p = make(config=CONFIG).start()
    p.wait_ready(2)
    return p


def instances(p):
    return {i["id"]: i["pid"] for i in p.service()["instances"]}


def files(p):
    """Everything in the state directory that a second keeper could have made or written."""
    return {f.name: f.stat().st_mtime_ns for f in p.state.iterdir()
            if f.name in ("keeper.lock", "run.yaml", "keeper", "owner")}


def test_kill_9(make, standby):
    p = start(make)
    second = standby(p)
    first, before = p.process, instances(p)
    second.wait_waiting()
    assert f"pid {first.pid}" in second.text()
    controller, proxy = p.status()["controller"]["pid"], p.status()["proxy"]["pid"]
    with Load(p.port, clients=3) as load:
        load.wait_ok(50)
        os.kill(first.pid, signal.SIGKILL)
        os.kill(controller, signal.SIGKILL)
        first.wait()
        second.takes_over()
        p.wait_ready(2)
        load.wait_ok(50)
        load.stop()
    assert not load.failures, load.failures[:5]
    assert instances(p) == before
    assert p.status()["proxy"]["pid"] == proxy
    assert f"pid {first.pid} has ended" in second.text()


def test_kill_9_with_its_proxy(make, standby):
    """Only what was in flight at the proxy that died is lost."""
    p = start(make)
    second = standby(p).wait_waiting()
    first, before = p.process, instances(p)
    s = p.status()
    with Load(p.port, clients=3, resets_ok=True) as load:
        load.wait_ok(50)
        for pid in (s["keeper"]["pid"], s["controller"]["pid"]):
            os.kill(pid, signal.SIGKILL)
        first.wait()
        second.takes_over()
        p.kill_role("proxy")
        load.wait_ok(50)
        load.stop()
    assert not load.failures, load.failures[:5]
    assert instances(p) == before


def test_waits_and_touches_nothing(make, standby):
    p = start(make)
    before, own = files(p), instances(p)
    second = standby(p).wait_waiting()
    assert files(p) == before and instances(p) == own
    children = subprocess.run(["ps", "--no-headers", "-o", "pid", "--ppid", str(second.process.pid)],
                              capture_output=True, text=True).stdout
    assert children.split() == []
    folder = f"/proc/{second.process.pid}/fd"
    targets = [os.readlink(f"{folder}/{n}") for n in os.listdir(folder)]
    assert not any(t.startswith("socket:") for t in targets), targets
    status = p.cli("status").stdout
    assert "shop" in status and p.status()["keeper"]["pid"] == p.process.pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ends_when_asked(make, standby, number):
    p = start(make)
    second = standby(p).wait_waiting()
    second.process.send_signal(signal.SIGHUP)
    second.process.send_signal(number)
    assert second.process.wait(5) == 0
    assert p.get()[0] == 200


def test_takes_over_after_a_stop(make, standby):
    p = start(make)
    second = standby(p).wait_waiting()
    before = instances(p)
    assert p.cli("stop").stdout == "stopped\n"
    p.process.wait(10)
    second.takes_over()
    p.wait_ready(2)
    assert p.get()[0] == 200
    assert not set(before.values()) & set(instances(p).values())
    assert not any(alive(pid) for pid in before.values())


def test_takes_over_what_was_detached(make, standby):
    p = start(make)
    second = standby(p).wait_waiting()
    before = instances(p)
    with Load(p.port, clients=2) as load:
        p.cli("stop", "--detach")
        second.takes_over()
        p.wait_ready(2)
        load.wait_ok(20)
        load.stop()
    assert not load.failures and instances(p) == before


def test_two_wait_and_one_gets_it(make, standby):
    p = start(make)
    before, first = instances(p), p.process
    waiting = [standby(p).wait_waiting(), standby(p).wait_waiting()]
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    next_one = wait(lambda: next((s for s in waiting if "taking over\n" in s.text()
                                  and "has ended" in s.text()), None), 10, "one of them")
    next_one.takes_over()
    p.wait_ready(2)
    other = next(s for s in waiting if s is not next_one)
    assert other.process.poll() is None and "has ended" not in other.text()
    assert instances(p) == before


def test_flags_are_written_when_it_is_its_turn(make, standby):
    p = make(flags=["--max", "1"], command=[str(APP)]).start()
    p.wait_ready(1)
    text = (p.state / "run.yaml").read_text()
    p.flags = ["--max", "2"]
    second = standby(p).wait_waiting()
    assert (p.state / "run.yaml").read_text() == text
    os.kill(p.process.pid, signal.SIGKILL)
    p.process.wait()
    second.takes_over()
    assert (p.state / "run.yaml").read_text() != text
    wait(lambda: p.service()["max"] == 2, 10, "its own configuration")


def test_a_file_that_broke_meanwhile(make, standby):
    """It goes away again, and what runs is left alone."""
    p = start(make)
    second = standby(p).wait_waiting()
    pids = p.instance_pids()
    p.config.write_text("services: {shop: {nonsense: 1}}")
    os.kill(p.process.pid, signal.SIGKILL)
    p.process.wait()
    assert second.process.wait(10) != 0
    assert "nonsense" in second.text()
    assert p.get()[0] == 200 and all(alive(pid) for pid in pids)
    p.write_config(CONFIG)
    p.start()


def test_without_the_flag_it_is_named(make):
    p = start(make)
    other = subprocess.run(p.argv(), capture_output=True, text=True, timeout=20)
    assert other.returncode != 0
    assert f"pid {p.process.pid}" in other.stderr and "--standby" in other.stderr


def test_nobody_to_wait_for(make):
    p = make(config=CONFIG)
    argv = p.argv()
    p.argv = lambda: [*argv[:2], "--standby", *argv[2:]]
    p.start()
    p.wait_ready(2)
    assert "standing by" not in p.log_tail()
