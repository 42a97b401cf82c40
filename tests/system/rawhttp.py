"""HTTP/1.1 on bare sockets, for tests that care about single bytes, and the upstream that answers
them as told (upstreams/http.py)."""

import contextlib
import json
import pathlib
import re
import socket
import sys
import time

from plimsoll import SLOW, Plimsoll, free_port, wait

UPGRADE = b"GET /upgrade HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
UPSTREAMS = pathlib.Path(__file__).parent / "upstreams"


class Reply:
    def __init__(self, version, status, reason, fields):
        self.version, self.status, self.reason, self.fields = version, status, reason, fields
        self.body, self.trailers, self.interim, self.framing = b"", [], [], "none"

    def all(self, name):
        return [v for k, v in self.fields if k.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) < 2, self.fields
        return values[0] if values else None

    def __repr__(self):
        return f"<{self.status} {self.fields} {self.body[:200]!r}>"


def parse_fields(lines):
    fields = []
    for line in lines:
        assert re.match(rb"^[!#$%&'*+.^_`|~0-9A-Za-z-]+:", line), line
        name, value = line.split(b":", 1)
        fields.append((name.decode(), value.strip().decode("latin-1")))
    return fields


class Raw:
    """One client connection."""

    def __init__(self, port, timeout=10, source=None):
        self.sock = socket.create_connection(
            ("127.0.0.1", port), timeout * SLOW, source_address=(source, 0) if source else None)
        self.have = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data)
        return self

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def more(self):
        data = self.sock.recv(65536)
        self.have += data
        return bool(data)

    def until(self, mark):
        while mark not in self.have:
            assert self.more(), f"the connection ended after {self.have[-500:]!r}"
        text, self.have = self.have.split(mark, 1)
        return text

    def exactly(self, n):
        while len(self.have) < n:
            assert self.more(), f"the connection ended {n - len(self.have)} bytes early"
        text, self.have = self.have[:n], self.have[n:]
        return text

    def rest(self):
        while self.more():
            pass
        text, self.have = self.have, b""
        return text

    def head(self):
        lines = self.until(b"\r\n\r\n").split(b"\r\n")
        assert not any(b"\n" in line or b"\r" in line for line in lines), lines
        version, status, reason = lines[0].split(b" ", 2)
        return Reply(version.decode(), int(status), reason.decode(), parse_fields(lines[1:]))

    def chunks(self, reply):
        while True:
            n = int(self.until(b"\r\n").split(b";")[0], 16)
            if n == 0:
                break
            reply.body += self.exactly(n)
            assert self.exactly(2) == b"\r\n"
        lines = []
        while line := self.until(b"\r\n"):
            lines.append(line)
        reply.trailers = parse_fields(lines)

    def reply(self, method="GET"):
        """The next final response, with the interim ones before it in .interim."""
        interim = []
        while True:
            r = self.head()
            if r.status >= 200 or r.status == 101:
                break
            interim.append(r)
        r.interim = interim
        if method == "HEAD" or r.status in (101, 204, 304):
            return r
        if r.get("Transfer-Encoding"):
            assert r.get("Content-Length") is None
            r.framing = "chunked"
            self.chunks(r)
        elif r.get("Content-Length"):
            r.framing = "length"
            r.body = self.exactly(int(r.get("Content-Length")))
        else:
            r.framing = "close"
            r.body = self.rest()
        return r

    def ask(self, path="/", method="GET", host="x", fields="", body=b"", version="1.1"):
        """Sends a request and reads its answer."""
        if body:
            fields += f"Content-Length: {len(body)}\r\n"
        self.send(f"{method} {path} HTTP/{version}\r\nHost: {host}\r\n{fields}\r\n".encode() + body)
        return self.reply(method)

    def ended(self):
        """True when the other side has closed and had no more to say."""
        assert not self.have, self.have
        try:
            return self.sock.recv(1) == b""
        except ConnectionResetError:
            return True


def ask(port, *args, source=None, **kwargs):
    with Raw(port, source=source) as c:
        return c.ask(*args, **kwargs)


class Site:
    """A plimsoll for a whole file of tests: its ports by name (@PORT_NAME@ in the configuration),
    and what the upstreams have seen."""

    def __init__(self, directory, config, **kwargs):
        self.record = pathlib.Path(directory) / "record"
        self.record.mkdir(parents=True)
        self.ports = {}
        config = config.replace("@PYTHON@", sys.executable).replace("@RECORD@", str(self.record))
        config = config.replace("@UPSTREAMS@", str(UPSTREAMS))
        config = re.sub(r"@PORT_(\w+)@", lambda m: str(self.port(m[1].lower())), config)
        self.p = Plimsoll(directory, config=config, **kwargs)

    def port(self, name):
        if name not in self.ports:
            self.ports[name] = free_port()
        return self.ports[name]

    def seen(self, path=None, event="request"):
        """What the upstreams noted, oldest first."""
        lines = []
        for file in self.record.glob("*.jsonl"):
            lines += [json.loads(line) for line in file.read_text().splitlines(True)
                      if line.endswith("\n")]
        lines.sort(key=lambda x: x["t"])
        return [x for x in lines if x["event"] == event and path in (None, x.get("path"))]

    def wait_seen(self, path, count=1):
        return wait(lambda: len(self.seen(path)) >= count and self.seen(path), 10,
                    f"{count} of {path} at the upstream")

    def closed(self, request):
        """When the connection was closed that this request came on."""
        of = request["pid"], request["connection"]
        return next((x["t"] for x in self.seen(event="close")
                     if (x["pid"], x["connection"]) == of), None)

    def let_go(self, name):
        (self.record / name).touch()

    def log_lines(self, path):
        """Access log lines of requests for this path."""
        file = self.p.state / "log" / "access.log"
        lines = [json.loads(x) for x in file.read_text().splitlines(True) if x.endswith("\n")]
        return [x for x in lines if x["path"] == path]


@contextlib.contextmanager
def running(site):
    """Starts it, waits until every service has its minimum, and takes it away again."""
    p = site.p
    try:
        p.start()
        wait(lambda: all(s["ready"] >= s["min"] for s in p.status()["services"]), 30, "all ready")
        yield site
    finally:
        p.clean_up()
    assert not p.reports(), p.reports()
    p.replay_agrees()


def now():
    return time.monotonic()
