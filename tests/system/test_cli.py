"""The commands themselves: help, hints, exit statuses, and what they print when nothing runs."""

import json
import os
import re
import subprocess

import pytest

from plimsoll import APP, PROGRAM, Plimsoll, alive, free_port, wait

GOOD = """\
services:
  shop:
    listen: ["127.0.0.1:1"]
    run: {command: [/bin/true]}
"""


def cli(*args, env=None, stdin=None):
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True,
                          input=stdin, timeout=60, env=dict(os.environ, **(env or {})))


def commands():
    lines = cli("help").stdout.splitlines()
    return [line.split()[0] for line in lines if line.startswith("  ") and "   " in line.strip()
            or line.startswith("  config-reference")]


def test_every_command_has_help_with_examples():
    names = commands()
    assert {"run", "check", "diff", "status", "why", "events", "logs", "scale", "pause", "resume",
            "drain", "restart", "reload", "replay", "stop"} <= set(names)
    for name in names:
        p = cli(name, "--help")
        assert p.returncode == 0, (name, p.stderr)
        assert f"plimsoll {name}" in p.stdout.split("examples:")[1], p.stdout
        assert "--json" in p.stdout


@pytest.mark.parametrize("wrong, hint", [
    (["statsu"], '"status"'),
    (["relaod"], '"reload"'),
    (["status", "--jsno"], "--json"),
    (["run", "--lisen", ":80", "--", "true"], "--listen"),
    (["why", "shop", "--limt=3"], "--limit"),
])
def test_the_nearest_name_is_suggested(wrong, hint):
    p = cli(*wrong)
    assert p.returncode == 2
    assert f"did you mean {hint}?" in p.stderr


@pytest.mark.parametrize("wrong, text", [
    (["run"], "what shall run"),
    (["run", "a.yaml", "--", "true"], "give one of them"),
    (["run", "a.yaml", "--min", "3"], "write it there"),
    (["scale", "shop"], "usage: plimsoll scale SERVICE N|auto"),
    (["scale", "shop", "many"], "is no count"),
    (["scale", "shop", "-1"], "give a number from 0 on"),
    (["why", "shop", "--limit", "x"], "--limit"),
    (["why", "shop", "--limit"], "needs a value"),
    (["status", "--json=yes"], "takes no value"),
    (["status", "--state", "x", "--state=y"], "--state is given twice"),
    (["run", "-c", "a.yaml", "--config", "b.yaml"], "--config is given twice"),
    (["run", "--listen", ":1", "--listen", ":2", "--env", "A=1", "--env", "B=2", "--json", "--json",
      "--target", "concurrency=2", "--target", "cpu=60%"], "what shall run"),
    (["check"], "usage"),
    (["status", "--", "true"], "takes nothing behind"),
])
def test_a_wrong_command_line_says_why(wrong, text):
    p = cli(*wrong)
    assert p.returncode == 2, p
    assert text in p.stderr


@pytest.mark.parametrize("command", [
    ["status"], ["why", "shop"], ["events"], ["logs", "shop-1"], ["scale", "shop", "3"],
    ["pause", "shop"], ["reload"], ["diff"], ["stop"],
])
def test_nothing_runs_is_exit_status_3_and_says_how_to_start(command, tmp_path):
    for where in (["--state", tmp_path], ["--admin", tmp_path / "admin.sock"]):
        p = cli(*command, *where)
        assert p.returncode == 3, p
        assert "plimsoll run --listen" in p.stderr
    p = cli(*command, env={"PLIMSOLL_ADMIN": str(tmp_path / "admin.sock")})
    assert p.returncode == 3 and str(tmp_path) in p.stderr


def test_version_has_the_features():
    p = cli("--version")
    version = p.stdout.splitlines()[0].split()
    assert p.returncode == 0 and version[0] == "plimsoll"
    features = json.loads(cli("version", "--json").stdout)
    assert features["version"] == version[1]
    assert {"target", "threshold", "step", "schedule"} <= set(features["rules"])


def test_check(tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(GOOD)
    bad.write_text(GOOD.replace("listen", "lisen"))
    p = cli("check", good)
    assert p.returncode == 0 and "fine, 1 service" in p.stdout
    assert "no rule given" in p.stdout
    p = cli("check", bad)
    assert p.returncode == 2
    assert f"{bad}:3:5: " in p.stderr and 'lisen: ["127.0.0.1:1"]' in p.stderr
    answer = json.loads(cli("check", "--json", bad).stdout)
    assert answer["ok"] is False and answer["errors"][0]["place"].endswith(":3:5")
    assert cli("check", "-", stdin=GOOD).returncode == 0
    assert cli("check", tmp_path / "none.yaml").returncode == 2


def test_diff_of_two_files(tmp_path):
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(GOOD)
    new.write_text(GOOD + "    scale: {max: 7}\n")
    p = cli("diff", old, new)
    assert p.returncode == 0 and "services.shop.scale.max" in p.stdout
    assert json.loads(cli("diff", "--json", old, old).stdout) == {"changes": []}


def test_run_refuses_a_broken_configuration_before_it_starts_anything(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text(GOOD.replace("command", "comand"))
    p = cli("run", bad, "--state", tmp_path / "state")
    assert p.returncode == 2 and f"{bad}:4:" in p.stderr
    p = cli("run", "--listen", "nowhere", "--state", tmp_path / "state", "--", "/bin/true")
    assert p.returncode == 2


def test_the_reference_names_every_section():
    p = cli("config-reference")
    assert p.returncode == 0
    for key in ("listen", "max-concurrency", "target", "threshold", "schedule", "behavior"):
        assert key in p.stdout


# -- with one that runs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def p(tmp_path_factory):
    """Started the way the issue's first command does it."""
    directory = tmp_path_factory.mktemp("cli")
    admin = free_port()
    p = Plimsoll(directory, admin=f"127.0.0.1:{admin}", command=[str(APP)], flags=[
        "--name", "shop", "--min", "1", "--max", "8", "--target", "concurrency=20",
        "--ready", "/healthz", "--env", "APP_SERVICE_MS=1", "--env", "GREETING=hello world"])
    try:
        p.start()
        p.wait_ready(1)
        yield p
    finally:
        p.clean_up()
    assert not p.reports(), p.reports()
    p.replay_agrees()


def test_the_first_command_of_the_readme(tmp_path):
    """plimsoll run --listen :PORT --min 1 --max 8 --target concurrency=20 -- APP, and no more."""
    p = Plimsoll(tmp_path, admin="off", command=[str(APP)])
    p.argv = lambda: [str(PROGRAM), "run", "--state", str(p.state), "--admin", "off", "--listen",
                      f":{p.port}", "--min", "1", "--max", "8", "--target", "concurrency=20",
                      "--", str(APP)]
    try:
        p.start()
        assert p.get("/pid")[0] == 200
        service = p.service()
        assert (service["name"], service["min"], service["max"]) == ("app", 1, 8)
        assert any("concurrency" in o["rule"] for o in
                   wait(lambda: p.why("app")["current"], 10, "a decision")["opinions"])
        assert b"X-Forwarded-For: 127.0.0.1\r\n" in p.get("/headers")[1]
        assert p.stop() == 0
        assert not p.reports(), p.reports()
    finally:
        p.clean_up()


def test_status_json_has_what_programs_rely_on(p):
    s = json.loads(p.cli("status", "--json").stdout)
    for role in ("keeper", "controller", "proxy"):
        assert alive(s[role]["pid"])
    service = s["services"][0]
    assert (service["name"], service["desired"], service["ready"]) == ("shop", 1, 1)
    instance = service["instances"][0]
    assert instance["id"].startswith("shop-") and instance["state"] == "ready"
    assert alive(instance["pid"]) and instance["address"]


def test_status_for_people(p):
    text = p.cli("status").stdout
    assert str(p.state) in text and "shop" in text and "ready" in text
    assert str(p.status()["keeper"]["pid"]) in text


def test_environment_and_arguments_reach_the_instance(p):
    environment = dict(line.split("=", 1) for line in p.get("/env")[1].decode().splitlines()
                       if "=" in line)
    assert environment["GREETING"] == "hello world" and environment["APP_SERVICE_MS"] == "1"
    address = p.service()["instances"][0]["address"]
    assert address.endswith(":" + environment["PORT"])
    assert int(environment["PORT"]) < 32768


def test_ways_of_finding_it(p, tmp_path):
    sock, tcp = p.state / "admin.sock", p.admin
    for args, env in ((["--state", p.state], {}),
                      (["--admin", sock], {}),
                      (["--admin", f"unix:{sock}"], {}),
                      (["--admin", tcp], {}),
                      (["--admin", f"http://{tcp}/"], {}),
                      ([], {"PLIMSOLL_ADMIN": sock}),
                      ([], {"PLIMSOLL_ADMIN": tcp}),
                      (["--state", p.state], {"PLIMSOLL_ADMIN": tmp_path / "none"}),
                      (["--admin", sock, "--state", tmp_path], {})):
        found = cli("status", "--json", *args, env={k: str(v) for k, v in env.items()})
        assert found.returncode == 0, (args, env, found)
        assert json.loads(found.stdout)["keeper"]["pid"] == p.process.pid
    refused = cli("pause", "shop", "--admin", tcp)
    assert refused.returncode == 1 and "read-only" in refused.stderr
    assert f"--state {p.state}" in refused.stderr
    assert not p.service()["paused"]


def test_default_state_directory():
    """As anybody but root, for whom it is /var/lib/plimsoll."""
    user = {"user": "nobody", "cwd": "/"} if os.geteuid() == 0 else {}
    found = subprocess.run([PROGRAM, "status"], capture_output=True, text=True, timeout=30,
                           env={"XDG_STATE_HOME": "/nowhere"}, **user)
    assert found.returncode == 3 and "/nowhere/plimsoll/admin.sock" in found.stderr
    found = subprocess.run([PROGRAM, "status"], capture_output=True, text=True, timeout=30,
                           env={"HOME": "/home/x"}, **user)
    assert "/home/x/.local/state/plimsoll/admin.sock" in found.stderr


def test_why_says_why(p):
    wait(lambda: p.why("shop")["current"], 10, "a decision")
    text = p.cli("why", "shop").stdout
    assert "shop now:" in text and "target concurrency 20" in text and "in flight" in text
    answer = json.loads(p.cli("why", "shop", "--json", "--limit", "2").stdout)
    assert answer["service"] == "shop" and len(answer["decisions"]) <= 2
    for d in answer["decisions"]:
        assert d["opinions"] or d["steps"] or d["summary"]
    missing = p.cli("why", "shpo", check=False)
    assert missing.returncode == 1 and "no service shpo" in missing.stderr


def test_events_tell_what_happened(p):
    p.cli("pause", "shop")
    p.cli("resume", "shop")

    def told():
        return "pause" in (text := p.cli("events").stdout) and "resume" in text and text

    text = wait(told, 10, "the operator's events")
    assert "shop-1" in text
    events = json.loads(p.cli("events", "shop", "--json", "--limit", "1000").stdout)["events"]
    assert {"id", "time", "kind", "text"} <= set(events[0])
    assert all(e["service"] == "shop" for e in events)
    assert len(p.cli("events", "-n", "1").stdout.splitlines()) == 1


def test_events_follow(p):
    with subprocess.Popen([PROGRAM, "events", "shop", "--follow", "--json", "-n", "1", "--state", p.state],
                          stdout=subprocess.PIPE, text=True) as following:
        try:
            first = json.loads(following.stdout.readline())
            p.cli("pause", "shop")
            told = json.loads(following.stdout.readline())
            assert told["id"] > first["id"] and "pause" in told["text"], (first, told)
        finally:
            following.kill()
            p.cli("resume", "shop")


def test_events_tell_of_scaling(p):
    p.cli("scale", "shop", "3")
    scaled = r"scaling +shop: scaled \d -> 3: .*operator"
    wait(lambda: re.search(scaled, p.cli("events", "shop").stdout), 10, "the event")
    changes = [d for d in p.why("shop")["decisions"] if d["before"] != d["desired"]]
    told = [e for e in p.events() if e["kind"] == "scaling"]
    assert len(told) == len(changes), told


def test_operating(p):
    assert "3 instances" in p.cli("scale", "shop", "3").stdout
    p.wait_ready(3)
    assert "held at 3" in p.cli("status").stdout
    assert json.loads(p.cli("scale", "shop", "2", "--json").stdout) == {"desired": 2}
    wait(lambda: len(p.service()["instances"]) == 2, 15, "two instances")
    victim = p.service()["instances"][0]["id"]
    p.cli("protect", victim)
    p.cli("scale", "shop", "1")
    wait(lambda: [i["id"] for i in p.service()["instances"]] == [victim], 15, "the protected one")
    p.cli("protect", victim, "--off")
    before = {i["id"] for i in p.service()["instances"]}
    p.cli("restart", "shop")
    wait(lambda: not before & {i["id"] for i in p.service()["instances"]}, 20, "another")
    p.wait_ready(1)
    p.cli("drain", p.service()["instances"][0]["id"])
    p.wait_ready(1)
    assert "by its rules" in p.cli("scale", "shop", "auto").stdout
    for wrong in (["scale", "none", "3"], ["drain", "shop-99"], ["pause", "none"],
                  ["restart", "none"], ["logs", "none-1"]):
        refused = p.cli(*wrong, check=False)
        assert refused.returncode == 1 and "there is no" in refused.stderr, wrong


def test_logs(make):
    p = make(flags=["--name", "chatty", "--max", "1"], command=[
        "/bin/sh", "-c", 'echo to stdout; echo to stderr >&2; exec "$0"', str(APP)]).start()
    p.wait_ready(1)
    text = p.cli("logs", "chatty-1").stdout
    assert text.splitlines()[:2] == ["to stdout", "to stderr"]
    assert p.cli("logs", "chatty-1", "-n", "1").stdout.count("\n") == 1
    assert "chatty-1 | to stderr" in p.cli("logs", "--all").stdout
    lines = [json.loads(x) for x in p.cli("logs", "--all", "chatty", "--json").stdout.splitlines()]
    assert {"instance": "chatty-1", "line": "to stdout"} in lines


def test_logs_follow(make):
    p = make(flags=["--name", "chatty", "--max", "1"], command=[
        "/bin/sh", "-c", f'{APP} & while read -r line; do echo "got $line"; done < "$FIFO"; wait'])
    fifo = p.directory / "fifo"
    os.mkfifo(fifo)
    p.flags += ["--env", f"FIFO={fifo}", "--ready", "tcp"]
    p.start()
    with open(fifo, "w") as talk:
        p.wait_ready(1)
        follow = subprocess.Popen([PROGRAM, "logs", "chatty-1", "--follow", "--state", p.state],
                                  stdout=subprocess.PIPE, text=True)
        try:
            for word in ("one", "two"):
                talk.write(f"{word}\n")
                talk.flush()
                line = follow.stdout.readline()
                while line.startswith("app: "):
                    line = follow.stdout.readline()
                assert line == f"got {word}\n"
        finally:
            follow.terminate()
            follow.wait()


def test_replay_prints_the_decisions(p):
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    p.cli("scale", "shop", "auto")
    out = cli("replay", p.state / "journal")
    assert out.returncode == 0, out.stderr
    decisions = [json.loads(line) for line in out.stdout.splitlines()]
    assert any(d["service"] == "shop" and d["desired"] == 2 for d in decisions)
    assert [d["sequence"] for d in decisions] == sorted(d["sequence"] for d in decisions)
    nothing = cli("replay", p.state / "none")
    assert nothing.returncode == 1 and "none" in nothing.stderr


def test_diff_and_reload(p):
    assert "nothing changes" in p.cli("diff").stdout
    config = p.state / "run.yaml"
    good = config.read_text()
    config.write_text(re.sub(r'max: "?8"?', "max: 6", good))
    try:
        assert "services.shop.scale.max: 8 -> 6" in p.cli("diff").stdout
        assert json.loads(p.cli("diff", "--json").stdout)["changes"]
        assert "services.shop.scale.max: 8 -> 6" in p.cli("reload").stdout
        assert p.service()["max"] == 6
        config.write_text("nonsense: [")
        broken = p.cli("reload", check=False)
        assert broken.returncode == 2 and "run.yaml:" in broken.stderr
    finally:
        config.write_text(good)
        p.cli("reload")


@pytest.mark.parametrize("words", [
    "status", "why shop", "events", "events shop", "logs --all", "scale shop auto", "pause shop",
    "resume shop", "restart shop", "diff", "reload", "protect @", "protect @ --off", "drain @",
])
def test_every_command_prints_json(p, words):
    wait(lambda: p.service()["instances"], 15, "an instance")
    args = [p.service()["instances"][-1]["id"] if w == "@" else w for w in words.split()]
    out = p.cli(*args, "--json").stdout
    assert all(json.loads(line) is not None for line in out.splitlines())
    assert out or words == "logs --all"
    p.wait_ready(1)


def test_commands_without_a_running_one_print_json_too(p, tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(GOOD)
    for args in (["check", file], ["diff", file, file], ["version"], ["config-reference"]):
        answer = cli(*args, "--json")
        assert answer.returncode == 0 and json.loads(answer.stdout), args


def test_check_tells_the_defaults(tmp_path):
    file = tmp_path / "a.yaml"
    file.write_text(GOOD)
    notes = json.loads(cli("check", "--json", file).stdout)
    assert notes["ok"] is True and notes["errors"] == []
    assert "target concurrency 70" in notes["notes"][0] and "min 1" in notes["notes"][0]


def test_a_configuration_on_standard_input(tmp_path):
    p = Plimsoll(tmp_path, admin="off")
    text = GOOD.replace("127.0.0.1:1", f"127.0.0.1:{p.port}").replace("/bin/true", str(APP))
    p.log.write_text(text)
    p.process = subprocess.Popen([PROGRAM, "run", "-", "--state", p.state, "--admin", "off"],
                                 stdin=open(p.log), stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
    try:
        p.wait_live()
        assert p.get("/pid")[0] == 200
        p.cli("stop")
        assert p.process.wait(20) == 0
    finally:
        p.clean_up()


def test_stop_waits_until_all_has_ended(make):
    p = make(flags=["--min", "2", "--max", "2"], command=[str(APP)]).start()
    p.wait_ready(2)
    pids = p.instance_pids()
    p.cli("stop")
    assert not any(alive(pid) for pid in pids)
    assert p.process.wait(5) == 0 and not p.own_pids()
    assert p.cli("status", check=False).returncode == 3
