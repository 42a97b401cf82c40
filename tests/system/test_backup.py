"""`plimsoll backup` and `restore`: made under load, restored after the state directory is lost."""

import json
import os
import shutil
import signal
import sqlite3
import stat

import pytest

from plimsoll import Load, alive, wait

CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: 1s
    run:
      command: ["@APP@"]
      ready: {http: /healthz}
      stop: {grace: 1s}
    scale: {min: %d, max: 4}
"""


def history(p):
    """All events, once there are any: the database opens behind the start."""
    def events():
        code, body = p.api("GET", "/v1/events?limit=1000")
        return code == 200 and body["events"]

    return wait(events, 10, "a history")


def started(make, count=2):
    p = make(config=CONFIG % count).start()
    p.wait_ready(count)
    history(p)
    return p


def backup(p, to="backup.db"):
    path = p.directory / to
    p.cli("backup", str(path))
    return path


def lose_state(p):
    lost = p.directory / "lost"
    p.state.rename(lost)
    return lost


def kill_all_but_what_serves(p):
    """The keeper first: it would start another controller."""
    s = p.status()
    for role in ("keeper", "controller"):
        os.kill(s[role]["pid"], signal.SIGKILL)
    p.process.wait()
    wait(lambda: not alive(s["controller"]["pid"]), 10, "the controller to be gone")


def detach(p):
    p.cli("stop", "--detach")
    p.process.wait(20)


def restarts(p):
    return [e for e in history(p) if e["kind"] == "instance" and e["text"].startswith("started")]


@pytest.mark.parametrize("end", [kill_all_but_what_serves, detach])
def test_a_lost_directory_is_restored_and_all_goes_on(make, end):
    p = started(make)
    before = p.status()
    pids, proxy = sorted(p.instance_pids()), before["proxy"]["pid"]
    with Load(p.port, clients=2) as load:
        load.wait_ok(50)
        path = backup(p)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        known = {e["id"]: e["text"] for e in history(p)}
        end(p)
        lose_state(p)
        done = p.cli("restore", str(path))
        assert str(p.state) in done.stdout
        p.start()
        p.wait_ready(2)
        load.wait_ok(50)
    assert not load.failures and load.cut == 0
    assert sorted(p.instance_pids()) == pids, "the same processes"
    assert p.status()["proxy"]["pid"] == proxy
    after = {e["id"]: e["text"] for e in history(p)}
    kept = [i for i in known if after.get(i) == known[i]]
    assert len(kept) >= len(known) - 2, "the history is there"
    assert len(restarts(p)) == 2, "nothing was started again"
    p.stop()
    assert not any(alive(pid) for pid in pids)


def test_what_was_started_after_the_backup_is_taken_over_too(make):
    p = started(make, 1)
    path = backup(p)
    p.cli("scale", "shop", "3")
    p.wait_ready(3)
    pids = sorted(p.instance_pids())
    kill_all_but_what_serves(p)
    lose_state(p)
    p.cli("restore", str(path))
    p.config.write_text(p.config.read_text().replace("min: 1", "min: 3"))
    p.start()
    p.wait_ready(3)
    assert sorted(p.instance_pids()) == pids
    numbers = {i["number"] for i in p.service()["instances"]}
    assert len(numbers) == 3
    p.stop()
    assert not any(alive(pid) for pid in pids)


def test_another_directory_on_the_same_machine(make):
    """What is restored elsewhere is the same plimsoll: it goes on with what the first one left."""
    p = started(make, 1)
    path, [pid] = backup(p), p.instance_pids()
    kill_all_but_what_serves(p)
    lose_state(p)
    p.state = p.directory / "elsewhere" / "state"
    p.state.parent.mkdir()
    p.cli("restore", str(path))
    p.start()
    p.wait_ready(1)
    assert p.instance_pids() == [pid]


def test_a_copy_of_a_restored_directory_inherits_nothing(make):
    p = started(make, 1)
    path = backup(p)
    assert p.stop() == 0
    lose_state(p)
    p.cli("restore", str(path))
    copy = p.directory / "copy"
    shutil.copytree(p.state, copy)
    p.start()
    p.wait_ready(1)
    mine = p.instance_pids()
    original, p.state = p.state, copy
    done = p.cli("backup", str(p.directory / "of-copy.db"))
    assert done.returncode == 0
    heads = [sqlite3.connect(f).execute("SELECT identity FROM plimsoll_backup").fetchone()[0]
             for f in (path, p.directory / "of-copy.db")]
    assert heads[0] != heads[1]
    p.state = original
    assert p.instance_pids() == mine


def test_a_backup_of_a_restored_one(make):
    p = started(make, 1)
    path, [pid] = backup(p), p.instance_pids()
    kill_all_but_what_serves(p)
    lose_state(p)
    p.cli("restore", str(path))
    p.start()
    p.wait_ready(1)
    again = backup(p, "again.db")
    kill_all_but_what_serves(p)
    p.state.rename(p.directory / "lost-again")
    p.cli("restore", str(again))
    p.start()
    p.wait_ready(1)
    assert p.instance_pids() == [pid]


def test_refused_while_one_runs_and_over_other_state(make):
    p = started(make, 1)
    path = backup(p)
    running = p.cli("restore", str(path), "--force", check=False)
    assert running.returncode == 2 and "stop" in running.stderr
    assert p.get("/")[0] == 200
    assert p.stop() == 0
    there = p.cli("restore", str(path), check=False)
    assert there.returncode == 2 and "--force" in there.stderr
    (p.state / "mine").write_text("precious")
    forced = json.loads(p.cli("restore", str(path), "--force", "--json").stdout)
    assert open(os.path.join(forced["aside"], "mine")).read() == "precious"
    assert (p.state / "plimsoll.db").exists() and not (p.state / "mine").exists()
    p.start()
    p.wait_ready(1)


def test_refused_while_the_one_that_lost_its_directory_runs(make):
    p = started(make, 1)
    path = backup(p)
    lost = lose_state(p)
    done = p.cli("restore", str(path), check=False)
    assert done.returncode == 2 and "still runs" in done.stderr
    assert not p.state.exists()
    other = p.directory / "drill"
    drill = p.cli("restore", str(path), "--state", str(other), check=False)
    assert drill.returncode == 2 and f"{other} would take" in drill.stderr and not other.exists()
    lost.rename(p.state)
    assert p.get("/")[0] == 200


def damaged(path, p):
    data = bytearray(path.read_bytes())
    for at in range(4096, len(data) - 100, 1024):
        data[at:at + 64] = b"\xff" * 64
    path.write_bytes(data)
    return "damaged"


def truncated(path, p):
    path.write_bytes(path.read_bytes()[:5000])
    return ""


def foreign(path, p):
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE points(x)")
    return "no backup"


def no_database(path, p):
    path.write_text("hello " * 1000)
    return "no backup"


def empty(path, p):
    path.write_text("")
    return "no backup"


def newer(path, p):
    with sqlite3.connect(path) as db:
        db.execute("UPDATE plimsoll_backup SET version=99, program='9.9.9'")
    return "9.9.9"


def leads_out(path, p):
    with sqlite3.connect(path) as db:
        db.execute("INSERT INTO plimsoll_files VALUES('../evil', 420, 'x')")
    return "../evil"


def missing(path, p):
    path.unlink()
    return str(path)


@pytest.mark.parametrize("spoil", [damaged, truncated, foreign, no_database, empty, newer, leads_out,
                                   missing])
def test_a_file_that_is_none_touches_nothing(make, spoil):
    p = started(make, 1)
    path = backup(p)
    assert p.stop() == 0
    before = sorted(os.listdir(p.directory))
    word = spoil(path, p)
    expected = [x for x in before if path.exists() or x != path.name]
    done = p.cli("restore", str(path), "--force", check=False)
    assert done.returncode == 1 and word in done.stderr, done.stderr
    assert "Sanitizer" not in done.stderr
    assert sorted(os.listdir(p.directory)) == expected
    assert (p.state / "plimsoll.db").exists()
    assert not (p.directory / "evil").exists()
    p.start()
    p.wait_ready(1)


def test_backup_writes_whole_or_not_at_all(make):
    p = started(make, 1)
    other = p.directory / "other.txt"
    other.write_text("no backup")
    done = p.cli("backup", str(other), check=False)
    assert done.returncode == 1 and "no backup" in done.stderr
    assert other.read_text() == "no backup"
    path = backup(p)
    first = path.read_bytes()
    again = json.loads(p.cli("backup", str(path), "--json").stdout)
    assert again["files"] >= 3 and path.read_bytes() != first
    assert not [x for x in os.listdir(p.directory) if x.endswith(".new")]
    nowhere = p.cli("backup", str(p.directory / "no" / "such" / "b.db"), check=False)
    assert nowhere.returncode == 1 and "/such/b.db: cannot be written" in nowhere.stderr
    with sqlite3.connect(path) as db:
        names = {n for n, in db.execute("SELECT path FROM plimsoll_files")}
        assert db.execute("SELECT count(*) FROM events").fetchone()[0] > 0
    assert {"keeper/.secret", "keeper/shop-1"} <= names
    assert any(n.startswith("journal/") for n in names)
    p.state = p.directory / "nowhere"
    assert "nowhere" in p.cli("backup", str(path), check=False).stderr
    p.state = p.directory / "state"


DOCKER = """
docker: {host: "%s"}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    docker:
      image: %s
      command: /app
      env: {HOST: 0.0.0.0}
      ready: {http: /healthz}
    scale: {min: 2, max: 2}
"""


def test_containers_are_taken_over_by_their_label(make, docker):
    p = make(config=DOCKER % (docker.host, docker.image)).start()
    p.wait_ready(2, within=60)
    running = lambda: sorted(c["Id"] for c in docker.containers() if c["State"] == "running")
    before, path = running(), backup(p)
    assert len(before) == 2
    kill_all_but_what_serves(p)
    lose_state(p)
    p.cli("restore", str(path))
    p.start()
    p.wait_ready(2, within=60)
    assert running() == before and p.get("/")[0] == 200
