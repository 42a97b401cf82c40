"""What commands print of texts that others wrote: a server that only looks like a plimsoll says them."""

import contextlib
import http.server
import json
import re
import subprocess
import threading

import pytest

from plimsoll import PROGRAM

BAD = "a\x1b[31mred\x1b[0m\nb\r\x07\x7f\x9bc"
SHOWN = "a [31mred [0m b     c"

INSTANCE = {"id": "shop-1", "state": BAD, "address": BAD, "pid": 1, "since": "2026-01-01T00:00:00Z"}
STATUS = {
    "version": BAD, "state": BAD, "config": BAD, "since": "2026-01-01T00:00:00Z", "mode": "running",
    "troubles": [BAD], "group": {"leader": BAD, "members": [{"name": BAD, "url": BAD, "trouble": BAD}]},
    "engines": [{"name": BAD, "up": False, "trouble": BAD}],
    "alerts": [{"service": BAD, "kind": BAD, "state": "firing", "text": BAD}],
    "alert_targets": [{"name": "one", "failures": 1, "trouble": BAD}, {"name": "two", "failures": 2, "trouble": BAD}],
    "services": [{"name": "shop", "trouble": BAD, "instances": [INSTANCE],
                  "sources": [{"name": BAD, "kind": BAD, "trouble": BAD}]}],
    "budgets": [{"name": BAD, "currency": BAD}],
}
OPINION = {"rule": BAD, "text": BAD}
DECISION = {"time": "2026-01-01T00:00:00Z", "cause": BAD, "summary": BAD, "opinions": [OPINION],
            "steps": [{"limit": BAD, "text": BAD}]}
ANSWERS = {
    "/v1/status": STATUS,
    "/v1/events": {"events": [{"id": 1, "time": "2026-01-01T00:00:00Z", "kind": BAD, "service": BAD, "text": BAD}]},
    "/v1/services/shop/why": {"service": BAD, "current": DECISION, "decisions": [DECISION], "sources": []},
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps(ANSWERS[self.path.split("?")[0]], ensure_ascii=False)
        if self.server.clean:
            body = body.replace(json.dumps(BAD, ensure_ascii=False), '"text"')
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def served(clean):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.clean = clean
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def admin():
    with served(clean=False) as address:
        yield address


@pytest.fixture(scope="module")
def clean_admin():
    with served(clean=True) as address:
        yield address


def printed(admin, *words):
    done = subprocess.run([PROGRAM, *words, "--admin", admin], capture_output=True, timeout=30)
    assert done.returncode == 0, done
    return done.stdout.decode()


@pytest.mark.parametrize("words", [["status"], ["events"], ["why", "shop"]], ids=lambda x: x[0])
def test_nothing_is_obeyed(admin, clean_admin, words):
    """No control character gets to the terminal, and a text with a newline stays on its line."""
    out = printed(admin, *words)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out), repr(out)
    assert SHOWN in out
    assert out.count("\n") == printed(clean_admin, *words).count("\n"), out


def test_json_is_as_it_came(admin):
    assert json.loads(printed(admin, "status", "--json")) == STATUS


def test_once_is_no_times(admin):
    out = printed(admin, "status")
    assert "told to one, tried 1 time: " in out
    assert "told to two, tried 2 times: " in out
