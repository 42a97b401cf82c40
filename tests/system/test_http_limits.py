"""What the proxy bounds: the queue, waiting times, sizes, connections."""

import itertools
import socket

import pytest

from plimsoll import SLOW, wait
from rawhttp import UPGRADE, Raw, Site, ask, now, running

CONFIG = """
proxy: {loops: 1}
services:
  short:
    listen: "127.0.0.1:@PORT_SHORT@"
    timeouts:
      {header: 400ms, body: 400ms, idle: 400ms, connect: 300ms, response: 400ms,
       upstream-idle: 400ms}
    queue: {deadline: 900ms}
    health: {fail-after: 100}
    run:
      command: ["@PYTHON@", "@UPSTREAMS@/http.py"]
      env: {RECORD: "@RECORD@", BACKLOG: "0"}
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
  limits:
    listen: "127.0.0.1:@PORT_LIMITS@"
    limits: {header-size: 1KiB, header-count: 10, uri-length: 200}
    run: &upstream
      command: ["@PYTHON@", "@UPSTREAMS@/http.py"]
      env: {RECORD: "@RECORD@"}
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
  queue:
    listen: "127.0.0.1:@PORT_QUEUE@"
    max-concurrency: 1
    queue: {length: 2, deadline: 1s}
    run: *upstream
    scale: {min: 1, max: 1}
  line:
    listen: "127.0.0.1:@PORT_LINE@"
    max-concurrency: 1
    run: *upstream
    scale: {min: 1, max: 1}
  zero:
    listen: "127.0.0.1:@PORT_ZERO@"
    run: *upstream
    scale: {min: 0, max: 1}
"""

names = (f"n{i}" for i in itertools.count())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(Site(tmp_path_factory.mktemp("limits"), CONFIG)) as s:
        yield s


@pytest.fixture
def path():
    """A path of this test's own."""
    return f"/{next(names)}"


# -- the queue ------------------------------------------------------------------------------------


def test_the_queue_has_a_length_and_a_deadline(site, path):
    port = site.ports["queue"]
    with Raw(port) as first, Raw(port) as second, Raw(port) as third, Raw(port) as fourth:
        first.send(f"GET /hold?until={path[1:]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        site.wait_seen("/hold")
        began = now()
        for i, c in enumerate((second, third)):
            c.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            wait(lambda: site.p.service("queue")["queued"] == i + 1, 5, "it to queue")
        r = fourth.ask(path)
        assert r.status == 503 and r.get("Retry-After") and b"queue is full" in r.body
        assert now() - began < 0.9 * SLOW
        for c in (second, third):
            r = c.reply()
            assert r.status == 503 and r.get("Retry-After") and b"in time" in r.body
        assert 0.9 < now() - began < 3 * SLOW
        site.let_go(path[1:])
        assert first.reply().status == 200
    assert not site.seen(path)
    assert ask(port, path).status == 200


def test_the_queue_is_served_first_come_first_served(site, path):
    port = site.ports["line"]
    clients = [Raw(port) for _ in range(6)]
    before = len(site.seen("/hold"))
    clients[0].send(f"GET /hold?until={path[1:]} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    site.wait_seen("/hold", before + 1)
    for i, c in enumerate(clients[1:]):
        c.send(f"GET {path}-{i} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait(lambda: site.p.service("line")["queued"] == i + 1, 5, "it to queue")
    clients[3].sock.close()  # gives up its place
    wait(lambda: site.p.service("line")["queued"] == 4, 5, "the one that left to be let out")
    site.let_go(path[1:])
    for i, c in enumerate(clients):
        if i != 3:
            assert c.reply().status == 200
            c.sock.close()
    order = [x["path"] for x in site.seen() if x["path"].startswith(path + "-")]
    assert order == [f"{path}-{i}" for i in (0, 1, 3, 4)]
    line = wait(lambda: site.log_lines(f"{path}-4"), 5, "the log line")[0]
    assert line["queue_us"] > 0


def test_from_zero_the_first_request_waits(site, path):
    assert not site.p.service("zero")["instances"]
    assert ask(site.ports["zero"], path).status == 200
    assert site.p.service("zero")["ready"] == 1


# -- timeouts ------------------------------------------------------------------------------------


def test_header_timeout(site):
    with Raw(site.ports["short"]) as c:
        began = now()
        r = c.send(b"GET / HTTP/1.1\r\nHost: x\r\n").reply()
        assert r.status == 408 and r.get("Connection") == "close" and c.ended()
        assert 0.3 < now() - began < 2 * SLOW


def test_body_timeout(site):
    with Raw(site.ports["short"]) as c:
        r = c.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc").reply()
        assert r.status == 408 and c.ended()


def test_idle_timeout(site):
    with Raw(site.ports["short"]) as c:
        assert c.ask().status == 200
        began = now()
        assert c.ended()
        assert 0.3 < now() - began < 2 * SLOW
    with Raw(site.ports["short"]) as c:  # also before the first request
        assert c.ended()


def test_response_timeout(site, path):
    with Raw(site.ports["short"]) as c:
        assert c.ask(f"/hold?until={path[1:]}").status == 504
    assert len([x for x in site.seen("/hold") if path[1:] in x["head"]]) == 1
    site.let_go(path[1:])


def test_upstream_idle_timeout(site, path):
    ask(site.ports["short"], path)
    request = site.seen(path)[0]
    closed = wait(lambda: site.closed(request), 5, "the idle connection to be closed")
    assert 0.3 < closed - request["t"] < 3 * SLOW


def test_tunnels_idle_out(site):
    with Raw(site.ports["short"]) as c:
        assert c.send(UPGRADE).reply().status == 101
        assert c.exactly(8) == b"welcome\n"
        assert c.ended()


def test_the_default_closes_idle_upstream_connections_before_five_seconds(site, path):
    ask(site.ports["limits"], path)
    request = site.seen(path)[0]
    closed = wait(lambda: site.closed(request), 8, "the idle connection to be closed")
    assert 3 < closed - request["t"] < 5


# -- sizes and numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("target, fields, status", [
    ("/" + "a" * 199, "", 200),
    ("/" + "a" * 200, "", 414),
    ("/" + "a" * 100000, "", 414),
    ("/", "X-A: " + "a" * 900 + "\r\n", 200),
    ("/", "X-A: " + "a" * 1100 + "\r\n", 431),
    ("/", "X-A: " + "a" * 100000 + "\r\n", 431),
    ("/", "".join(f"X-{i}: 1\r\n" for i in range(9)), 200),
    ("/", "".join(f"X-{i}: 1\r\n" for i in range(10)), 431),
])
def test_limits(site, target, fields, status):
    with Raw(site.ports["limits"]) as c:
        r = c.ask(target, fields=fields)
        assert r.status == status
        if status != 200:
            assert r.get("Connection") == "close" and c.ended()


def test_idle_connections_make_room_and_busy_ones_do_not(tmp_path):
    site = Site(tmp_path / "site", """
      proxy: {loops: 1, max-connections: 4}
      services:
        shop:
          listen: "127.0.0.1:@PORT_SHOP@"
          run: {command: ["@PYTHON@", "@UPSTREAMS@/http.py"], env: {RECORD: "@RECORD@"}}
    """)
    with running(site):
        clients = [Raw(site.ports["shop"]) for _ in range(4)]
        for c in clients:
            assert c.ask().status == 200
        with Raw(site.ports["shop"]) as c:
            assert c.ask().status == 200
            assert clients[0].ended()  # the one that has been idle for longest
        clients[0] = Raw(site.ports["shop"])
        for c in clients:
            c.send(b"GET /hold?until=go HTTP/1.1\r\nHost: x\r\n\r\n")
        site.wait_seen("/hold", 4)
        with Raw(site.ports["shop"]) as c:
            assert c.ended()
        site.let_go("go")
        assert all(c.reply().status == 200 for c in clients)


# -- last: it spoils its instance -----------------------------------------------------------------


def test_connect_timeout(site):
    port = site.ports["short"]
    assert ask(port, "/stop-accepting").status == 200
    request = site.seen("/stop-accepting")[0]
    wait(lambda: site.closed(request), 5, "the last connection to be closed")
    address = site.p.service("short")["instances"][0]["address"]
    fill = []
    try:
        def full():
            """Until the backlog answers nobody any more."""
            s = socket.socket()
            s.settimeout(0.05)
            fill.append(s)
            return s.connect_ex(("127.0.0.1", int(address.rsplit(":", 1)[1]))) != 0

        wait(full, 10, "the backlog to be full")
        began = now()
        r = ask(port)
        assert r.status in (502, 503), r
        assert 0.25 < now() - began < 4 * SLOW
    finally:
        for s in fill:
            s.close()
