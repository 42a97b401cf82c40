"""`plimsoll status --watch` in a real terminal: tmux's, whose screen is read."""

import os
import shlex
import shutil
import signal
import subprocess

import pytest

from plimsoll import PROGRAM, Load, wait

CONFIG = """
alerts: {rules: {start-failures: {for: 0s}}}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"], ready: {http: /healthz}}
    scale: {min: 1, max: 3}
  blog:
    run: {command: [sleep, "1000"]}
    scale: {min: 2, max: 2}
"""


class Terminal:
    """A tmux server of its own with one window; ends with it."""

    def __init__(self, directory, columns=80, rows=24):
        self.socket = directory / "tmux"
        self.tmux("new-session", "-d", "-x", str(columns), "-y", str(rows), "sh")

    def tmux(self, *args):
        return subprocess.run(["tmux", "-S", str(self.socket), "-f", "/dev/null", *args],
                              capture_output=True, text=True, check=True, timeout=20).stdout

    def type(self, *keys):
        self.tmux("send-keys", *keys)

    def run(self, *argv):
        self.type(shlex.join(argv), "Enter")

    def lines(self):
        return self.tmux("capture-pane", "-p").split("\n")

    def shows(self, *texts, within=15):
        def all_there():
            screen = "\n".join(self.lines())
            return all(t in screen for t in texts)

        try:
            wait(all_there, within, f"{texts}")
        except AssertionError as e:
            raise AssertionError(f"{e}\n" + "\n".join(self.lines())) from None

    def line(self, beginning):
        return next((x for x in self.lines() if x.startswith(beginning)), "")

    def resize(self, columns, rows):
        self.tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def quits(self):
        """What is typed before it has ended would be its own."""
        self.type("q")
        wait(lambda: "q quit" not in "\n".join(self.lines()), 15, "the end")
        self.type("echo ended=$?", "Enter")
        self.shows("ended=0")

    def stop(self):
        self.tmux("kill-server")


@pytest.fixture
def terminal(tmp_path):
    if not shutil.which("tmux"):
        pytest.skip("tmux is not installed")
    opened = []

    def new(p, columns=80, rows=24):
        t = Terminal(tmp_path, columns, rows)
        opened.append(t)
        t.run(str(PROGRAM), "status", "--watch", "--state", str(p.state))
        return t

    yield new
    for t in opened:
        t.stop()


def test_what_is_on_the_screen(make, terminal):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    t = terminal(p)
    t.shows("plimsoll", "lease held", "SERVICE", "shop", "blog", "events", "q quit")
    assert t.line("SERVICE").split()[:4] == ["SERVICE", "DESIRED", "READY", "STARTING"]
    wait(lambda: t.line("blog").split()[1:3] == ["2", "2"], 10, "blog's two")
    with Load(p.port, clients=2, pause=0.01):
        wait(lambda: float(t.line("shop").split()[6].replace("-", "0")) > 1, 15, "requests a second")
    p.cli("scale", "shop", "3")
    wait(lambda: t.line("shop").split()[1:3] == ["3", "3"], 15, "three of shop")
    t.shows("scaled")


def test_keys(make, terminal):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    t = terminal(p)
    t.shows("shop", "events")
    first = next(x for x in t.lines()[2:] if x.split()[:1] in (["shop"], ["blog"])).split()[0]
    other = {"shop": "blog", "blog": "shop"}[first]
    t.type("w")
    t.shows("why", "last decisions")
    t.type("i")
    t.shows("instances", f"{first}-1")
    t.type("Down")
    t.shows(f"{other}-1")
    t.type("Up")
    t.shows(f"{first}-1")
    t.type("m")
    t.shows("members", "lease (file) held")
    t.type("e")
    t.shows("events", "ready")
    t.type("x", "Left", "F5", "PPage", "NPage")
    t.quits()


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (20, 5), (10, 3), (200, 50)])
def test_sizes(make, terminal, size):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    t = terminal(p, 80, 24)
    t.shows("shop", "blog")
    t.resize(*size)
    if size[1] >= 5 and size[0] >= 20:
        t.shows("shop", "DESIRED")
    if size[0] >= 80:
        t.shows("P99-MS", "MAX")
    t.resize(80, 24)
    t.shows("shop", "blog", "q quit")
    t.quits()


def test_alerts_and_a_controller_that_restarts(make, terminal):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    t = terminal(p)
    t.shows("shop")
    status = p.status()
    os.kill(status["keeper"]["pid"], signal.SIGSTOP)
    try:
        os.kill(status["controller"]["pid"], signal.SIGKILL)
        t.shows("not answering", "shop")
    finally:
        os.kill(status["keeper"]["pid"], signal.SIGCONT)
    wait(lambda: "not answering" not in "\n".join(t.lines()), 20, "it to answer again")
    p.config.write_text(p.config.read_text() + "  bad: {run: {command: [/nonexistent]}, scale: {min: 1, max: 1}}\n")
    p.cli("reload")
    t.shows("alert bad: start-failures", "bad")


def test_what_is_wrong_is_whole(make, terminal):
    """The reason has lines of its own, and what has no room ends in a mark."""
    program = "/nonexistent/" + "far/" * 12 + "away"
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    p.config.write_text(p.config.read_text() +
                        f"  bad: {{run: {{command: [{program}]}}, scale: {{min: 1, max: 1}}}}\n")
    p.cli("reload")
    t = terminal(p)
    t.shows("shop", "bad", "PgUp/PgDn more")
    names = [x.split()[0] for x in t.lines() if x.split()[:1] in (["shop"], ["blog"], ["bad"])]
    t.type(*["Down"] * names.index("bad"))
    wait(lambda: program in "".join(t.lines()), 10, "all of the reason")
    assert any(x.endswith("...") for x in t.lines())


def test_stopped_for_good(make, terminal):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    t = terminal(p)
    t.shows("shop")
    p.stop()
    t.shows("not answering: no plimsoll is running there")
    t.quits()


def test_without_a_terminal(make):
    p = make(config=CONFIG).start()
    done = p.cli("status", "--watch", check=False)
    assert done.returncode == 2 and "needs a terminal" in done.stderr
    assert "\x1b" not in done.stdout
    done = p.cli("status", "--watch", "--json", check=False)
    assert done.returncode == 2 and "--json" in done.stderr
