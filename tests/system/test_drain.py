"""Scale-in under load with slow streaming responses and an open WebSocket: nothing is cut before the
drain deadline."""

import base64
import http.client
import os
import socket
import threading

from plimsoll import wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: {drain}
    run:
      command: ["@APP@"]
      ready: {{http: /healthz}}
    scale: {{min: 1, max: 4, rules: [target: {{metric: concurrency, value: 50}}]}}
"""


def websocket(port, path="/ws"):
    s = socket.create_connection(("127.0.0.1", port), timeout=20)
    key = base64.b64encode(os.urandom(16)).decode()
    s.sendall((f"GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n").encode())
    head = b""
    while b"\r\n\r\n" not in head:
        data = s.recv(4096)
        assert data, head
        head += data
    assert head.startswith(b"HTTP/1.1 101"), head
    return s


def echo(s, text):
    """One masked text frame there, the same text back; False when the connection is cut."""
    mask = b"\1\2\3\4"
    payload = bytes(b ^ mask[i % 4] for i, b in enumerate(text))
    try:
        s.sendall(bytes([0x81, 0x80 | len(text)]) + mask + payload)
        got = b""
        while len(got) < 2 + len(text):
            data = s.recv(4096)
            if not data:
                return False
            got += data
        return got[0] == 0x81 and got[2:] == text
    except OSError:
        return False


class Stream(threading.Thread):
    """Reads a response that takes `seconds`; `whole` tells whether it came to its end."""

    def __init__(self, port, seconds):
        super().__init__(daemon=True)
        self.port, self.seconds = port, seconds
        self.begun, self.whole = threading.Event(), None
        self.start()

    def run(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request("GET", f"/slow?seconds={self.seconds}")
            r = c.getresponse()
            r.read(1)
            self.begun.set()
            r.read()
            self.whole = True
        except (OSError, http.client.HTTPException):
            self.whole = False
            self.begun.set()


def test_slow_streams_and_a_websocket_outlive_the_scale_in(make):
    p = make(config=CONFIG.format(drain="20s")).start()
    p.cli("scale", "shop", "4")
    p.wait_ready(4)
    streams = [Stream(p.port, 4) for _ in range(8)]
    sockets = [websocket(p.port) for _ in range(4)]
    for s in streams:
        assert s.begun.wait(20)
    p.cli("scale", "shop", "1")
    wait(lambda: p.service()["draining"] == 3, 10, "three draining")
    for s in sockets:
        assert echo(s, b"still here")
    assert p.get("/")[0] == 200
    for s in streams:
        s.join(30)
        assert s.whole
    for s in sockets:
        assert echo(s, b"and now")
        s.close()
    wait(lambda: len(p.service()["instances"]) == 1, 30, "one instance left")


def test_at_the_deadline_what_is_left_is_cut(make):
    p = make(config=CONFIG.format(drain="1s")).start()
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    sockets = [websocket(p.port) for _ in range(2)]
    p.cli("scale", "shop", "1")
    wait(lambda: len(p.service()["instances"]) == 1, 30, "one instance left")
    assert sorted(echo(s, b"x") for s in sockets) == [False, True]


def test_a_draining_instance_gets_nothing_new(make):
    p = make(config=CONFIG.format(drain="20s")).start()
    p.cli("scale", "shop", "2")
    p.wait_ready(2)
    sockets = [websocket(p.port) for _ in range(2)]
    p.cli("scale", "shop", "1")
    draining = wait(
        lambda: [i for i in p.service()["instances"] if i["state"] == "draining"], 10, "draining")
    pid = str(draining[0]["pid"]).encode()
    for _ in range(30):
        assert p.get("/pid")[1].strip() != pid
    for s in sockets:
        s.close()
    wait(lambda: len(p.service()["instances"]) == 1, 30, "drained")
