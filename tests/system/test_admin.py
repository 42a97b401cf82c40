"""The admin API against the running program: who may do what where, every route, bad questions."""

import http.client
import json
import os
import re
import shutil
import stat
import subprocess

import pytest

from plimsoll import APP, PROGRAM, UnixConnection, alive, free_port, wait
from rawhttp import Raw, Site, ask, running

CONFIG = """
admin-token-file: "@RECORD@/token"
services:
  shop:
    listen: "127.0.0.1:@PORT_SHOP@"
    run: &app
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "1"}
      ready: {http: /healthz}
    scale: {min: 2, max: 4}
  quiet:
    listen: "127.0.0.1:@PORT_QUIET@"
    run: *app
    scale: {min: 0, max: 2}
"""

TOKEN = "a-rather-long-token-0123456789"
AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    port = free_port()
    site = Site(tmp_path_factory.mktemp("admin"), CONFIG, admin=f"127.0.0.1:{port}")
    site.ports["admin"] = port
    (site.record / "token").write_text(f"{TOKEN}\nsecond line\n")
    with running(site):
        for _ in range(20):
            assert ask(site.ports["shop"]).status == 200
        yield site


@pytest.fixture
def p(site):
    return site.p


def tcp(site, method, path, headers=None, body=None):
    c = http.client.HTTPConnection("127.0.0.1", site.ports["admin"], timeout=10)
    try:
        c.request(method, path, body=body, headers=headers or {})
        r = c.getresponse()
        text = r.read()
        if r.getheader("Content-Type") == "application/json" and method != "HEAD":
            return r.status, json.loads(text), r
        return r.status, text.decode(), r
    finally:
        c.close()


# -- who may -----------------------------------------------------------------------------------


def test_the_socket_is_its_owners_alone(p):
    st = os.stat(p.state / "admin.sock")
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o600
    assert st.st_uid == os.geteuid()


LOOKING = ["/", "/healthz", "/readyz", "/metrics", "/v1/status", "/v1/services/shop/why",
           "/v1/events", "/v1/series?service=shop&metric=rps", "/v1/logs/shop-1"]
CHANGING = [("/v1/services/shop/scale", {"count": 3}), ("/v1/services/shop/pause", {}),
            ("/v1/services/shop/resume", {}), ("/v1/services/shop/restart", {}),
            ("/v1/instances/shop-1/drain", {}), ("/v1/instances/shop-1/protect", {"on": True}),
            ("/v1/reload", {}), ("/v1/diff", {}), ("/v1/stop", {})]


@pytest.mark.parametrize("path", LOOKING)
def test_looking_needs_no_token(site, path):
    status, body, _ = tcp(site, "GET", path)
    assert status == 200, body
    assert tcp(site, "HEAD", path)[0] == 200
    status, _, r = tcp(site, "POST", path, AUTHORIZATION, "{}")
    assert status == 405 and r.getheader("Allow") == "GET"


@pytest.mark.parametrize("path, body", CHANGING)
def test_changing_over_tcp_needs_the_token(site, path, body):
    before = site.p.status()
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Bearer {TOKEN}x"},
                    {"Authorization": "Bearer "}, {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": f"Bearer {TOKEN[:-1]}"}):
        status, answer, r = tcp(site, "POST", path, headers, json.dumps(body))
        assert status == 401 and answer["error"], (headers, answer)
        assert r.getheader("WWW-Authenticate") == "Bearer"
    status, _, r = tcp(site, "GET", path, AUTHORIZATION)
    assert status == 405 and r.getheader("Allow") == "POST"
    after = site.p.status()
    assert [i["id"] for s in before["services"] for i in s["instances"]] == [
        i["id"] for s in after["services"] for i in s["instances"]]


def test_changing_over_tcp_with_the_token(site):
    status, body, _ = tcp(site, "POST", "/v1/services/quiet/scale", AUTHORIZATION, '{"count": 1}')
    assert (status, body["desired"]) == (200, 1)
    site.p.wait_ready(1, "quiet")
    status, body, _ = tcp(site, "POST", "/v1/services/quiet/scale", AUTHORIZATION,
                          '{"count": "auto"}')
    assert status == 200
    assert site.p.service("quiet")["operator"] is None


def test_the_commands_take_a_token_too(site):
    admin, file = f"127.0.0.1:{site.ports['admin']}", site.record / "token"

    def run(*args, **env):
        return subprocess.run([PROGRAM, *args, "--admin", admin], capture_output=True, text=True,
                              timeout=30, env={**os.environ, **env})

    refused = run("pause", "quiet")
    assert refused.returncode == 1 and "--token-file" in refused.stderr
    assert run("pause", "quiet", PLIMSOLL_ADMIN_TOKEN="wrong").returncode == 1
    assert not site.p.service("quiet")["paused"]
    assert run("pause", "quiet", "--token-file", file).returncode == 0
    assert site.p.service("quiet")["paused"]
    assert run("resume", "quiet", PLIMSOLL_ADMIN_TOKEN=TOKEN).returncode == 0
    assert not site.p.service("quiet")["paused"]
    missing = run("resume", "quiet", "--token-file", "/nonexistent")
    assert missing.returncode == 2 and "/nonexistent" in missing.stderr


@pytest.mark.parametrize("host, status", [
    ("127.0.0.1:1", 200), ("localhost", 200), ("LOCALHOST:7575", 200), ("[::1]:7575", 200),
    ("evil.example", 403), ("evil.example:7575", 403), ("localhost.evil.example", 403), ("", 403),
])
def test_names_that_were_made_to_point_here_are_turned_away(site, host, status):
    assert tcp(site, "GET", "/v1/status", {"Host": host})[0] == status
    assert tcp(site, "GET", "/v1/status", {"Host": host, **AUTHORIZATION})[0] == 200


@pytest.mark.parametrize("address", ["0.0.0.0", "[::]"])
def test_beyond_loopback_without_a_token_is_refused(make, address):
    p = make(flags=["--min", "0"], command=["/bin/true"], admin=f"{address}:{free_port()}")
    p.start(ready=False)
    assert p.process.wait(20) != 0
    assert "token" in p.log_tail()
    assert not p.own_pids()


def test_without_a_token_the_address_is_for_looking_only(make):
    port = free_port()
    p = make(flags=["--min", "0"], command=["/bin/true"], admin=f"127.0.0.1:{port}").start()
    name = p.service()["name"]
    for headers in ("", "Authorization: Bearer \r\n", "Authorization: Bearer x\r\n"):
        with Raw(port) as c:
            r = c.ask(f"/v1/services/{name}/pause", "POST", "localhost", headers, b"{}")
            assert r.status in (401, 403), r
    assert not p.service()["paused"]
    assert ask(port, "/v1/status", host="localhost").status == 200


# -- the routes --------------------------------------------------------------------------------


def test_the_index_names_every_route(p):
    code, text = p.api("GET", "/")
    assert code == 200
    for path in ("/healthz", "/readyz", "/metrics", "/v1/status", "/v1/events", "/v1/series",
                 "/v1/logs/", "/why", "/scale", "/pause", "/resume", "/restart", "/drain",
                 "/protect", "/v1/reload", "/v1/diff", "/v1/stop"):
        assert path in text, path


def test_status(p):
    s = p.status()
    assert s["version"] and s["mode"] == "auto" and s["lease"] == "held" and s["troubles"] == []
    assert s["state"] == str(p.state) and s["config"] == str(p.config)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d.*Z", s["since"])
    for role in ("keeper", "controller", "proxy"):
        assert alive(s[role]["pid"])
    assert len({s[role]["pid"] for role in ("keeper", "controller", "proxy")}) == 3
    shop, quiet = s["services"]
    assert (shop["name"], quiet["name"]) == ("shop", "quiet")
    assert shop["listen"] and (shop["min"], shop["max"]) == (2, 4)
    for key in ("desired", "ready", "starting", "draining", "failing", "in_flight", "queued",
                "rps", "p99_ms", "trouble", "paused", "operator", "mode"):
        assert key in shop
    for i in shop["instances"]:
        assert i["id"] == f"shop-{i['number']}" and i["state"] == "ready" and alive(i["pid"])
        assert re.fullmatch(r"(tcp:)?127\.0\.0\.1:\d+", i["address"]), i["address"]
        assert i["template"] and i["since"] and i["protected"] is False
        assert i["in_flight"] == 0
    wait(lambda: p.service("shop")["instances"][0]["memory_bytes"], 10, "its memory")
    wait(lambda: p.service("shop")["instances"][0]["cpu"] is not None, 10, "its cpu")


def test_why(p):
    code, w = p.api("GET", "/v1/services/shop/why?limit=1")
    assert code == 200 and w["service"] == "shop" and len(w["decisions"]) == 1
    d = w["decisions"][0]
    for key in ("sequence", "time", "service", "cause", "advise", "before", "desired", "ready",
                "starting", "draining", "in_flight", "queued", "opinions", "steps", "summary"):
        assert key in d, key
    current = wait(lambda: p.why("shop")["current"], 10, "a current decision")
    for o in current["opinions"]:
        assert o["rule"] and "text" in o and "value" in o and "block_in" in o


def test_events(p):
    events = wait(lambda: [e for e in p.events() if e["kind"] == "instance"], 10, "events")
    ids = [e["id"] for e in p.events()]
    assert ids == sorted(ids)
    assert {"time", "service", "instance", "text"} <= set(events[0])
    code, body = p.api("GET", f"/v1/events?after={ids[-2]}")
    assert [e["id"] for e in body["events"]][0] == ids[-1]
    code, body = p.api("GET", "/v1/events?service=quiet")
    assert all(e["service"] == "quiet" for e in body["events"])
    assert len(p.api("GET", "/v1/events?limit=1")[1]["events"]) == 1


def test_series(site, p):
    def points():
        ask(site.ports["shop"])
        code, body = p.api("GET", "/v1/series?service=shop&metric=rps&step=1")
        assert code == 200
        return body["points"]

    found = wait(points, 10, "points", every=0.2)
    t, avg, low, high = found[-1]
    assert t > 1e9 and low <= avg <= high


def test_logs(p):
    c = UnixConnection(p.state / "admin.sock")
    c.request("GET", "/v1/logs/shop-1?bytes=10000")
    r = c.getresponse()
    text = r.read()
    offset = int(r.getheader("X-Log-Offset"))
    assert r.status == 200 and offset >= len(text)
    assert r.getheader("Content-Type").startswith("text/plain")
    c.request("GET", f"/v1/logs/shop-1?offset={offset}")
    assert c.getresponse().read() == b""
    c.close()


def test_protect(p):
    code, _ = p.api("POST", "/v1/instances/shop-1/protect", {"on": True})
    assert code == 200
    one = lambda: next(i for i in p.service("shop")["instances"] if i["id"] == "shop-1")
    assert one()["protected"] is True
    p.api("POST", "/v1/instances/shop-1/protect", {"on": False})
    assert one()["protected"] is False


def test_pause_and_resume(p):
    assert p.api("POST", "/v1/services/shop/pause")[0] == 200
    assert p.service("shop")["paused"] is True
    assert p.api("POST", "/v1/services/shop/resume", {})[0] == 200
    assert p.service("shop")["paused"] is False
    assert [e for e in p.events() if e["kind"] == "operator"]


def test_forced_beyond_max(p):
    assert p.api("POST", "/v1/services/quiet/scale", {"count": 3})[1]["desired"] == 2
    assert p.api("POST", "/v1/services/quiet/scale", {"count": 3, "force": True})[1] == {
        "desired": 3}
    assert p.service("quiet")["operator"] == {"count": 3, "forced": True}
    p.wait_ready(3, "quiet")
    p.api("POST", "/v1/services/quiet/scale", {"count": "auto"})
    wait(lambda: not p.service("quiet")["operator"], 5, "the operator to let go")


def test_diff_and_reload(p):
    assert p.api("POST", "/v1/diff", {}) == (200, {"changes": []})
    good = p.config.read_text()
    try:
        p.config.write_text(good.replace("{min: 2, max: 4}", "{min: 2, max: 3}"))
        code, body = p.api("POST", "/v1/diff", {})
        assert code == 200 and any("services.shop.scale.max" in x for x in body["changes"])
        assert p.service("shop")["max"] == 4
        assert p.api("POST", "/v1/reload", {})[0] == 200
        assert p.service("shop")["max"] == 3
    finally:
        p.config.write_text(good)
        assert p.api("POST", "/v1/reload", {})[0] == 200
    assert p.service("shop")["max"] == 4


def test_drain_and_restart(p):
    before = {i["id"] for i in p.service("shop")["instances"]}
    victim = sorted(before)[0]
    assert p.api("POST", f"/v1/instances/{victim}/drain", {})[0] == 200
    wait(lambda: victim not in {i["id"] for i in p.service("shop")["instances"]}, 15, "it to go")
    p.wait_ready(2, "shop")
    before = {i["id"] for i in p.service("shop")["instances"]}
    assert p.api("POST", "/v1/services/shop/restart", {})[0] == 200
    wait(lambda: not before & {i["id"] for i in p.service("shop")["instances"]}, 20, "all new")
    p.wait_ready(2, "shop")


# -- metrics and health ------------------------------------------------------------------------


def test_metrics_pass_promtool(site):
    tool = shutil.which("promtool")
    assert tool, "promtool is missing: apt install prometheus"
    status, text, r = tcp(site, "GET", "/metrics")
    assert status == 200 and r.getheader("Content-Type").startswith("text/plain; version=0.0.4")
    checked = subprocess.run([tool, "check", "metrics"], input=text, capture_output=True, text=True,
                             timeout=30)
    assert checked.returncode == 0 and not checked.stdout + checked.stderr, checked
    samples = dict(re.findall(r'^(\w+(?:\{[^}]*\})?) (\S+)$', text, re.M))
    ready = [v for k, v in samples.items() if "ready" in k and 'service="shop"' in k]
    assert "2" in ready, text
    assert any("request" in k and 'service="shop"' in k and float(v) >= 20
               for k, v in samples.items()), text


def test_health_and_readiness(p):
    assert p.api("GET", "/healthz") == (200, "ok\n")
    assert p.api("GET", "/readyz") == (200, "ok\n")


def test_not_ready_says_why(make):
    p = make(flags=["--min", "1", "--ready", "/healthz", "--env", "APP_READY=never"],
             command=[str(APP)]).start()
    code, text = p.api("GET", "/readyz")
    assert code == 503 and "0 of 1 ready" in text
    assert p.api("GET", "/healthz")[0] == 200


# -- bad questions -----------------------------------------------------------------------------


@pytest.mark.parametrize("method, path, body, status", [
    ("GET", "/nowhere", None, 404),
    ("GET", "/v1", None, 404),
    ("GET", "/v1/services/none/why", None, 404),
    ("GET", "/v1/services/shop/why?limit=x", None, 400),
    ("GET", "/v1/services/shop/why?limit=0", None, 400),
    ("GET", "/v1/events?after=-1", None, 400),
    ("GET", "/v1/series", None, 400),
    ("GET", "/v1/series?service=shop&metric=rps&step=7", None, 400),
    ("GET", "/v1/logs/none-1", None, 404),
    ("GET", "/v1/logs/shop", None, 404),
    ("GET", "/v1/logs/..%2f..%2frecord%2ftoken", None, 404),
    ("GET", "/v1/logs/../../record/token", None, 404),
    ("DELETE", "/v1/status", None, 405),
    ("POST", "/v1/services/none/scale", '{"count": 1}', 404),
    ("POST", "/v1/services/shop/scale", "{}", 400),
    ("POST", "/v1/services/shop/scale", '{"count": -1}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1.5}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": "3"}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1e99}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 99999999999}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1, "force": "yes"}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1, "cuont": 2}', 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1, "count": 2}', 400),
    ("POST", "/v1/services/shop/scale", "[1]", 400),
    ("POST", "/v1/services/shop/scale", "{", 400),
    ("POST", "/v1/services/shop/scale", "\0", 400),
    ("POST", "/v1/services/shop/scale", '{"count": 1}' + " " * 100000, 413),
    ("POST", "/v1/services/shop/pause", '{"x": 1}', 400),
    ("POST", "/v1/instances/shop-99/drain", "{}", 404),
    ("POST", "/v1/instances/shop-0/drain", "{}", 404),
    ("POST", "/v1/instances/shop/drain", "{}", 404),
    ("POST", "/v1/instances/shop-1/protect", "{}", 400),
    ("POST", "/v1/stop", '{"detach": 1}', 400),
])
def test_bad_questions_are_answered_with_a_reason(p, method, path, body, status):
    c = UnixConnection(p.state / "admin.sock")
    c.request(method, path, body=body)
    r = c.getresponse()
    answer = json.loads(r.read())
    c.close()
    assert r.status == status, answer
    assert answer["error"]
    assert p.service("shop")["operator"] is None


def test_a_second_plimsoll_in_the_same_state_directory_is_refused(p):
    before = p.status()["keeper"]["pid"]
    second = subprocess.run([PROGRAM, "run", "--state", p.state, "--admin", "off", p.config],
                            capture_output=True, text=True, timeout=30)
    assert second.returncode != 0 and second.stderr
    assert p.status()["keeper"]["pid"] == before


def test_stop_over_the_api(make):
    p = make(flags=["--min", "1"], command=[str(APP)]).start()
    p.wait_ready(1)
    assert p.api("POST", "/v1/stop", {"detach": False})[0] == 200
    assert p.process.wait(20) == 0
    assert not p.own_pids() and not (p.state / "admin.sock").exists()
