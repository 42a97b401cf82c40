"""Instances as processes: what they are started with, when they are ready, how they end, what they
wrote."""

import os
import re
import signal
import sys

import pytest

from plimsoll import APP, alive, wait
from rawhttp import UPSTREAMS

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: {command}
      {more}
    scale: {{min: {count}, max: 3}}
"""


def start(make, more="", command="[@APP@]", count=1, ready=True, **kwargs):
    p = make(config=CONFIG.format(command=command, more=more, count=count), **kwargs).start()
    if ready:
        p.wait_ready(count)
    return p


def instance(p):
    return p.service()["instances"][0]


def environment(p):
    return dict(x.split("=", 1) for x in p.get("/env")[1].decode().splitlines() if "=" in x)


def test_what_the_command_and_its_environment_are_given(make, tmp_path):
    file = tmp_path / "env"
    file.write_text("# a comment\n\nFROM_FILE=one two\nBOTH=file\n")
    p = start(make, f'env: {{BOTH: section, WHO: "{{service}} {{instance}} {{port}}"}}\n'
              f'      env-file: "{file}"\n      directory: "{tmp_path}"', '["@APP@", "{port}"]',
              env={"INHERITED": "yes"})
    e, i = environment(p), instance(p)
    assert i["address"].endswith(":" + e["PORT"]) and 21000 <= int(e["PORT"]) <= 28999
    assert e["FROM_FILE"] == "one two" and e["BOTH"] == "section" and e["INHERITED"] == "yes"
    assert e["WHO"].split()[0] == "shop" and e["WHO"].split()[2] == e["PORT"]
    assert e["WHO"].split()[1] in ("1", i["id"])
    assert os.readlink(f"/proc/{i['pid']}/cwd") == str(tmp_path)
    assert os.getpgid(i["pid"]) == i["pid"]
    file.write_text("FROM_FILE=three\n")  # read at each start
    p.cli("restart", "shop")
    wait(lambda: instance(p)["id"] != i["id"] and len(p.service()["instances"]) == 1, 15, "another")
    assert environment(p)["FROM_FILE"] == "three"


def test_it_holds_nothing_that_is_not_its_own(make):
    p = start(make)
    fds = {}
    for fd in os.listdir(f"/proc/{instance(p)['pid']}/fd"):
        fds[int(fd)] = os.readlink(f"/proc/{instance(p)['pid']}/fd/{fd}")
    files = {x for x in fds.values() if not x.startswith(("socket:", "anon_inode:", "pipe:"))}
    assert fds[0] == "/dev/null" and fds[1] == fds[2] and str(p.state) in fds[1]
    assert files == {fds[0], fds[1]}, fds
    flags = int(re.search(r"flags:\s+(\d+)", open(
        f"/proc/{instance(p)['pid']}/fdinfo/1").read())[1], 8)
    assert flags & os.O_APPEND


def test_no_signal_is_blocked_or_ignored(make):
    p = start(make, command="'grep -E \"Sig(Blk|Ign)\" /proc/self/status; exec @APP@'")
    text = p.cli("logs", instance(p)["id"]).stdout
    own = 3 << 31  # signals 32 and 33 are the C library's own; no program can set them
    masks = {k: int(v, 16) & ~own for k, v in re.findall(r"(Sig\w+):\t([0-9a-f]+)", text)}
    assert masks == {"SigBlk": 0, "SigIgn": 0}, text


def test_limits(make):
    """As much memory as there are addresses, which leaves enough to a keeper with a sanitizer in it
    until it has become the program; and a plain program, for others refuse such a limit."""
    p = start(make, f"limits: {{open-files: 321, memory: {1 << 47}, core: none}}",
              f"[{sys.executable}, {UPSTREAMS}/echo.py]")
    text = open(f"/proc/{instance(p)['pid']}/limits").read()
    assert re.search(r"Max open files +321 +321", text)
    assert re.search(rf"Max address space +{1 << 47} +{1 << 47}", text)
    assert re.search(r"Max core file size +0 +0", text)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_another_user(make):
    p = start(make, "user: nobody", "[/bin/sh, -c, 'id -un; id -gn; id -Gn; exec @APP@']")
    assert p.cli("logs", instance(p)["id"]).stdout.splitlines()[:3] == [
        "nobody", "nogroup", "nogroup"]


def test_a_single_text_is_run_by_a_shell(make):
    p = start(make, command="'echo \"port {port} $PORT\"; exec @APP@'")
    port = environment(p)["PORT"]
    assert p.cli("logs", instance(p)["id"]).stdout.startswith(f"port {port} {port}\n")


def test_ready_by_a_command(make, tmp_path):
    mark = tmp_path / "ready"
    p = start(make, f"ready: {{exec: [test, -e, {mark}], within: 60s}}", ready=False)
    i = wait(lambda: p.service()["instances"] and instance(p)["pid"] and instance(p), 10, "a start")
    wait(lambda: f"127.0.0.1:{i['address'].rsplit(':', 1)[1]}" and alive(i["pid"]), 5, "it")
    assert instance(p)["state"] in ("starting", "warming") and p.service()["ready"] == 0
    mark.touch()
    p.wait_ready(1)


def test_ready_means_that_it_listens_itself(make, tmp_path):
    """By default: as soon as it takes connections, and not before."""
    p = start(make, f'env: {{GO: "{tmp_path}/go"}}',
              "'until [ -e $GO ]; do sleep 0.02; done; exec @APP@'", ready=False)
    wait(lambda: p.service()["instances"] and instance(p)["pid"], 10, "a start")
    assert p.service()["ready"] == 0
    (tmp_path / "go").touch()
    p.wait_ready(1)
    assert p.get("/pid")[0] == 200


def test_the_signal_that_ends_it(make):
    p = start(make, "stop: {signal: INT, grace: 20s}",
              "'trap \"echo got INT; exit 0\" INT; trap \"echo got TERM\" TERM; @APP@ & "
              "while :; do wait; done'")
    logs = p.state / "log"
    assert p.stop() == 0
    text = "".join(f.read_text() for f in logs.rglob("*") if f.is_file() and "shop" in f.name)
    assert "got INT" in text and "got TERM" not in text


def test_the_whole_group_is_ended(make):
    p = start(make, command="'sleep 1000 & echo child $!; exec @APP@'", more="stop: {grace: 1s}")
    child = int(re.search(r"child (\d+)", p.cli("logs", instance(p)["id"]).stdout)[1])
    assert alive(child)
    p.cli("restart", "shop")
    wait(lambda: not alive(child), 15, "the child to end too")


def test_an_instance_that_is_killed_is_replaced(make):
    p = start(make, count=2)
    victim = instance(p)
    os.kill(victim["pid"], signal.SIGKILL)
    wait(lambda: victim["id"] not in {i["id"] for i in p.service()["instances"]}, 10, "it to go")
    p.wait_ready(2)
    wait(lambda: any(victim["id"] == e["instance"] and "9" in e["text"] or "KILL" in e["text"]
                     for e in p.events()), 5, "the event")


def test_logs_are_rotated(make, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    p = start(make, "log: {size: 4KiB, keep: 1}", f"'@APP@ & cat {fifo} {fifo}; wait'", ready=False)
    with open(fifo, "w") as talk:
        talk.write("a line\n" * 2000)
    wait(lambda: list((p.state / "log").rglob("*shop-1*.1*")), 10, "a rotated log")
    with open(fifo, "w") as talk:
        talk.write("and another\n")
    wait(lambda: "and another" in p.cli("logs", "shop-1").stdout, 10, "what comes after it")


def test_an_executable_that_is_not_there_is_said_so(make):
    p = start(make, command="[/nonexistent/program]", ready=False)
    wait(lambda: "/nonexistent/program" in p.service()["trouble"], 10, "the reason")
    assert "No such file" in p.service()["trouble"]
    code, _, _ = p.get("/", timeout=30)  # it waits for an instance until its deadline
    assert code == 503


def test_instances_get_ports_of_their_own(make):
    p = start(make, count=3)
    addresses = {i["address"] for i in p.service()["instances"]}
    assert len(addresses) == 3
    assert all(str(APP) in open(f"/proc/{i['pid']}/cmdline").read()
               for i in p.service()["instances"])
