"""Two or three plimsolls of one group on this machine, each with a loopback address, a state directory
and a proxy of its own, a real etcd between them, and one engine that they share.

The engine (fleet_plugin.py) writes down every request that changed something: so it is seen who acted,
and that nothing started twice.
"""

import contextlib
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import pytest

from etcd import Etcd, needs_etcd
from plimsoll import APP, PROGRAM, SLOW, Load, Plimsoll, alive, free_port, wait

PLUGIN = pathlib.Path(__file__).with_name("fleet_plugin.py")
TTL = 2

pytestmark = needs_etcd

CONFIG = """
admin: {address}:{admin}
admin-token-file: {token_file}
lease:
  cluster: shop
  member: {name}
  advertise: http://{address}:{admin}
  etcd: {{endpoints: ["{etcd}"], ttl: {ttl}s}}
services:
  shop:
    listen: ["{address}:{listen}"]
    exec:
      command: [{python}, {plugin}, {engine}, 127.0.0.1]
      config: {{command: "APP_SERVICE_MS=5 exec {app}", port: "{port}"}}
      ready: {{http: /healthz, interval: 1s}}
    scale:
      min: 2
      max: 6
      rules: [{{target: {{metric: concurrency, value: 50}}}}]
"""


class Group:
    """Members m1.. on 127.0.0.2.., started in order."""

    def __init__(self, directory, make, count, ttl):
        self.directory, self.ttl = directory, ttl
        self.etcd = Etcd(directory).start()
        self.engine = directory / "engine"
        self.token = directory / "token"
        self.token.write_text("between friends\n")
        self.token.chmod(0o600)
        self.app_port = 21000 + free_port() % 9 * 1000
        self.members = [self.add(make, n + 1) for n in range(count)]

    def add(self, make, n):
        p = make(admin=None)
        p.name, p.host, p.admin_port = f"m{n}", f"127.0.0.{n + 1}", free_port()
        p.write_config(CONFIG.format(
            address=p.host, admin=p.admin_port, token_file=self.token, name=p.name,
            etcd=self.etcd.endpoints, ttl=self.ttl, listen=p.port, python=sys.executable, plugin=PLUGIN,
            engine=self.engine, app=APP, port=self.app_port))
        return p

    def start(self):
        for p in self.members:
            p.start()
            if p is self.members[0]:
                wait(lambda: leads(p), 20, f"{p.name} to lead")
                p.wait_ready(2)
        for p in self.members[1:]:
            wait(lambda: knows(p, 2), 20, f"{p.name} to know the pool")
        return self.members

    def acts(self):
        """What the engine was asked to change, oldest first."""
        with contextlib.suppress(OSError):
            return [json.loads(x) for x in (self.engine / "journal").read_text().splitlines()]
        return []

    def nothing_started_twice(self):
        names = [x["name"] for x in self.acts() if x["do"] == "start" and x["took"]]
        assert len(names) == len(set(names)), names
        tokens = [x["token"] for x in self.acts()]
        assert tokens == sorted(tokens), f"an older leader acted after a newer one: {tokens}"

    def end(self):
        for p in self.members:
            with contextlib.suppress(Exception):
                p.stop(5)
        for facts in self.engine.glob("*/facts"):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(json.loads(facts.read_text())["pid"], signal.SIGKILL)
        self.etcd.stop()


@pytest.fixture
def group(tmp_path, make):
    groups = []

    def new(count=2, ttl=TTL):
        groups.append(Group(tmp_path, make, count, ttl))
        return groups[-1]

    yield new
    for g in groups:
        g.end()


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=False)


def leads(p):
    s = p.try_status()
    return s and s["group"]["held"] and s["lease"] == "held" and s


def knows(p, count):
    """A standby that serves as many instances as the leader has."""
    s = p.try_status()
    shop = s and next((x for x in s["services"] if x["name"] == "shop"), None)
    return shop and shop["ready"] == count and s["group"]["leader"]


def get(p, timeout=10):
    c = http.client.HTTPConnection(p.host, p.port, timeout=timeout * SLOW)
    try:
        c.request("GET", "/")
        return c.getresponse().status
    finally:
        c.close()


def kill_machine(p):
    """As when the power goes: the three processes at once, and the plugin with them."""
    s = p.status()
    controller = s["controller"]["pid"]
    children = [int(x) for x in
                pathlib.Path(f"/proc/{controller}/task/{controller}/children").read_text().split()]
    pids = [s["keeper"]["pid"], controller, s["proxy"]["pid"], *children]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    p.process.wait()
    wait(lambda: not any(alive(x) for x in pids), 5, "the machine to be dead")


def told(p):
    """Events of a store as lines."""
    return [f"{e['instance'] or e['service']}: {e['text']}" for e in p.events()]


def tells(p, text):
    return any(text in x for x in told(p))


def troubles(p):
    return " ".join(p.status()["troubles"])


def check(p):
    return subprocess.run([str(PROGRAM), "check", str(p.config)], capture_output=True, text=True)


def shop_of(p):
    return p.service("shop")


def numbers(p):
    return sorted(i["number"] for i in shop_of(p)["instances"])


def decisions(p):
    """What was decided, by whom and why, as far as two stores can agree on it."""
    return [(d["sequence"], d["desired"], d["summary"]) for d in p.why("shop")["decisions"]]


def test_two_machines_of_one_name(group):
    """As cloned ones are: both are told, and neither is taken for the other."""
    g = group(2)
    text = g.members[1].config.read_text()
    g.members[1].config.write_text(text.replace("member: m2", "member: m1"))
    a, b = g.start()
    assert get(b) == 200
    assert knows(b, 2) in ("m1", "m1~2")
    members = wait(lambda: [m for m in a.status()["group"]["members"] if m["heard_s"] is not None], 10, "it to be heard")
    assert [m["url"] for m in members] == [f"http://{b.host}:{b.admin_port}"]
    for p in (a, b):
        wait(lambda p=p: "lease.member" in str(p.status()["troubles"]), 20, "the trouble")
        assert len(p.status()["group"]["members"]) == 2
    kill_machine(a)
    wait(lambda: leads(b), 20, "the other one to lead")
    wait(lambda: "lease.member" not in str(b.status()["troubles"]), 20, "the trouble to be over")
    g.nothing_started_twice()


def test_a_standby_serves_and_knows_what_the_leader_does(group):
    a, b = group().start()
    assert get(b) == 200
    assert numbers(a) == numbers(b)
    a.cli("scale", "shop", "4")
    a.wait_ready(4)
    wait(lambda: knows(b, 4), 10, "the standby to see four")
    assert numbers(a) == numbers(b)
    wait(lambda: decisions(b) == decisions(a), 10, "the same history")
    a.cli("drain", "shop-4")
    for text in ("shop: asked for: scale to 4", "shop-4: asked for: drain", "shop-4: draining"):
        for p in (a, b):  # either's store may be the later one
            wait(lambda: text in told(p), 10, f"{text!r} to be told")
    assert any(x.startswith("shop-4: ready, ") for x in told(b)), told(b)[-4:]


def test_a_standby_changes_nothing_and_says_who_leads(group):
    a, b = group().start()
    p = b.cli("scale", "shop", "4", check=False)
    assert p.returncode != 0
    assert "m1 leads" in p.stderr + p.stdout and f"{a.host}:{a.admin_port}" in p.stderr + p.stdout
    assert shop_of(b)["desired"] == 2


def test_kill_9_of_the_leaders_machine(group):
    g = group()
    a, b = g.start()
    a.cli("scale", "shop", "3")
    a.wait_ready(3)
    wait(lambda: knows(b, 3), 10, "the standby to see three")
    wait(lambda: decisions(b) == decisions(a), 10, "the same history")
    before, ran, acts = decisions(a), numbers(a), len(g.acts())
    with Load(b.port, clients=4, host=b.host) as load:
        kill_machine(a)
        began = time.monotonic()
        wait(lambda: leads(b), TTL + 6, "the standby to lead")
        took = time.monotonic() - began
        wait(lambda: tells(b, "leads now, after m1, not heard of for"), 5, "why to be told")
        wait(lambda: shop_of(b)["ready"] == 3, 10, "all of it to be found")
    assert took <= (TTL + 1.5) * SLOW, took
    assert not load.failures, load.failures[:5]
    assert load.ok > 100
    assert numbers(b) == ran and shop_of(b)["desired"] == 3
    assert g.acts()[acts:] == [], "taking over changed something"
    assert decisions(b)[-len(before):] == before or decisions(b)[:len(before)] == before
    b.cli("scale", "shop", "4")
    b.wait_ready(4)
    g.nothing_started_twice()
    assert max(numbers(b)) == max(ran) + 1


@pytest.mark.parametrize("differ", [False, True])
def test_a_configuration_is_told_anew_only_when_it_is_another_one(group, differ):
    """To the core: its rules would forget, or be told their past again. What is each machine's own, as
    its addresses, is none of its business."""
    g = group()
    a, b = g.start()
    if differ:
        b.config.write_text(b.config.read_text().replace("max: 6", "max: 5"))
        b.cli("reload")
    kill_machine(a)
    wait(lambda: leads(b), TTL + 6, "the standby to lead")
    events = [x["event"]["type"] for x in b.journal() if "event" in x]
    last = max(i for i, e in enumerate(events) if e == "restart")
    assert ("config" in events[last:]) == differ
    assert shop_of(b)["max"] == (5 if differ else 6)


def test_kill_9_of_the_leading_controller(group):
    """Its keeper starts another at once, which ends the lease of the dead one and leads again, with all it
    knew; the lease's own end would be a minute away."""
    g = group(1, ttl=60)
    (a,) = g.start()
    a.cli("scale", "shop", "3")
    a.wait_ready(3)
    ran, acts = numbers(a), len(g.acts())
    with Load(a.port, clients=2, host=a.host) as load:
        pid = a.kill_role("controller")
        wait(lambda: (s := leads(a)) and s["controller"]["pid"] != pid, 10, "to lead again")
        wait(lambda: shop_of(a)["ready"] == 3, 10, "all of it to be found")
    assert not load.failures, load.failures[:5]
    assert numbers(a) == ran and shop_of(a)["desired"] == 3
    assert g.acts()[acts:] == []


def test_kill_9_of_the_leading_controller_beside_a_standby(group):
    """Whoever gets the lease, the other one follows, from the journal's new beginning."""
    g = group()
    a, b = g.start()
    ran, acts = numbers(a), len(g.acts())
    with Load(b.port, clients=2, host=b.host) as load:
        pid = a.kill_role("controller")
        wait(lambda: (s := a.try_status()) and s["controller"]["pid"] != pid, 10, "another controller")
        wait(lambda: leads(a) or leads(b), TTL + 8, "one to lead")
        leader, other = (a, b) if leads(a) else (b, a)
        assert numbers(leader) == ran and g.acts()[acts:] == []
        leader.cli("scale", "shop", "4")
        leader.wait_ready(4)
        wait(lambda: knows(other, 4), 15, "the other one to follow")
    assert not load.failures, load.failures[:5]
    g.nothing_started_twice()


def test_a_reload_is_followed(group):
    g = group()
    a, b = g.start()
    a.config.write_text(a.config.read_text().replace("max: 6", "max: 5"))
    a.cli("reload")
    wait(lambda: shop_of(b)["max"] == 5, 10, "the standby to hear of it")
    assert "this machine's file is not the leader's (services shop)" in troubles(b)
    b.config.write_text(b.config.read_text().replace("max: 6", "max: 5"))
    b.cli("reload")
    assert shop_of(b)["max"] == 5 and get(b) == 200 and "file" not in troubles(b)
    lease = b.config.read_text()
    b.config.write_text(lease.replace("cluster: shop", "cluster: other"))
    assert "cannot change while plimsoll runs" in b.cli("reload", check=False).stderr
    b.config.write_text(lease)
    b.cli("reload")
    pid = b.kill_role("controller")  # and it still knows what is its own
    wait(lambda: (s := b.try_status()) and s["controller"]["pid"] != pid, 10, "another controller")
    wait(lambda: knows(b, 2), 10, "it to follow")
    kill_machine(a)
    wait(lambda: leads(b), TTL + 6, "the standby to lead")
    b.wait_ready(2)
    assert get(b) == 200 and shop_of(b)["max"] == 5
    g.nothing_started_twice()


def test_a_standby_whose_clock_was_ahead_keeps_the_history(group):
    """The wall clock can have been anywhere; the core's time goes on."""
    a, b = group().start()
    assert b.stop() == 0
    a.journal_broken = b.journal_broken = True  # by us
    for path in (b.state / "journal").glob("*.jsonl"):
        path.write_text(re.sub(r'"wall_us":(\d+)', lambda m: f'"wall_us":{int(m[1]) + 36 * 10**8}',
                               path.read_text()))
    b.start()
    a.cli("scale", "shop", "3")
    a.wait_ready(3)
    wait(lambda: knows(b, 3), 20, "the standby to follow")
    wait(lambda: decisions(b)[:1] == decisions(a)[:1], 10, "the newest decision to be kept")


@pytest.mark.parametrize("full", ["leader", "standby"])
def test_a_full_disk_is_no_reason_to_know_less(group, small_disk, full):
    """The leader's journal goes on in memory for those who follow; and a standby without one follows,
    over a reload as well."""
    g = group()
    a, b = g.members
    p = a if full == "leader" else b
    p.state, p.journal_broken = small_disk / "state", True
    g.start()
    with pytest.raises(OSError), open(small_disk / "filler", "wb", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)
    wait(lambda: "cannot be written" in troubles(p), 30, "the disk to be full")
    text = a.config.read_text()
    for most in (7, 8):
        a.config.write_text(text.replace("max: 6", f"max: {most}"))
        a.cli("reload")
    a.cli("scale", "shop", "4")
    a.wait_ready(4)
    wait(lambda: knows(b, 4) and shop_of(b)["max"] == 8, 15, "the standby to know of it")
    a.cli("restart", "shop")
    wait(lambda: min(numbers(a)) > 4, 60, "all to be replaced")
    wait(lambda: numbers(b) == numbers(a) and knows(b, 4), 15, "the standby to know of that")
    assert get(b) == 200
    b.config.write_text(b.config.read_text().replace("max: 6", "max: 8"))
    b.cli("reload")
    ran, acts = numbers(a), len(g.acts())
    kill_machine(a)
    wait(lambda: leads(b), TTL + 6, "the standby to lead")
    wait(lambda: shop_of(b)["ready"] == 4, 10, "all of it to be found")
    assert numbers(b) == ran and shop_of(b)["desired"] == 4 and g.acts()[acts:] == []


def test_a_service_that_takes_over_a_slot_keeps_its_own_instances(group):
    """The leader's core knows services by other numbers than the standby's did when it began."""
    g = group()
    a, b = g.members
    services = {p: {name: free_port() for name in ("old", "shop", "zeta")} for p in (a, b)}

    def configure(p, *names):
        head, shop = p.config.read_text().split("  shop:\n", 1)
        shop = shop.split("\n  zeta:")[0]
        text = head.split("  old:\n")[0]
        for n in names:
            one = re.sub(r"listen: .*", f'listen: ["{p.host}:{services[p][n]}"]', shop)
            one = re.sub(r'port: "\d+"', f'port: "{g.app_port + 100 * list(services[p]).index(n)}"', one)
            text += f"  {n}:\n{one.rstrip()}\n"
        p.config.write_text(text)

    def all_ready(p, count):
        s = p.try_status()
        return s and [x["ready"] for x in s["services"]] == [count] * 2

    configure(a, "old", "shop")
    configure(b, "shop", "zeta")
    a.start()
    wait(lambda: leads(a) and all_ready(a, 2), 20, "m1 to lead")
    configure(a, "shop", "zeta")
    a.cli("reload")
    wait(lambda: all_ready(a, 2) and not any("old" in x["name"] for x in a.status()["services"]), 40,
         "the reload to be done")
    b.start()
    wait(lambda: all_ready(b, 2), 20, "m2 to follow")
    ran = {s["name"]: sorted(i["number"] for i in s["instances"]) for s in a.status()["services"]}
    acts = len(g.acts())
    kill_machine(a)
    wait(lambda: leads(b) and all_ready(b, 2), TTL + 8, "m2 to lead")
    assert ran == {s["name"]: sorted(i["number"] for i in s["instances"] if i["state"] != "gone")
                   for s in b.status()["services"]}
    assert g.acts()[acts:] == []


def test_a_leader_that_was_frozen_does_not_act_on_waking(group):
    g = group()
    a, b = g.start()
    controller = a.status()["controller"]["pid"]
    os.kill(controller, signal.SIGSTOP)
    try:
        wait(lambda: leads(b), TTL + 6, "the standby to lead")
        b.cli("scale", "shop", "4")
        b.wait_ready(4)
    finally:
        os.kill(controller, signal.SIGCONT)
    wait(lambda: knows(a, 4) and not leads(a), 15, "the old leader to follow")
    assert a.status()["group"]["leader"] == "m2"
    g.nothing_started_twice()
    assert get(a) == 200


def test_without_etcd_nobody_acts_and_traffic_goes_on(group):
    g = group()
    a, b = g.start()
    g.etcd.kill()
    with Load(a.port, clients=1, host=a.host) as load, Load(b.port, clients=1, host=b.host) as other:
        wait(lambda: a.status()["lease"] == "not held", TTL + 5, "the lease to be given up")
        acts = len(g.acts())
        pid = shop_of(a)["instances"][0]["pid"]
        assert a.cli("scale", "shop", "5", check=False).returncode != 0
        for p in (a, b):
            wait(lambda: "nobody leads, as far as is known" in troubles(p), 5, "the status to say so")
            assert p.status()["group"]["leader"] in (None, "")
        assert not leads(b)
        assert pid
        g.etcd.start()
        wait(lambda: leads(a) or leads(b), TTL + 12, "one to lead again")
    assert not load.failures + other.failures, (load.failures + other.failures)[:5]
    assert g.acts()[acts:] == []
    leader = a if leads(a) else b
    leader.cli("scale", "shop", "3")
    leader.wait_ready(3)
    g.nothing_started_twice()


def test_stop_leaves_the_instances_to_the_others(group):
    g = group()
    a, b = g.start()
    ran, acts = numbers(a), len(g.acts())
    with Load(b.port, clients=2, host=b.host) as load:
        began = time.monotonic()
        assert a.stop() == 0
        wait(lambda: leads(b), 5, "the other one to lead")
        assert time.monotonic() - began < 4 * SLOW
    wait(lambda: tells(b, "leads now, after m1, which gave the lease up"), 5, "why to be told")
    assert not load.failures, load.failures[:5]
    assert numbers(b) == ran
    assert g.acts()[acts:] == []


def test_detaching_gives_the_lease_back(group):
    g = group()
    a, b = g.start()
    acts = len(g.acts())
    with Load(a.port, clients=2, host=a.host) as load:
        a.cli("stop", "--detach")
        wait(lambda: leads(b), 5, "the other one to lead")
        wait(lambda: a.process.poll() is not None, 10, "the keeper to end")
    assert not load.failures, load.failures[:5]
    assert g.acts()[acts:] == []


def test_a_standby_stops_by_itself(group):
    g = group()
    a, b = g.start()
    acts = len(g.acts())
    assert b.cli("stop").stdout == "stopped; 2 instances of the cluster shop go on\n"
    assert b.process.wait(10) == 0
    assert leads(a) and get(a) == 200
    wait(lambda: [m["name"] for m in a.status()["group"]["members"]] == ["m1"], 10, "it to be gone")
    assert g.acts()[acts:] == []


def test_a_standby_that_starts_again_goes_on_following(group):
    a, b = group().start()
    wait(lambda: decisions(b) and decisions(b) == decisions(a), 10, "the same history, in the store")
    pid = b.kill_role("controller")
    wait(lambda: (s := b.try_status()) and s["controller"]["pid"] != pid, 10, "another controller")
    a.cli("scale", "shop", "3")
    a.wait_ready(3)
    wait(lambda: knows(b, 3), 15, "the standby to see three")
    wait(lambda: decisions(b) == decisions(a), 10, "the same history, once")


def test_the_whole_group_stops_and_starts(group):
    """Nobody is left to stop the instances, and whoever comes back finds them."""
    g = group()
    a, b = g.start()
    ran = numbers(a)
    assert b.stop() == 0 and a.stop() == 0
    acts = len(g.acts())
    b.start()
    wait(lambda: leads(b), TTL + 8, "one to lead")
    wait(lambda: shop_of(b)["ready"] == 2, 10, "all of it to be found")
    assert numbers(b) == ran
    assert g.acts()[acts:] == []


def test_a_reboot_forgets_nothing(make):
    """The monotonic clock begins anew with each boot; the core's time goes on."""
    p = make(flags=["--min", "2", "--max", "4"], command=[APP])
    p.journal_broken = True  # by us
    p.start()
    p.wait_ready(2)
    p.cli("scale", p.service()["name"], "3")
    p.wait_ready(3)
    for pid in p.own_pids():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    p.process.wait()
    later = 10 ** 13  # as if this machine had been up for months before it was switched off
    for path in (p.state / "journal").glob("*.jsonl"):
        text = re.sub(r'"boot":"[^"]*"', '"boot":"another"', path.read_text())
        text = re.sub(r'"now_us":(\d+)', lambda m: f'"now_us":{int(m[1]) + later}', text)
        path.write_text(text)
    last = max(x["event"]["now_us"] for x in p.journal() if "event" in x)
    count = len(p.journal())
    p.start()
    p.wait_ready(3)
    assert p.service()["desired"] == 3
    new = [x["event"] for x in p.journal()[count:] if "event" in x]
    assert len(new) > 3
    assert all(last <= e["now_us"] < last + 300e6 for e in new), (last, new[0])
    assert all(i["state"] == "ready" for i in p.service()["instances"] if i["state"] != "gone")


@pytest.mark.parametrize("change, says", [
    (("advertise", "# advertise"), "`advertise` says where"),
    (("admin-token-file", "# admin-token-file"), "needs admin-token-file"),
    (("admin: 127", "admin: off # 127"), "needs admin"),
    (("http://127.0.0.2", "http://10.0.0.1"), "admin listens on loopback only"),
])
def test_check_refuses_what_a_group_cannot_do(tmp_path, change, says):
    p = Plimsoll(tmp_path)
    p.write_config(CONFIG.format(
        address="127.0.0.2", admin=7575, token_file=tmp_path / "token", name="m1",
        etcd="http://127.0.0.1:2379", ttl=TTL, listen=8080, python=sys.executable, plugin=PLUGIN,
        engine=tmp_path, app=APP, port=21000).replace(*change))
    done = check(p)
    assert done.returncode == 2 and says in done.stderr + done.stdout, done


def test_check_refuses_processes_of_one_machine(tmp_path):
    p = Plimsoll(tmp_path)
    text = CONFIG.format(
        address="127.0.0.2", admin=7575, token_file=tmp_path / "token", name="m1",
        etcd="http://127.0.0.1:2379", ttl=TTL, listen=8080, python=sys.executable, plugin=PLUGIN,
        engine=tmp_path, app=APP, port=21000)
    head, rest = text.split("    exec:")
    p.write_config(head + "    run: {command: [sleep, \"9\"]}\n    scale:" + rest.split("    scale:")[1])
    done = check(p)
    assert done.returncode == 2 and "belong to one machine" in done.stderr + done.stdout, done
