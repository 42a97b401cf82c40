"""Disk full, a corrupt database, a state directory that cannot be written: scaling goes on."""

import subprocess

import pytest

from plimsoll import Load, free_port, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run:
      command: ["@APP@"]
      env: {APP_SERVICE_MS: "20", APP_CONCURRENCY: "4"}
      ready: {http: /healthz}
    scale: {min: 1, max: 3, rules: [target: {metric: concurrency, value: 4}]}
"""


def scales(p):
    with Load(p.port, clients=10) as load:
        p.wait_ready(3)
        load.wait_ok(20)
    assert not load.failures, load.failures[:5]


def troubles(p):
    return " ".join(p.status()["troubles"])


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_corrupt_database_is_set_aside_never_deleted(make):
    p = make(config=CONFIG)
    p.state.mkdir()
    (p.state / "plimsoll.db").write_bytes(b"this is no database at all" * 100)
    p.start()
    scales(p)
    aside = list(p.state.glob("plimsoll.db.corrupt-*"))
    assert aside and aside[0].read_bytes().startswith(b"this is no database")
    assert "corrupt" in troubles(p) + p.log_tail(20000)


def test_disk_full(make, small_disk):
    p = make(config=CONFIG)
    p.state = small_disk / "state"
    p.journal_broken = True
    p.start()
    p.wait_ready(1)
    with pytest.raises(OSError), open(small_disk / "filler", "wb", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)
    scales(p)
    wait(lambda: troubles(p), 20, "a word about it")
    (small_disk / "filler").unlink()
    wait(lambda: not troubles(p), 30, "all well again")


def test_state_directory_read_only(make, small_disk):
    """No file can be made there, not even the admin socket: the TCP side shows what goes on."""
    p = make(config=CONFIG, admin=f"127.0.0.1:{free_port()}")
    p.state = small_disk / "state"
    p.state.mkdir()
    p.journal_broken = True
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    p.start(ready=False)
    wait(lambda: p.process.poll() is not None or p.try_status(), 20, "an answer")
    assert p.process.poll() is None, p.log_tail()
    p.wait_ready(1)
    scales(p)
    assert "read-only" in (troubles(p) + p.log_tail(20000)).lower()
    assert p.stop() == 0


def test_a_journal_that_brings_controllers_down_is_set_aside(make):
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    assert p.stop() == 0
    (p.state / "journal.reading").write_bytes(b"xxx")
    p.start()
    p.wait_ready(1)
    assert list(p.state.glob("journal.aside-*"))
    assert not (p.state / "journal.reading").exists()
    assert p.get("/")[0] == 200
