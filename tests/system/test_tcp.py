"""protocol: tcp: connections passed through as they are."""

import threading

import pytest

from plimsoll import SLOW, wait
from rawhttp import Raw, Site, now, running

CONFIG = """
proxy: {loops: 1, max-connections: 20}
services:
  echo:
    listen: "127.0.0.1:@PORT_ECHO@"
    protocol: tcp
    balance: round-robin
    drain: 20s
    run: &echo
      command: ["@PYTHON@", "@UPSTREAMS@/echo.py"]
      ready: {tcp: true}
    scale: {min: 2, max: 2}
  one:
    listen: "127.0.0.1:@PORT_ONE@"
    protocol: tcp
    max-concurrency: 1
    queue: {length: 1, deadline: 5s}
    timeouts: {idle: 1s}
    run: *echo
    scale: {min: 1, max: 1}
  zero:
    listen: "127.0.0.1:@PORT_ZERO@"
    protocol: tcp
    run: *echo
    scale: {min: 0, max: 1}
  dead:
    listen: "127.0.0.1:@PORT_DEAD@"
    protocol: tcp
    queue: {deadline: 1s}
    run: {command: [/nonexistent/server]}
    scale: {min: 0, max: 1}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(Site(tmp_path_factory.mktemp("tcp"), CONFIG)) as s:
        yield s


def hello(c):
    return int(c.until(b"\n").split()[1])


def test_bytes_go_both_ways_unread(site):
    text = bytes(range(256)) * 4096
    with Raw(site.ports["echo"]) as c:
        hello(c)
        for _ in range(3):
            sender = threading.Thread(target=c.send, args=[text])
            sender.start()
            assert c.exactly(len(text)) == text
            sender.join()


def test_the_server_may_speak_first_and_each_side_ends_on_its_own(site):
    with Raw(site.ports["echo"]) as c:
        hello(c)
        c.send(b"last words\n").end()
        assert c.rest() == b"last words\nbye\n"
    wait(lambda: site.p.service("echo")["in_flight"] == 0, 5, "it to be counted out")


def test_connections_are_balanced(site):
    connections = [Raw(site.ports["echo"]) for _ in range(6)]
    seen = [hello(c) for c in connections]
    assert set(seen) == {i["pid"] for i in site.p.service("echo")["instances"]}
    assert seen == seen[:2] * 3
    assert site.p.service("echo")["in_flight"] == 6
    for c in connections:
        c.sock.close()
    wait(lambda: site.p.service("echo")["in_flight"] == 0, 5, "them to be counted out")


def test_a_connection_waits_for_its_turn_and_no_more_than_fit_wait(site):
    port = site.ports["one"]
    with Raw(port) as first, Raw(port) as second, Raw(port) as third:
        first_pid = hello(first)
        wait(lambda: site.p.service("one")["queued"] == 1, 5, "one to wait")
        assert third.ended()
        first.end()
        assert first.rest() == b"bye\n"
        assert hello(second) == first_pid


def test_idle_tunnels_end(site):
    with Raw(site.ports["one"]) as c:
        hello(c)
        began = now()
        assert c.ended()
        assert 0.8 < now() - began < 4 * SLOW


def test_from_zero(site):
    assert not site.p.service("zero")["instances"]
    with Raw(site.ports["zero"]) as c:
        assert hello(c)


def test_nobody_to_connect_to_is_a_closed_connection(site):
    began = now()
    with Raw(site.ports["dead"]) as c:
        assert c.ended()
    assert now() - began < 5 * SLOW


def test_a_drained_instance_keeps_its_connections_and_gets_no_more(site):
    port = site.ports["echo"]
    with Raw(port) as one, Raw(port) as two:
        held = {hello(one): one, hello(two): two}
        victim = site.p.service("echo")["instances"][0]
        site.p.cli("drain", victim["id"])
        wait(lambda: any(i["state"] == "draining" for i in site.p.service("echo")["instances"]), 5,
             "it to drain")
        for _ in range(6):
            with Raw(port) as c:
                assert hello(c) != victim["pid"]
        c = held[victim["pid"]]
        assert c.send(b"still here\n").until(b"\n") == b"still here"
        assert victim["pid"] in {i["pid"] for i in site.p.service("echo")["instances"]}
        c.end()
        assert c.rest() == b"bye\n"
    wait(lambda: victim["pid"] not in {i["pid"] for i in site.p.service("echo")["instances"]}, 10,
         "it to go")
    site.p.wait_ready(2, "echo")


def test_more_connections_than_allowed_are_closed(site):
    port = site.ports["echo"]
    wait(lambda: site.p.status()["proxy"]["connections"] == 0, 10, "a calm proxy")
    held = []
    try:
        for _ in range(20):
            held.append(Raw(port))
            hello(held[-1])
        with Raw(port) as c:
            assert c.ended()
        assert held[0].send(b"x\n").until(b"\n") == b"x"
        held.pop().sock.close()
        wait(lambda: site.p.status()["proxy"]["connections"] == 19, 5, "room")
        with Raw(port) as c:
            assert hello(c)
    finally:
        for c in held:
            c.sock.close()
