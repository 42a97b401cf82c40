"""What the conformance suite has to know of each driver: how its engine is started, what a service's
section looks like, what runs as the engine itself sees it, and how the engine is made to fail.

A driver that is new brings one more class here, and passes or says what it cannot do, and why.
"""

import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess

import pytest

from plimsoll import APP, ROOT, alive, free_port

FLEET = ROOT / "tests" / "system" / "fleet_plugin.py"
PLUGINS = ROOT / "examples" / "plugins"


class Adapter:
    name = "none"
    chooses_victim = True
    lets_go = False  # what runs outlives `plimsoll stop`
    cannot = {}  # test -> why it says nothing of this driver
    many = 200  # instances at most; fewer need a reason
    why_few = "a sanitizer slows everything down"
    patience = 120  # seconds for `many` to be ready
    notices = True  # that its engine is gone, and says so

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.plimsoll = None  # once there is one

    def begin(self, fixture):
        """Starts the engine; skips the test where it cannot run. `fixture(NAME)` is pytest's."""

    def end(self):
        """Takes away everything, whatever the test has left."""

    def top(self):
        """What stands at the top of the file."""
        return ""

    def section(self, name="shop", env=None, fails=False, within="30s", grace="5s"):
        """A service's section, and what else it needs. The app is examples/app with this environment, and answers to
        /healthz; `fails`: what cannot be started."""
        raise NotImplementedError

    def running(self):
        """Ids of what runs of ours, as the engine sees it."""
        raise NotImplementedError

    def crash(self, one):
        """An instance dies, and plimsoll has nothing to do with it."""
        raise NotImplementedError

    def gone(self):
        """The engine does not answer any more; instances run on."""
        raise NotImplementedError

    def back(self):
        raise NotImplementedError


def yaml_map(values):
    return "{" + ", ".join(f'{k}: "{v}"' for k, v in (values or {}).items()) + "}"


class Process(Adapter):
    """The keeper is the engine."""

    name = "process"
    notices = False  # it is our own parent: a request to it waits in a socket
    cannot = {"twice": "the keeper answers once, over a socket that neither doubles nor loses"}

    def section(self, name="shop", env=None, fails=False, within="30s", grace="5s"):
        command = "/bin/false" if fails else APP
        return (f"run: {{command: [{command}], env: {yaml_map(env)}, stop: {{grace: {grace}}}, "
                f"ready: {{http: /healthz, within: {within}}}}}")

    def running(self):
        found = set()
        for pid in self.plimsoll.own_pids():
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{pid}/exe").removesuffix(" (deleted)") == str(APP):
                    found.add(pid)
        return found

    def crash(self, one):
        os.kill(one, signal.SIGKILL)

    def gone(self):
        os.kill(self.plimsoll.process.pid, signal.SIGSTOP)

    def back(self):
        os.kill(self.plimsoll.process.pid, signal.SIGCONT)

    def end(self):
        if self.plimsoll and self.plimsoll.process and self.plimsoll.process.poll() is None:
            self.back()


def free_ports(count=260):
    """The first of so many in a row, below those that other tests draw from."""
    while True:
        first = random.randint(2000, 9700)
        with contextlib.ExitStack() as all_of_them, contextlib.suppress(OSError):
            for port in range(first, first + count):
                all_of_them.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


class Plugin(Adapter):
    """Plugins that keep instances as folders."""

    def __init__(self, directory):
        super().__init__(directory)
        self.engine = self.directory / "engine"
        self.engine.mkdir()
        self.engine.chmod(0o777)
        self.port = free_ports()
        self.stopped = []

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def folders(self):
        return [f for f in self.engine.iterdir() if f.name.startswith("plimsoll-")]

    def section(self, name="shop", env=None, fails=False, within="30s", grace="5s"):
        assigned = "".join(f"{k}={v} " for k, v in (env or {}).items())
        command = "exit 7" if fails else f"exec env {assigned}{APP}"
        words = ", ".join(f'"{w}"' for w in self.command())
        return (f"exec: {{command: [{words}], env: {yaml_map(self.environment())}, timeout: 3s, "
                f'config: {{command: "{command}", port: "{self.port}"}}, stop: {{grace: {grace}}}, '
                f"ready: {{http: /healthz, within: {within}}}}}")

    def pid_of(self, folder):
        with contextlib.suppress(OSError, ValueError, KeyError):
            pid = self.read_pid(folder)
            return pid if alive(pid) else None
        return None

    def read_pid(self, folder):
        return int((folder / "pid").read_text())

    def running(self):
        return {f.name for f in self.folders() if self.pid_of(f)}

    def crash(self, one):
        os.killpg(self.pid_of(next(f for f in self.folders() if f.name == one)), signal.SIGKILL)

    def plugin_pids(self):
        """By the folder in their arguments; instances do not have it there."""
        mark = str(self.engine).encode()
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if mark in (entry / "cmdline").read_bytes().split(b"\0") and alive(int(entry.name)):
                    found.append(int(entry.name))
        return found

    def gone(self):
        self.stopped = self.plugin_pids()
        assert self.stopped
        for pid in self.stopped:
            os.kill(pid, signal.SIGSTOP)

    def back(self):
        for pid in self.stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped = []

    def end(self):
        self.back()
        for pid in self.plugin_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for folder in self.folders():
            if pid := self.pid_of(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)


class Fleet(Plugin):
    """The exec driver with a plugin that misbehaves on demand."""

    name = "exec"

    def command(self):
        return ["python3", FLEET, self.engine]

    def read_pid(self, folder):
        return json.loads((folder / "facts").read_text())["pid"]

    def faults(self, **wrong):
        new = self.engine / "faults.new"
        new.write_text(json.dumps(wrong))
        new.rename(self.engine / "faults")

    def journal(self):
        path = self.engine / "journal"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


ONE_ANSWER = "this plugin does not misbehave; the driver's side of it is tested with another"


class Local(Plugin):
    name = "local.sh"
    cannot = {"twice": ONE_ANSWER, "lost": ONE_ANSWER}
    many = 40
    why_few = "each start is a shell of its own"

    def command(self):
        return ["/bin/sh", PLUGINS / "local.sh", self.engine]


class Ssh(Plugin):
    """Two hosts: an sshd each, with a key, a port and a home of their own."""

    name = "ssh.py"
    cannot = {"twice": ONE_ANSWER, "lost": ONE_ANSWER}
    many = 40
    why_few = "each start is a shell over ssh"

    def begin(self, fixture=None):
        sshd = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if not sshd or not shutil.which("ssh"):
            pytest.skip("openssh-server and openssh-client are not installed")
        self.sshd = sshd
        self.hosts = {}
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.directory / name],
                           check=True)
        if os.geteuid() == 0:
            pathlib.Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("web1", "web2"):
            self.begin_host(name)
        self.write_client_config()

    def begin_host(self, name):
        home = self.engine / name
        home.mkdir(exist_ok=True)
        port = free_port()
        config = self.directory / f"sshd-{name}"
        config.write_text(
            f"ListenAddress 127.0.0.1:{port}\nHostKey {self.directory}/host\nPidFile none\n"
            f"AuthorizedKeysFile {self.directory}/user.pub\nStrictModes no\nUsePAM no\n"
            f"PermitRootLogin yes\nMaxStartups 100\nLogLevel ERROR\n"
            f'ForceCommand cd {home} && exec sh -c "$SSH_ORIGINAL_COMMAND"\n')
        with open(self.directory / "sshd.log", "ab") as log:
            process = subprocess.Popen([self.sshd, "-D", "-e", "-f", config], stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log, start_new_session=True)
        self.hosts[name] = (process, port)

    def write_client_config(self):
        text = "".join(f"Host {name}\n  HostName 127.0.0.1\n  Port {port}\n"
                       for name, (_, port) in self.hosts.items())
        (self.directory / "ssh").write_text(
            text + f"Host *\n  IdentityFile {self.directory}/user\n  BatchMode yes\n  ConnectTimeout 5\n"
            f"  StrictHostKeyChecking no\n  UserKnownHostsFile {self.directory}/known\n  LogLevel ERROR\n")

    def command(self):
        return ["python3", PLUGINS / "ssh.py", "--folder", ".", *(f"{h}=127.0.0.1" for h in self.hosts)]

    def environment(self):
        return {"SSH_COMMAND": f"ssh -F {self.directory}/ssh"}

    def folders(self):
        return [f for host in self.engine.iterdir() for f in host.glob("plimsoll-*")]

    def plugin_pids(self):
        """The plugin, its ssh processes and what they run on the hosts."""
        marks = [str(self.directory / "ssh"), str(self.engine)]
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                pid, words = int(entry.name), (entry / "cmdline").read_bytes().decode(errors="replace")
                environ = (entry / "environ").read_bytes().decode(errors="replace")
                if "ssh.py" in words and marks[0] in environ and alive(pid):
                    found.append(pid)
        return found

    def connections(self, name):
        """What the host runs for those who are connected; its instances have sessions of their own."""
        mark = f"cd {self.engine / name} &&"
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if mark in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
        return found

    def end(self):
        super().end()
        for process, _ in getattr(self, "hosts", {}).values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(10)


class Docker(Adapter):
    """A dockerd of the test session's own (engines.py)."""

    name = "docker"
    cannot = {"twice": "HTTP: an answer comes once; a creation that is repeated is refused by its name "
                       "(test_lost)"}
    patience = 240

    def begin(self, fixture):
        self.docker = fixture("docker")

    def top(self):
        return f'docker: {{host: "{self.docker.host}", timeout: 3s}}'

    def section(self, name="shop", env=None, fails=False, within="30s", grace="5s"):
        command = "/nowhere" if fails else "/app"
        return (f"docker: {{image: {self.docker.image}, command: {command}, "
                f"env: {yaml_map({'HOST': '0.0.0.0', **(env or {})})}, stop: {{grace: {grace}}}, "
                f"ready: {{http: /healthz, within: {within}}}}}")

    def running(self):
        owner = (self.plimsoll.state / "owner").read_text().strip()
        return {c["Id"] for c in self.docker.containers(**{"plimsoll.owner": owner})
                if c["State"] == "running"}

    def crash(self, one):
        status, body = self.docker.api("POST", f"/containers/{one}/kill")
        assert status == 204, body

    def gone(self):
        self.docker.pause()

    def back(self):
        self.docker.resume()

    def end(self):
        if hasattr(self, "docker"):
            self.back()


class DockerSwarm(Adapter):
    """A Swarm of one node. The service is made as a person would; plimsoll only says how many."""

    name = "swarm"
    chooses_victim = False
    lets_go = True  # the service was there before plimsoll
    cannot = {"twice": "HTTP: an answer comes once; a change that is repeated sets the same number of "
                       "replicas, at an index that has passed"}
    many = 40
    why_few = "a Swarm of one node starts its tasks one after the other"
    patience = 240

    def begin(self, fixture):
        self.swarm = fixture("swarm")

    def top(self):
        return f'swarm: {{host: "unix://{self.swarm.socket}", timeout: 3s}}'

    def section(self, name="shop", env=None, fails=False, within="30s", grace="5s"):
        self.swarm.create(name, replicas=0, env=env, grace_s=float(grace.removesuffix("s")),
                          args=["/nowhere"] if fails else None)
        return (f"health: {{http: /healthz, interval: 200ms}}\n"
                f"    swarm: {{port: 8000, reach: host-port, within: {within}}}")

    def running(self):
        return {t["ID"] for t in self.swarm.tasks("shop")}

    def crash(self, one):
        task = next(t for t in self.swarm.tasks("shop") if t["ID"] == one)
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        status, body = self.swarm.api("POST", f"/containers/{container}/kill")
        assert status == 204, body

    def gone(self):
        self.swarm.pause()

    def back(self):
        self.swarm.resume()

    def end(self):
        if hasattr(self, "swarm"):
            self.back()


ALL = [Process, Fleet, Local, Ssh, Docker, DockerSwarm]
