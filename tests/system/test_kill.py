"""kill -9 under load, of everything there is."""

import contextlib
import os
import random
import signal
import socket

import pytest

from plimsoll import SLOW, Load, alive, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "5", APP_CONCURRENCY: "8"}
      ready: {http: /healthz}
    scale: {min: 3, max: 3}
"""


def instances(p):
    return {i["id"]: i["pid"] for i in p.service()["instances"]}


def apps_running(p):
    """Processes that run the app for this state directory."""
    found = []
    for pid in p.own_pids():
        try:
            if os.readlink(f"/proc/{pid}/exe").endswith("/app/app"):
                found.append(pid)
        except OSError:
            pass
    return found


@pytest.fixture
def p(make):
    p = make(config=CONFIG).start()
    p.wait_ready(3)
    return p


def test_instance(p):
    victim = p.service()["instances"][0]
    with Load(p.port, clients=4, resets_ok=True) as load:
        load.wait_ok(50)
        os.kill(victim["pid"], signal.SIGKILL)
        wait(lambda: victim["id"] not in instances(p), 10, "out of the list")
        p.wait_ready(3)
        load.wait_ok(50)
    bad = [f for f in load.failures if not f.startswith("502")]
    assert not bad, bad[:5]
    assert len(load.failures) <= 4, "only what was in flight on it may fail"


def test_the_only_instance(make):
    """While its replacement starts requests wait; none is told to come back later."""
    p = make(config=CONFIG.replace("min: 3, max: 3", "min: 1, max: 1").replace(
        'APP_CONCURRENCY: "8"', 'APP_CONCURRENCY: "8", APP_START_MS: "300"')).start()
    p.wait_ready(1)
    with Load(p.port, clients=4, resets_ok=True) as load:
        for _ in range(3):
            load.wait_ok(50)
            victim = p.service()["instances"][0]
            os.kill(victim["pid"], signal.SIGKILL)
            wait(lambda: p.service()["ready"] and victim["id"] not in instances(p), 20, "another")
        load.wait_ok(50)
    waited = [f for f in load.failures if not f.startswith("502")]
    assert not waited, waited[:5]
    assert len(load.failures) <= 12, load.failures[:20]


def test_controller(p):
    before, old = instances(p), p.status()["controller"]["pid"]
    with Load(p.port, clients=4) as load:
        load.wait_ok(50)
        p.kill_role("controller")
        wait(lambda: (p.try_status() or {"controller": {"pid": old}})["controller"]["pid"] != old,
             20, "another controller")
        p.wait_ready(3)
        load.wait_ok(50)
    assert not load.failures, load.failures[:5]
    assert instances(p) == before
    assert sorted(apps_running(p)) == sorted(before.values())


def test_proxy(p):
    before, old = instances(p), p.status()["proxy"]["pid"]
    with Load(p.port, clients=4, resets_ok=True) as load:
        load.wait_ok(50)
        p.kill_role("proxy")
        wait(lambda: p.status()["proxy"]["pid"] not in (0, old), 20, "another proxy")
        load.wait_ok(50)
    assert not load.failures, load.failures[:5]
    assert load.cut <= 8
    assert instances(p) == before


def test_keeper_then_run_again(p):
    before, proxy = instances(p), p.status()["proxy"]["pid"]
    with Load(p.port, clients=4) as load:
        load.wait_ok(50)
        p.kill_role("keeper")
        p.process.wait(10)
        load.wait_ok(50)
        p.start()
        p.wait_ready(3)
        load.wait_ok(50)
    assert not load.failures, load.failures[:5]
    assert instances(p) == before
    assert p.status()["proxy"]["pid"] == proxy
    assert sorted(apps_running(p)) == sorted(before.values())
    assert p.stop() == 0
    wait(lambda: not p.own_pids(), 10, "nothing left behind")


def kill_one(p, rng):
    role = rng.choice(["keeper", "controller", "proxy"])

    def killed():
        pid = (p.try_status() or {}).get(role, {}).get("pid")
        with contextlib.suppress(ProcessLookupError):  # who has just died is still named
            if pid:
                os.kill(pid, signal.SIGKILL)
                return pid
        return None

    pid = wait(killed, 20, f"a {role}")
    wait(lambda: not alive(pid), 10, "its end")
    if role == "keeper":
        p.process.wait(10)
        p.start(ready=False)


def whole(p):
    """All three live and know each other, and the proxy answers."""
    s = p.wait_live()
    return all(alive(s[r]["pid"]) for r in ("keeper", "controller", "proxy")) and p.get("/")[0] == 200


def test_each_of_three_at_random_a_hundred_times(p):
    """One at a time: only what was in flight in a killed proxy may fail, never a connect."""
    before, rng = instances(p), random.Random(1)
    with Load(p.port, clients=2, resets_ok=True) as load:
        for _ in range(int(100 / SLOW)):
            kill_one(p, rng)
            wait(lambda: whole(p), 20, "all three again")
            assert not load.failures, load.failures[:5]
        p.wait_ready(3)
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]
    assert instances(p) == before
    assert sorted(apps_running(p)) == sorted(before.values())


def test_several_of_three_while_they_recover(p):
    """The next one dies before the last one is back; nothing is started twice or lost."""
    before, rng = instances(p), random.Random(2)
    for _ in range(int(30 / SLOW)):
        kill_one(p, rng)
    wait(lambda: whole(p), 20, "all three again")
    p.wait_ready(3)
    assert instances(p) == before
    assert sorted(apps_running(p)) == sorted(before.values())


def test_all_three_at_once(p):
    before, s = instances(p), p.status()
    for role in ("keeper", "controller", "proxy"):
        os.kill(s[role]["pid"], signal.SIGKILL)
    p.process.wait(10)
    p.start()
    p.wait_ready(3)
    assert instances(p) == before
    assert p.get("/")[0] == 200


def test_foreign_process_on_the_port_is_an_error(make):
    p = make(config=CONFIG)
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", p.port))
        s.listen()
        p.start(ready=False)
        assert p.process.wait(20 * SLOW) != 0
    assert str(p.port) in p.log_tail() and "in use" in p.log_tail()
    assert not p.own_pids()


def test_second_run_on_the_same_state_is_an_error(p):
    other = type(p)(p.directory)
    other.config, other.state = p.config, p.state
    other.start(ready=False)
    assert other.process.wait(20 * SLOW) != 0
    assert str(p.process.pid) in other.log_tail()
    assert p.get("/")[0] == 200


def state_of(pid):
    with open(f"/proc/{pid}/stat") as f:
        return f.read().rsplit(")", 1)[1].split()[0]


def test_the_controllers_last_words_are_heard(make):
    """It says that all is stopped and ends, while the keeper is busy: it is not started again."""
    p = make(config=CONFIG.replace("min: 3, max: 3", "min: 0, max: 3")).start(ready=False)
    wait(lambda: p.try_status() and p.service() is not None, 20, "an answer")
    wait(lambda: not p.service()["instances"], 60, "no instance")
    wait(lambda: p.status()["proxy"]["pid"], 20, "a proxy")
    status = p.status()
    controller = status["controller"]["pid"]
    os.kill(p.process.pid, signal.SIGSTOP)
    try:
        os.kill(status["proxy"]["pid"], signal.SIGKILL)  # what the keeper will look at first
        p.api("POST", "/v1/stop", {})
        wait(lambda: state_of(controller) == "Z", 20, "the controller has ended")
    finally:
        os.kill(p.process.pid, signal.SIGCONT)
    assert p.process.wait(20 * SLOW) == 0
    assert b"the controller (pid" not in p.log.read_bytes()


# -- one that is not quite dead -------------------------------------------------------------------


@pytest.fixture
def half_dead(tmp_path, make):
    """A plimsoll that is yet to start, and what a killed controller has open until nothing is left of it."""
    p = make(config=CONFIG)
    p.state.mkdir()
    with socket.socket(socket.AF_UNIX) as open_still:
        open_still.settimeout(20)
        open_still.bind(str(p.state / "admin.sock"))
        open_still.listen()
        yield p, open_still


def test_a_killed_controller_that_still_has_its_socket_is_waited_for(half_dead):
    p, open_still = half_dead
    p.start(ready=False)
    open_still.accept()[0].close()
    open_still.close()
    p.wait_ready(1)


def test_one_that_stays_is_another(half_dead):
    p, open_still = half_dead
    p.start(ready=False)
    assert p.process.wait(20 * SLOW) != 0
    assert "admin.sock: another plimsoll answers here" in p.log_tail()
