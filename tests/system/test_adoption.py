"""What a new keeper believes to be its own, and what it does not; what each process may do."""

import os
import pathlib
import re
import resource
import signal
import stat
import subprocess
import sys
import threading
import urllib.request

import pytest

from plimsoll import Load, alive, free_port, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: {command}
      {more}
    scale: {{min: {count}, max: {count}}}
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# A master and a worker that write over the environment they were started with, as setproctitle does.
CLOBBER = """
import ctypes, http.server, os, socket
port = int(os.environ["PORT"])
fields = open("/proc/self/stat").read().rsplit(")", 1)[1].split()
begin, end = int(fields[47]), int(fields[48])
ctypes.memset(begin, 0, end - begin)
worker = os.fork()
if worker == 0:
    os.setpgid(0, 0)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = str(os.getpid()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass
class Server(http.server.ThreadingHTTPServer):
    allow_reuse_port = True
    def server_bind(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()
print("pid", os.getpid(), flush=True)
Server(("127.0.0.1", port), Handler).serve_forever()
"""

# Answers on its socket and puts a link to something else in its place before each answer.
SWAPPER = """
import os, socket, sys
path, victim = os.environ["SOCKET"], sys.argv[1]
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(8)
while True:
    c, _ = s.accept()
    c.recv(4096)
    os.unlink(path)
    os.symlink(victim, path)
    c.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
    c.close()
    print("swapped", flush=True)
"""


def start(make, command="[@APP@]", more="", count=1, ready=True, **kwargs):
    p = make(config=CONFIG.format(command=command, more=more, count=count), **kwargs).start()
    if ready:
        p.wait_ready(count)
    return p


def instances(p):
    return {i["id"]: i["pid"] for i in p.service()["instances"]}


def kill_keeper(p):
    os.kill(p.process.pid, signal.SIGKILL)
    p.process.wait()


def token_of(pid):
    entries = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((e for e in entries if e.startswith(b"PLIMSOLL_TOKEN=")), b"").decode()


def bear(token, user=None):
    name, value = token.split("=", 1)
    return subprocess.Popen(["sleep", "300"], env={"PATH": os.environ["PATH"], name: value},
                            start_new_session=True, user=user)


def status_of(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def test_programs_that_overwrite_their_environment(make, tmp_path):
    script = tmp_path / "clobber.py"
    script.write_text(CLOBBER)
    p = start(make, f"[{sys.executable}, {script}]", count=2)
    before, proxy = instances(p), p.status()["proxy"]["pid"]
    assert not any(token_of(pid) for pid in before.values())

    def all_pids():
        text = "".join(f.read_text() for f in (p.state / "log").glob("shop-*.log"))
        return [int(x) for x in re.findall(r"pid (\d+)\n", text)]

    pids = wait(lambda: len(all_pids()) == 4 and all_pids(), 10, "two masters and two workers")
    with Load(p.port, clients=2) as load:
        load.wait_ok(20)
        kill_keeper(p)
        p.start()
        p.wait_ready(2)
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]
    assert instances(p) == before and p.status()["proxy"]["pid"] == proxy
    assert all_pids() == pids, "started twice"
    assert p.stop() == 0
    wait(lambda: not any(alive(pid) for pid in pids), 10, "masters and workers to end")


def test_what_died_with_the_keeper_leaves_nothing(make, tmp_path):
    script = tmp_path / "clobber.py"
    script.write_text(CLOBBER)
    p = start(make, f"[{sys.executable}, {script}]")
    (master,) = instances(p).values()
    children = pathlib.Path(f"/proc/{master}/task/{master}/children")
    worker = int(wait(children.read_text, 10, "a worker"))
    kill_keeper(p)
    os.kill(master, signal.SIGKILL)
    p.start()
    p.wait_ready(1)
    assert master not in instances(p).values()
    wait(lambda: not alive(worker), 10, "its worker to end")


@needs_root
@pytest.mark.parametrize("user", [None, "nobody"])
def test_a_token_cannot_be_made_up(make, user):
    p = start(make)
    good = token_of(next(iter(instances(p).values())))
    kill_keeper(p)
    bad = re.sub(r"/[0-9a-f]{16}-\d+/shop-\d+/", "/0123456789abcdef-0/shop-77/", good)
    assert "shop-77" in bad
    old = f"{p.identity()}shop-78/template=0 address=tcp:127.0.0.1:{p.port}"
    forgers = [bear(bad, user), bear(old, user)]
    try:
        p.start()
        p.wait_ready(1)
        assert not {"shop-77", "shop-78"} & set(instances(p))
        assert len(instances(p)) == 1
    finally:
        for f in forgers:
            f.kill()
            f.wait()


@needs_root
def test_a_token_is_of_no_use_to_another_user(make):
    p = start(make)
    (name, pid), = instances(p).items()
    token = token_of(pid)
    kill_keeper(p)
    os.kill(pid, signal.SIGKILL)
    (p.state / "keeper" / name).unlink()
    thief = bear(token, "nobody")
    try:
        p.start()
        p.wait_ready(1)
        assert thief.pid not in instances(p).values()
    finally:
        thief.kill()
        thief.wait()


def test_the_secret_is_secret(make):
    p = start(make)
    secret = p.state / "keeper" / ".secret"
    mode = secret.stat().st_mode
    assert stat.S_IMODE(mode) == 0o600 and secret.stat().st_size == 16
    text = secret.read_bytes()
    for pid in p.own_pids():
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert text not in environment and text.hex().encode() not in environment
    kill_keeper(p)
    p.start()
    assert secret.read_bytes() == text


@pytest.mark.parametrize("lost", [[".proxy"], [".proxy", "shop-1", "shop-2"]])
def test_records_that_are_lost(make, lost):
    """The proxy is another user's process where we are root: its token says that it is ours."""
    p = start(make, count=2)
    before, proxy = instances(p), p.status()["proxy"]["pid"]
    with Load(p.port, clients=2) as load:
        load.wait_ok(20)
        kill_keeper(p)
        for name in lost:
            (p.state / "keeper" / name).unlink()
        p.start()
        p.wait_ready(2)
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]
    assert instances(p) == before and p.status()["proxy"]["pid"] == proxy


def test_a_controller_killed_before_it_was_ready_starts_anew(make):
    """It never read the file; the next one does, whatever the journal remembers."""
    p = start(make, more="env: {ROUND: one}")
    p.stop()
    p.write_config(CONFIG.format(command="[@APP@]", more="env: {ROUND: two}", count=1))
    p.start(ready=False)
    children = pathlib.Path(f"/proc/{p.process.pid}/task/{p.process.pid}/children")
    first = int(wait(lambda: children.read_text().split(), 10, "a controller", every=0.0005)[0])
    os.kill(first, signal.SIGKILL)
    p.wait_live()
    p.wait_ready(1)
    assert b"ROUND=two" in p.get("/env")[1]


@needs_root
def test_a_socket_that_becomes_a_link(make, tmp_path):
    script, victim = tmp_path / "swapper.py", tmp_path / "victim"
    script.write_text(SWAPPER)
    victim.write_text("")
    victim.chmod(0o600)
    p = start(make, f"[{sys.executable}, {script}, {victim}]",
              "user: nobody\n      listen: socket\n      ready: {http: /, within: 1s}", ready=False)
    log = p.state / "log" / "shop-1.log"
    wait(lambda: log.exists() and "swapped" in log.read_text(), 10, "the swap")
    wait(lambda: "shop-1 is not ready" in str(p.events()), 10, "its answer not to count")
    assert p.service()["ready"] == 0
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


@needs_root
def test_the_environment_of_another_user(make):
    p = start(make, more="user: nobody\n      env: {MINE: yes}", env={"SECRET_OF_ROOT": "x"})
    e = dict(x.split("=", 1) for x in p.get("/env")[1].decode().splitlines() if "=" in x)
    assert e["USER"] == e["LOGNAME"] == "nobody" and e["HOME"] == os.path.expanduser("~nobody")
    assert e["MINE"] == "yes" and e["PATH"] and "SECRET_OF_ROOT" not in e


@needs_root
def test_the_proxy_can_do_nothing(make):
    p = start(make)
    pid = p.status()["proxy"]["pid"]
    s = status_of(pid)
    assert "0" not in s["Uid"].split()
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(s[caps], 16) == 0, caps
    assert s["NoNewPrivs"] == "1"
    limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max processes +0 +0 ", limits)
    assert os.stat(f"/proc/{pid}/environ").st_uid == 0, "its user's other processes look into it"


def test_instances_have_the_limits_of_who_started_plimsoll(make):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 777), hard))
    try:
        p = start(make)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for i in range(2):
        (pid,) = instances(p).values()
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert re.search(rf"Max open files +{min(soft, 777)} +{hard} ", limits), limits
        if i == 0:
            p.cli("restart", "shop")
            wait(lambda: len(instances(p)) == 1 and pid not in instances(p).values(), 20, "another")



TWO = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: [@APP@]}
    scale: {min: 1, max: 1}
"""
CART = """
  cart:
    listen: "127.0.0.1:{port}"
    run: {{command: [@APP@]}}
    scale: {{min: 1, max: 1}}
    drain: 30s
"""


class Slow(threading.Thread):
    """One request whose answer takes three seconds, line by line."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.began, self.lines = port, threading.Event(), []
        self.start()

    def run(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/slow?seconds=3", timeout=60) as r:
            for line in r:
                self.lines.append(line)
                self.began.set()

    def check_whole(self):
        self.join(60)
        assert len(self.lines) == 30, self.lines[-1:]


def killed_while_one_leaves(make):
    """A request is in flight to a service that a reload took away, and the controller is another."""
    port = free_port()
    p = make(config=TWO + CART.format(port=port)).start()
    p.wait_ready(1)
    both, pid = p.config.read_text(), next(i["pid"] for i in p.service("cart")["instances"])
    slow = Slow(port)
    assert slow.began.wait(20)
    p.write_config(TWO)
    p.cli("reload")
    killed = p.kill_role("controller", signal.SIGKILL)
    wait(lambda: (s := p.try_status()) and s["controller"]["pid"] != killed and
         all(x["ready"] for x in s["services"] if x["name"] == "shop"), 15, "another controller")
    return p, both, port, pid, slow


def test_a_leaving_service_is_drained_by_the_next_controller(make):
    p, _, _, pid, slow = killed_while_one_leaves(make)
    slow.check_whole()
    wait(lambda: not alive(pid), 15, "its instance to end")
    wait(lambda: [s["name"] for s in p.status()["services"]] == ["shop"], 15, "it to be forgotten")


def test_a_leaving_service_comes_back_with_the_next_controller(make):
    p, both, port, pid, slow = killed_while_one_leaves(make)
    p.config.write_text(both)
    p.cli("reload")
    p.wait_ready(1, "cart", within=5)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/pid", timeout=30) as r:
        assert int(r.read()) != pid
    slow.check_whole()
    wait(lambda: not alive(pid), 15, "the instance of before to end")
