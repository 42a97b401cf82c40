"""Measures plimsoll with real engines: a thousand containers of a dockerd, and a lease in etcd."""

import contextlib
import pathlib
import re
import socket
import statistics
import threading
import time
import urllib.request

import peers  # noqa: F401  puts tests/system on the path
from engines import Engine, why_not
from plimsoll import Plimsoll, wait

CONTAINERS = 1000
BURST = 100
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

    def __init__(self, path, target):
        self.path, self.target, self.times = pathlib.Path(path), str(target), []
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen(512)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                for a, b, stamp in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self.pump, args=(a, b, stamp), daemon=True).start()

    def pump(self, source, sink, stamp):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if stamp:
                    now = time.time()
                    self.times += [now] * len(self.CREATE.findall(data))
                sink.sendall(data)
        for s in (source, sink):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()


def config(host, image, count):
    return f"""
docker: {{host: "unix://{host}"}}
services:
  crowd:
    docker: {{image: "{image}", command: [/app], network: none, stop: {{grace: 1s}}}}
    scale: {{min: {count}, max: {CONTAINERS}, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1s, min: 1}}}}]}}
  burst:
    docker: {{image: "{image}", command: [/app], network: none, stop: {{grace: 1s}}}}
    scale: {{min: 0, max: {BURST}, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1s, min: 1}}}}]}}
"""


def controller(p):
    return p.status()["controller"]["pid"]


def adoption_us(p, count):
    """CPU of a new controller until it knows what runs."""
    before = controller(p)
    peers.kill(before)
    wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != before, 60, "another controller")
    wait(lambda: p.service("crowd")["ready"] == count, 60, "all adopted")
    return cpu_us(controller(p))


def idle(p):
    """Share of one core of all three processes while nothing happens."""
    s = p.status()
    pids = [s["keeper"]["pid"], s["controller"]["pid"], s["proxy"]["pid"]]
    pause = threading.Event()
    begin, used = time.monotonic(), sum(cpu_us(x) for x in pids)
    pause.wait(IDLE_S)
    return (sum(cpu_us(x) for x in pids) - used) / (time.monotonic() - begin) / 1e6


def burst(p, stamps):
    """Milliseconds from a decision to the last of a hundred creations on the wire."""
    stamps.times.clear()
    p.cli("scale", "burst", str(BURST))
    wait(lambda: len(stamps.times) >= BURST, 60, "all creations")
    decided = next(d for d in p.why("burst")["decisions"] if d["desired"] == BURST)
    return (max(stamps.times[:BURST]) - decided["wall_us"] / 1e6) * 1000


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
            alone = statistics.median(adoption_us(p, 1) for _ in range(3))
            issued = burst(p, stamps)
            wait(lambda: p.service("burst")["ready"] == BURST, 300, "the burst")
            p.cli("scale", "burst", "0")
            p.write_config(config(stamps.path, image, CONTAINERS))
            p.cli("reload")
            wait(lambda: p.service("crowd")["ready"] == CONTAINERS, 1800, "all containers", every=1)
            wait(lambda: p.service("burst")["ready"] == 0, 300, "no burst")
            known = statistics.median(adoption_us(p, CONTAINERS) for _ in range(3))
            return (known - alone) / 1000, issued, idle(p)
        finally:
            peers.kill(p.process.pid)
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
