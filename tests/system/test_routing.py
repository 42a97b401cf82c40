"""Which service, which instance: routes, balancing, ejection, slow start, drain."""

import collections
import itertools

import pytest

from plimsoll import Load, wait
from rawhttp import Raw, Site, ask, running

CONFIG = """
proxy: {loops: 1}
services:
  exact:
    listen: &here "127.0.0.1:@PORT_MAIN@"
    route: {host: [shop.example, www.shop.example]}
    run: &app
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "0"}
      ready: {http: /healthz}
    scale: &one {min: 1, max: 1}
  path:
    listen: *here
    route: {host: shop.example, path: /cart}
    run: *app
    scale: *one
  wild:
    listen: *here
    route: {host: "*.example"}
    run: *app
    scale: *one
  ip:
    listen: *here
    route: {host: 127.0.0.1}
    run: *app
    scale: *one
  anypath:
    listen: ["127.0.0.1:@PORT_ANY@", "127.0.0.1:@PORT_ANY2@"]
    route: {path: /api}
    run: *app
    scale: *one
  round-robin:
    listen: "127.0.0.1:@PORT_RR@"
    balance: round-robin
    run: *app
    scale: &three {min: 3, max: 3}
  least-conn:
    listen: "127.0.0.1:@PORT_LC@"
    balance: least-conn
    run: *app
    scale: *three
  random-two:
    listen: "127.0.0.1:@PORT_R2@"
    balance: random-two
    run: *app
    scale: *three
  ip-hash:
    listen: "127.0.0.1:@PORT_IH@"
    balance: ip-hash
    run: *app
    scale: {min: 3, max: 4}
  weighted:
    listen: "127.0.0.1:@PORT_WRR@"
    balance: weighted-round-robin
    weight: 7
    slow-start: 3s
    run: *app
    scale: {min: 1, max: 2}
  ill:
    listen: "127.0.0.1:@PORT_ILL@"
    balance: round-robin
    eject: {failures: 3, for: 2s}
    run:
      command: ["@PYTHON@", "@UPSTREAMS@/http.py"]
      env: {RECORD: "@RECORD@"}
      ready: {http: /healthz}
    scale: {min: 2, max: 2}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(Site(tmp_path_factory.mktemp("routing"), CONFIG)) as s:
        yield s


def pids(site, service):
    return {i["pid"] for i in site.p.service(service)["instances"]}


def pid_of(port, **kwargs):
    return int(ask(port, "/pid", **kwargs).body)


@pytest.mark.parametrize("host, path, service", [
    ("shop.example", "/pid", "exact"),
    ("SHOP.Example:8080", "/pid", "exact"),
    ("shop.example.", "/pid", "exact"),
    ("www.shop.example", "/pid", "exact"),
    ("www.shop.example", "/cart", "exact"),
    ("shop.example", "/cart", "path"),
    ("shop.example", "/cart/1?x", "path"),
    ("shop.example", "/cart?x", "path"),
    ("shop.example", "/carts", "exact"),
    ("shop.example", "/Cart", "exact"),
    ("other.example", "/pid", "wild"),
    ("a.b.example", "/pid", "wild"),
    ("127.0.0.1:99", "/pid", "ip"),
])
def test_routes(site, host, path, service):
    r = ask(site.ports["main"], path, host=host)
    assert r.status in (200, 404)
    assert r.get("Via"), "no service answered"
    line = wait(lambda: [x for x in site.log_lines(path) if x["host"] == host], 5, "the log line")
    assert line[-1]["service"] == service


@pytest.mark.parametrize("port, host, path, status", [
    ("main", "unknown.test", "/", 421),
    ("main", "example", "/", 421),
    ("main", "notshop.example.test", "/", 421),
    ("any", "x", "/", 404),
    ("any", "x", "/apis", 404),
    ("any2", "x", "/ap", 404),
])
def test_no_route(site, port, host, path, status):
    with Raw(site.ports[port]) as c:
        for _ in range(2):  # and the connection goes on
            r = c.ask(path, host=host)
            assert r.status == status and r.get("Via") is None


def test_several_listeners_of_one_service(site):
    for port in ("any", "any2"):
        assert ask(site.ports[port], "/api").get("Via")


def test_round_robin_takes_turns(site):
    with Raw(site.ports["rr"]) as c:
        order = [int(c.ask("/pid").body) for _ in range(30)]
    assert set(order) == pids(site, "round-robin")
    assert order == order[:3] * 10


def test_least_conn_takes_the_idle_ones(site):
    port = site.ports["lc"]
    busy = [Raw(port).send(b"GET /slow?seconds=30 HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(2)]
    for c in busy:
        c.head()
    per_instance = {i["pid"]: i["in_flight"] for i in site.p.service("least-conn")["instances"]}
    assert sorted(per_instance.values()) == [0, 1, 1]
    idle = next(pid for pid, n in per_instance.items() if n == 0)
    assert {pid_of(port) for _ in range(20)} == {idle}
    for c in busy:
        c.sock.close()
    wait(lambda: site.p.service("least-conn")["in_flight"] == 0, 5, "the clients to be missed")
    assert {pid_of(port) for _ in range(30)} == pids(site, "least-conn")


def test_random_two_reaches_all(site):
    count = collections.Counter(pid_of(site.ports["r2"]) for _ in range(150))
    assert set(count) == pids(site, "random-two")
    assert min(count.values()) > 15


def test_ip_hash_keeps_a_client_where_it_is(site):
    port = site.ports["ih"]
    clients = [f"127.0.0.{i}" for i in range(1, 60)]
    first = {c: pid_of(port, source=c) for c in clients}
    assert set(first.values()) == pids(site, "ip-hash")
    assert all(pid_of(port, source=c) == first[c] for c in clients[:20])
    site.p.cli("scale", "ip-hash", "4")
    site.p.wait_ready(4, "ip-hash")
    new = pids(site, "ip-hash") - set(first.values())
    # A client moves to the new instance or not at all.
    after = wait(lambda: (lambda a: set(a.values()) & new and a)(
        {c: pid_of(port, source=c) for c in clients}), 5, "a client at the new instance")
    moved = {c for c in clients if after[c] != first[c]}
    assert {after[c] for c in moved} == new and 0 < len(moved) < 35


def test_slow_start_gives_a_new_instance_less_at_first(site):
    port = site.ports["wrr"]
    old = pids(site, "weighted")
    wait(lambda: pid_of(port) in old, 5, "an answer")
    site.p.cli("scale", "weighted", "2")
    site.p.wait_ready(2, "weighted")
    new = next(iter(pids(site, "weighted") - old))

    def share():
        with Raw(port) as c:
            return sum(int(c.ask("/pid").body) == new for _ in range(40)) / 40

    shares = []
    wait(lambda: shares.append(share()) or shares[-1] >= 0.45, 10, "its full share", every=0.1)
    assert shares[0] < 0.4, shares
    assert max(shares) < 0.6


def test_an_instance_that_breaks_is_passed_over_and_let_back(site):
    port = site.ports["ill"]
    ill = min(pids(site, "ill"))
    mark = site.record / f"ill-{ill}"
    mark.touch()
    names = itertools.count()

    def at_the_ill_one():
        """Of ten requests, none of which may fail for it."""
        path = f"/n{next(names)}"
        for _ in range(10):
            assert ask(port, path).status == 200
        return sum(x["pid"] == ill for x in site.seen(path))

    wait(lambda: at_the_ill_one() == 0, 5, "the ill one to be passed over")
    assert len(pids(site, "ill")) == 2
    assert any("ill-" in e["instance"] for e in site.p.events())
    mark.unlink()
    wait(lambda: at_the_ill_one() > 0, 10, "it to be let back")


def test_drain_is_exact(site):
    port = site.ports["lc"]
    with Raw(port) as slow, Load(port, clients=3, path="/pid") as load:
        slow.send(b"GET /slow?seconds=1 HTTP/1.1\r\nHost: x\r\n\r\n")
        slow.head()
        line = wait(lambda: [i for i in site.p.service("least-conn")["instances"]
                             if i["in_flight"] > 0 and i["state"] == "ready"], 5, "the busy one")
        victim = max(line, key=lambda i: i["in_flight"])
        site.p.cli("drain", victim["id"])
        assert slow.until(b"0\r\n\r\n")  # whole, wherever it was
        wait(lambda: victim["pid"] not in pids(site, "least-conn"), 15, "it to be gone")
        load.wait_ok(20)
        site.p.wait_ready(3, "least-conn")
    assert not load.failures, load.failures[:5]
