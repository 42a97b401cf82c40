"""Three plimsolls on three machines (network namespaces) in front of one pool, with a real etcd on each.

The engine is a plugin that keeps what runs in a directory that all three share, and writes down every
request that changed something: so it is seen who acted, and that nothing started twice.
"""

import contextlib
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

import netns
from etcd import Etcd
from plimsoll import APP, SLOW, Load, Plimsoll, alive, let_in, wait

PLUGIN = pathlib.Path(__file__).with_name("fleet_plugin.py")
TOKEN = "a-token-of-the-tests"
LISTEN = 8080
ADMIN = 7575
TTL = 3

CONFIG = """
admin: {address}:{admin}
admin-token-file: {token_file}
lease:
  cluster: shop
  member: {name}
  advertise: http://{address}:{admin}
  etcd:
    endpoints: [{endpoints}]
    ttl: {ttl}s
services:
  shop:
    listen: [":{listen}"]
    exec:
      command: [{plugin}]
      config: {{command: "HOST=0.0.0.0 APP_SERVICE_MS=50 APP_CONCURRENCY=8 exec {app}", port: "{port}"}}
      ready: {{http: /healthz, interval: 1s}}
    scale:
      min: 2
      max: 8
      window: 3s
      rules: [{{target: {{metric: concurrency, value: 4}}}}]
      behavior: {{down: {{stabilize: 1s}}}}
"""


# On which address instances are reached that were started on this machine.
PLUGIN_ON = """#!/bin/sh
address=$(ip -4 -o addr show dev eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/')
exec {python} {plugin} {engine} $address
"""


class Member(Plimsoll):
    """A plimsoll on a machine; `port` and `host` are where its proxy is reached."""

    def __init__(self, directory, machine, name, text):
        super().__init__(directory, admin=None)
        self.machine, self.name, self.host, self.port = machine, name, machine.address, LISTEN
        self.write_config(text)

    def argv(self):
        return [*self.machine.exec, *super().argv()]

    def group(self):
        s = self.try_status()
        return s["group"] if s else None

    def leads(self):
        s = self.try_status()
        return bool(s) and s["lease"] == "held"

    def kill_all(self):
        """The machine dies, but for what the engine runs there."""
        pids = self.roles()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        wait(lambda: not any(map(alive, pids)), 5, "the processes to be gone")

    def roles(self):
        s = self.status()
        return [s["keeper"]["pid"], s["controller"]["pid"], s["proxy"]["pid"]]


class Cluster:
    def __init__(self, directory, count=3):
        self.directory = directory
        self.engine = directory / "engine"
        self.engine.mkdir()
        self.etcd, self.members = None, []
        self.network = netns.Network(count)
        try:
            self.make()
        except BaseException:
            self.close()
            raise

    def make(self):
        directory, machines = self.directory, self.network.machines
        self.etcd = Etcd(directory / "etcd", machines=machines, election_ms=500)
        self.etcd.start()
        token_file = directory / "token"
        token_file.write_text(TOKEN)
        plugin = directory / "plugin"  # the same file on all, or instances would differ
        plugin.write_text(PLUGIN_ON.format(python=sys.executable, plugin=PLUGIN, engine=self.engine))
        plugin.chmod(0o755)
        port = random.choice(range(21000, 29000, 1000))
        for i, m in enumerate(machines):
            folder = directory / f"m{i}"
            folder.mkdir()
            text = CONFIG.format(
                address=m.address, admin=ADMIN, token_file=token_file, name=f"m{i}", ttl=TTL,
                endpoints=", ".join(f'"{url}"' for url in self.etcd.urls), listen=LISTEN, port=port,
                plugin=plugin, app=APP)
            self.members.append(Member(folder, m, f"m{i}", text))

    def start(self):
        for m in self.members:
            m.start(ready=False)
        for m in self.members:
            m.wait_live()
        self.wait_all_serve()
        return self

    def leader(self):
        leaders = [m for m in self.members if m.leads()]
        assert len(leaders) <= 1, [m.name for m in leaders]
        return leaders[0] if leaders else None

    def wait_leader(self, within=20, but=None):
        def other():
            found = [m for m in self.members if m is not but and m.leads()]
            return found[0] if found else None

        return wait(other, within, "a leader")

    def others(self, but):
        return [m for m in self.members if m is not but]

    def answers(self, member):
        with contextlib.suppress(OSError, http.client.HTTPException):
            c = http.client.HTTPConnection(member.host, LISTEN, timeout=5)
            c.request("GET", "/")
            return c.getresponse().status == 200
        return False

    def wait_all_serve(self, within=40):
        wait(lambda: all(self.answers(m) for m in self.members), within, "all proxies to serve")
        leader = self.wait_leader()
        wait(lambda: sum(x["heard_s"] is not None for x in leader.group()["members"]) == len(self.members) - 1,
             within, "the leader to hear of all")
        return leader

    # -- what the engine saw ------------------------------------------------------------------------

    def acts(self):
        with contextlib.suppress(FileNotFoundError):
            return [json.loads(line) for line in (self.engine / "journal").read_text().splitlines()]
        return []

    def running(self):
        found = []
        for folder in self.engine.iterdir():
            with contextlib.suppress(OSError, ValueError):
                facts = json.loads((folder / "facts").read_text())
                if alive(facts["pid"]):
                    found.append(facts)
        return found

    def check_acts(self):
        """Nothing took effect twice, and the tokens of what took effect never went back."""
        took = [a for a in self.acts() if a["took"]]
        started = [a["name"] for a in took if a["do"] == "start"]
        assert len(started) == len(set(started)), started
        tokens = [a["token"] for a in took]
        assert tokens == sorted(tokens), tokens

    def close(self):
        for m in self.members:
            with contextlib.suppress(Exception):
                for pid in m.own_pids():
                    os.kill(pid, signal.SIGCONT)
            m.machine.heal()
        for m in self.members:
            m.clean_up()
        if self.etcd:
            self.etcd.stop()
        for facts in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(facts["pid"], signal.SIGKILL)
        self.network.close()
        for m in self.members:
            assert not m.reports(), m.reports()


@pytest.fixture
def cluster(tmp_path):
    why = netns.why_not() or (None if shutil.which("etcd") else "etcd is not installed")
    if why:
        pytest.skip(why)
    let_in(tmp_path)
    c = Cluster(tmp_path)  # takes the machines away itself when it cannot be made
    try:
        yield c.start()
        c.check_acts()
    finally:
        c.close()
    for m in c.members:
        m.replay_agrees()


def loads(members, clients, **kwargs):
    stack = contextlib.ExitStack()
    made = [stack.enter_context(Load(m.port, clients, host=m.host, **kwargs)) for m in members]
    return stack, made


def assert_no_failures(made):
    for load in made:
        assert not load.failures, load.failures[:5]
        assert load.ok > 0


def test_sum_over_all_proxies(cluster):
    """Nobody asks the leader's own proxy for anything; it scales out for what the others have."""
    leader = cluster.wait_leader()
    others = cluster.others(leader)
    stack, made = loads(others, 8)
    with stack:
        wait(lambda: leader.service()["ready"] >= 4, 30, "more instances")
        wait(lambda: leader.service()["in_flight"] >= 8, 10, "the sum in status")
        assert all(m.service()["ready"] >= 2 for m in others)
        wait(lambda: all(m.service()["ready"] >= 4 for m in others), 10, "standbys to know the pool")
    assert_no_failures(made)
    # It did not wait for the second to end: the others' proxies rang.
    events = [line["event"] for line in leader.journal() if "event" in line]
    assert any(e["type"] == "doorbell" for e in events)
    wait(lambda: leader.service()["desired"] == 2, 30, "scale-in when the load is gone")
    wait(lambda: len(cluster.running()) == 2, 10, "the rest to be drained everywhere and stopped")


def test_silent_member_is_unknown_and_holds_scale_in(cluster):
    leader = cluster.wait_leader()
    quiet, other = cluster.others(leader)
    stack, made = loads([other], 14)
    with stack:
        wait(lambda: leader.service()["ready"] >= 3, 30, "more instances")
        wait(lambda: leader.service()["rps"] is not None, 10, "the sum to be known")
        controller = quiet.status()["controller"]["pid"]
        os.kill(controller, signal.SIGSTOP)
        try:
            wait(lambda: any(m["silent"] for m in leader.group()["members"]), 15, "it to be silent")
            stack.close()
            wait(lambda: leader.service()["rps"] is None, 3, "the sum to be unknown")
            assert any("silent" in t for t in leader.status()["troubles"])
            metrics = leader.api("GET", "/metrics")[1]
            assert f'plimsoll_member_silent{{member="{quiet.name}"}} 1' in metrics
            desired = leader.service()["desired"]
            until = time.monotonic() + 8
            wait(lambda: time.monotonic() > until or leader.service()["desired"] < desired, 30, "a while")
            assert leader.service()["desired"] == desired, leader.why("shop")
            assert leader.service()["rps"] is None
        finally:
            os.kill(controller, signal.SIGCONT)
    wait(lambda: not any(m["silent"] for m in leader.group()["members"]), 15, "it to be heard")
    wait(lambda: leader.service()["desired"] == 2, 30, "scale-in, now that all is known")


def test_drained_means_by_every_proxy(cluster):
    """An instance that finishes a request of a standby's client is not stopped by the leader."""
    leader = cluster.wait_leader()
    other = cluster.others(leader)[0]
    answers = []

    def ask():
        c = http.client.HTTPConnection(other.host, LISTEN, timeout=30 * SLOW)
        c.request("GET", "/sleep?ms=4000")
        r = c.getresponse()
        answers.append((r.status, r.read()))

    thread = threading.Thread(target=ask)
    thread.start()
    busy = wait(lambda: [i for i in leader.service()["instances"] if i["in_flight"] > 0], 10,
                "the leader to see it")
    name = busy[0]["id"]

    def state():
        found = [i for i in leader.service()["instances"] if i["id"] == name]
        return found[0]["state"] if found else "gone"

    assert leader.api("POST", f"/v1/instances/{name}/drain", {})[0] == 200
    while state() == "draining":
        thread.join(0.1)
    thread.join(1)  # what was answered may not have been read yet
    assert answers and answers[0][0] == 200, (answers, state())
    wait(lambda: state() in ("stopping", "gone"), 5, "it to be stopped as soon as that was answered")


def test_leader_killed_under_load(cluster):
    leader = cluster.wait_leader()
    others = cluster.others(leader)
    stack, made = loads(others, 4)
    with stack:
        for load in made:
            load.wait_ok(50)
        before = len(cluster.acts())
        ready = others[0].service()["ready"]
        began = time.monotonic()
        leader.kill_all()
        new = cluster.wait_leader(but=leader)
        took = time.monotonic() - began
        assert took <= (TTL + 1) * SLOW, took
        for load in made:
            load.wait_ok(100)
        wait(lambda: new.service()["ready"] >= 2, 20, "the pool")
    assert_no_failures(made)
    started = [a for a in cluster.acts()[before:] if a["do"] == "start" and a["took"]]
    assert new.service()["ready"] >= min(ready, 2)
    assert not started, started  # taking over changes no decision


def test_leader_stopped_and_awake_again(cluster):
    leader = cluster.wait_leader()
    others = cluster.others(leader)
    stack, made = loads(others, 4)
    with stack:
        pids = leader.roles()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            new = wait(lambda: next((m for m in others if m.leads()), None), 20, "another leader")
            for load in made:
                load.wait_ok(50)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        wait(lambda: leader.group() and not leader.group()["held"], 20, "the old one to know")
        wait(lambda: leader.group()["leader"] == new.name, 20, "the old one to follow")
        assert new.leads()
        wait(lambda: cluster.answers(leader), 20, "its proxy to serve again")
        for load in made:
            load.wait_ok(50)
    assert_no_failures(made)


def test_leader_cut_off_from_etcd(cluster):
    """The engine it reaches still. It must not act, and its proxy goes on."""
    leader = cluster.wait_leader()
    others = cluster.others(leader)
    stack, made = loads(cluster.members, 4)
    with stack:
        for load in made:
            load.wait_ok(20)
        leader.machine.cut(2379)
        wait(lambda: not leader.group()["held"], TTL + 2, "the leader to stop acting")
        new = wait(lambda: next((m for m in others if m.leads()), None), TTL + 3, "another leader")
        for load in made:
            load.wait_ok(50)
        wait(lambda: leader.status()["troubles"], 20, "its trouble in status")
        # It has left the group as etcd shows it, but its proxy serves: what that has to do counts.
        wait(lambda: any(m["name"] == leader.name and m["heard_s"] is not None and m["heard_s"] < 3
                         for m in new.group()["members"]), 10, "the old one's proxy to be heard")
        wait(lambda: new.service()["in_flight"] >= 10, 10, "the sum over all three")
        leader.machine.heal()
        wait(lambda: leader.group()["leader"] == new.name, 30, "the old one to follow")
    assert_no_failures(made)


def test_etcd_without_a_majority(cluster):
    leader = cluster.wait_leader()
    stack, made = loads(cluster.members, 2)
    with stack:
        for load in made:
            load.wait_ok(20)
        for m in cluster.network.machines[:2]:
            m.cut(2380)
        wait(lambda: not any(m.leads() for m in cluster.members), 20, "nobody to act")
        acts = len(cluster.acts())
        for load in made:
            load.wait_ok(50)
        assert len(cluster.acts()) == acts
        assert all(m.status()["troubles"] for m in cluster.members)
        for m in cluster.network.machines[:2]:
            m.heal()
        cluster.wait_leader(40)
        for load in made:
            load.wait_ok(50)
    assert_no_failures(made)
    assert leader.service()["ready"] >= 2


def test_one_etcd_killed(cluster):
    """Also the one that the leader talks to first."""
    leader = cluster.wait_leader()
    stack, made = loads(cluster.members, 2)
    with stack:
        for i in random.sample(range(3), 1):
            cluster.etcd.members[i].kill()
        for load in made:
            load.wait_ok(50)
        new = cluster.wait_leader(20)
        until = time.monotonic() + 2 * TTL
        wait(lambda: time.monotonic() > until, 60, "two lease times")
        assert cluster.leader() is not None
        for load in made:
            load.wait_ok(20)
    assert_no_failures(made)
    assert new.service()["ready"] >= 2 and leader.service()["ready"] >= 2


def test_changing_is_for_the_leader(cluster):
    leader = cluster.wait_leader()
    other = cluster.others(leader)[0]
    status, body = other.api("POST", "/v1/services/shop/scale", {"count": 3})
    assert status == 409, body
    assert leader.name in body["error"] and leader.machine.address in body["error"]
    assert leader.api("POST", "/v1/services/shop/scale", {"count": 3})[0] == 200
    wait(lambda: other.service()["ready"] == 3, 30, "the standby to know")


def test_gauges_and_journal_need_the_token(cluster):
    leader = cluster.wait_leader()

    def get(path, headers):
        c = http.client.HTTPConnection(leader.host, ADMIN, timeout=10)
        c.request("GET", path, headers=headers)
        r = c.getresponse()
        return r.status, r.read(), dict(r.getheaders())

    for path in ("/v1/gauges", "/v1/journal"):
        assert get(path, {})[0] == 401
        assert get(path, {"Authorization": "Bearer wrong"})[0] == 401
    auth = {"Authorization": f"Bearer {TOKEN}"}
    report = json.loads(get("/v1/gauges", auth)[1])
    assert report["pid"] == leader.status()["proxy"]["pid"]
    assert [i["number"] for i in report["services"]["shop"]["instances"]]
    status, text, headers = get("/v1/journal", auth)
    lines = text.decode().splitlines()
    assert status == 200 and "snapshot" in json.loads(lines[0])
    follow = f"/v1/journal?segment={headers['X-Plimsoll-Segment']}&offset={headers['X-Plimsoll-Offset']}"
    wait(lambda: get(follow, auth)[1], 10, "the journal to go on")
    assert get("/v1/journal?segment=9999999", auth)[0] == 404


def test_metrics_are_well_formed(cluster):
    promtool = shutil.which("promtool")
    if not promtool:
        pytest.skip("promtool is not installed")
    for m in cluster.members:
        text = m.api("GET", "/metrics")[1]
        assert "plimsoll_members 3\n" in text
        p = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        assert p.returncode == 0, p.stdout + p.stderr
