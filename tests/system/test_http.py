"""HTTP/1.1 through the proxy, byte by byte: connections, bodies, upgrades, forwarding fields,
retries, the access log, addresses."""

import concurrent.futures
import contextlib
import hashlib
import itertools
import json
import os
import re
import socket
import tempfile
import threading

import pytest

from plimsoll import SLOW, Plimsoll, wait
from rawhttp import UPGRADE, Raw, Site, ask, now, running

CONFIG = """
proxy: {loops: 1}
trust: [127.0.0.2/32]
services:
  raw:
    listen: "127.0.0.1:@PORT_RAW@"
    run: &upstream
      command: ["@PYTHON@", "@UPSTREAMS@/http.py"]
      env: {RECORD: "@RECORD@"}
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
  pair:
    listen: "127.0.0.1:@PORT_PAIR@"
    balance: round-robin
    run: *upstream
    scale: {min: 2, max: 2}
  deaf:
    listen: "127.0.0.1:@PORT_DEAF@"
    balance: round-robin
    health: {interval: 10s}
    run: *upstream
    scale: {min: 2, max: 2}
"""

names = (f"n{i}" for i in itertools.count())


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(Site(tmp_path_factory.mktemp("http"), CONFIG)) as s:
        yield s


@pytest.fixture
def raw(site):
    return site.ports["raw"]


@pytest.fixture
def path():
    """A path of this test's own."""
    return f"/{next(names)}"


def peak_kib(site):
    with open(f"/proc/{site.p.status()['proxy']['pid']}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmHWM"))


# -- connections ----------------------------------------------------------------------------------


def test_keep_alive_and_one_pooled_upstream_connection(site, raw, path):
    with Raw(raw) as c:
        for _ in range(20):
            assert c.ask(path).status == 200
    for _ in range(5):  # another client, the same connection to the instance
        assert ask(raw, path).status == 200
    assert len({x["connection"] for x in site.seen(path)}) == 1


def test_connections_that_closed_behind_our_back_cost_no_request(site, raw):
    with Raw(raw) as c:
        for _ in range(20):
            assert c.ask("/then-close").body == b"and out"
        assert len(site.seen("/then-close")) == 20
        for _ in range(5):  # a POST is only safe from it once the end has arrived
            request = site.seen("/then-close")[-1]
            wait(lambda: site.closed(request), 5, "the connection to be closed")
            assert c.ask("/then-close", "POST", body=b"x").body == b"and out"
    assert len(site.seen("/then-close")) == 25


def test_the_client_may_ask_to_close(raw):
    with Raw(raw) as c:
        r = c.ask(fields="Connection: close\r\n")
        assert r.status == 200 and r.get("Connection") == "close"
        assert c.ended()


def test_http_1_0_clients(raw):
    with Raw(raw) as c:
        r = c.ask(version="1.0")
        assert r.status == 200 and c.ended()
    with Raw(raw) as c:
        assert c.ask(version="1.0", fields="Connection: keep-alive\r\n").get(
            "Connection") == "keep-alive"
        assert c.ask(version="1.0", fields="Connection: keep-alive\r\n").status == 200
    with Raw(raw) as c:  # knows no chunks
        r = c.ask("/chunked", version="1.0", fields="Connection: keep-alive\r\n")
        assert (r.framing, r.body) == ("close", b"hello, world")
    with Raw(raw) as c:  # needs no Host
        assert c.send(b"GET / HTTP/1.0\r\n\r\n").reply().status == 200


def test_pipelined_requests_are_answered_in_order(site, raw, path):
    with Raw(raw) as c:
        targets = [f"/hold?until={path[1:]}", "/close-delimited", "/chunked", "/204", "/head?last"]
        c.send(b"".join(f"GET {t} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for t in targets))
        site.wait_seen("/hold")
        site.let_go(path[1:])
        bodies = [c.reply().body for _ in targets]
    assert bodies[:4] == [b"let go\n", b"until the end", b"hello, world", b""]
    assert bodies[4].startswith(b"GET /head?last HTTP/1.1\r\n")


def test_pipelined_requests_with_bodies(raw):
    with Raw(raw) as c:
        for i in range(3):
            c.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (i + 1)
                   + b"abc"[:i + 1])
            c.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                   b"2\r\nde\r\n0\r\n\r\n")
        assert [c.reply().body.split()[0] for _ in range(6)] == [b"1", b"12", b"2", b"12", b"3",
                                                                 b"12"]


def test_a_long_pipeline_is_answered_whole(raw):
    n = 2000
    with Raw(raw, timeout=30) as c:
        text = b"".join(b"GET /head?%d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(n))
        sender = threading.Thread(target=c.send, args=[text])
        sender.start()
        for i in range(n):
            assert c.reply().body.startswith(b"GET /head?%d HTTP/1.1\r\n" % i)
        sender.join()


def test_a_request_may_come_byte_by_byte(raw):
    with Raw(raw) as c:
        text = (b"\r\nPOST /head HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                b"3\r\nabc\r\n0\r\n\r\n")
        for i in range(len(text)):
            c.send(text[i:i + 1])
        assert c.reply().body.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


# -- bodies ---------------------------------------------------------------------------------------


def test_close_delimited_bodies_become_chunks(raw):
    with Raw(raw) as c:
        r = c.ask("/close-delimited")
        assert (r.framing, r.body) == ("chunked", b"until the end")
        assert c.ask().status == 200


def test_trailers_reach_both_sides(raw):
    with Raw(raw) as c:
        r = c.ask("/chunked", fields="TE: trailers\r\n")
        assert (r.body, r.trailers) == (b"hello, world", [("X-Sum", "42")])
        c.send(b"POST /head HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
               b"Trailer: X-T\r\n\r\n4;a=b\r\nbody\r\n0\r\nX-T: end\r\n\r\n")
        assert c.reply().body.endswith(b"body\r\n0\r\nX-T: end\r\n\r\n")


@pytest.mark.parametrize("target, body", [("/http10", b"old times"), ("/http10-length", b"old")])
def test_http_1_0_upstreams(raw, target, body):
    with Raw(raw) as c:
        r = c.ask(target)
        assert (r.version, r.body) == ("HTTP/1.1", body)
        assert r.get("Via") == "1.0 plimsoll"
        assert c.ask().status == 200


def test_answers_without_body(raw):
    with Raw(raw) as c:
        for _ in range(2):
            r = c.ask("/304")
            assert r.status == 304 and r.get("Content-Length") == "5" and r.get("ETag") == '"a"'
            r = c.ask("/204")
            assert r.status == 204 and not r.get("Content-Length")
            assert not r.get("Transfer-Encoding")
            r = c.ask(method="HEAD")
            assert r.status == 200 and int(r.get("Content-Length")) > 0
        assert c.ask().body.startswith(b"pid ")


def test_interim_answers_go_on(raw):
    with Raw(raw) as c:
        r = c.ask("/hints")
        assert [i.status for i in r.interim] == [103, 102] and r.body == b"final"
        assert r.interim[0].get("Link") == "</a.css>"
        assert c.ask().status == 200
    r = ask(raw, "/hints", version="1.0")  # which has no 1xx
    assert r.status == 200 and not r.interim


def test_expect_100_continue(raw):
    head = "POST {} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    with Raw(raw) as c:
        assert c.send(head.format("/expect").encode()).head().status == 100
        assert c.send(b"body").reply().body == b"got body"
        assert c.ask().status == 200
    with Raw(raw) as c:  # one that knows nothing of it
        assert c.send(head.format("/upload").encode() + b"body").reply().body.startswith(b"4 ")
    with Raw(raw) as c:  # turned down: the body is not wanted, the connection not used again
        r = c.send(head.format("/refuse").encode()).reply()
        assert r.status == 413 and r.get("Connection") == "close" and c.ended()
    with Raw(raw) as c:
        assert c.ask(fields="Expect: a-pony\r\n").status == 417


def test_an_answer_may_come_before_the_body_has(raw):
    for _ in range(5):
        with Raw(raw) as c:
            c.send(b"POST /refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(30):
                    c.send(b"x" * 10000)
            assert c.reply().status == 413


def test_a_client_may_end_its_side_and_still_gets_its_answer(site, raw, path):
    with Raw(raw) as c:
        c.send(f"GET /hold?until={path[1:]} HTTP/1.1\r\nHost: x\r\n\r\n".encode()).end()
        site.wait_seen("/hold")
        site.let_go(path[1:])
        assert c.reply().status == 200 and c.ended()


def test_a_large_upload_streams_in_bounded_memory(site, raw, path):
    ask(raw)
    before = peak_kib(site)
    n, digest = 48 << 20, hashlib.sha256()
    piece = bytes(range(256)) * 256
    with Raw(raw, timeout=30) as c:
        c.send(b"PUT /upload?until=%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
               % (path[1:].encode(), n))
        c.sock.settimeout(0.3)
        sent = 0
        with pytest.raises(TimeoutError):  # the upstream reads nothing: we come to a stop
            while sent < n:
                sent += c.sock.send(piece[sent % len(piece):])
        assert sent < n
        site.let_go(path[1:])
        c.sock.settimeout(30)
        while sent < n:
            sent += c.sock.send(piece[sent % len(piece):][:n - sent])
        for _ in range(n // len(piece)):
            digest.update(piece)
        assert c.reply().body == b"%d %s" % (n, digest.hexdigest().encode())
    assert peak_kib(site) - before < 4096


def test_a_large_download_streams_in_bounded_memory(site, raw):
    ask(raw)
    before = peak_kib(site)
    n = 48 << 20
    with Raw(raw, timeout=30) as c:
        c.send(b"GET /download?bytes=%d HTTP/1.1\r\nHost: x\r\n\r\n" % n)
        r = c.head()
        assert r.get("Content-Length") == str(n)
        wait(lambda: site.p.service("raw")["in_flight"] == 1, 5, "the download in flight")
        left = n - len(c.have)
        while left > 0:
            left -= len(c.sock.recv(1 << 20))
        c.have = b""
        assert left == 0 and c.ask().status == 200
    assert peak_kib(site) - before < 4096


def test_a_chunked_upload_keeps_its_bytes(raw):
    pieces = [bytes([i]) * (1 + 997 * i % 40000) for i in range(50)]
    with Raw(raw) as c:
        c.send(b"POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        text = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n"
        c.send(text)
        assert c.reply().body == b"%d %s" % (len(text), hashlib.sha256(text).hexdigest().encode())


def test_an_answer_that_breaks_off_is_not_made_whole(raw):
    with Raw(raw) as c:
        with pytest.raises((AssertionError, OSError), match="early|reset"):
            c.ask("/cut")
    with Raw(raw) as c:
        with pytest.raises((AssertionError, OSError), match="ended|early|reset"):
            c.ask("/bad-chunk")


def one_of_each(port, name, rounds):
    """Requests of every kind on one connection; each answer must be its own request's."""
    with Raw(port, timeout=30) as c:
        for i in range(rounds):
            mark = f"{name}-{i}"
            head = c.ask(f"/head?{mark}").body
            assert head.startswith(f"GET /head?{mark} ".encode()), head[:100]
            assert c.ask("/204").status == 204
            assert c.ask("/chunked").body == b"hello, world"
            assert c.ask(f"/head?{mark}", "HEAD").body == b""
            body = mark.encode() * (1 + i * 997 % 5000)
            digest = hashlib.sha256(body).hexdigest()
            assert c.ask("/upload", "PUT", body=body).body == f"{len(body)} {digest}".encode()
            assert c.ask("/close-delimited").body == b"until the end"
            assert c.ask("/then-close").body == b"and out"
            assert c.ask(f"/early?once={mark}").body == b"second time"
            assert c.ask("/304").status == 304
            assert c.ask("/broken?kind=nul").status == 502
            assert c.ask("/hints").body == b"final"
            assert len(c.ask("/download?bytes=100000").body) == 100000


def test_answers_are_never_mixed_up(tmp_path):
    """Many clients, all loops, two instances, and connections that close all the time."""
    site = Site(tmp_path / "site", """
      services:
        shop:
          listen: "127.0.0.1:@PORT_SHOP@"
          eject: {failures: 0}
          retry: {attempts: 5}  # /early fails once on each, and idle connections close meanwhile
          run: {command: ["@PYTHON@", "@UPSTREAMS@/http.py"], env: {RECORD: "@RECORD@"}}
          scale: {min: 2, max: 2}
    """)
    with running(site), concurrent.futures.ThreadPoolExecutor(8) as pool:
        runs = [pool.submit(one_of_each, site.ports["shop"], f"c{i}", 25) for i in range(8)]
        for run in runs:
            run.result()


# -- upgrade --------------------------------------------------------------------------------------

def test_upgrade_is_a_tunnel_that_ends_one_side_at_a_time(site, raw):
    with Raw(raw) as c:
        c.send(UPGRADE + b"at once ")  # what follows the request is the tunnel's
        r = c.reply()
        assert r.status == 101 and r.get("Upgrade") == "echo"
        assert c.exactly(len(b"welcome\nat once ")) == b"welcome\nat once "
        for i in range(5):
            text = b"%d\r\n\r\nGET / " % i * 1000
            assert c.send(text).exactly(len(text)) == text
        wait(lambda: site.p.service("raw")["tunnels"] == 1, 5, "the tunnel to be counted")
        c.end()
        assert c.rest() == b"bye\n"
    wait(lambda: site.p.service("raw")["tunnels"] == 0, 5, "the tunnel to end")


def test_many_bytes_both_ways_through_a_tunnel(raw):
    piece = bytes(range(256)) * 1024
    with Raw(raw, timeout=30) as c:
        assert c.send(UPGRADE).reply().status == 101
        sender = threading.Thread(target=lambda: [c.send(piece) for _ in range(40)] and c.end())
        sender.start()
        got = c.rest()
        sender.join()
    assert got == b"welcome\n" + piece * 40 + b"bye\n"


# -- fields ---------------------------------------------------------------------------------------


def fields_at(raw, fields="", source=None, **kwargs):
    """The request's fields as the upstream got them: {name: [values]}."""
    r = ask(raw, "/head", fields=fields, source=source, **kwargs)
    found = {}
    for line in r.body.split(b"\r\n\r\n")[0].decode().split("\r\n")[1:]:
        name, value = line.split(": ", 1)
        found.setdefault(name.lower(), []).append(value)
    return found, r


CLAIMS = ("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n"
          "X-Forwarded-Host: far.example\r\nX-Forwarded-Port: 444\r\nX_Forwarded_Server: s\r\n"
          "Forwarded: for=9.9.9.9;proto=https\r\n"
          "X-Request-Id: mine-1\r\nVia: 1.1 other\r\n")


def test_forwarding_fields_of_strangers_are_replaced(raw):
    f, r = fields_at(raw, CLAIMS, host="shop.example:81")
    assert f["host"] == ["shop.example:81"]
    assert f["x-forwarded-for"] == ["127.0.0.1"]
    assert f["x-forwarded-proto"] == ["http"]
    assert f["x-forwarded-host"] == ["shop.example:81"]
    assert f["forwarded"] == ['for=127.0.0.1;host="shop.example:81";proto=http']
    assert len(f["x-request-id"]) == 1 and re.fullmatch("[0-9a-f]{32}", f["x-request-id"][0])
    assert r.get("X-Request-Id") == f["x-request-id"][0]
    assert ", ".join(f["via"]) == "1.1 plimsoll" and r.get("Via") == "1.1 plimsoll"
    assert "x-forwarded-port" not in f and "x_forwarded_server" not in f


def test_forwarding_fields_from_trusted_networks_are_continued(raw):
    f, r = fields_at(raw, CLAIMS, source="127.0.0.2", host="shop.example")
    assert f["x-forwarded-for"] == ["9.9.9.9, 127.0.0.2"]
    assert f["x-forwarded-proto"] == ["https"]
    assert f["x-forwarded-host"] == ["far.example"]
    assert f["forwarded"] == [
        "for=9.9.9.9;proto=https, for=127.0.0.2;host=shop.example;proto=http"]
    assert f["x-request-id"] == ["mine-1"] and r.get("X-Request-Id") == "mine-1"
    assert f["x-forwarded-port"] == ["444"]


def test_request_ids_differ(raw):
    assert len({ask(raw).get("X-Request-Id") for _ in range(50)}) == 50


def test_hop_by_hop_fields_stay_on_their_hop(raw):
    f, _ = fields_at(raw, "Connection: keep-alive, X-Mine\r\nKeep-Alive: timeout=9\r\nX-Mine: 1\r\n"
                     "Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n"
                     "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n"
                     "Proxy-Authorization: Basic eA==\r\n"
                     "X-Stays: 1\r\n")
    assert f["x-stays"] == ["1"]
    for name in ("connection", "keep-alive", "x-mine", "proxy-connection", "te", "upgrade",
                 "http2-settings", "proxy-authorization"):
        assert name not in f, name
    r = ask(raw, "/hop")
    assert r.get("X-Stays") == "1"
    for name in ("Keep-Alive", "X-Mine", "Proxy-Connection", "Connection"):
        assert r.get(name) is None, name


def test_connection_cannot_take_out_what_matters(raw):
    f, _ = fields_at(raw, "Connection: close, Host, Content-Length, X-Forwarded-For\r\n")
    assert f["host"] == ["x"] and f["x-forwarded-for"] == ["127.0.0.1"]


def test_absolute_targets_name_the_host(raw):
    f, r = fields_at(raw)
    with Raw(raw) as c:
        c.send(b"GET http://a.example:8/head?q HTTP/1.1\r\nHost: ignored\r\n\r\n")
        body = c.reply().body
        assert body.startswith(b"GET /head?q HTTP/1.1\r\nHost: a.example:8\r\n")
        assert b"ignored" not in body


def test_connect_is_not_offered(raw):
    r = ask(raw, "example.org:443", "CONNECT")
    assert r.status == 405 and "CONNECT" not in r.get("Allow")


# -- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("method, body", [("GET", b""), ("HEAD", b""), ("PUT", b"abc"),
                                          ("DELETE", b""), ("OPTIONS", b"")])
def test_idempotent_requests_are_tried_on_another_instance(site, path, method, body):
    target = f"/early?once={path[1:]}"
    assert ask(site.ports["pair"], target, method, body=body).status == 200
    tries = [x for x in site.seen("/early") if path[1:] in x["head"]]
    assert len({x["pid"] for x in tries}) == len(tries) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_an_instance_has_seen_is_never_repeated(site, path, method):
    for body in (b"", b"abc"):
        target = f"/early?once={path[1:]}{len(body)}"
        assert ask(site.ports["pair"], target, method, body=body).status == 502
        tries = [x for x in site.seen("/early") if target[7:] + " " in x["head"]]
        assert len(tries) == 1


def test_retries_end(site, path):
    """Also where there is no other instance: what breaks them all must not break them for ever."""
    for port in (site.ports["raw"], site.ports["pair"]):
        began = now()
        target = f"/early?{path[1:]}-{port}"
        assert ask(port, target).status == 502
        assert now() - began < 5 * SLOW
        assert len([x for x in site.seen("/early") if target in x["head"]]) == 3
    wait(lambda: site.p.service("pair")["ready"] == 2, 15, "both well again")


def test_a_body_that_is_not_here_any_more_cannot_be_sent_again(site, path):
    body = b"x" * 500000
    assert ask(site.ports["pair"], f"/early?once={path[1:]}", "PUT", body=body).status == 502
    assert len([x for x in site.seen("/early") if path[1:] in x["head"]]) == 1
    assert ask(site.ports["pair"], "/upload", "PUT", body=body).body.startswith(b"500000 ")


def test_what_no_instance_can_have_seen_goes_to_another_whatever_it_is(site, path):
    with Raw(site.ports["deaf"]) as c:
        assert c.ask("/deafen").status == 200
        deaf = site.seen("/deafen")[0]["pid"]
        for i in range(20):
            assert c.ask(path, "POST", body=b"x").status == 200
            ask(site.ports["deaf"], path, "PATCH", body=b"x")
    assert len(site.seen(path)) == 40 and deaf not in {x["pid"] for x in site.seen(path)}
    lines = wait(lambda: len(x := site.log_lines(path)) == 40 and x, 5, "the log lines")
    assert any(x["retries"] == 1 for x in lines)


def test_the_log_counts_retries(site, path):
    target = f"/early?once={path[1:]}"
    assert ask(site.ports["pair"], target).status == 200
    line = wait(lambda: site.log_lines(target), 5, "the log line")[0]
    assert line["retries"] == 1 and line["status"] == 200


@pytest.mark.parametrize("kind", [
    "status", "nothing-like-http", "version", "two-lengths", "signed-length", "length-and-coding",
    "coding", "bare-lf", "fold", "space", "nul", "huge", "switch",
])
def test_broken_answers_are_502(raw, kind):
    with Raw(raw) as c:
        r = c.ask(f"/broken?kind={kind}")
        assert r.status == 502, r
        assert c.ask().status == 200


def test_an_answer_nobody_asked_for_reaches_nobody(site, raw):
    with Raw(raw) as c:
        for i in range(20):
            assert c.ask("/unasked").body == b"asked"
            wait(lambda: len(site.seen(event="unasked")) == i + 1, 5, "it to be sent", every=0)
            for _ in range(3):
                assert c.ask().body.startswith(b"pid ")


# -- the access log -------------------------------------------------------------------------------


def test_the_access_log_says_what_happened(site, raw, path):
    r = ask(raw, path + "?q=\"\\", "POST", host="shop.example", body=b"abc",
            fields="User-Agent: test \"1\" \t\xe9\r\n")
    line = wait(lambda: site.log_lines(path + '?q="\\'), 5, "the log line")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["ts"])
    assert (line["service"], line["instance"]) == ("raw", "raw-1")
    assert (line["method"], line["host"], line["status"]) == ("POST", "shop.example", 200)
    assert line["client"] == "127.0.0.1" and line["agent"].startswith('test "1" \t')
    assert line["bytes_in"] > 80 and line["bytes_out"] > len(r.body)
    assert 0 < line["upstream_us"] <= line["duration_us"] < 10_000_000
    assert line["queue_us"] == 0 and line["retries"] == 0 and line["reason"] == ""
    assert line["request_id"] == r.get("X-Request-Id")


def test_the_access_log_says_what_went_wrong(site, raw):
    ask(raw, "/broken?kind=nul")
    line = wait(lambda: site.log_lines("/broken?kind=nul"), 5, "the log line")[-1]
    assert line["status"] == 502 and line["reason"]


def test_every_line_of_the_access_log_is_json(site, raw, path):
    for i in range(50):
        ask(raw, f"{path}/{i}")
    wait(lambda: site.log_lines(f"{path}/49"), 5, "the last line")
    assert all(len(site.log_lines(f"{path}/{i}")) == 1 for i in range(50))


def test_the_access_log_is_rotated_or_off(make):
    p = make(config="""
      proxy: {access-log-size: 64KiB}
      services:
        shop: {listen: "127.0.0.1:@PORT@", run: {command: ["@APP@"]}, scale: {min: 0, max: 1}}
    """).start()
    log, old = p.state / "log" / "access.log", p.state / "log" / "access.log.1"

    def rotated():
        with Raw(p.port) as c:
            for _ in range(50):
                c.ask("/pid", fields=f"User-Agent: {'a' * 100}\r\n")
        return old.exists()

    wait(rotated, 20, "the log to be rotated", every=0)
    assert old.stat().st_size >= 65536 and wait(log.exists, 5, "a new one")
    wait(lambda: ask(p.port, "/pid").status == 200 and log.stat().st_size, 5, "lines in it")
    for file in (old, log):  # no line is torn
        assert all(json.loads(x)["service"] == "shop" for x in file.read_text().splitlines())
    p.config.write_text(p.config.read_text().replace("access-log-size: 64KiB", "access-log: off"))
    assert "takes effect at once" in p.cli("reload").stdout

    def quiet():
        before = log.stat().st_size
        assert all(ask(p.port, "/pid").status == 200 for _ in range(20))
        return log.stat().st_size == before

    wait(quiet, 5, "the log to be off", every=0.1)


# -- addresses ------------------------------------------------------------------------------------


def test_unix_sockets_on_both_sides():
    """In a directory that the proxy's user may walk through, which pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="plimsoll-test-") as directory:
        os.chmod(directory, 0o755)
        p = Plimsoll(directory, config=f"""
            services:
              shop:
                listen: ["unix:{directory}/front.sock", "127.0.0.1:@PORT@"]
                run: {{command: ["@APP@", "{{socket}}"], ready: {{http: /healthz}}}}
                scale: {{min: 2, max: 2}}
        """)
        try:
            p.start().wait_ready(2)
            addresses = [i["address"] for i in p.service()["instances"]]
            assert all(a.startswith("unix:") for a in addresses), addresses
            pids = {str(i["pid"]).encode() for i in p.service()["instances"]}
            assert {p.get("/pid")[1].strip() for _ in range(10)} == pids
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(f"{directory}/front.sock")
                s.sendall(b"GET /headers HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                text = b""
                while data := s.recv(65536):
                    text += data
            assert text.startswith(b"HTTP/1.1 200") and b"for=unknown;host=x;proto=http" in text
        finally:
            p.clean_up()
        assert not p.reports(), p.reports()
        p.replay_agrees()


def test_ipv6(make):
    p = make(config="""
      services:
        shop:
          listen: ["[::1]:@PORT@", "127.0.0.1:@PORT@"]
          run: {command: ["@APP@"], ready: {http: /healthz}}
    """).start()
    p.wait_ready(1)
    with socket.create_connection(("::1", p.port), 10) as s:
        s.sendall(b"GET /headers HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        text = b""
        while data := s.recv(65536):
            text += data
    assert b"X-Forwarded-For: ::1\r\n" in text
    assert b'Forwarded: for="[::1]";host="[::1]";proto=http\r\n' in text
    assert p.get("/pid")[0] == 200
