"""What those who stand by know, and what is said of those who are gone."""

import os
import signal
import time

from etcd import needs_etcd
from plimsoll import SLOW, wait
from test_takeover import group  # noqa: F401  a fixture

pytestmark = needs_etcd


def paused(p):
    return p.service("shop")["paused"]


def test_an_operators_command_reaches_the_others_at_once(group):  # noqa: F811
    """Whoever gave it believes that it holds, also when the leader dies the next moment. A standby that looks
    four times a second would have three of five only after a tenth of a second."""
    a, b = group(2).start()
    took = []
    for n in range(20):
        code, body = a.api("POST", "/v1/services/shop/" + ("resume" if n % 2 else "pause"), {})
        assert code == 200, body
        began = time.monotonic()
        wait(lambda on=n % 2 == 0: paused(b) == on, 10, "the command at the standby", 0.002)
        took.append(time.monotonic() - began)
    assert sorted(took)[15] < 0.1 * SLOW, took


def test_a_standby_that_hangs_holds_no_command_up(group):  # noqa: F811
    a, b = group(2).start()
    pid = b.kill_role("controller", signal.SIGSTOP)
    try:
        for n in range(7):
            began = time.monotonic()
            assert a.api("POST", "/v1/services/shop/" + ("resume" if n % 2 else "pause"), {})[0] == 200
            assert time.monotonic() - began < 1 * SLOW
        told = wait(lambda: left(a), 20, "it to be out of the group")
        assert not told["leads"]
        wait(lambda: "it is lost: out of the group for " in left(a)["trouble"], 10, "it to be called lost")
        assert "member m2 " in a.cli("status").stdout
    finally:
        os.kill(pid, signal.SIGCONT)
    wait(lambda: b.try_status() and paused(b), 20, "the last command at the standby")
    wait(lambda: not left(a), 20, "it to be in the group again")


def left(p):
    """What is told of one that is not in the group any more."""
    return next((m for m in p.status()["group"]["members"] if "out of the group" in m["trouble"]), None)
