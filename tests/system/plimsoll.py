"""Drives a real plimsoll: starts it, asks it, loads it, and takes it away again.

Everything waits on conditions with a deadline; nothing waits for a fixed time.
"""

import atexit
import contextlib
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PLIMSOLL_BUILD", ROOT / "build"))


def reachable(path):
    """The program, or a copy of it where other users may run it: root's home is closed to them."""
    if os.geteuid() != 0 or not path.exists() or all(x.stat().st_mode & 1 for x in path.parents):
        return path
    folder = pathlib.Path(tempfile.mkdtemp(prefix="plimsoll-programs-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    copy = folder / path.parent.name / path.name
    copy.parent.mkdir()
    shutil.copy2(path, copy)
    return copy


PROGRAM = reachable(BUILD / "plimsoll")
APP = reachable(BUILD / "examples" / "app" / "app")
# Sanitizers slow everything down; deadlines stretch with this.
SLOW = float(os.environ.get("PLIMSOLL_TEST_SLOW", "1"))

REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: \w+Sanitizer|runtime error:|Assertion .* failed)")

_used_ports = set()


def free_port():
    """A port below the ephemeral range and outside the instances' range that nobody listens on."""
    while True:
        port = random.randint(10000, 20000)
        if port in _used_ports:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _used_ports.add(port)
        return port


def wait(condition, within=15.0, what="condition", every=0.02):
    """Polls until condition() is truthy and returns it; fails with its last value otherwise."""
    deadline = time.monotonic() + within * SLOW
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out after {within * SLOW:.0f} s waiting for {what}: {value!r}")
        pause.wait(every)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


def let_in(path):
    """The proxy is another user: it comes through pytest's own directories."""
    while "pytest-" in str(path):
        path.chmod(path.stat().st_mode | 0o011)
        path = path.parent


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Plimsoll:
    """One plimsoll with a state directory and a listen port of its own."""

    def __init__(self, directory, config=None, flags=None, command=None, env=None, admin="off"):
        self.directory = pathlib.Path(directory)
        self.state = self.directory / "state"
        self.port = free_port()
        self.process = None
        self.env = dict(os.environ, **{k: str(v) for k, v in (env or {}).items()})
        self.admin = admin
        self.log = self.directory / "plimsoll.log"
        self.flags, self.command = flags or [], command
        self.config = None
        if config is not None:
            self.write_config(config)

    def write_config(self, text):
        self.config = self.directory / "plimsoll.yaml"
        self.config.write_text(text.replace("@PORT@", str(self.port)).replace("@APP@", str(APP)))

    def argv(self):
        argv = [str(PROGRAM), "run", "--state", str(self.state)]
        if self.admin:
            argv += ["--admin", self.admin]
        if self.config:
            return argv + [str(self.config)]
        return argv + ["--listen", f"127.0.0.1:{self.port}", *self.flags, "--", *self.command]

    def start(self, ready=True):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            self.argv(), env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        log.close()
        if ready:
            self.wait_live()
        return self

    def wait_live(self):
        def live():
            assert self.process.poll() is None, f"plimsoll ended: {self.log_tail()}"
            s = self.try_status()
            return s and s["proxy"]["pid"] and s["keeper"]["pid"] == self.process.pid and s

        return wait(live, 20, "plimsoll to answer")

    def wait_ready(self, count=1, service=None, within=20):
        def ready():
            s = self.try_status()
            if not s:
                return None
            services = [x for x in s["services"] if service in (None, x["name"])]
            return services if services and all(x["ready"] >= count for x in services) else None

        return wait(ready, within, f"{count} ready")

    def log_tail(self, n=3000):
        return self.log.read_text(errors="replace")[-n:]

    # -- asking ---------------------------------------------------------------------------------

    def api(self, method, path, body=None):
        c = UnixConnection(self.state / "admin.sock")
        if not os.path.exists(c.path) and self.admin not in (None, "off"):
            c = http.client.HTTPConnection(self.admin, timeout=10)
        try:
            c.request(method, path, body=None if body is None else json.dumps(body))
            r = c.getresponse()
            data = r.read()
            is_json = r.getheader("Content-Type", "").startswith("application/json")
            return r.status, json.loads(data) if is_json else data.decode()
        finally:
            c.close()

    def status(self):
        code, body = self.api("GET", "/v1/status")
        assert code == 200, body
        return body

    def try_status(self):
        try:
            return self.status()
        except (OSError, http.client.HTTPException, ValueError, AssertionError):
            return None

    def service(self, name=None):
        services = self.status()["services"]
        return next(s for s in services if name in (None, s["name"]))

    def why(self, name):
        return self.api("GET", f"/v1/services/{name}/why?limit=50")[1]

    def events(self, limit=1000):
        return self.api("GET", f"/v1/events?limit={limit}")[1]["events"]

    def cli(self, *args, check=True, timeout=30):
        state = [] if "--state" in args else ["--state", str(self.state)]
        p = subprocess.run(
            [str(PROGRAM), args[0], *state, *args[1:]],
            capture_output=True, text=True, timeout=timeout * SLOW, env=self.env,
        )
        assert not check or p.returncode == 0, (args, p.returncode, p.stdout, p.stderr)
        return p

    def journal(self):
        """All journal lines, oldest first, torn last lines left out."""
        lines = []
        for path in sorted((self.state / "journal").glob("journal-*.jsonl")):
            for line in path.read_text().splitlines():
                with contextlib.suppress(ValueError):
                    lines.append(json.loads(line))
        return lines

    def instance_pids(self):
        return [i["pid"] for s in self.status()["services"] for i in s["instances"] if i["pid"]]

    def get(self, path="/", timeout=10, headers=None, method="GET", body=None):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * SLOW)
        try:
            c.request(method, path, headers=headers or {}, body=body)
            r = c.getresponse()
            return r.status, r.read(), dict(r.getheaders())
        finally:
            c.close()

    # -- ending ---------------------------------------------------------------------------------

    def kill_role(self, role, sig=signal.SIGKILL):
        pid = self.status()[role]["pid"]
        os.kill(pid, sig)
        return pid

    def stop(self, within=20):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(within * SLOW)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGTERM)
                self.process.wait(within * SLOW)
        return self.process.returncode if self.process else None

    def identity(self):
        """Of the state directory, as the keeper puts it into its instances' environment."""
        st = os.stat(self.state)
        return f"PLIMSOLL_TOKEN={st.st_dev:x}-{st.st_ino:x}/"

    def own_pids(self):
        """Every process whose environment or command line names this state directory."""
        marks = [str(self.state).encode()]
        with contextlib.suppress(OSError):
            marks.append(self.identity().encode())
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if any(m in text for m in marks) and alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def clean_up(self):
        """Whatever a test left behind is ended, by pid."""
        with contextlib.suppress(Exception):
            self.stop(5)
        for _ in range(20):
            pids = self.own_pids()
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            threading.Event().wait(0.05)

    def reports(self):
        """What a sanitizer or an assert said of one of the three processes; the keeper restarts what
        dies, so without this look a crash would pass unseen."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        found = REPORT.search(text)
        return text[max(0, found.start() - 200):found.start() + 4000] if found else ""

    def replay_agrees(self):
        p = subprocess.run(
            [str(PROGRAM), "replay", "--compare", str(self.state / "journal")],
            capture_output=True, text=True, timeout=60 * SLOW,
        )
        assert p.returncode == 0, p.stderr[-3000:]
        return p.stdout.splitlines()


class Load:
    """Closed-loop clients on keep-alive connections, each in a thread, until stopped.

    A failure is anything but the expected status with a whole body. `resets_ok` forgives requests
    that were cut in flight (when the proxy itself was killed) but never a refused connection.
    """

    def __init__(self, port, clients=4, path="/", resets_ok=False, pause=0.0, timeout=30,
                 host="127.0.0.1"):
        self.port, self.path, self.resets_ok = port, path, resets_ok
        self.pause, self.timeout, self.host = pause, timeout, host
        self.done = threading.Event()
        self.lock = threading.Lock()
        self.ok, self.cut, self.failures, self.latencies = 0, 0, [], []
        self.threads = [threading.Thread(target=self.run, daemon=True) for _ in range(clients)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        self.done.set()
        for t in self.threads:
            t.join(self.timeout * SLOW + 5)

    def note(self, field, value=None):
        with self.lock:
            if field == "failures":
                self.failures.append(value)
            else:
                setattr(self, field, getattr(self, field) + 1)

    def one(self, c):
        began = time.monotonic()
        c.request("GET", self.path)
        r = c.getresponse()
        body = r.read()
        if r.status != 200:
            self.note("failures", f"{r.status} {body[:100]!r}")
        else:
            with self.lock:
                self.ok += 1
                self.latencies.append(time.monotonic() - began)

    def run(self):
        c = None
        while not self.done.is_set():
            try:
                if c is None:
                    c = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout * SLOW)
                    c.connect()
                self.one(c)
            except ConnectionRefusedError as e:
                self.note("failures", f"refused: {e}")
                c = None
            except (OSError, http.client.HTTPException) as e:
                if c is not None and self.resets_ok and not isinstance(e, TimeoutError):
                    self.note("cut")
                else:
                    self.note("failures", repr(e))
                with contextlib.suppress(Exception):
                    c.close()
                c = None
            if self.pause:
                self.done.wait(self.pause)
        if c:
            c.close()

    def wait_ok(self, more, within=20):
        target = self.ok + more
        wait(lambda: self.ok >= target or self.failures, within, f"{more} more answers")
        assert not self.failures, self.failures[:5]
