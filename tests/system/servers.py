"""Real servers for tests: Redis, PostgreSQL, Prometheus as Debian ships them, and an HTTP server that
can be told to fail, hang and lie."""

import contextlib
import http.server
import json
import os
import pathlib
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import urllib.request

from plimsoll import free_port, wait


class Server:
    """A server process in a directory of its own."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self.process = None

    def spawn(self, argv, **kwargs):
        with open(self.directory / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **kwargs
            )

    def log_tail(self):
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def wait_up(self, asks):
        def up():
            assert self.process.poll() is None, self.log_tail()
            with contextlib.suppress(OSError, ValueError, subprocess.CalledProcessError):
                return asks()
            return None

        return wait(up, 30, f"{type(self).__name__} to answer")

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.go_on()
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def read_reply(f):
    """One reply of the Redis protocol from a file of bytes."""
    line = f.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("the connection was closed")
    kind, rest = line[:1], line[1:-2]
    if kind == b"-":
        raise ValueError(rest.decode())
    if kind == b"+":
        return rest
    if kind == b":":
        return int(rest)
    if kind == b"$":
        return None if int(rest) < 0 else f.read(int(rest) + 2)[:-2]
    return None if int(rest) < 0 else [read_reply(f) for _ in range(int(rest))]


class Redis(Server):
    def __init__(self, directory, password=None):
        super().__init__(directory)
        self.port, self.password = free_port(), password

    def start(self):
        secret = ["--requirepass", self.password] if self.password else []
        self.spawn(["redis-server", "--port", self.port, "--bind", "127.0.0.1", "--save", "",
                    "--appendonly", "no", "--dir", self.directory, *secret])
        self.wait_up(lambda: self.ask("PING"))
        return self

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as s:
            f = s.makefile("rwb")
            commands = [["AUTH", self.password]] if self.password else []
            for command in [*commands, words]:
                f.write(b"*%d\r\n" % len(command))
                for word in command:
                    data = word if isinstance(word, bytes) else str(word).encode()
                    f.write(b"$%d\r\n%s\r\n" % (len(data), data))
                f.flush()
                reply = read_reply(f)
            return reply


class Postgres(Server):
    """A cluster of its own; the server refuses to be root, so it is Debian's user then."""

    def __init__(self, directory):
        super().__init__(directory)
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
        self.data = self.directory / "data"
        if os.geteuid() == 0:
            os.chown(self.directory, self.user.pw_uid, self.user.pw_gid)
            for folder in list(self.directory.parents)[:4]:
                with contextlib.suppress(OSError):
                    folder.chmod(folder.stat().st_mode | 0o011)
        self.connection = f"host={self.directory} user=jobs dbname=jobs"

    def run_as(self):
        if os.geteuid() != 0:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "cwd": self.directory}

    def start(self):
        if not self.data.exists():
            subprocess.run([self.bin / "initdb", "-D", self.data, "-A", "trust", "-U", "jobs",
                            "--no-sync"], check=True, capture_output=True, **self.run_as())
        self.spawn([self.bin / "postgres", "-D", self.data, "-k", self.directory,
                    "-c", "listen_addresses=", "-c", "fsync=off"], **self.run_as())
        self.wait_up(lambda: self.ask("SELECT 1", "postgres"))
        if "jobs" not in self.ask("SELECT datname FROM pg_database", "postgres").split():
            self.ask("CREATE DATABASE jobs", "postgres")
        return self

    def ask(self, query, database="jobs"):
        psql = shutil.which("psql") or self.bin / "psql"
        return subprocess.run([psql, "-XAtq", "-h", self.directory, "-U", "jobs", "-d", database,
                               "-c", query], check=True, capture_output=True, text=True).stdout


class Prometheus(Server):
    def __init__(self, directory, targets):
        super().__init__(directory)
        self.port = free_port()
        (self.directory / "prometheus.yml").write_text(json.dumps({
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [{"job_name": name, "static_configs": [{"targets": [address]}]}
                               for name, address in targets.items()],
        }))

    def start(self):
        self.spawn(["prometheus", f"--config.file={self.directory}/prometheus.yml",
                    f"--storage.tsdb.path={self.directory}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}"])
        self.wait_up(lambda: urllib.request.urlopen(f"{self.url}/-/ready", timeout=5).status == 200)
        return self

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


class Answers:
    """An HTTP server whose next answers a test decides: `status`, `body`; while `open` is not set it
    keeps who asks waiting."""

    def __init__(self):
        self.status, self.body, self.asked = 200, b"", 0
        self.headers = {}
        self.open = threading.Event()
        self.open.set()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                outer.headers = dict(self.headers)
                outer.open.wait(60)
                with contextlib.suppress(OSError):
                    self.send_response(outer.status)
                    self.send_header("Content-Length", str(len(outer.body)))
                    self.end_headers()
                    self.wfile.write(outer.body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.open.set()
        self.server.shutdown()
        self.server.server_close()
