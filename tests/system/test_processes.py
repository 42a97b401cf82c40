"""What the three processes may do, and what they cost when nothing happens."""

import os
import pwd

import pytest

from plimsoll import SLOW, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: ["@APP@"]
      listen: {listen}
      ready: {{http: /healthz}}
    scale: {{min: 2, max: 2}}
"""


def facts(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f)


@pytest.mark.parametrize("listen", ["port", "socket"])
def test_the_proxy_has_no_rights_and_still_serves(make, listen):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    p = make(config=CONFIG.format(listen=listen)).start()
    p.wait_ready(2)
    proxy = facts(p.status()["proxy"]["pid"])
    assert int(proxy["Uid"].split()[1]) != 0
    assert pwd.getpwuid(int(proxy["Uid"].split()[1])).pw_name in ("plimsoll", "nobody")
    assert int(proxy["CapEff"], 16) == int(proxy["CapPrm"], 16) == int(proxy["CapAmb"], 16) == 0
    assert proxy["NoNewPrivs"].strip() == "1"
    assert p.get("/")[0] == 200


def test_a_proxy_user_that_does_not_exist_is_an_error_at_start(make):
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    p = make(config="proxy: {user: nosuchuser}\n" + CONFIG.format(listen="port"))
    p.start(ready=False)
    assert p.process.wait(20 * SLOW) != 0
    assert "nosuchuser" in p.log_tail()


def test_one_loop_per_core_unless_told_otherwise(make):
    def loops(p):
        pid = p.status()["proxy"]["pid"]
        names = [open(f"/proc/{pid}/task/{t}/comm").read() for t in os.listdir(f"/proc/{pid}/task")]
        return len([n for n in names if n.startswith("loop")])

    p = make(config=CONFIG.format(listen="port")).start()
    assert loops(p) == min(os.cpu_count(), 16)
    q = make(config="proxy: {loops: 3}\n" + CONFIG.format(listen="port")).start()
    assert loops(q) == 3


def test_an_idle_controller_is_small(make):
    p = make(config=CONFIG.format(listen="port")).start()
    p.wait_ready(2)
    kib = int(facts(p.status()["controller"]["pid"])["VmRSS"].split()[0])
    assert kib < 48 * 1024 * SLOW**2, kib
    old = p.kill_role("controller")
    wait(lambda: (p.try_status() or {}).get("controller", {}).get("pid") not in (None, old), 20, "another")
    p.wait_ready(2)
    kib = int(facts(p.status()["controller"]["pid"])["VmRSS"].split()[0])
    assert kib < 48 * 1024 * SLOW**2, kib
