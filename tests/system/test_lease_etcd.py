"""The lease of several machines, against real etcds: never two at a time, whatever happens to the
controllers, the network and etcd; and what a person is told when etcd does not let us in."""

import contextlib
import http.server
import shutil
import signal
import socket
import struct
import threading
import time
import urllib.request

import pytest

from etcd import Etcd, Lease, make_certificates, needs_etcd, needs_openssl, never_two
from plimsoll import SLOW, free_port, wait

pytestmark = needs_etcd

TTL = 2


@pytest.fixture
def etcds(tmp_path):
    made = []

    def new(count=1, **kwargs):
        made.append(Etcd(tmp_path / f"cluster{len(made)}", count, **kwargs))
        return made[-1].start()

    yield new
    for e in made:
        e.stop()


@pytest.fixture
def lease():
    made = []

    def new(member, endpoints, **options):
        options.setdefault("ttl", TTL)
        made.append(Lease(member, endpoints, **options))
        return made[-1]

    yield new
    for one in made:
        one.kill()


def one_leader(leases, within=None):
    def look():
        held = [x for x in leases if x.process.poll() is None and x.held]
        return held[0] if len(held) == 1 else None

    return wait(look, within or 15, "one leader")


def three(lease, endpoints):
    leases = [lease(f"m{n}", endpoints) for n in range(3)]
    leader = one_leader(leases)
    return leases, leader, [x for x in leases if x is not leader]


def requests(etcd):
    """How many it has had."""
    text = urllib.request.urlopen(f"{etcd.urls[0]}/metrics", timeout=10).read().decode()
    return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith("grpc_server_started_total"))


class Wire:
    """A TCP path to one etcd that can be slow, or cut: what is on it stays there, and nobody is told."""

    def __init__(self, port):
        self.target, self.open, self.delay = port, threading.Event(), 0
        self.open.set()
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                a, _ = self.server.accept()
                b = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                return
            for x, y in ((a, b), (b, a)):
                threading.Thread(target=self.carry, args=(x, y), daemon=True).start()

    def carry(self, x, y):
        try:
            while data := x.recv(65536):
                self.open.wait()
                threading.Event().wait(self.delay)
                y.sendall(data)
        except OSError:
            pass
        for s in (x, y):
            s.close()


def test_one_leads_and_all_are_there(etcds, lease):
    e = etcds()
    leases, leader, others = three(lease, e.endpoints)
    everybody = {f"m{n}" for n in range(3)}
    for x in leases:
        wait(lambda x=x: {m.rstrip("*") for m in x.group["members"]} == everybody
             and x.group["leader"] == leader.member, 10, "the whole group")
        assert x.group["members"][x.member + "*"] == f"http://{x.member}:1"
    key = e.keys("/plimsoll/test/leader")[0]
    assert key["create_revision"] == leader.token
    wait(lambda: leader.acts, 5, "acts")
    assert not any(x.acts for x in others)
    assert not any(x.notes for x in leases)


def test_resigning_hands_over_at_once(etcds, lease):
    e = etcds()
    leases, leader, others = three(lease, e.endpoints)
    wait(lambda: leader.acts, 5, "acts")
    began = time.monotonic()
    leader.resign()
    successor = one_leader(others)
    assert time.monotonic() - began < TTL / 2 * SLOW
    assert successor.token > leader.acts[-1]["act"]
    wait(lambda: leader.last("resigned"), 5, "its end")
    wait(lambda: leader.member not in successor.group["members"], 5, "it to be gone")
    assert leader.last("held")["why"] == "resigned"
    assert leader.end() == 0
    never_two(leases)


def test_killed(etcds, lease):
    e = etcds()
    leases, leader, others = three(lease, e.endpoints)
    wait(lambda: leader.acts, 5, "acts")
    began = time.monotonic()
    leader.kill()
    successor = one_leader(others)
    took = time.monotonic() - began
    print(f"took over after {took:.2f} s with a ttl of {TTL} s")
    assert took < (TTL + 1) * SLOW
    wait(lambda: successor.acts, 5, "acts")
    never_two(leases)


def test_stopped_and_continued(etcds, lease):
    """On waking it must know before it acts."""
    e = etcds()
    leases, leader, others = three(lease, e.endpoints)
    for _ in range(3):
        wait(lambda: leader.acts, 5, "acts")
        leader.signal(signal.SIGSTOP)
        successor = one_leader([x for x in leases if x is not leader])
        wait(lambda: any(a["act"] == successor.token for a in successor.acts), 5, "acts")
        leader.signal(signal.SIGCONT)
        wait(lambda: not leader.held, 5, "it to know")
        assert leader.last("held")["why"] == "the lease could not be renewed in time"
        wait(lambda: leader.group["leader"] == successor.member, 10, "it to follow")
        leader = successor
    never_two(leases)


def test_stopped_for_a_moment_keeps_it(etcds, lease):
    e = etcds()
    leases, leader, _ = three(lease, e.endpoints)
    token, count = leader.token, len(leader.acts)
    leader.signal(signal.SIGSTOP)
    threading.Event().wait(0.2)
    leader.signal(signal.SIGCONT)
    wait(lambda: len(leader.acts) > count + 100, 15, "acts")
    assert leader.held and leader.token == token
    never_two(leases)


def test_cut_off_from_etcd(etcds, lease):
    """Its engine would still hear it: it stops acting before another begins."""
    e = etcds()
    wire = Wire(e.members[0].port)
    alone = lease("alone", wire.url)
    one_leader([alone])
    other = lease("other", e.endpoints)
    wait(lambda: "other" in alone.group["members"], 10, "both")
    wire.open.clear()
    one_leader([other])
    wait(lambda: not alone.held, 5, "it to know")
    wait(lambda: other.acts and alone.notes, 10, "acts")
    assert "does not answer in time" in alone.notes[0]["text"]
    wire.open.set()
    wait(lambda: alone.group["leader"] == "other", 20, "it to follow")
    wait(lambda: not alone.notes[-1]["trouble"], 10, "the trouble to be over")
    acts = never_two([alone, other])
    last = max(at for at, _, member in acts if member == "alone")
    first = min(at for at, _, member in acts if member == "other")
    assert first > last


def test_slow_etcd(etcds, lease):
    """Slow is not lost; too slow is, and comes back."""
    e = etcds()
    wires = [Wire(e.members[0].port) for _ in range(2)]
    for wire in wires:
        wire.delay = 0.1
    leases = [lease(f"m{n}", wire.url, ttl=5) for n, wire in enumerate(wires)]
    leader = one_leader(leases)
    token, count = leader.token, len(leader.acts)
    wait(lambda: len(leader.acts) > count + 600, 20, "acts for longer than a lease")
    assert leader.held and leader.token == token
    gaps = [b["at"] - a["at"] for a, b in zip(leader.acts, leader.acts[1:])]
    assert max(gaps) < 500_000 * SLOW  # it was never kept waiting
    for wire in wires:
        wire.delay = 3
    wait(lambda: not any(x.held for x in leases), 20, "nobody to lead")
    for wire in wires:
        wire.delay = 0
    one_leader(leases, 30)
    never_two(leases)


def test_etcd_goes_and_comes(etcds, lease):
    e = etcds()
    leases, _, _ = three(lease, e.endpoints)
    e.members[0].kill()
    wait(lambda: not any(x.held for x in leases), (TTL + 2) * SLOW, "nobody to lead")
    wait(lambda: all(x.notes for x in leases), 10, "notes")
    for x in leases:
        assert e.members[0].url in x.notes[0]["text"] and x.notes[0]["trouble"]
    e.members[0].start(e.members)
    one_leader(leases, 30)
    for x in leases:
        wait(lambda x=x: not x.notes[-1]["trouble"], 10, "the trouble to be over")
    never_two(leases)


def test_etcd_stopped(etcds, lease):
    """It does not say that it is gone: requests hang."""
    e = etcds()
    leases, _, _ = three(lease, e.endpoints)
    e.members[0].pause()
    wait(lambda: not any(x.held for x in leases), (TTL + 2) * SLOW, "nobody to lead")
    e.members[0].go_on()
    one_leader(leases, 30)
    never_two(leases)


def test_three_etcds(etcds, lease):
    """One of three may die, be it their leader; without two nobody leads."""
    e = etcds(3)
    leases = [lease(f"m{n}", ",".join(e.urls[n:] + e.urls[:n]), ttl=5) for n in range(3)]
    leader = one_leader(leases)
    token = leader.token
    first = wait(e.leader, 10, "etcd's leader")
    first.kill()
    count = len(leader.acts)
    wait(lambda: len(leader.acts) > count + 600, 30, "acts for longer than a lease")
    assert leader.token == token, leader.lines[-5:]
    second = next(m for m in e.members if m is not first)
    second.pause()
    wait(lambda: not any(x.held for x in leases), 20, "nobody to lead")
    second.go_on()
    one_leader(leases, 30)
    never_two(leases)


def test_etcds_leader_is_stopped_and_goes_on(etcds, lease):
    """What it says on waking, of leases that it believes to be its own to renew, proves nothing."""
    e = etcds(3)
    for _ in range(2):
        old = wait(e.leader, 20, "etcd's leader")
        loyal = lease("loyal", old.url)
        others = [lease(f"m{n}", m.url) for n, m in enumerate(e.members) if m is not old]
        leases = [loyal, *others]
        one_leader(leases)
        old.pause()
        threading.Event().wait(TTL + 1)
        old.go_on()
        one_leader(leases, 30)
        never_two(leases)
        for x in leases:
            x.kill()
        wait(lambda: not e.keys("/plimsoll/test/"), 20, "the keys to go")


def test_removed_keys_and_rubbish(etcds, lease):
    e = etcds()
    leases, leader, _ = three(lease, e.endpoints)
    token = leader.token
    e.ctl("del", "/plimsoll/test/leader")
    wait(lambda: one_leader(leases).token > token, 10, "a new leader")
    e.ctl("del", "--prefix", "/plimsoll/test/members/m1/")
    e.ctl("put", "/plimsoll/test/members/rubbish", "what is this?")
    e.ctl("put", "/plimsoll/test/rubbish", "{")
    for x in leases:
        wait(lambda x=x: len(x.group["members"]) == 3, 10, "all members")


def test_a_foreign_leader_key(etcds, lease):
    """Somebody put it by hand: nobody leads, and nobody hammers etcd."""
    e = etcds()
    e.ctl("put", "/plimsoll/test/leader", "me")
    leases = [lease(f"m{n}", e.endpoints) for n in range(2)]
    wait(lambda: all(len(x.group["members"]) == 2 for x in leases), 10, "members")
    assert not any(x.held for x in leases)
    e.ctl("del", "/plimsoll/test/leader")
    one_leader(leases)


def test_two_of_one_name(etcds, lease):
    e = etcds()
    twins = [lease("twin", e.endpoints, url=f"http://127.0.0.{n}:1") for n in (2, 3)]
    leader = one_leader(twins)
    [other] = [x for x in twins if x is not leader]
    for x in twins:
        wait(lambda x=x: any("lease.member" in n["text"] for n in x.notes), 20, "a note")
        assert {m.rstrip("*") for m in x.group["members"]} == {"twin", "twin~2"}
        assert len(set(x.group["members"].values())) == 2, "nobody is lost"
        assert x.group["leader"] == leader.group["leader"]
    assert leader.group["leader"] + "*" in leader.group["members"]
    assert leader.group["leader"] in other.group["members"], "it leads, and is not oneself"
    before = e.revision()
    threading.Event().wait(3)
    assert e.revision() == before, "they fight"
    never_two(twins)
    leader.kill()
    wait(lambda: other.held, 20, "the other one to lead")
    wait(lambda: not other.notes[-1]["trouble"], 10, "the trouble to be over")


def test_password(etcds, lease, tmp_path):
    e = etcds()
    e.protect("shop", "right")
    secret = tmp_path / "password"
    secret.write_text("wrong\n")
    x = lease("m0", e.endpoints, user="shop", password_file=secret)
    note = wait(lambda: x.notes and x.notes[0], 10, "a note")
    assert e.endpoints in note["text"] and "authentication failed" in note["text"]
    assert "lease.etcd.password-file" in note["text"]
    nobody = lease("m1", e.endpoints)
    note = wait(lambda: nobody.notes and nobody.notes[0], 10, "a note")
    assert "set lease.etcd.user" in note["text"]
    assert not x.held and not nobody.held
    assert len(x.notes) == 1, x.notes
    secret.write_text("right\n")
    one_leader([x])
    assert not x.notes[-1]["trouble"]
    wait(lambda: x.group["members"], 10, "itself")


def test_a_token_that_etcd_has_forgotten(etcds, lease, tmp_path):
    """The file is right, so nobody is told; nor when etcd does not ask any more who we are."""
    e = etcds()
    e.protect("shop", "right")
    secret = tmp_path / "password"
    secret.write_text("right\n")
    x = lease("m0", e.endpoints, ttl=10, user="shop", password_file=secret)
    one_leader([x])
    token, began = x.token, x.acts[-1]["at"] if x.acts else 0
    e.ctl("user", "add", "somebody:else", user="root:right")  # ends all tokens
    e.members[0].kill()
    e.members[0].start(e.members)
    wait(lambda: x.acts and x.acts[-1]["at"] - began > 12_000_000, 40, "it to outlive the lease")
    assert x.held and x.token == token
    assert not any("password" in n["text"] for n in x.notes), x.notes
    e.ctl("auth", "disable", user="root:right")
    again = lease("m1", e.endpoints, user="shop", password_file=secret)
    wait(lambda: len(again.group["members"]) == 2, 10, "it to go on without a login")
    e.ctl("auth", "enable")
    x.resign()
    one_leader([again])
    wait(lambda: not e.keys("/plimsoll/test/members/m0/", user="root:right"), 20, "m0 to go")
    assert not any("password" in n["text"] for n in x.notes + again.notes)


def test_its_own_old_lease(etcds, lease):
    """Given up while etcd was silent, and still holding the key when it is back: ended at once."""
    e = etcds()
    x = lease("m0", e.endpoints, ttl=20)
    one_leader([x])
    token = x.token
    e.members[0].pause()
    wait(lambda: not x.held, 30, "it to give up")
    # As an etcd that was elected anew would have it, the lease has its whole term from here.
    e.members[0].kill()
    e.members[0].start(e.members)
    began = time.monotonic()
    wait(lambda: x.held and x.token > token, 30, "it to lead again")
    assert time.monotonic() - began < 10


def test_what_a_dead_one_of_the_same_directory_left(etcds, lease, tmp_path):
    """Nobody waits for its end: it is known to be dead. From another directory it is not."""
    e = etcds()
    (tmp_path / "mine").mkdir()
    first = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path / "mine")
    one_leader([first])
    first.kill()
    again = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path / "mine")
    wait(lambda: again.held and again.token > first.token, 10, "it to lead again")
    again.kill()
    shutil.copytree(tmp_path / "mine", tmp_path / "copy")
    copy = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path / "copy")
    wait(lambda: copy.group["members"], 10, "the copy to see the group")
    assert e.keys("/plimsoll/test/leader") and not copy.held, "it ended what may be held by somebody"
    mine = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path / "mine")
    wait(lambda: mine.held or copy.held, 10, "one of them to lead")
    never_two([first, again, copy, mine])


def test_who_is_only_frozen_keeps_it(etcds, lease, tmp_path):
    """A successor in the same directory ends nothing that a living process may go on with."""
    e = etcds()
    frozen = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path)
    one_leader([frozen])
    frozen.signal(signal.SIGSTOP)
    other = lease("m0", e.endpoints, ttl=60, state_dir=tmp_path)
    wait(lambda: other.group["members"], 10, "the other one to be there")
    asked = requests(e)
    wait(lambda: requests(e) >= asked + 5, 30, "it to have looked a few times")
    assert not other.held and e.keys("/plimsoll/test/leader")
    other.kill()
    frozen.signal(signal.SIGCONT)
    acts = len(frozen.acts)
    wait(lambda: len(frozen.acts) > acts, 10, "it to go on")
    never_two([frozen, other])


@needs_openssl
def test_certificates(etcds, lease, tmp_path):
    tls = make_certificates(tmp_path / "tls")
    e = etcds(tls=tls)
    ours = {"ca": tls / "ca.pem", "cert": tls / "client.pem", "key": tls / "client.key"}
    wrong_ca = lease("m1", e.endpoints, **{**ours, "ca": tls / "other.pem"})
    note = wait(lambda: wrong_ca.notes and wrong_ca.notes[0], 10, "a note")
    assert "certificate" in note["text"] and "lease.etcd.ca" in note["text"]
    stranger = lease("m2", e.endpoints,
                     **{**ours, "cert": tls / "stranger.pem", "key": tls / "stranger.key"})
    note = wait(lambda: stranger.notes and stranger.notes[0], 10, "a note")
    assert e.endpoints in note["text"]
    good = lease("m0", e.endpoints, **ours)
    one_leader([good])
    assert not good.notes
    plain = lease("m3", e.endpoints.replace("https", "http"))
    note = wait(lambda: plain.notes and plain.notes[0], 10, "a note")
    assert e.endpoints.replace("https", "http") in note["text"]
    assert not wrong_ca.held and not stranger.held and not plain.held


def test_nobody_there(lease):
    port = free_port()
    x = lease("m0", f"http://127.0.0.1:{port}")
    note = wait(lambda: x.notes and x.notes[0], 10, "a note")
    assert f"http://127.0.0.1:{port}" in note["text"] and "refused" in note["text"]
    assert "does it run" in note["text"]
    x.resign()
    wait(lambda: x.last("resigned"), 5, "its end")
    assert x.end() == 0


def test_a_connection_that_breaks(lease):
    """What is told is what broke."""
    server = socket.create_server(("127.0.0.1", 0))

    def answer():
        with contextlib.suppress(OSError):
            while True:
                c, _ = server.accept()
                c.recv(1)
                c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                c.close()

    threading.Thread(target=answer, daemon=True).start()
    x = lease("m0", f"http://127.0.0.1:{server.getsockname()[1]}")
    wait(lambda: x.notes, 10, "a note")
    assert "reset by peer" in x.notes[0]["text"]
    server.close()


def test_somebody_else_answers(lease):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    x = lease("m0", f"http://127.0.0.1:{server.server_port}")
    wait(lambda: x.notes, 10, "a note")
    assert "not etcd's" in x.notes[0]["text"]
    threading.Event().wait(2)  # several attempts later
    assert len(x.notes) == 1 and not x.held
    server.shutdown()
    server.server_close()


def test_traffic(etcds, lease):
    """At most five requests a second for each in steady state, counted by etcd."""
    e = etcds()
    leases = [lease(f"m{n}", e.endpoints, ttl=5) for n in range(2)]
    one_leader(leases)

    wait(lambda: all(len(x.group["members"]) == 2 for x in leases), 10, "members")
    before, began = requests(e), time.monotonic()
    threading.Event().wait(6)
    rate = (requests(e) - before) / (time.monotonic() - began) / 2
    print(f"{rate:.2f} requests a second for each")
    assert rate < 5
