"""Broken configurations: refused with their place and reason, at the start and at a reload."""

import json
import pathlib
import re
import signal
import socket
import subprocess
import urllib.request

import pytest

from plimsoll import PROGRAM, ROOT, alive, free_port, wait

BROKEN = sorted((pathlib.Path(__file__).parent / "broken_configs").rglob("*.yaml"))

GOOD = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: ["@APP@"]
      ready: {http: /healthz}
    scale: {min: 1, max: 3}
"""


BYTES = {"encoding": "utf-8", "errors": "surrogateescape"}  # one of them is no text


def read(file):
    return file.read_text(**BYTES)


def expected(file):
    """LINE, COLUMN and text of the first line, `# expect: LINE:COLUMN text`."""
    m = re.match(r"# expect: (\d+):(\d+) (.+)\n", read(file))
    assert m, f"{file.name} says not what is expected"
    return int(m[1]), int(m[2]), m[3]


def check_told(stderr, file):
    """The first error has the place and the reason, and its line with a caret below it."""
    line, column, text = expected(file)
    lines = stderr.splitlines()
    at = next((i for i, x in enumerate(lines) if f"{file.name}:{line}:{column}: " in x), None)
    assert at is not None, stderr
    assert text in lines[at], stderr
    offending = (read(file).splitlines() + [""])[line - 1]
    if offending:  # not so at the end of the file
        assert lines[at + 1] == f"{line:6} | {offending}", stderr
        caret = re.sub(r"[^\t]", " ", offending[:column - 1])
        assert lines[at + 2] == f"       | {caret}^", stderr


def test_there_are_enough_of_them():
    assert len(BROKEN) >= 30


@pytest.mark.parametrize("file", BROKEN, ids=lambda f: f.stem)
def test_check_refuses(file):
    p = subprocess.run([PROGRAM, "check", file], capture_output=True, timeout=30, **BYTES)
    assert p.returncode == 2, p
    check_told(p.stderr, file)
    assert "fine" not in p.stdout


@pytest.mark.parametrize("file", BROKEN[::20], ids=lambda f: f.stem)
def test_run_refuses_and_leaves_nothing(file, tmp_path):
    state = tmp_path / "state"
    p = subprocess.run([PROGRAM, "run", "--state", state, "--admin", "off", file],
                       capture_output=True, timeout=30, **BYTES)
    assert p.returncode == 2, p
    check_told(p.stderr, file)
    assert not state.exists() or not any(state.iterdir())


def test_the_reference_is_what_the_program_prints():
    p = subprocess.run([PROGRAM, "config-reference"], capture_output=True, text=True, timeout=30)
    shipped = (ROOT / "docs" / "config.md").read_text()
    assert p.stdout == shipped, "plimsoll config-reference >docs/config.md"


def notes_of(tmp_path, scale):
    file = tmp_path / "plimsoll.yaml"
    file.write_text(f"services:\n  shop:\n    listen: ':8080'\n    run: {{command: [app]}}\n"
                    f"    scale: {scale}\n")
    p = subprocess.run([PROGRAM, "check", "--json", file], capture_output=True, text=True,
                       timeout=30)
    assert p.returncode == 0, p
    return json.loads(p.stdout)["notes"]


WINDOW = '{schedule: {cron: "0 9 * * *", for: 8h, min: 4}}'


@pytest.mark.parametrize("rules", [
    "{predictive: {value: 20}}",
    "{predictive: {value: 20, mode: forecast-only}}",
    "{threshold: {metric: cpu, above: 80%, add: 1}}",
    "{step: {metric: cpu, threshold: 80%, steps: [{from: 0, add: 1}]}}",
    WINDOW,
    "{predictive: {value: 20}}, " + WINDOW,
])
def test_check_says_of_what_never_shrinks(rules, tmp_path):
    notes = notes_of(tmp_path, f"{{max: 9, rules: [{rules}]}}")
    assert len(notes) == 1 and notes[0].startswith("shop: no rule ever asks for fewer"), notes
    # With nothing between min and max there is nothing to say.
    assert notes_of(tmp_path, f"{{min: 9, max: 9, rules: [{rules}]}}") == []


@pytest.mark.parametrize("rule", [
    "target: {metric: concurrency, value: 20}",
    "threshold: {metric: cpu, below: 20%, remove: 1}",
    "step: {metric: cpu, threshold: 80%, steps: [{to: 0, remove: 1}]}",
    "step: {metric: cpu, threshold: 80%, type: exact, steps: [{to: 0, set: 2}]}",
    'schedule: {cron: "0 9 * * *", for: 8h, count: 4}',
    'schedule: {cron: "0 21 * * *", for: 8h, max: 4}',
])
def test_check_is_silent_about_what_shrinks(rule, tmp_path):
    for rules in (f"[{{{rule}}}]", f"[{{predictive: {{value: 20}}}}, {{{rule}}}]"):
        assert notes_of(tmp_path, f"{{max: 9, rules: {rules}}}") == [], rules


def settled(p):
    s = p.status()
    return (s["controller"]["pid"], s["proxy"]["pid"],
            [(i["id"], i["pid"]) for i in s["services"][0]["instances"]])


def test_a_broken_reload_changes_nothing(make):
    p = make(config=GOOD).start()
    p.wait_ready(1)
    before, good = settled(p), p.config.read_text()
    p.config.write_text(good.replace("max: 3", "max: many"))

    code, body = p.api("POST", "/v1/reload", {})
    assert code == 400 and "many" in body["error"]
    assert re.search(r"plimsoll\.yaml:8:\d+$", body["errors"][0]["place"])
    assert "is not a whole number" in body["errors"][0]["text"]
    code, body = p.api("POST", "/v1/diff", {})
    assert code == 400 and body["errors"]

    refused = p.cli("reload", check=False)
    assert refused.returncode == 2 and "plimsoll.yaml:8:" in refused.stderr

    events = len(p.events())
    p.process.send_signal(signal.SIGHUP)
    wait(lambda: any("refused" in e["text"] for e in p.events()[events:]), 10, "the refusal")
    assert any("plimsoll.yaml:8:" in t for t in p.status()["troubles"])
    assert settled(p) == before and p.service()["max"] == 3
    assert p.get("/pid")[0] == 200

    p.config.write_text(good.replace("max: 3", "max: 2"))
    p.process.send_signal(signal.SIGHUP)
    wait(lambda: p.service()["max"] == 2, 10, "the new configuration")
    assert not p.status()["troubles"] and settled(p) == before


def test_a_listener_that_cannot_be_had_refuses_the_reload_whole(make, tmp_path):
    p, other = make(config=GOOD).start(), make(config=GOOD).start()
    p.wait_ready(1)
    before, good = settled(p), p.config.read_text()
    p.config.write_text(good.replace("max: 3", "max: 2").replace(
        f'"127.0.0.1:{p.port}"', f'["127.0.0.1:{p.port}", "127.0.0.1:{other.port}"]'))
    code, body = p.api("POST", "/v1/reload", {})
    assert code == 400 and str(other.port) in body["error"]
    assert settled(p) == before and p.service()["max"] == 3
    assert p.get("/pid")[0] == 200 and other.get("/pid")[0] == 200


def test_a_reload_moves_listeners(make):
    p = make(config=GOOD).start()
    p.wait_ready(1)
    before, good, old = settled(p), p.config.read_text(), p.port
    p.port = free_port()
    p.config.write_text(good.replace(str(old), str(p.port)))
    assert p.api("POST", "/v1/reload", {})[0] == 200
    assert wait(lambda: p.get("/pid"), 5, "the new port")[0] == 200

    def old_is_closed():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", old)) != 0

    wait(old_is_closed, 5, "the old port to be closed")
    assert settled(p) == before


def test_a_reload_adds_and_removes_services(make):
    p = make(config=GOOD).start()
    p.wait_ready(1)
    before, good = settled(p), p.config.read_text()
    shop = good.split("services:\n")[1]
    p.config.write_text(good + shop.replace("shop:", "cart:").replace(
        "    run:", "    route: {host: cart.example}\n    run:", 1))
    p.cli("reload")
    p.wait_ready(1, "cart")
    assert settled(p) == before
    shop_pid, cart_pid = (p.get("/pid", headers={"Host": h})[1] for h in ("x", "cart.example"))
    assert shop_pid != cart_pid
    p.config.write_text(good)
    p.cli("reload")
    wait(lambda: [s["name"] for s in p.status()["services"]] == ["shop"], 15, "cart to be gone")
    wait(lambda: not alive(int(cart_pid)), 15, "its instance to have ended")
    assert settled(p) == before
    assert p.get("/pid", headers={"Host": "cart.example"})[1] == shop_pid


def diff_of(old, new, p):
    """What a reload would do after one more change, which is taken back."""
    text = p.config.read_text()
    p.config.write_text(text.replace(old, new))
    changes = p.api("POST", "/v1/diff", {})[1]["changes"]
    p.config.write_text(text)
    return " ".join(changes)


def test_a_reload_moves_the_admin_address(make):
    first, second = free_port(), free_port()
    p = make(config=f"admin: 127.0.0.1:{first}\n" + GOOD, admin=None).start()
    p.wait_ready(1)

    def looks(port):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).status == 200
        except OSError:
            return False

    assert looks(first) and not looks(second)
    p.config.write_text(p.config.read_text().replace(str(first), str(second)))
    p.cli("reload")
    wait(lambda: looks(second), 10, "the new address")
    wait(lambda: not looks(first), 10, "the old one to be gone")


def test_diff_says_what_each_change_does(make):
    p = make(config=GOOD).start()
    p.wait_ready(1)
    good = p.config.read_text()
    p.config.write_text("admin: 127.0.0.1:1\nproxy: {max-connections: 100}\n" + good.replace(
        "max: 3", "max: 2").replace("http: /healthz", "tcp: true").replace(
        "listen: ", "drain: 1s\n    listen: "))
    lines = {x.split(":")[0]: x for x in p.api("POST", "/v1/diff", {})[1]["changes"]}
    assert "next start" in diff_of("proxy: {max-connections: 100}", "proxy: {loops: 3}", p)
    for key in ("admin", "proxy.max-connections", "services.shop.scale.max", "services.shop.drain"):
        assert "at once" in lines[key], lines
    before = settled(p)
    p.cli("reload")
    assert settled(p) == before and p.api("POST", "/v1/diff", {})[1]["changes"] == []
    p.config.write_text(p.config.read_text().replace("@APP@", "x").replace(
        "    scale:", "      env: {A: b}\n    scale:"))
    changes = p.api("POST", "/v1/diff", {})[1]["changes"]
    assert len(changes) == 1 and "replaces" in changes[0] and "one by one" in changes[0]


def test_a_restarted_controller_goes_on_with_what_ran(make):
    """The file is broken meanwhile; who runs from it is none the wiser."""
    p = make(config=GOOD).start()
    p.wait_ready(1)
    _, proxy, instances = settled(p)
    p.config.write_text("services: [this is nothing\n")
    killed = p.kill_role("controller", signal.SIGKILL)
    status = wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != killed and s, 15,
                  "another controller")
    wait(lambda: p.service()["ready"] == 1, 15, "it to have found the instance")
    assert settled(p)[1:] == (proxy, instances)
    assert p.service()["max"] == 3 and p.get("/pid")[0] == 200
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    assert status["keeper"]["pid"] == p.process.pid


def test_a_mistyped_placeholder_is_refused(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text('services:\n  a:\n    listen: ":8080"\n    run:\n      command: [app, "{prot}"]\n')
    p = subprocess.run([str(PROGRAM), "check", str(path)], capture_output=True, text=True)
    assert p.returncode == 2
    assert "p.yaml:5:7" in p.stderr and "did you mean {port}?" in p.stderr
    path.write_text(path.read_text().replace("{prot}", "{port} {a:1} {{service}} {x}"))
    p = subprocess.run([str(PROGRAM), "check", str(path)], capture_output=True, text=True)
    assert p.returncode == 0, p.stderr
