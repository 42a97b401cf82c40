"""The exec driver with plugins that misbehave, and the two examples. What every driver has to do is in
driver_conformance/."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from plimsoll import APP, ROOT, SLOW, alive, free_port, wait
from test_takeover import TTL, group, kill_machine, leads  # noqa: F401

sys.path.insert(0, str(pathlib.Path(__file__).with_name("driver_conformance")))
from adapter import PLUGINS, Fleet, Local, Ssh  # noqa: E402


@pytest.fixture
def fleet(tmp_path):
    folder = tmp_path / "fleet"
    folder.mkdir()
    adapter = Fleet(folder)
    yield adapter
    adapter.end()


def config(section, count=2, more=""):
    return f"""
services:
  shop:
    listen: ["127.0.0.1:@PORT@"]
    {section}
    scale: {{min: {count}, max: 10, rules: [{{target: {{metric: concurrency, value: 1000}}}}]}}
{more}
"""


@pytest.fixture
def shop(make, fleet):
    def new(count=2, **section):
        p = make(config=config(fleet.section(**section), count))
        fleet.plimsoll = p
        p.start().wait_ready(count)
        return p

    return new


def started(fleet):
    return [j["name"] for j in fleet.journal() if j["do"] == "start" and j["took"]]


def told(p, text):
    return [e["text"] for e in p.events() if text in e["text"]]


def count_is(p, fleet, count, within=30):
    wait(lambda: p.service()["ready"] == count and len(p.service()["instances"]) == count
         and len(fleet.running()) == count, within, f"{count} instances: {fleet.running()}")


# -- what a plugin can get wrong ---------------------------------------------------------------------


@pytest.mark.parametrize("fault, text", [
    ({"rubbish": ["start", "list"]}, "wrote a line that is not JSON: DEBUG: now answering"),
    ({"huge": ["start"]}, "wrote a line of over 1 MiB"),
    ({"foreign": ["start"]}, "which is not open: unknown, late, or twice"),
    ({"twice": ["start", "stop"]}, "which is not open: unknown, late, or twice"),
    ({"lose": ["start"]}, "has not answered the start of"),
    ({"hang": ["stop"]}, "has not answered the stop of"),
], ids=lambda x: next(iter(x)) if isinstance(x, dict) else "")
def test_nonsense(shop, fleet, fault, text):
    """It is told, nothing is started twice, and all goes on as if nothing had been."""
    p = shop(2)
    before = fleet.running()
    fleet.faults(**fault)
    p.cli("scale", "shop", "4")
    count_is(p, fleet, 4)
    p.api("POST", "/v1/services/shop/scale", {"count": 3})
    if "stop" in fault.get("hang", ()):
        wait(lambda: told(p, text), 30, "it to be told")
        fleet.faults()
    count_is(p, fleet, 3, within=60)
    wait(lambda: told(p, text), 30, "it to be told")
    assert re.search(r"plugin fleet \(python3 \S+", told(p, text)[0])
    assert text in json.dumps(p.status(), ensure_ascii=False).replace('\\"', '"')
    assert before <= fleet.running()
    names = started(fleet)
    assert len(names) == len(set(names)) == 4


def test_death_in_a_line(shop, fleet):
    """It dies in the middle of an answer: what it had done is found by the next one's list."""
    p = shop(2)
    fleet.faults(die=["start"])
    p.cli("scale", "shop", "3")
    wait(lambda: told(p, "ended in the middle of a line"), 20)
    fleet.faults()
    count_is(p, fleet, 3)
    assert len(started(fleet)) == 3
    assert told(p, "exited with status 3")
    wait(lambda: not p.service()["trouble"], 20, "the trouble to be over")


def test_never_answers(shop, fleet):
    """A hung plugin is ended and started again; traffic goes on."""
    p = shop(2)
    [plugin] = fleet.plugin_pids()
    fleet.faults(hang=["start", "list"])
    p.cli("scale", "shop", "3")
    wait(lambda: "has not answered a list in time" in (p.service()["trouble"] or ""), 30, "the trouble")
    assert p.get("/")[0] == 200
    fleet.faults()
    count_is(p, fleet, 3, within=60)
    assert not alive(plugin)
    assert len(started(fleet)) == 3


def test_refusal(shop, fleet):
    p = shop(1)
    fleet.faults(refuse={"start": "the moon is in the wrong house"})
    p.cli("scale", "shop", "2")
    wait(lambda: "the moon is in the wrong house" in (p.service()["trouble"] or ""), 20, "the trouble")
    fleet.faults()
    count_is(p, fleet, 2, within=60)


def test_words_for_a_terminal(shop, fleet):
    """What a terminal would obey in a plugin's words reaches neither the status nor the API."""
    p = shop(1)
    fleet.faults(refuse={"start": "quota of \x1b[31mred\x1b[0m project\nexceeded\x9b2J"})
    p.cli("scale", "shop", "2")
    text = "quota of  [31mred [0m project exceeded  2J"
    wait(lambda: text in (p.service()["trouble"] or ""), 20, "the trouble")
    wait(lambda: re.search(r"^shop .*" + re.escape(text), p.cli("status").stdout, re.M), 20, "one row of it")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", p.cli("status").stdout + p.log_tail(100000))


@pytest.mark.parametrize("before", ["", "a", "aa"])
def test_long_words_of_others(shop, fleet, before):
    """Wherever a text is cut, no character is left in two: nobody could read any of it."""
    p = shop(1)
    fleet.faults(refuse={"start": before + "\u20ac" * 300})
    p.cli("scale", "shop", "2")
    wait(lambda: re.search("\u20ac{9,}\\.\\.\\.$", p.service()["trouble"] or ""), 20, "the trouble")
    wait(lambda: told(p, before + "\u20ac" * 9), 20, "the event")


def test_another_name(make, fleet):
    """Not the instance that was asked for: the start has failed, and says so."""
    fleet.faults(rename=["start"])
    p = make(config=config(fleet.section(), 1))
    p.start(ready=False)
    owner = lambda: (p.state / "owner").read_text().strip()
    wait(lambda: p.try_status() and f"answers with the name other instead of plimsoll-{owner()}-shop-"
         in (p.service()["trouble"] or ""), 20, "the trouble")
    assert not told(p, "started, ")
    wait(lambda: len(started(fleet)) >= 2 and not fleet.running(), 20, "what was started to be ended")


def test_garbled_start(make, fleet):
    """Whose address has a name in it (the likeliest slip) is not left running, and a stop ends."""
    fleet.faults(garble=["start", "list"])
    p = make(config=config(fleet.section(), 1))
    p.start(ready=False)
    text = 'gives the address "localhost:80", which is none of'
    wait(lambda: p.try_status() and text in (p.service()["trouble"] or ""), 20, "the trouble")
    wait(lambda: len(started(fleet)) >= 2 and not fleet.running(), 20, "what was started to be ended")
    begun = time.monotonic()
    assert p.stop(20) == 0
    assert time.monotonic() - begun < 20 * SLOW
    assert not fleet.running()


def test_garbled_to_the_end(shop, fleet):
    """A plugin that neither stops nor says so holds up a stop for grace and timeout, and no longer."""
    p = shop(1)
    fleet.faults(hang=["stop"], garble=["list"])
    begun = time.monotonic()
    assert p.stop(40) == 0
    assert time.monotonic() - begun < 20 * SLOW
    assert "it may still run" in p.log_tail()


def test_engine_away(shop, fleet):
    """The plugin itself is well, but says that what it talks to is not."""
    p = shop(2)
    fleet.faults(down="no route to the moon")
    p.cli("scale", "shop", "3")
    os.kill(fleet.plugin_pids()[0], signal.SIGKILL)  # so that a list is asked for
    wait(lambda: "no route to the moon" in (p.service()["trouble"] or "")
         or "was killed" in (p.service()["trouble"] or ""), 20, "the trouble")
    assert p.get("/")[0] == 200
    fleet.faults()
    count_is(p, fleet, 3, within=60)


@pytest.mark.parametrize("command, text", [
    (["/no/such/plugin"], "cannot be run: no such file or directory"),
    (["/bin/true"], "exited with status 0"),
    (["/bin/sh", "-c", "echo hello; sleep 100"], "wrote a line that is not JSON: hello"),
    (["/bin/sh", "-c", "echo '{\\\"plimsoll\\\":7}'; sleep 100"], "speaks version 7; this is version 1"),
], ids=["missing", "ends", "chatty", "version"])
def test_no_plugin(make, tmp_path, command, text):
    """What is no plugin at all is said so, and other services are not disturbed."""
    words = ", ".join(f'"{w}"' for w in command)
    p = make(config=config("run: {command: [@APP@], ready: {http: /healthz}}", 1, more=f"""
  broken:
    exec: {{command: [{words}], timeout: 1s}}
    scale: {{min: 1, max: 2, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1h, min: 1}}}}]}}
"""))
    p.start(ready=False)
    wait(lambda: (s := p.try_status()) and any(x["name"] == "shop" and x["ready"] == 1 for x in s["services"]),
         40, "the other service")
    wait(lambda: text in json.dumps([p.service("broken")["trouble"], p.events()]), 30, text)
    assert p.get("/")[0] == 200


# -- what it can do ----------------------------------------------------------------------------------


def test_stderr_is_logged(make, tmp_path):
    command = '["/bin/sh", "-c", "printf \'it \\\\033[1mhurts here\\\\n\' >&2; sleep 100"]'
    p = make(config=config(f"exec: {{command: {command}}}"))
    p.start(ready=False)
    wait(lambda: "hurts here" in p.log_tail(), 20, "the complaint in the log")
    assert re.search(r"plugin \(/bin/sh .*\): it  \[1mhurts here", p.log_tail())


def test_environment(make, fleet):
    """What is meant for plimsoll alone does not reach the plugin."""
    p = make(config=config(fleet.section(), 1), env={"PLIMSOLL_ADMIN_TOKEN": "secret", "SEEN": "yes"})
    p.start().wait_ready(1)
    environ = pathlib.Path(f"/proc/{fleet.plugin_pids()[0]}/environ").read_text()
    assert "SEEN=yes" in environ
    assert "PLIMSOLL_" not in environ.replace("PLIMSOLL_BUILD", "").replace("PLIMSOLL_TEST", "")


def test_shared(make, fleet):
    """One plugin for two services with the same command; the owner's name keeps others' things out."""
    section = fleet.section()
    other = section.replace(str(fleet.port), str(fleet.port + 100))
    p = make(config=config(section, 2, more=f"""
  other:
    {other}
    scale: {{min: 1, max: 2, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1h, min: 1}}}}]}}
"""))
    foreign = fleet.engine / "plimsoll-somebody-shop-1"
    sleeper = subprocess.Popen(["sleep", "300"], start_new_session=True)
    foreign.mkdir()
    born = pathlib.Path(f"/proc/{sleeper.pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    (foreign / "facts").write_text(json.dumps({"name": foreign.name, "pid": sleeper.pid, "born": born,
                                               "template": "0", "shape": "0", "drain": 1}))
    try:
        p.start()
        wait(lambda: [s["ready"] for s in p.status()["services"]] == [2, 1], 30, "both services")
        assert len(fleet.plugin_pids()) == 1
        assert p.stop() == 0
        assert alive(sleeper.pid)
        assert fleet.running() == {foreign.name}
    finally:
        sleeper.kill()
        sleeper.wait()


def test_leaving(make, fleet):
    """A service that leaves the configuration is ended, and its plugin with it."""
    p = make(config=config("run: {command: [@APP@]}", 1, more=f"""
  gone:
    {fleet.section()}
    scale: {{min: 2, max: 2, rules: [{{schedule: {{cron: "0 0 1 1 *", for: 1h, min: 1}}}}]}}
"""))
    p.start()
    wait(lambda: len(fleet.running()) == 2, 20)
    p.write_config(config("run: {command: [@APP@]}", 1))
    p.cli("reload")
    wait(lambda: not fleet.running(), 40, "its instances to end")
    wait(lambda: not fleet.plugin_pids(), 60, "its plugin to end")
    assert p.get("/")[0] == 200


def test_resize(shop, fleet):
    """A new size is given to what runs; nothing is replaced."""
    p = shop(2)
    before = fleet.running()
    text = p.config.read_text()
    p.write_config(text.replace("timeout: 3s,", 'timeout: 3s, size: {memory: "1GiB"},'))
    p.cli("reload")

    def sizes():
        return [json.loads((f / "facts").read_text())["size"] for f in fleet.folders() if fleet.pid_of(f)]

    wait(lambda: sizes() == [{"memory": "1GiB"}] * 2, 30, f"the new size: {sizes()}")
    assert fleet.running() == before


# -- several controllers -----------------------------------------------------------------------------

needs_etcd = pytest.mark.skipif(not shutil.which("etcd"), reason="there is no etcd here")


def with_services(p, *names):
    """The member's configuration with these in place of `shop`, each with listener and ports of its own."""
    head, body = p.config.read_text().split("  shop:\n")
    port = int(re.search(r'port: "(\d+)"', body).group(1))
    p.ports = getattr(p, "ports", {})
    text = head
    for name in names:
        p.ports.setdefault(name, (free_port(), port + 100 * len(p.ports)))
        listen, first = p.ports[name]
        text += f"  {name}:\n" + body.replace(f"{p.host}:{p.port}", f"{p.host}:{listen}").replace(
            f'port: "{port}"', f'port: "{first}"')
    return text


@needs_etcd
def test_other_slots(group):  # noqa: F811
    """The leader and the one that takes over number the services differently: each keeps its own."""
    g = group()
    a, b = g.members
    first, then = with_services(a, "old", "shop"), with_services(a, "shop", "zeta")
    b.ports = {name: (free_port(), port) for name, (_, port) in a.ports.items()}
    b.config.write_text(with_services(b, "shop", "zeta"))
    a.config.write_text(first)

    def settled(p, *names):
        s = p.try_status()
        return s and leads(p) and {x["name"]: (x["ready"], len(x["instances"])) for x in s["services"]} == {
            name: (2, 2) for name in names}

    a.start()
    wait(lambda: settled(a, "old", "shop"), 30, "the leader")
    a.config.write_text(then)
    a.cli("reload")
    wait(lambda: settled(a, "shop", "zeta"), 40, "the new service in the old one's place")
    b.start()
    wait(lambda: (s := b.try_status()) and {x["name"]: x["ready"] for x in s["services"]} == {
        "shop": 2, "zeta": 2}, 20, "the standby to follow")
    before = a.status()["services"]
    acts = len(g.acts())
    kill_machine(a)
    wait(lambda: settled(b, "shop", "zeta"), TTL + 20, "the standby to lead")

    def instances(services):
        return {x["name"]: {i["number"]: i["address"] for i in x["instances"]} for x in services}

    assert instances(b.status()["services"]) == instances(before)
    assert g.acts()[acts:] == []


@needs_etcd
def test_pipe_of_a_sleeper(group):  # noqa: F811
    """What stands in a plugin's pipe when its controller loses the lease is not carried out later, not even
    when the plugin wakes before its controller."""
    g = group()
    a, b = g.start()
    controller = a.status()["controller"]["pid"]
    children = pathlib.Path(f"/proc/{controller}/task/{controller}/children").read_text().split()
    plugins = [int(pid) for pid in children]
    asleep = [controller, *plugins]
    try:
        for pid in plugins:
            os.kill(pid, signal.SIGSTOP)
        a.cli("scale", "shop", "4")
        wait(lambda: b.service("shop")["desired"] == 4, 20, "the standby to know")
        os.kill(controller, signal.SIGSTOP)
        wait(lambda: leads(b), TTL + 10, "the standby to lead")
        b.wait_ready(4)
        b.cli("scale", "shop", "2")
        wait(lambda: len(b.service("shop")["instances"]) == 2, 60, "two")
        for pid in plugins:
            os.kill(pid, signal.SIGCONT)
        wait(lambda: (g.engine / "refused").exists() and len((g.engine / "refused").read_text().split()) == 2,
             20, "both starts to be refused")
    finally:
        for pid in asleep:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    wait(lambda: (s := a.try_status()) and s["lease"] != "held" and s["services"][0]["ready"] == 2, 20,
         "the sleeper to follow")
    g.nothing_started_twice()


# -- the examples ------------------------------------------------------------------------------------


def test_local_reads_json(make, tmp_path):
    """Quotes, backslashes, braces and lines survive the shell's reading of JSON."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    local = Local(folder)
    marker = tmp_path / "seen"
    command = (r"printf '%s' 'a \"b\" {c},\\ \"config\":{d' > " + str(marker) + f"; exec {APP}")
    section = local.section()
    section = re.sub(r'command: "exec env [^"]*"|command: "exec [^"]*app"', lambda m: f'command: "{command}"',
                     section)
    try:
        p = make(config=config(section, 1))
        p.start().wait_ready(1)
        assert marker.read_text() == 'a "b" {c},\\ "config":{d'
    finally:
        local.end()


def test_local_logs(make, tmp_path):
    """Its output is where that of other instances is."""
    folder = tmp_path / "fleet"
    folder.mkdir()
    local = Local(folder)
    section = local.section().replace("exec env", "echo here I am; exec env")
    section = section.replace(f'command: "exec {APP}', f'command: "echo here I am; exec {APP}')
    try:
        p = make(config=config(section, 1))
        p.start().wait_ready(1)
        assert "here I am" in (p.state / "log" / "shop-1.log").read_text()
    finally:
        local.end()


def test_local_late(tmp_path):
    """What was asked for too long ago is not done: another controller may decide now."""
    plugin = subprocess.Popen(["/bin/sh", PLUGINS / "local.sh", tmp_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    past = int(time.time() * 1000) - 1
    start = next(m for _, m in transcript() if m.get("do") == "start")
    stop = next(m for _, m in transcript() if m.get("do") == "stop")
    try:
        plugin.stdout.readline()
        for request in (start, stop, start | {"do": "resize"}):
            plugin.stdin.write(json.dumps(request | {"until": past}, separators=(",", ":")) + "\n")
            plugin.stdin.flush()
            answer = json.loads(plugin.stdout.readline())
            assert answer["error"].startswith("asked for too long ago")
        assert not list(tmp_path.glob("plimsoll-*"))
    finally:
        plugin.stdin.close()
        plugin.wait(10)


def test_ssh_host_away(make, tmp_path):
    """A host that does not answer keeps what it has, and the others take what is new."""
    folder = tmp_path / "hosts"
    folder.mkdir()
    ssh = Ssh(folder)
    try:
        ssh.begin()
        p = make(config=config(ssh.section(), 2))
        p.start().wait_ready(2)
        before = ssh.running()
        process, _ = ssh.hosts["web2"]
        os.killpg(process.pid, signal.SIGTERM)  # who is connected stays so
        process.wait(10)
        for pid in ssh.connections("web2"):
            os.kill(pid, signal.SIGKILL)
        p.cli("scale", "shop", "4")
        wait(lambda: len(ssh.running()) == 4, 60, "two more on the host that answers")
        assert before <= ssh.running()
        assert p.get("/")[0] == 200
    finally:
        ssh.end()


# -- the reference -----------------------------------------------------------------------------------


def transcript():
    """The lines of docs/plugin.md's transcript: (who, JSON)."""
    text = (ROOT / "docs" / "plugin.md").read_text()
    block = re.search(r"```transcript\n(.*?)```", text, re.S).group(1)
    return [(line[0], json.loads(line[2:])) for line in block.splitlines() if line[:1] in "<>"]


def agrees(wanted, got):
    """The same but for what cannot be known before: a pid."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and wanted.keys() == got.keys() and all(
            k == "pid" or agrees(v, got[k]) for k, v in wanted.items())
    if isinstance(wanted, list):
        return len(wanted) == len(got) and all(map(agrees, wanted, got))
    return wanted == got


def test_transcript(tmp_path):
    """What the reference shows is what the shell example answers."""
    plugin = subprocess.Popen(["/bin/sh", PLUGINS / "local.sh", tmp_path], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, text=True)
    pid = 0
    try:
        for who, message in transcript():
            if who == ">":
                if "until" in message:
                    message["until"] = int(time.time() * 1000) + 30000
                plugin.stdin.write(json.dumps(message, separators=(",", ":")) + "\n")
                plugin.stdin.flush()
                continue
            if message.get("event") == "exited":
                os.kill(pid, signal.SIGKILL)
            got = json.loads(plugin.stdout.readline())
            assert agrees(message, got), (message, got)
            pid = got["ok"].get("pid", pid) if isinstance(got.get("ok"), dict) else pid
    finally:
        plugin.stdin.close()
        plugin.wait(10)


def test_transcript_is_what_plimsoll_says(shop, fleet, tmp_path):
    """Its requests have the keys, in their order, that plimsoll's have."""
    spy, heard = tmp_path / "spy", tmp_path / "heard"
    spy.write_text(f'#!/bin/sh\ntee {heard} | exec "$@"\n')
    spy.chmod(0o755)
    command = fleet.command
    fleet.command = lambda: [spy, *command()]
    p = shop(1)
    p.cli("scale", "shop", "2")
    count_is(p, fleet, 2)
    p.cli("scale", "shop", "1")
    count_is(p, fleet, 1)
    real = {m.get("do"): list(m) for m in map(json.loads, heard.read_text().splitlines())}
    for who, message in transcript():
        if who == ">" and message.get("do") in real:
            assert list(message) == real[message.get("do")], message
