"""Metrics from outside: real servers are asked, and what fails, hangs, lies or comes too late is
unknown (law 1), told once in `events`, and seen in `status` until it is over."""

import json
import re
import socket
import subprocess

import pytest

from plimsoll import PROGRAM, ROOT, free_port, wait
from servers import Answers, Postgres, Prometheus, Redis

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: ["@APP@"]
      ready: {{http: /healthz}}
    sources:
      jobs: {source}
    scale:
      min: 1
      max: 5
      window: 2s
      rules:
        - target: {{metric: jobs, value: 10}}
      behavior: {{down: {{stabilize: 1s}}}}
"""


@pytest.fixture
def serve(tmp_path):
    servers = []

    def start(kind, *args, **kwargs):
        server = kind(tmp_path / f"server{len(servers)}", *args, **kwargs)
        servers.append(server)
        return server.start()

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def answers():
    server = Answers()
    yield server
    server.stop()


def config(kind, every="500ms", timeout="400ms", **section):
    source = {"every": every, "timeout": timeout, kind: section}
    return CONFIG.format(source=json.dumps(source))


def source(p, name="jobs"):
    return next(s for s in p.service("shop")["sources"] if s["name"] == name)


def wait_value(p, value):
    wait(lambda: source(p)["value"] == value, 20, f"the value {value}")
    assert source(p)["trouble"] == ""


def wait_desired(p, count):
    wait(lambda: p.service("shop")["desired"] == count, 20, f"{count} desired")


def notes(p):
    return [(e["kind"], e["text"]) for e in p.events() if "source jobs" in e["text"]]


def assert_unknown(p, says, before=3):
    """The source is in trouble: law 1 in `why`, one event, a trouble in `status`, nobody leaves."""
    def unknown():
        s = source(p)
        opinion = p.why("shop")["current"]["opinions"][0]
        told = re.search(says, s["trouble"])
        return told and s["value"] is None and opinion["value"] is None and opinion

    opinion = wait(unknown, 20, f"the metric to be unknown: {says}")
    assert opinion["block_in"] and opinion["out"] is None and opinion["in"] is None, opinion
    assert "unknown" in opinion["text"]
    shown = p.cli("why", "shop").stdout.split("last decisions")[0]
    assert re.search(rf"source jobs \(.*\) unknown: .*({says}).*, for \d", shown), shown
    assert any(re.search(says, t) and "source jobs" in t for t in p.status()["troubles"])
    wait(lambda: notes(p)[-1:] and notes(p)[-1][0] == "alert", 5, "the event")
    assert p.service("shop")["desired"] == before


def assert_over(p, value):
    wait_value(p, value)
    wait(lambda: notes(p)[-1][0] == "resolved", 5, "the event of the end")
    assert "answers again" in notes(p)[-1][1]
    assert re.search(r"info controller: shop: resolved: source jobs", p.log_tail(20000))
    assert not [t for t in p.status()["troubles"] if "source jobs" in t]


def test_http(make, answers):
    answers.body = b'{"queue": {"depth": 25, "name": "jobs", "old": null}}'
    p = make(config=config("http", url=f"http://{answers.address}/stats", pointer="/queue/depth",
                           headers={"X-Token": "secret"})).start()
    wait_value(p, 25)
    wait_desired(p, 3)
    assert answers.headers["X-Token"] == "secret"
    answers.body = b'{"queue": {"depth": 41}}'
    wait_value(p, 41)
    wait_desired(p, 5)


LIES = [
    (200, b'{"queue": {"depth": "many"}}', "has a text at"),
    (200, b'{"queue": {"depth": -4}}', "says -4"),
    (200, b'{"queue": {"depth": NaN}}', "no JSON"),
    (200, b'{"queue": {}}', "has nothing at"),
    (200, b'{"queue": {"depth": 1e999}}', "no JSON"),
    (200, b"<html>", "no JSON"),
    (200, b"x" * (2 << 20), "over 1 MiB"),
    (200, b'{"queue": {"depth": 1e300}}', "says 1e.?300, which no metric can be"),
    (500, b'{"queue": {"depth": 25}}', "status 500: .\"queue\""),
    (500, b"\n  the disk is full\r\nat line 12\n", "status 500: the disk is full(?=;|, for|$)"),
]


def test_what_lies_is_unknown(make, answers):
    good = b'{"queue": {"depth": 25}}'
    answers.body = good
    p = make(config=config("http", url=f"http://{answers.address}/", pointer="/queue/depth")).start()
    wait_desired(p, 3)
    wait_value(p, 25)
    for n, (status, body, says) in enumerate(LIES):
        answers.status, answers.body = status, body
        assert_unknown(p, says)
        answers.status, answers.body = 200, good
        assert_over(p, 25)
        assert len(notes(p)) == 2 * (n + 1), notes(p)  # one for each change of state


def test_what_hangs_or_is_late_is_unknown(make, answers):
    answers.body = b"25"
    p = make(config=config("http", url=f"http://{answers.address}/", pointer="")).start()
    wait_desired(p, 3)
    answers.open.clear()
    assert_unknown(p, "does not answer within 400ms")
    assert len(notes(p)) == 1
    answers.body = b"50"
    answers.open.set()  # the late ones are answered now, to nobody
    assert_over(p, 50)
    wait_desired(p, 5)
    answers.stop()
    assert_unknown(p, "cannot be asked: Connection refused", before=5)
    wait(lambda: p.service("shop")["ready"] == 5, 20, "all to be ready")  # nobody has left


def test_redis(make, serve):
    redis = serve(Redis)
    p = make(config=config("redis", address=f"127.0.0.1:{redis.port}", list="jobs")).start()
    wait_value(p, 0)
    redis.ask("RPUSH", "jobs", *range(25))
    wait_value(p, 25)
    wait_desired(p, 3)
    redis.pause()
    assert_unknown(p, "does not answer within")
    redis.go_on()
    assert_over(p, 25)
    redis.stop()
    assert_unknown(p, "cannot be asked: .*refused")
    redis.start()
    redis.ask("SET", "jobs", "text")
    wait(lambda: "WRONGTYPE" in source(p)["trouble"], 20, "Redis' own words")


def test_redis_kinds(make, serve):
    redis = serve(Redis, password="secret")
    secret = redis.directory / "password"
    secret.write_text("secret\n")
    redis.ask("SELECT", 2)
    for n in range(7):
        redis.ask("XADD", "stream", "*", "n", n)
    redis.ask("ZADD", "set", 1, "a", 2, "b")
    redis.ask("XGROUP", "CREATE", "stream", "workers", "0")
    redis.ask("XREADGROUP", "GROUP", "workers", "me", "COUNT", "3", "STREAMS", "stream", ">")
    redis.ask("XDEL", "stream", "0-1")
    address = {"address": f"127.0.0.1:{redis.port}", "password-file": str(secret)}
    p = make(config=config("redis", stream="stream", **address)).start()
    wait_value(p, 7)
    ids = redis.ask("XPENDING", "stream", "workers", "-", "+", "10")
    redis.ask("XACK", "stream", "workers", ids[0][0])
    for section, value in [({"stream": "stream", "group": "workers"}, 6), ({"sorted-set": "set"}, 2),
                           ({"sorted-set": "set", "db": 2}, 0)]:
        p.write_config(config("redis", **address, **section))
        p.cli("reload")
        wait_value(p, value)
    p.write_config(config("redis", stream="stream", group="nobody", **address))
    p.cli("reload")
    wait(lambda: "no group nobody" in source(p)["trouble"], 20, "the trouble")
    secret.write_text("wrong\n")
    wait(lambda: "WRONGPASS" in source(p)["trouble"], 20, "the refusal")


def test_postgres(make, serve):
    db = serve(Postgres)
    db.ask("CREATE TABLE jobs(done boolean); INSERT INTO jobs SELECT false FROM generate_series(1, 25)")
    count = "SELECT count(*) FROM jobs WHERE NOT done"
    p = make(config=config("postgres", connection=db.connection, query=count,
                           every="1s", timeout="900ms")).start()
    wait_value(p, 25)
    wait_desired(p, 3)
    for query, says in [
        ("SELECT pg_sleep(100)", "does not answer within|statement timeout"),
        ("SELECT 1, 2", "several columns"),
        ("SELECT generate_series(1, 1000000)", "several rows"),
        ("SELECT NULL", "NULL"),
        ("SELECT 1 WHERE false", "no row"),
        ("SELECT 'NaN'::float8", "says NaN"),
        ("SELECT -1", "says -1"),
        ("SELECT 'lots'", "says lots"),
        ("SELECT * FROM nothing", 'relation "nothing" does not exist'),
        ("DELETE FROM jobs", "read-only"),
        ("COPY jobs TO STDOUT", "COPY"),
    ]:
        p.write_config(config("postgres", connection=db.connection, query=query,
                              every="1s", timeout="900ms"))
        p.cli("reload")
        assert_unknown(p, says)
    p.write_config(config("postgres", connection=db.connection, query="SELECT 2.5e1::numeric",
                          every="1s", timeout="900ms"))
    p.cli("reload")
    wait_value(p, 25)
    assert db.ask(count).strip() == "25"  # nothing was deleted
    idle = "SELECT count(*) FROM pg_stat_activity WHERE application_name='plimsoll'"
    wait(lambda: db.ask(idle).strip() == "0", 20, "no connection to stay behind")
    db.stop()
    assert_unknown(p, "cannot be asked")
    db.start()
    assert_over(p, 25)


def test_prometheus_scrapes_an_exporter_and_plimsoll(make, serve, answers):
    answers.body = b"backlog 25\nparts{n=\"1\"} 3\nparts{n=\"2\"} 4\nbad NaN\nless -3\n"
    admin = f"127.0.0.1:{free_port()}"
    prometheus = serve(Prometheus, {"exporter": answers.address, "plimsoll": admin})

    def asks(query):
        return config("prometheus", url=prometheus.url, query=query, every="1s", timeout="900ms")

    p = make(config=asks("backlog"), admin=admin).start()
    wait_value(p, 25)
    wait_desired(p, 3)
    for query, value in [("sum(parts)", 7), ("scalar(backlog)", 25),
                         ('plimsoll_instances{service="shop",state="ready"}', 3)]:
        p.write_config(asks(query))
        p.cli("reload")
        wait(lambda v=value: source(p)["value"] == v, 20, query)
    for query, says in [
        ("parts", "2 series"),
        ("absent_metric", "finds nothing"),
        ("bad", "says NaN"),
        ("less", "says -3"),
        ("1/0", r"says \+Inf"),
        ("sum(", "refuses the query: .*parse error"),
        ("backlog[5m]", "matrix"),
    ]:
        p.write_config(asks(query))
        p.cli("reload")
        desired = p.service("shop")["desired"]
        assert_unknown(p, says, before=desired)
    prometheus.pause()
    p.write_config(asks("backlog"))
    p.cli("reload")
    assert_unknown(p, "does not answer|cannot be asked", before=p.service("shop")["desired"])
    prometheus.go_on()
    assert_over(p, 25)


def test_exec(make, tmp_path):
    number = tmp_path / "number"
    number.write_text("25\n")
    p = make(config=config("exec", command=["cat", str(number)])).start()
    wait_value(p, 25)
    wait_desired(p, 3)
    for text, says in [("lots\n", "prints \"lots\""), ("", "prints \"\""), ("-1\n", "says -1"),
                       ("1 2\n", "no number")]:
        number.write_text(text)
        assert_unknown(p, says)
    number.unlink()
    wait(lambda: "No such file" in source(p)["trouble"], 20, "the command's own words")
    number.write_text("15\n")
    assert_over(p, 15)
    wait_desired(p, 2)


def up(p):
    return int(re.search(r'^plimsoll_source_up\{service="shop",source="jobs"\} (\d)$',
                         p.api("GET", "/metrics")[1], re.M)[1])


def test_push(make):
    p = make(config=config("push", every="1s", timeout="1s")).start()
    assert up(p) == 0  # nobody has said anything
    assert "has been told no" in source(p)["trouble"]
    assert p.api("POST", "/v1/services/shop/metrics", {"jobs": 25})[0] == 200
    assert up(p) == 1
    wait_value(p, 25)
    wait_desired(p, 3)
    for body, code, says in [
        ({"jobs": -1}, 400, "says -1"),
        ({"jobs": "12"}, 400, "jobs: is told a text where a number is wanted"),
        ({"jobs": None}, 400, "jobs: is told null where a number is wanted"),
        ({"jobs": 7, "other": 1}, 404, "no source other"),
        ({}, 400, "names no metric"),
        ([1], 400, "no JSON object"),
    ]:
        status, answer = p.api("POST", "/v1/services/shop/metrics", body)
        assert status == code and says in answer["error"], answer
        assert source(p)["value"] in (25, None)  # none of it was taken
    assert p.api("POST", "/v1/services/nobody/metrics", {"jobs": 1})[0] == 404
    assert_unknown(p, "told null|told nothing for 2s")
    assert up(p) == 0
    p.api("POST", "/v1/services/shop/metrics", {"jobs": 30})
    assert_over(p, 30)


def test_push_as_the_manual_says(make):
    manual = (ROOT / "docs" / "sources.md").read_text()
    port = free_port()
    p = make(config=config("push", statsd=f"127.0.0.1:{port}")).start()
    curl = re.search(r"^curl .*", manual, re.M)[0]
    statsd = re.search(r"^echo .*", manual, re.M)[0]
    for line, value in [(curl, 12), (statsd, 13)]:
        line = (line.replace("/var/lib/plimsoll", str(p.state)).replace("8125", str(port))
                .replace("worker", "shop").replace("backlog", "jobs"))
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0 and "error" not in done.stdout, done
        wait_value(p, value)


def test_push_over_tcp_needs_the_token(make):
    admin = f"127.0.0.1:{free_port()}"
    p = make(config=config("push"), admin=admin).start()
    host, port = admin.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.sendall(b"POST /v1/services/shop/metrics HTTP/1.1\r\nHost: " + admin.encode() +
                  b"\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{\"jobs\": 12}")
        assert b" 403 " in s.makefile("rb").readline()
    assert source(p)["value"] is None


def test_statsd(make):
    port = free_port()
    p = make(config=config("push", every="1s", timeout="1s", statsd=f"127.0.0.1:{port}")).start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("127.0.0.1", port))

        def told(text, value):
            s.send(text)
            return source(p)["value"] == value

        wait(lambda: told(b"jobs:25|g", 25), 20, "the gauge")
        wait(lambda: told(b"noise\nother:1|c\njobs:25|g|#a:b\n", 25) and
             p.service("shop")["desired"] == 3, 20, "the decision")
        wait(lambda: told(b"jobs:lots|g", None), 20, "the lie to be unknown")
        assert_unknown(p, "told \"lots\"")
        wait(lambda: told(b"jobs:22|g", 22), 20, "the gauge again")
        assert_unknown(p, "told nothing for 2s")
        wait(lambda: told(b"jobs:+3|g", None) and
             "told to change a value that is not known" in source(p)["trouble"], 20, "the refusal")


def test_sources_survive_a_reload_and_a_controller(make, answers):
    answers.body = b"25"
    text = config("http", url=f"http://{answers.address}/", pointer="", every="60s", timeout="5s")
    p = make(config=text).start()
    wait_value(p, 25)
    asked = answers.asked
    p.write_config(text.replace("max: 5", "max: 4"))
    p.cli("reload")
    assert source(p)["value"] == 25 and answers.asked == asked  # held, and not asked again
    p.kill_role("controller")
    wait(lambda: p.try_status() and source(p)["value"] == 25, 20, "the next controller's own answer")
    assert answers.asked == asked + 1


@pytest.mark.parametrize("section, says", [
    ('{prometheus: {url: "127.0.0.1:9090", query: up}}', "is not a URL"),
    ('{prometheus: {url: "ftp://x/", query: up}}', "is not a URL"),
    ('{prometheus: {url: "http://127.0.0.1:9090", query: " "}}', "is empty"),
    ('{prometheus: {query: up}}', "url"),
    ('{http: {url: "http://x/", pointer: "queue"}}', "no JSON pointer"),
    ('{http: {url: "http://[::1/", pointer: ""}}', "is not a URL"),
    ('{redis: {address: "127.0.0.1:0", list: a}}', "is not an address"),
    ('{redis: {address: "unix:relative", list: a}}', "not a path"),
    ('{redis: {}}', "one of list, sorted-set and stream"),
    ('{redis: {list: a, stream: b}}', "one of list, sorted-set and stream"),
    ('{redis: {list: a, group: b}}', "is a stream's"),
    ('{redis: {list: a, password: b, password-file: c}}', "keep one"),
    ('{postgres: {connection: "hosst=x", query: "SELECT 1"}}', "no connection string"),
    ('{postgres: {connection: "host=a,b", query: "SELECT 1"}}', "several hosts"),
    ('{postgres: {connection: "host=a", query: ""}}', "is empty"),
    ('{exec: {command: []}}', "is empty"),
    ('{exec: {command: ""}}', "is empty"),
    ('{push: {statsd: "localhost:8125"}}', "no IP address"),
    ('{push: {statsd: "127.0.0.1"}}', "is not an address"),
    ('{push: {name: x}}', "is StatsD's"),
    ('{every: 1s, timeout: 2s, push: {}}', "longer than every"),
    ('{every: 1s}', "give one of"),
    ('{push: {}, exec: {command: a}}', "push|exec"),
])
def test_check_says_what_is_wrong(make, section, says):
    p = make(config=CONFIG.format(source=section))
    r = subprocess.run([str(PROGRAM), "check", str(p.config)], capture_output=True, text=True)
    assert r.returncode != 0
    text = r.stdout + r.stderr
    assert re.search(says, text), text
    assert "plimsoll.yaml:9:" in text, text
