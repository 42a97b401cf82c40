"""Every way to stop, under load: requests in flight end, instances stop or stay, nothing is left."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading

import pytest

from plimsoll import ROOT, SLOW, Load, alive, wait
from test_drain import Stream

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: 10s
    run:
      command: ["@APP@"]
      ready: {http: /healthz}
    scale: {min: 2, max: 2}
"""


@pytest.fixture
def p(make):
    p = make(config=CONFIG).start()
    p.wait_ready(2)
    return p


def ends_clean(p, status=0):
    assert p.process.wait(30 * SLOW) == status
    wait(lambda: not p.own_pids(), 10, "nothing left behind")
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", p.port), timeout=2)
    assert not (p.state / "admin.sock").exists()


@pytest.mark.parametrize("how", ["INT", "TERM", "stop"])
def test_in_flight_requests_end(p, how):
    streams = [Stream(p.port, 2) for _ in range(4)]
    for s in streams:
        assert s.begun.wait(20)
    if how == "stop":
        p.cli("stop")
    else:
        p.process.send_signal(getattr(signal, "SIG" + how))
    for s in streams:
        s.join(30)
        assert s.whole
    ends_clean(p)


def test_status_says_that_it_stops(p):
    stream = Stream(p.port, 2)
    assert stream.begun.wait(20)
    assert "stopping" not in p.cli("status").stdout
    p.process.send_signal(signal.SIGTERM)
    wait(lambda: p.status()["mode"] == "stopping", 10, "the mode")
    assert "stopping: everything is being drained" in p.cli("status").stdout
    stream.join(30)
    assert stream.whole
    ends_clean(p)


def test_second_signal_stops_at_once(p):
    stream = Stream(p.port, 60)
    assert stream.begun.wait(20)
    p.process.send_signal(signal.SIGTERM)
    wait(lambda: (p.try_status() is None) or "stopping" in p.log_tail(), 10, "the first to arrive")
    p.process.send_signal(signal.SIGTERM)
    p.process.wait(10 * SLOW)
    wait(lambda: not p.own_pids(), 10, "nothing left behind")


def test_detach_leaves_proxy_and_instances_serving_and_run_takes_them_back(p):
    pids, proxy = sorted(p.instance_pids()), p.status()["proxy"]["pid"]
    with Load(p.port, clients=4) as load:
        load.wait_ok(20)
        p.cli("stop", "--detach")
        p.process.wait(20 * SLOW)
        load.wait_ok(50)
        lost = p.cli("status", check=False)
        assert lost.returncode == 3 and "2 of its instances serve on" in lost.stderr
        assert alive(proxy) and all(alive(pid) for pid in pids)
        p.start()
        p.wait_ready(2)
        load.wait_ok(50)
    assert not load.failures, load.failures[:5]
    assert sorted(p.instance_pids()) == pids
    assert p.status()["proxy"]["pid"] == proxy
    p.cli("stop")
    ends_clean(p)


def test_run_again_after_a_stop_starts_afresh(p):
    p.cli("stop")
    ends_clean(p)
    p.start()
    p.wait_ready(2)
    assert p.get("/")[0] == 200
    p.cli("stop")
    ends_clean(p)


def test_service_manager_protocol(make, tmp_path):
    """Type=notify: READY=1 only when it serves, STOPPING=1 on the way out, RELOADING=1 on HUP."""
    path = tmp_path / "notify.sock"
    s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    s.bind(str(path))
    got, lock = [], threading.Lock()

    def listen():
        while True:
            text = s.recv(4096).decode()
            if text == "end":
                return
            with lock:
                got.append(text)

    thread = threading.Thread(target=listen)
    thread.start()
    p = make(config=CONFIG, env={"NOTIFY_SOCKET": str(path)}).start()
    wait(lambda: any("READY=1" in t for t in got), 20, "READY=1")
    p.wait_ready(2)
    p.process.send_signal(signal.SIGHUP)
    wait(lambda: any("RELOADING=1" in t for t in got), 10, "RELOADING=1")
    assert p.stop() == 0
    wait(lambda: any("STOPPING=1" in t for t in got), 10, "STOPPING=1")
    out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    out.sendto(b"end", str(path))
    thread.join(10)


def test_unit_file_is_valid(tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    unit = ROOT / "packaging" / "plimsoll.service"
    text = unit.read_text()
    assert "Type=notify" in text and "KillMode=" in text
    copy = tmp_path / "plimsoll.service"
    lines = [
        "ExecStart=/bin/true" if line.startswith("ExecStart=") else line
        for line in text.splitlines() if not line.startswith(("ExecReload=", "ExecStop="))
    ]
    copy.write_text("\n".join(lines) + "\n")
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)],
                          capture_output=True, text=True)
    assert "plimsoll.service" not in done.stderr, done.stderr


def test_under_a_running_systemd():
    if not pathlib.Path("/run/systemd/system").is_dir() or os.geteuid() != 0:
        pytest.skip("no systemd runs here as the service manager")
    name = "plimsoll-test.service"
    done = subprocess.run(["systemd-run", "--wait", "--unit", name, "--property=Type=exec",
                           "/bin/true"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
