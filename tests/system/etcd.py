"""Real etcds, as Debian ships them: one member or three, on loopback, with TLS and a login where a
test wants them; and controllers' leases held by lease_probe."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading

import pytest

import netns
from plimsoll import BUILD, free_port, reachable, wait
from servers import Server

PROBE = reachable(BUILD / "tests" / "lease_probe")

needs_etcd = pytest.mark.skipif(shutil.which("etcd") is None,
                                reason="needs etcd (Debian: etcd-server)")
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


class Member(Server):
    """One etcd, here or on a machine of netns.py."""

    def __init__(self, directory, name, tls=None, machine=None, election_ms=1000):
        super().__init__(directory)
        self.name, self.tls, self.election_ms = name, tls, election_ms
        self.wrap, address = (machine.exec, machine.address) if machine else ([], "127.0.0.1")
        self.port, peer_port = (2379, 2380) if machine else (free_port(), free_port())
        self.url = f"{'https' if tls else 'http'}://{address}:{self.port}"
        self.peer = f"http://{address}:{peer_port}"

    def start(self, cluster):
        names = ",".join(f"{m.name}={m.peer}" for m in cluster)
        argv = [*self.wrap, "etcd", "--name", self.name, "--data-dir", self.directory / "data",
                "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                "--listen-peer-urls", self.peer, "--initial-advertise-peer-urls", self.peer,
                "--initial-cluster", names, "--initial-cluster-token", str(self.directory.parent),
                "--initial-cluster-state", "new", "--heartbeat-interval", self.election_ms // 10,
                "--election-timeout", self.election_ms]
        if self.tls:
            argv += ["--cert-file", self.tls / "server.pem", "--key-file", self.tls / "server.key",
                     "--trusted-ca-file", self.tls / "ca.pem", "--client-cert-auth"]
        self.spawn(argv, env=dict(os.environ, PATH=netns.PATH))

    def kill(self):
        self.process.kill()
        self.process.wait()


class Etcd:
    """A cluster of them."""

    def __init__(self, directory, count=1, tls=None, machines=None, **options):
        """A member on each of `machines`, or so many on this one."""
        directory = pathlib.Path(directory)
        self.tls = tls
        self.members = [Member(directory / f"etcd{n}", f"e{n}", tls, machine, **options)
                        for n, machine in enumerate(machines or [None] * count)]

    def start(self):
        for m in self.members:
            m.start(self.members)
        wait(lambda: all(self.answers(m) for m in self.members), 30, "etcd to answer")
        return self

    def answers(self, member):
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return self.ctl("endpoint", "health", endpoints=member.url, check=False).returncode == 0
        return False

    @property
    def urls(self):
        return [m.url for m in self.members]

    @property
    def endpoints(self):
        return ",".join(self.urls)

    def ctl(self, *words, endpoints=None, user=None, check=True):
        argv = ["etcdctl", "--endpoints", endpoints or self.endpoints, "--command-timeout=5s"]
        if self.tls:
            argv += ["--cacert", self.tls / "ca.pem", "--cert", self.tls / "client.pem",
                     "--key", self.tls / "client.key"]
        if user:
            argv += ["--user", user]
        return subprocess.run([str(a) for a in [*argv, *words]], check=check, capture_output=True,
                              text=True, timeout=60, env=dict(os.environ, ETCDCTL_API="3"))

    def keys(self, prefix="/", **kwargs):
        out = self.ctl("get", prefix, "--prefix", "-w", "json", **kwargs).stdout
        return json.loads(out).get("kvs", [])

    def revision(self):
        out = self.ctl("get", "none", "-w", "json").stdout
        return json.loads(out)["header"]["revision"]

    def leader(self):
        """The member that leads the cluster."""
        out = self.ctl("endpoint", "status", "-w", "json", check=False).stdout
        for entry in json.loads(out or "[]"):
            status = entry["Status"]
            if status["leader"] == status["header"]["member_id"]:
                return next(m for m in self.members if m.url == entry["Endpoint"])
        return None

    def protect(self, user, password):
        self.ctl("user", "add", f"root:{password}")
        self.ctl("user", "grant-role", "root", "root", check=False)
        self.ctl("user", "add", f"{user}:{password}")
        self.ctl("role", "add", "lessee")
        self.ctl("role", "grant-permission", "lessee", "--prefix=true", "readwrite", "/plimsoll/")
        self.ctl("user", "grant-role", user, "lessee")
        self.ctl("auth", "enable")

    def kill(self):
        for m in self.members:
            m.kill()

    def stop(self):
        for m in self.members:
            with contextlib.suppress(ProcessLookupError):
                m.stop()


def make_certificates(directory):
    """ca, server (for 127.0.0.1) and client, and another ca that signed none of them."""
    directory.mkdir()

    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=directory)

    for ca in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={ca}",
                "-keyout", f"{ca}.key", "-out", f"{ca}.pem")
    for name, ca in (("server", "ca"), ("client", "ca"), ("stranger", "other")):
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (directory / f"{name}.ext").write_text(
            "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-days", "2", "-in", f"{name}.csr", "-CA", f"{ca}.pem",
                "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile", f"{name}.ext",
                "-out", f"{name}.pem")
    return directory


class Lease:
    """A process that holds a lease as the controller does (tests/tools/lease_probe.c)."""

    def __init__(self, member, endpoints, **options):
        self.member = member
        self.lines = []
        words = [f"{k.replace('_', '-')}={v}" for k, v in options.items()]
        self.process = subprocess.Popen(
            [str(PROBE), f"endpoints={endpoints}", f"member={member}", f"url=http://{member}:1",
             *words],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):  # the last one of a process that was killed
                self.lines.append(json.loads(line))

    def last(self, key):
        return next((x for x in reversed(self.lines) if key in x), None)

    @property
    def held(self):
        line = self.last("held")
        return bool(line and line["held"])

    @property
    def token(self):
        return self.last("held")["token"]

    @property
    def group(self):
        return self.last("leader") or {"leader": None, "members": {}}

    @property
    def acts(self):
        return [x for x in list(self.lines) if "act" in x]

    @property
    def notes(self):
        return [x for x in list(self.lines) if "trouble" in x]

    def signal(self, number):
        self.process.send_signal(number)

    def resign(self):
        self.process.stdin.write("resign\n")
        self.process.stdin.flush()

    def end(self):
        """As the controller ends; its exit status."""
        self.process.stdin.close()
        status = self.process.wait(20)
        self.thread.join(10)
        return status

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()
        self.thread.join(10)


def never_two(leases):
    """All that all of them did, in the order of time: a token that was followed by another one is
    never seen again."""
    acts = sorted((a["at"], a["act"], lease.member) for lease in leases for a in lease.acts)
    tokens = [token for _, token, _ in acts]
    assert tokens == sorted(tokens), [x for x in acts if x[1] != acts[0][1]][:10]
    owners = {}
    for _, token, member in acts:
        assert owners.setdefault(token, member) == member, (token, member, owners)
    return acts
