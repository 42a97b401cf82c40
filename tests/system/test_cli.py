"""The commands themselves: help, hints, exit statuses, and what they print when nothing runs."""

import json
import os
import subprocess

import pytest

from plimsoll import PROGRAM

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
    (["why", "shop", "--limit", "x"], "--limit"),
    (["why", "shop", "--limit"], "needs a value"),
    (["status", "--json=yes"], "takes no value"),
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
