"""An HTTP/1.1 server on bare sockets that answers as it is asked to, well or badly, and writes down
every byte of what it was asked.

PORT says where to listen, RECORD is a directory: PID.jsonl in it gets a line for each connection
opened, request read and connection closed, a request's before its answer leaves. Tests let go of a
request that waits (/hold?until=NAME) by making the file NAME there.
"""

import hashlib
import json
import os
import pathlib
import socket
import threading
import time
from urllib.parse import parse_qs, urlsplit

RECORD = pathlib.Path(os.environ["RECORD"])
PIECE = b"x" * 65536
lock = threading.Lock()
accepting = threading.Event()
accepting.set()


def note(**what):
    line = json.dumps({"pid": os.getpid(), "t": time.monotonic(), **what}) + "\n"
    with lock, open(RECORD / f"{os.getpid()}.jsonl", "a") as f:
        f.write(line)


def wait_for(name):
    while not (RECORD / name).exists():
        time.sleep(0.005)


def first_time(name):
    """True once per name over all instances."""
    try:
        os.close(os.open(RECORD / name, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


class Connection:
    def __init__(self, sock, number):
        self.sock, self.number, self.have = sock, number, b""

    def more(self):
        data = self.sock.recv(65536)
        self.have += data
        return bool(data)

    def until(self, mark):
        while mark not in self.have:
            if not self.more():
                return None
        text, self.have = self.have.split(mark, 1)
        return text + mark

    def exactly(self, n):
        """Yields n bytes in pieces."""
        while n > 0:
            if not self.have and not self.more():
                raise ConnectionError("the client went away")
            piece, self.have = self.have[:n], self.have[n:]
            n -= len(piece)
            yield piece

    def chunked(self):
        """Yields a chunked body as it came, trailers included."""
        while True:
            size = self.until(b"\r\n")
            if size is None:
                raise ConnectionError("the client went away")
            yield size
            n = int(size.split(b";")[0], 16)
            if n == 0:
                break
            yield from self.exactly(n + 2)
        line = None
        while line != b"\r\n":
            line = self.until(b"\r\n")
            yield line

    def send(self, data):
        self.sock.sendall(data)


class Request:
    def __init__(self, connection, head):
        self.c, self.head = connection, head
        line, *fields = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = line.split(" ", 2)
        self.fields = [(f.split(":", 1)[0].lower(), f.split(":", 1)[1].strip())
                       for f in fields if f]
        url = urlsplit(self.target)
        self.path = url.path
        self.query = {k: v[0] for k, v in parse_qs(url.query).items()}

    def get(self, name):
        return next((v for k, v in self.fields if k == name), None)

    def body(self):
        if self.get("transfer-encoding"):
            return self.c.chunked()
        return self.c.exactly(int(self.get("content-length") or 0))

    def read(self):
        return b"".join(self.body())


def ok(r, body=b"", more=b""):
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n" % (len(body), more)
    r.c.send(head + (b"" if r.method == "HEAD" else body))
    return True


def plain(r):
    r.read()
    return ok(r, b"pid %d\n" % os.getpid())


def healthz(r):
    return ok(r, b"ok\n")


def head(r):
    """What came, as it came."""
    body = r.read()
    return ok(r, r.head + body)


def hold(r):
    r.read()
    wait_for(r.query["until"])
    return ok(r, b"let go\n")


def close_delimited(r):
    r.c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end")
    return False


def http10(r):
    r.c.send(b"HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nold times")
    return False


def http10_length(r):
    r.c.send(b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nold")
    return False


def chunked(r):
    r.c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
             b"5\r\nhello\r\n7;name=value\r\n, world\r\n0\r\nX-Sum: 42\r\n\r\n")
    return True


def hints(r):
    r.c.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
             b"HTTP/1.1 102 Processing\r\n\r\n")
    return ok(r, b"final")


def no_content(r):
    r.c.send(b"HTTP/1.1 204 No Content\r\nX-Kind: empty\r\n\r\n")
    return True


def not_modified(r):
    r.c.send(b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n")
    return True


def status(r):
    r.c.send(b"HTTP/1.1 %s As Asked\r\nContent-Length: 0\r\n\r\n" % r.query["code"].encode())
    return True


def hop(r):
    return ok(r, b"", b"Connection: X-Mine, keep-alive\r\nKeep-Alive: timeout=5\r\nX-Mine: 1\r\n"
              b"Proxy-Connection: keep-alive\r\nX-Stays: 1\r\n")


def upload(r):
    digest, n = hashlib.sha256(), 0
    if "until" in r.query:
        wait_for(r.query["until"])
    for piece in r.body():
        digest.update(piece)
        n += len(piece)
    return ok(r, b"%d %s" % (n, digest.hexdigest().encode()))


def download(r):
    n = int(r.query["bytes"])
    r.c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % n)
    for _ in range(n // len(PIECE)):
        r.c.send(PIECE)
    r.c.send(PIECE[:n % len(PIECE)])
    return True


def expect(r):
    r.c.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    return ok(r, b"got " + r.read())


def refuse(r):
    r.c.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    return False


def early(r):
    """Closes without a word: always, or the first time only."""
    r.read()
    if "once" in r.query and not first_time(r.query["once"]):
        return ok(r, b"second time")
    return False


def then_close(r):
    r.read()
    ok(r, b"and out")
    return False


def cut(r):
    r.c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this")
    return False


BROKEN = {
    "status": b"HTTP/1.1 twohundred OK\r\n\r\n",
    "nothing-like-http": b"220 mail.example ESMTP\r\n\r\n",
    "version": b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "signed-length": b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\na",
    "length-and-coding": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "fold": b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 0\r\n\r\n",
    "space": b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
    "nul": b"HTTP/1.1 200 OK\r\nX-A: \0\r\nContent-Length: 0\r\n\r\n",
    "huge": b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 200000 + b"\r\nContent-Length: 0\r\n\r\n",
    "switch": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
}


def broken(r):
    r.c.send(BROKEN[r.query["kind"]])
    return False


def bad_chunk(r):
    r.c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
    return False


def unasked(r):
    """An answer too many: whoever is next on this connection must not get it."""
    ok(r, b"asked")
    r.c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nunasked")
    note(event="unasked")
    return True


def upgrade(r):
    r.c.send(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
             b"welcome\n")
    while r.c.have or r.c.more():
        r.c.send(r.c.have)
        r.c.have = b""
    r.c.send(b"bye\n")
    return False


def stop_accepting(r):
    ok(r, b"no more\n")
    accepting.clear()
    return True


def deafen(r):
    """From here on connections are refused."""
    listener.shutdown(socket.SHUT_RDWR)
    ok(r)
    return False


ROUTES = {
    "/healthz": healthz, "/head": head, "/hold": hold, "/close-delimited": close_delimited,
    "/http10": http10, "/http10-length": http10_length, "/chunked": chunked, "/hints": hints,
    "/204": no_content, "/304": not_modified, "/status": status, "/hop": hop, "/upload": upload,
    "/download": download, "/expect": expect, "/refuse": refuse, "/early": early,
    "/then-close": then_close, "/cut": cut, "/broken": broken, "/bad-chunk": bad_chunk,
    "/unasked": unasked, "/upgrade": upgrade, "/stop-accepting": stop_accepting,
    "/deafen": deafen,
}


def serve(c):
    try:
        while True:
            text = c.until(b"\r\n\r\n")
            if text is None:
                break
            r = Request(c, text)
            note(event="request", connection=c.number, path=r.path, method=r.method,
                 head=text.decode("latin-1"))
            is_ill = r.path != "/healthz" and (RECORD / f"ill-{os.getpid()}").exists()
            if is_ill or not ROUTES.get(r.path, plain)(r):
                break
    except (OSError, ValueError):
        pass
    c.sock.close()
    note(event="close", connection=c.number)


def main():
    number = 0
    while accepting.wait():
        try:
            sock, _ = listener.accept()
        except OSError:
            threading.Event().wait()  # deafened: what is open goes on
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        number += 1
        note(event="open", connection=number)
        threading.Thread(target=serve, args=[Connection(sock, number)], daemon=True).start()


listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(os.environ["PORT"])))
listener.listen(int(os.environ.get("BACKLOG", "128")))
main()
