"""Ten thousand idle connections, slow-loris clients, and a client that never reads."""

import resource
import selectors
import socket

from plimsoll import SLOW, Load, wait

CONFIG = """
proxy: {max-connections: 15000}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    timeouts: {header: 2s, body: 2s, idle: 120s}
    run:
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "0"}
      ready: {http: /healthz}
    scale: {min: 2, max: 2}
"""

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def start(make):
    p = make(config=CONFIG).start()
    p.wait_ready(2)
    return p


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def test_ten_thousand_idle_beside_live_traffic(make):
    resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    p = start(make)
    idle = []
    before = memory_kib(p.status()["proxy"]["pid"])
    try:
        for _ in range(10000):
            s = socket.create_connection(("127.0.0.1", p.port), timeout=20)
            idle.append(s)
            s.sendall(REQUEST)
            data = b""
            while b"hello" not in data:
                data += s.recv(4096)
            assert data.startswith(b"HTTP/1.1 200"), data[:100]
        assert p.status()["proxy"]["connections"] >= 10000
        per_connection = (memory_kib(p.status()["proxy"]["pid"]) - before) * 1024 / 10000
        assert per_connection < 1024 * SLOW, per_connection
        with Load(p.port, clients=4) as load:
            load.wait_ok(500)
        assert not load.failures, load.failures[:5]
        s = idle[5000]
        s.sendall(REQUEST)
        assert s.recv(4096).startswith(b"HTTP/1.1 200")
    finally:
        for s in idle:
            s.close()


def test_slow_loris_clients_are_shown_out(make):
    p = start(make)
    drips = [socket.create_connection(("127.0.0.1", p.port), timeout=20) for _ in range(200)]
    for s in drips:
        s.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        s.setblocking(False)
    selector = selectors.DefaultSelector()
    for s in drips:
        selector.register(s, selectors.EVENT_READ)
    closed = set()
    with Load(p.port, clients=2) as load:
        def all_closed():
            for key, _ in selector.select(0):
                data = key.fileobj.recv(4096)
                if not data or b" 408 " in data:
                    closed.add(key.fileobj)
                    selector.unregister(key.fileobj)
            for s in drips:
                if s not in closed:
                    try:
                        s.send(b"a")
                    except OSError:
                        pass
            return len(closed) == len(drips)

        wait(all_closed, 20, "all slow clients shown out")
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]


def test_client_that_never_reads_costs_bounded_memory_and_ends(make):
    p = start(make)
    pid = p.status()["proxy"]["pid"]
    before = memory_kib(pid)
    deaf = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", p.port))
        s.sendall(b"GET /big?bytes=50000000 HTTP/1.1\r\nHost: x\r\n\r\n")
        deaf.append(s)
    with Load(p.port, clients=2) as load:
        wait(lambda: p.service()["in_flight"] >= 15 or p.service()["in_flight"] == 0, 10, "them all")
        load.wait_ok(100)
        assert memory_kib(pid) - before < 20 * 1024
        wait(lambda: p.service()["in_flight"] <= 2, 30, "the deaf ones ended")
    assert not load.failures, load.failures[:5]
    for s in deaf:
        s.close()
