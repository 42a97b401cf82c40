"""What two parsers could read in two ways is answered 400 and closed, and no instance ever sees it,
nor what is hidden behind it."""

import pytest

from rawhttp import Raw, Site, ask, running

CONFIG = """
services:
  raw:
    listen: "127.0.0.1:@PORT_RAW@"
    run:
      command: ["@PYTHON@", "@UPSTREAMS@/http.py"]
      env: {RECORD: "@RECORD@"}
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(Site(tmp_path_factory.mktemp("strict"), CONFIG)) as s:
        yield s


LINE = b"POST /bad HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"


def post(*fields):
    """A request with these fields, and one hidden behind it."""
    return LINE + HOST + b"".join(f + b"\r\n" for f in fields) + b"\r\n"


HEADS = {
    "lines that end in LF": b"POST /bad HTTP/1.1\nHost: x\n\n",
    "one field that ends in LF": LINE + b"Host: x\nX-A: 1\r\n\r\n",
    "an empty line that is LF": LINE + HOST + b"\n",
    "lines that end in CR": b"POST /bad HTTP/1.1\rHost: x\r\r",
    "CR within a value": post(b"X-A: 1\rX-B: 2"),
    "CR CR LF": LINE + b"Host: x\r\r\n\r\n",
    "LF within a value": post(b"X-A: 1\nX-B: 2"),
    "a folded line": post(b"X-A: 1", b" 2"),
    "a line folded with a tab": post(b"X-A: 1", b"\t2"),
    "a first line that is folded": LINE + b" " + HOST + b"\r\n",
    "Content-Length twice": post(b"Content-Length: 0", b"Content-Length: 37"),
    "Content-Length twice the same": post(b"Content-Length: 37", b"Content-Length: 37"),
    "a list of Content-Lengths": post(b"Content-Length: 37, 37"),
    "a positive Content-Length": post(b"Content-Length: +37"),
    "a negative Content-Length": post(b"Content-Length: -37"),
    "a hexadecimal Content-Length": post(b"Content-Length: 0x25"),
    "an empty Content-Length": post(b"Content-Length:"),
    "Content-Length with a space in it": post(b"Content-Length: 3 7"),
    "a fractional Content-Length": post(b"Content-Length: 37.0"),
    "a Content-Length beyond 64 bits": post(b"Content-Length: 18446744073709551653"),
    "Content-Length, then a coding": post(b"Content-Length: 37", b"Transfer-Encoding: chunked"),
    "a coding, then Content-Length": post(b"Transfer-Encoding: chunked", b"Content-Length: 37"),
    "an unknown coding": post(b"Transfer-Encoding: gzip"),
    "an unknown coding and chunked": post(b"Transfer-Encoding: gzip, chunked"),
    "chunked twice": post(b"Transfer-Encoding: chunked, chunked"),
    "chunked in two fields": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
    "chunked and another field": post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"),
    "identity": post(b"Transfer-Encoding: identity"),
    "a coding like chunked": post(b"Transfer-Encoding: xchunked"),
    "chunked with a parameter": post(b"Transfer-Encoding: chunked;a=b"),
    "chunked in quotes": post(b'Transfer-Encoding: "chunked"'),
    "chunked behind a vertical tab": post(b"Transfer-Encoding: \x0bchunked"),
    "an empty coding": post(b"Transfer-Encoding:"),
    "a coding in HTTP/1.0": b"POST /bad HTTP/1.0\r\n" + HOST
                            + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": post(b"Content-Length : 37"),
    "a tab before the colon": post(b"Transfer-Encoding\t: chunked"),
    "a space in a name": post(b"X A: 1"),
    "a name that is empty": post(b": 1"),
    "a line without a colon": post(b"X-A"),
    "NUL in a name": post(b"X\0A: 1"),
    "a high byte in a name": post(b"X\xe4: 1"),
    "no Host": LINE + b"\r\n",
    "Host twice": post(b"Host: y"),
    "Host twice the same": post(b"Host: x"),
    "an empty Host beside a list": LINE + b"Host: x, y\r\n\r\n",
    "a Host with a path": LINE + b"Host: x/y\r\n\r\n",
    "a Host with a user": LINE + b"Host: a@x\r\n\r\n",
    "a Host with a space": LINE + b"Host: x y\r\n\r\n",
    "two spaces behind the method": b"POST  /bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "two spaces before the version": b"POST /bad  HTTP/1.1\r\n" + HOST + b"\r\n",
    "a tab in the request line": b"POST\t/bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space in the target": b"POST /b ad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment in the target": b"POST /bad#x HTTP/1.1\r\n" + HOST + b"\r\n",
    "a target without a slash": b"POST bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "no version": b"POST /bad\r\n" + HOST + b"\r\n",
    "a version in small letters": b"POST /bad http/1.1\r\n" + HOST + b"\r\n",
    "a version of two digits": b"POST /bad HTTP/1.10\r\n" + HOST + b"\r\n",
    "a space behind the version": b"POST /bad HTTP/1.1 \r\n" + HOST + b"\r\n",
    "no method": b" /bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a method that is no token": b"PO(ST /bad HTTP/1.1\r\n" + HOST + b"\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
} | {
    f"byte {c:#04x} in a value": post(b"X-A: a" + bytes([c]) + b"b")
    for c in [*range(0, 9), 11, 12, *range(14, 32), 127]
} | {
    f"byte {c:#04x} in the target": b"POST /bad" + bytes([c]) + b" HTTP/1.1\r\n" + HOST + b"\r\n"
    for c in [0, 1, 9, 11, 127, 128, 255]
}

BODIES = {
    "a chunk size that is no number": b"x\r\n",
    "a signed chunk size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a negative chunk size": b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "an empty chunk size": b"\r\nhello\r\n0\r\n\r\n",
    "a chunk size beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a space behind the chunk size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a space before the chunk size": b" 5\r\nhello\r\n0\r\n\r\n",
    "a chunk size that ends in LF": b"5\nhello\r\n0\r\n\r\n",
    "a chunk size that ends in CR": b"5\rhello\r\n0\r\n\r\n",
    "an extension with LF": b"5;a\nb\r\nhello\r\n0\r\n\r\n",
    "an extension with NUL": b"5;a\0\r\nhello\r\n0\r\n\r\n",
    "no line end behind the data": b"5\r\nhelloX\r\n0\r\n\r\n",
    "LF behind the data": b"5\r\nhello\n0\r\n\r\n",
    "a trailer that is folded": b"0\r\nX-A: 1\r\n 2\r\n\r\n",
    "a trailer with a space before its colon": b"0\r\nX-A : 1\r\n\r\n",
    "a trailer that ends in LF": b"0\r\nX-A: 1\n\r\n",
    "an end that is LF": b"0\r\n\n",
}


@pytest.mark.parametrize("text", HEADS.values(), ids=HEADS.keys())
def test_a_head_that_is_refused(site, text):
    with Raw(site.ports["raw"]) as c:
        r = c.send(text + SMUGGLED).reply()
        assert r.status == 400, r
        assert r.get("Connection") == "close" and c.ended()
    assert not site.seen("/smuggled") and not site.seen("/bad")


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_refused(site, text):
    with Raw(site.ports["raw"]) as c:
        c.send(b"POST /body HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n" + text
               + SMUGGLED)
        r = c.reply()
        assert r.status == 400, r
        assert r.get("Connection") == "close" and c.ended()
    assert not site.seen("/smuggled")


def test_what_looks_odd_and_is_right_goes_through(site):
    with Raw(site.ports["raw"]) as c:
        for text in (
            post(b"X-A:1", b"X-B: \t 2 \t ", b"X-C:", b"X-D: \xe4\xf6", b"Content-Length:  0 "),
            LINE + b"hOsT: x\r\n\r\n",
            LINE + b"Host: [::1]:80\r\n\r\n",
            b"\r\n" + LINE + HOST + b"\r\n",
            LINE + HOST + b"transfer-encoding: CHUNKED\r\n\r\n"
            b"0005;a=\"b;\"\r\nhello\r\n000\r\n\r\n",
            b"M-SEARCH /bad?a|b[]{}^`\"<> HTTP/1.1\r\n" + HOST + b"\r\n",
            b"GET http://x/bad HTTP/1.1\r\n" + HOST + b"\r\n",
            b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
        ):
            assert c.send(text.replace(b"/bad", b"/fine")).reply().status == 200, text
    assert ask(site.ports["raw"]).status == 200


def test_versions_that_are_not_ours(site):
    for version in (b"HTTP/2.0", b"HTTP/3.1", b"HTTP/0.9"):
        with Raw(site.ports["raw"]) as c:
            r = c.send(b"GET /bad %s\r\nHost: x\r\n\r\n" % version).reply()
            assert r.status == 505 and c.ended()
