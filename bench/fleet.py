"""Measures plimsoll with real engines: a thousand containers of a dockerd, and a lease in etcd."""

import contextlib
import datetime
import json
import os
import pathlib
import re
import selectors
import signal
import socket
import statistics
import sys
import threading
import time
import urllib.request

import peers
from engines import Engine, why_not
from etcd import Etcd
from plimsoll import APP, Plimsoll, free_port, wait

CONTAINERS = 1000
BURST = 100
BURSTS = 3
IDLE_S = 20
TAKEOVERS = 5


def cpu_us(pid):
    """Time on a CPU of all threads of a process."""
    ns = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):
            ns += int((task / "schedstat").read_text().split()[0])
    return ns / 1000


class Stamps:
    """A Unix socket in front of the engine's that notes when each creation arrives."""

    CREATE = re.compile(rb"POST /[^ ]*containers/create")
    LIST = re.compile(rb"GET /[^ ]*containers/json")

    def __init__(self, path, target):
        self.path, self.target, self.times, self.lists = pathlib.Path(path), str(target), [], 0
        self.to_cut = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(512)
        self.ready = selectors.DefaultSelector()
        self.ready.register(self.listener, selectors.EVENT_READ)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        """One thread for all: it must not take the time that it measures."""
        with contextlib.suppress(OSError, ValueError):
            while True:
                for key, _ in self.ready.select(0.2):
                    if key.fileobj is self.listener:
                        self.accept()
                    else:
                        self.carry(key.fileobj, *key.data)
                if self.to_cut.is_set():
                    self.to_cut.clear()
                    for key in [k for k in self.ready.get_map().values() if k.fileobj is not self.listener]:
                        self.end(key.fileobj)

    def accept(self):
        client, server = self.listener.accept()[0], socket.socket(socket.AF_UNIX)
        server.connect(self.target)
        self.ready.register(client, selectors.EVENT_READ, (server, True))
        self.ready.register(server, selectors.EVENT_READ, (client, False))

    def carry(self, source, sink, stamp):
        data = b""
        with contextlib.suppress(OSError):
            data = source.recv(65536)
        if stamp:
            self.times += [time.time()] * len(self.CREATE.findall(data))
            self.lists += len(self.LIST.findall(data))
        try:
            sink.sendall(data)
        except OSError:
            data = b""
        if not data:
            self.end(source)
            self.end(sink)

    def end(self, one):
        with contextlib.suppress(KeyError, ValueError):
            self.ready.unregister(one)
        one.close()

    def cut(self):
        """As when the engine's connections break: whoever listens has to look again at all there is."""
        self.to_cut.set()

    def close(self):
        self.listener.close()


def config(host, image, count):
    return f"""
docker: {{host: "unix://{host}"}}
services:
  crowd:
    docker: {{image: "{image}", command: [/app], network: none, env: {{PORT: "8080"}}, stop: {{grace: 1s}}}}
    scale: {{min: {count}, max: {CONTAINERS}, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1s, min: 1}}}}]}}
  burst:
    docker: {{image: "{image}", command: [/app], network: none, env: {{PORT: "8080"}}, stop: {{grace: 1s}}}}
    scale: {{min: 0, max: {BURST}, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1s, min: 1}}}}]}}
"""


def controller(p):
    return p.status()["controller"]["pid"]


def adoption_us(p, count):
    """CPU of a new controller until it knows what runs."""
    before = controller(p)
    os.kill(before, signal.SIGKILL)
    wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != before, 60, "another controller")
    wait(lambda: p.service("crowd")["ready"] == count, 60, "all adopted")
    return cpu_us(controller(p))


def reconcile_us(p, stamps, share):
    """CPU of the controller for one list of all that it knows, after its view of the engine broke."""
    pid, lists = controller(p), stamps.lists
    begin, used = time.monotonic(), cpu_us(pid)
    stamps.cut()
    wait(lambda: stamps.lists > lists, 30, "a list")
    threading.Event().wait(3)
    return cpu_us(pid) - used - share * (time.monotonic() - begin) * 1e6


def idle(p):
    """Share of one core of all three processes while nothing happens."""
    s = p.status()
    pids = [s["keeper"]["pid"], s["controller"]["pid"], s["proxy"]["pid"]]
    pause = threading.Event()
    begin, used = time.monotonic(), sum(cpu_us(x) for x in pids)
    pause.wait(IDLE_S)
    return (sum(cpu_us(x) for x in pids) - used) / (time.monotonic() - begin) / 1e6


def seconds_of(time_text):
    return datetime.datetime.fromisoformat(time_text).timestamp()


def burst(p, stamps):
    """Milliseconds from a decision to the last of a hundred creations on the wire."""
    stamps.times.clear()
    p.cli("scale", "burst", str(BURST))
    wait(lambda: len(stamps.times) >= BURST, 60, "all creations")
    begun = min(stamps.times)

    def decision():
        """The newest one before the first creation."""
        times = [seconds_of(d["time"]) for d in p.why("burst")["decisions"] if d["desired"] == BURST]
        return max((t for t in times if begun - 1 < t <= begun), default=None)

    decided = wait(decision, 10, "the decision in the store")
    wait(lambda: p.service("burst")["ready"] == BURST, 300, "the burst")
    p.cli("scale", "burst", "0")
    wait(lambda: not p.service("burst")["instances"], 300, "no burst")
    return (max(stamps.times[:BURST]) - decided) * 1000


def docker(directory):
    engine = Engine()
    stamps = None
    try:
        engine.start()
        image = engine.import_app()
        stamps = Stamps(engine.directory / "stamps.sock", engine.socket)
        p = Plimsoll(directory, config=config(stamps.path, image, 1))
        p.start()
        try:
            wait(lambda: p.service("crowd")["ready"] == 1, 60, "one container")
            issued = [burst(p, stamps) for _ in range(BURSTS)]
            p.cli("scale", "crowd", str(CONTAINERS))
            wait(lambda: p.service("crowd")["ready"] == CONTAINERS, 600, "all containers", every=1)
            share = idle(p)
            known = statistics.median(reconcile_us(p, stamps, share) for _ in range(3))
            adopted = statistics.median(adoption_us(p, CONTAINERS) for _ in range(3))
            return known / 1000, adopted / 1000, issued, share
        finally:
            p.clean_up()
    finally:
        engine.close()
        if stamps:
            stamps.close()


def etcd_requests(url):
    text = urllib.request.urlopen(f"{url}/metrics", timeout=10).read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("grpc_server_started_total"))


def verdict(value, goal):
    return "met" if value <= goal else "**not met**"


GROUP = """
admin: {address}:{admin}
admin-token-file: {token}
lease:
  cluster: bench
  member: {name}
  advertise: http://{address}:{admin}
  etcd: {{endpoints: ["{etcd}"], ttl: {ttl}s}}
services:
  shop:
    listen: ["{address}:{listen}"]
    exec:
      command: [{python}, {plugin}, {engine}, 127.0.0.1]
      config: {{command: "exec {app}", port: "23000"}}
      ready: {{http: /healthz}}
    scale: {{min: 2, max: 6, rules: [{{target: {{metric: concurrency, value: 50}}}}]}}
"""
PLUGIN = peers.ROOT / "tests" / "system" / "fleet_plugin.py"
LEASE_S = 5


def member(directory, n, etcd_url):
    p = Plimsoll(directory / f"m{n}", admin=None)
    p.directory.mkdir()
    token = directory / "token"
    token.write_text("bench\n")
    token.chmod(0o600)
    address = f"127.0.0.{n + 1}"
    p.write_config(GROUP.format(
        address=address, admin=free_port(), token=token, name=f"m{n}", etcd=etcd_url, ttl=LEASE_S,
        listen=p.port, python=sys.executable, plugin=PLUGIN, engine=directory / "engine", app=APP))
    return p


def leads(p):
    s = p.try_status()
    return s and s["lease"] == "held"


def ready(p):
    s = p.try_status()
    return s and s["services"] and s["services"][0]["ready"] == 2


def machine(p):
    """All that dies with a machine: the three processes and the plugin."""
    s = p.status()
    controller = s["controller"]["pid"]
    children = pathlib.Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    return [s["keeper"]["pid"], controller, s["proxy"]["pid"], *map(int, children)]


def takeover(leader, other):
    """Seconds from the death of a leader's machine until another one leads."""
    pids = machine(leader)
    begin = time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    leader.process.wait()
    wait(lambda: leads(other), 30, "a takeover", every=0.005)
    took = time.monotonic() - begin
    leader.start()
    wait(lambda: ready(leader), 30, "the old leader to follow")
    return took


def group(directory):
    """(requests a second to etcd of each of two members, seconds of takeovers)."""
    etcd = Etcd(directory / "etcd").start()
    members = [member(directory, n, etcd.urls[0]) for n in (1, 2)]
    try:
        for p in members:
            p.start()
            wait(lambda p=p: ready(p), 30, "two instances")
        begin, before = time.monotonic(), etcd_requests(etcd.urls[0])
        threading.Event().wait(IDLE_S)
        rate = (etcd_requests(etcd.urls[0]) - before) / (time.monotonic() - begin) / len(members)
        times = []
        for _ in range(TAKEOVERS):
            leader = next(p for p in members if leads(p))
            times.append(takeover(leader, next(p for p in members if p is not leader)))
        return rate, times
    finally:
        for p in members:
            p.clean_up()
        for facts in (directory / "engine").glob("*/facts"):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(json.loads(facts.read_text())["pid"], signal.SIGKILL)
        etcd.stop()


def report(directory):
    directory.mkdir()
    reason = why_not()
    if reason:
        return f"Not measured: {reason}.\n"
    (directory / "docker").mkdir()
    (directory / "group").mkdir()
    known_ms, adopted_ms, issued_ms, share = docker(directory / "docker")
    rate, times = group(directory / "group")
    median, worst = statistics.median(times), max(times)
    burst_ms = statistics.median(issued_ms)
    return "\n".join([
        f"A real dockerd with {CONTAINERS} running containers, then two members of a group with a lease "
        f"of {LEASE_S} s in a real etcd.", "",
        "| goal | measured | |", "|---|---|---|",
        f"| {CONTAINERS} containers known: a full reconcile at most 50 ms of CPU | {known_ms:.1f} ms | "
        f"{verdict(known_ms, 50)} |",
        f"| a new controller that adopts them, from its start | {adopted_ms:.0f} ms of CPU | |",
        f"| a decision to {BURST} containers: all creations issued within 100 ms | "
        f"median {burst_ms:.1f} ms, worst of {BURSTS} {max(issued_ms):.1f} ms | {verdict(burst_ms, 100)} |",
        f"| idle with {CONTAINERS} containers at most 0.5 % of a core | {100 * share:.2f} % | "
        f"{verdict(share, 0.005)} |",
        f"| requests to etcd at most 5 a second for each controller | {rate:.1f} | {verdict(rate, 5)} |",
        f"| a leader's machine killed, to the next leader: at most the lease + 1 s | median {median:.2f} s, "
        f"worst of {TAKEOVERS} {worst:.2f} s | {verdict(worst, LEASE_S + 1)} |",
    ]) + "\n"
