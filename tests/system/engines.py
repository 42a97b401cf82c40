"""A real Docker Engine for tests: dockerd as Debian ships it, started by hand with directories and a bridge
of its own, and an image made of the test app, since no registry can be reached."""

import contextlib
import http.client
import io
import itertools
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tarfile
import tempfile

import pytest

from plimsoll import ROOT, SLOW, UnixConnection, alive, wait

APP_SOURCES = ROOT / "examples" / "app"
_names = itertools.count(1)


def why_not():
    """Why no engine can run here; None when one can."""
    if os.geteuid() != 0:
        return "dockerd needs root"
    for program in ("dockerd", "containerd", "runc", "ip"):
        if not shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            return f"{program} is not installed"
    return None


def static_app(directory):
    """The test app as one static program, whatever the build under test is instrumented with."""
    program = pathlib.Path(directory) / "app"
    if not program.exists():
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-static", "-pthread", "-o", program,
                        *sorted(APP_SOURCES.glob("*.c"))], check=True)
    return program


def image_tar(files):
    """A file system as a tar: {path: bytes or path of a file}."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            data = pathlib.Path(content).read_bytes() if isinstance(content, pathlib.Path) else content
            info = tarfile.TarInfo(name.lstrip("/"))
            info.size, info.mode = len(data), 0o755
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


class Engine:
    """One dockerd. `wrap` is put before its command: ["ip", "netns", "exec", NAME]."""

    def __init__(self, directory=None, wrap=(), flags=(), bridge=True):
        # Short, for a Unix socket's name may not be long.
        self.own = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="plimsoll-engine-"))
        self.directory.mkdir(exist_ok=True)
        self.socket = self.directory / "docker.sock"
        self.host = f"unix://{self.socket}"
        self.wrap, self.flags = list(wrap), list(flags)
        self.process = None
        self.bridge = None
        if bridge:
            self.make_bridge()

    def make_bridge(self):
        """A bridge of its own, so that two engines do not meet; iptables stays out of it."""
        for _ in range(50):
            net = random.randint(2, 250)
            name = f"plim{os.getpid() % 10000}n{next(_names)}"
            subprocess.run([*self.wrap, "ip", "link", "add", name, "type", "bridge"], check=True)
            self.bridge = name
            taken = subprocess.run([*self.wrap, "ip", "-4", "-o", "addr"], check=True, capture_output=True,
                                   text=True).stdout
            if f"10.213.{net}." not in taken:
                subprocess.run([*self.wrap, "ip", "addr", "add", f"10.213.{net}.1/24", "dev", name],
                               check=True)
                subprocess.run([*self.wrap, "ip", "link", "set", name, "up"], check=True)
                self.subnet = f"10.213.{net}.0/24"
                return
            self.drop_bridge()
        raise AssertionError("no free network for a bridge")

    def drop_bridge(self):
        if self.bridge:
            subprocess.run([*self.wrap, "ip", "link", "del", self.bridge], check=False)
            self.bridge = None

    # -- life -----------------------------------------------------------------------------------

    def argv(self):
        d = self.directory
        network = ["--bridge", self.bridge or "none"] if self.bridge is not None else []
        return [*self.wrap, "dockerd", "--data-root", d / "data", "--exec-root", d / "exec",
                "-p", d / "pid", "-H", self.host, "--shutdown-timeout", "2", "--log-level", "warn",
                *(["--iptables=false", "--ip-masq=false"] if self.bridge else []), *network, *self.flags]

    def start(self, ready=True):
        (self.directory / "pid").unlink(missing_ok=True)
        self.forget_dead_containerd()
        path = os.environ["PATH"] + ":/usr/sbin:/sbin"
        with open(self.directory / "log", "ab") as log:
            # Swarm asks a registry for every image, even one that is here, unless it is told not to.
            env = dict(os.environ, PATH=path, DOCKER_SERVICE_PREFER_OFFLINE_IMAGE="1")
            self.process = subprocess.Popen([str(a) for a in self.argv()], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=env)
        if ready:
            wait(self.answers, 60, "dockerd to answer")
        return self

    def forget_dead_containerd(self):
        """It dies with a killed dockerd, if not at once; and where nobody reaps it, its pid looks alive. The next one
        would wait for it."""
        files = self.directory / "exec" / "containerd"
        with contextlib.suppress(OSError, ValueError):
            pid = int((files / "containerd.pid").read_text())
            wait(lambda: not alive(pid), 20, "the containerd of before to be gone")
            for name in ("containerd.pid", "containerd.sock", "containerd.sock.ttrpc"):
                (files / name).unlink(missing_ok=True)

    def answers(self):
        assert self.process.poll() is None, self.log_tail()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.api("GET", "/_ping")[0] == 200
        return False

    def pid(self):
        """Of dockerd itself, which `wrap` may stand before."""
        return int((self.directory / "pid").read_text())

    def pause(self):
        os.kill(self.pid(), signal.SIGSTOP)

    def resume(self):
        os.kill(self.pid(), signal.SIGCONT)

    def kill(self):
        """As a crash: the containers live on until the next start."""
        os.kill(self.pid(), signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        """In order: the containers end, too."""
        if self.process and self.process.poll() is None:
            with contextlib.suppress(OSError):
                self.resume()
                os.kill(self.pid(), signal.SIGTERM)
            try:
                self.process.wait(30 * SLOW)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def close(self):
        with contextlib.suppress(OSError, AssertionError):
            if self.process and self.process.poll() is not None:  # it was killed: what lives on must end
                self.start()
            self.remove_containers()
        self.stop()
        self.drop_bridge()
        self.end_what_is_left()
        self.unmount()
        if self.own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def end_what_is_left(self):
        """containerd and shims of this engine, known by its directory in their arguments."""
        mine = str(self.directory).encode()
        for entry in pathlib.Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if words[0].rsplit(b"/", 1)[-1] in (b"containerd", b"containerd-shim-runc-v2", b"dockerd") \
                        and any(mine in w for w in words):
                    os.kill(int(entry.name), signal.SIGKILL)
                    wait(lambda pid=int(entry.name): not alive(pid), 10, "an engine's process to end")

    def unmount(self):
        mounts = [line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines()]
        for point in sorted((m for m in mounts if m.startswith(str(self.directory))), reverse=True):
            subprocess.run(["umount", "-l", point], check=False)

    def log_tail(self):
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    # -- asking ---------------------------------------------------------------------------------

    def api(self, method, path, body=None, raw=None, timeout=60, headers=None):
        """(status, decoded JSON or text). `raw`: bytes to send as a tar."""
        c = UnixConnection(self.socket, timeout=timeout)
        try:
            if raw is not None:
                c.request(method, path, body=raw, headers={"Content-Type": "application/x-tar"})
            else:
                c.request(method, path, body=None if body is None else json.dumps(body),
                          headers={"Content-Type": "application/json", **(headers or {})})
            r = c.getresponse()
            data = r.read()
            with contextlib.suppress(ValueError):
                return r.status, json.loads(data)
            return r.status, data.decode(errors="replace")
        finally:
            c.close()

    def import_image(self, name, files):
        """An image named `name:latest` that holds these files and nothing else."""
        status, body = self.api("POST", f"/images/create?fromSrc=-&repo={name}&tag=latest",
                                raw=image_tar(files))
        assert status == 200, body
        return f"{name}:latest"

    def import_app(self, name="plimsoll-test-app"):
        """The test app as /app, to be given HOST=0.0.0.0; also /bin/busybox and /bin/sh when Debian's busybox-static is there."""
        files = {"/app": static_app(self.directory)}
        busybox = pathlib.Path("/bin/busybox")
        if busybox.exists():
            files["/bin/busybox"] = files["/bin/sh"] = files["/bin/sleep"] = busybox
        return self.import_image(name, files)

    def containers(self, **labels):
        """All containers, stopped ones too, with these labels (keys with dots as given)."""
        status, body = self.api("GET", "/containers/json?all=1")
        assert status == 200, body
        return [c for c in body if all(c["Labels"].get(k) == v for k, v in labels.items())]

    def remove_containers(self):
        for c in self.containers():
            self.api("DELETE", f"/containers/{c['Id']}?force=1&v=1")


def begin(make):
    """An engine, started. Where none can run, the test is skipped and says why."""
    reason = why_not()
    if reason:
        pytest.skip(reason)
    try:
        engine = make()
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"no bridge can be made here: {e}")
    try:
        return engine.start()
    except AssertionError:
        last = engine.log_tail().strip().rsplit("\n", 1)[-1]
        engine.close()
        pytest.skip(f"dockerd does not start here: {last}")


@pytest.fixture(scope="session")
def docker_session():
    engine = begin(Engine)
    try:
        engine.import_app()
        yield engine
    finally:
        engine.close()


@pytest.fixture
def docker(docker_session):
    """The session's engine, running and without containers; `docker.image` is the test app."""
    docker_session.image = "plimsoll-test-app:latest"
    if docker_session.process.poll() is not None:
        docker_session.start()
    yield docker_session
    if docker_session.process.poll() is not None:
        docker_session.start()
    with contextlib.suppress(OSError):
        docker_session.resume()
    docker_session.remove_containers()
