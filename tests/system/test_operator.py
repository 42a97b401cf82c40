"""What an operator is told when a command cannot mean what it says: names that nobody has, logs that are not
here, and ends that have nothing to wait for."""

import re

import pytest

from plimsoll import APP, SLOW, wait

EMPTY = """
admin: off
swarm: {host: "unix:///nonexistent/docker.sock", discover: true}
"""


@pytest.fixture
def p(make):
    p = make(flags=["--name", "shop", "--min", "2", "--max", "2"], command=[str(APP)]).start()
    p.wait_ready(2)
    return p


def refused(p, *words):
    answer = p.cli(*words, check=False)
    assert answer.returncode == 1, (words, answer.stdout, answer.stderr)
    assert answer.stderr.startswith("plimsoll: ")
    return answer.stderr.removeprefix("plimsoll: ").strip()


def test_a_mistyped_name_is_answered_with_the_one_that_was_meant(p):
    nearest = "there is no service shp; did you mean shop?"
    for words in (["scale", "shp", "3"], ["why", "shp"], ["restart", "shp"], ["pause", "shp"], ["resume", "shp"],
                  ["events", "shp"], ["events", "shp", "--follow"], ["logs", "--all", "shp"]):
        assert refused(p, *words) == nearest, words
    assert refused(p, "why", "accounts") == "there is no service accounts; there is: shop"
    assert refused(p, "drain", "shp-1") == f"there is no instance shp-1, for {nearest}"
    assert refused(p, "logs", "shp-1") == f"there is no instance shp-1, for {nearest}"
    ids = ", ".join(i["id"] for i in p.service()["instances"])
    assert refused(p, "drain", "shop-99") == f"there is no instance shop-99; there is: {ids}"
    assert refused(p, "protect", "shop") == f"shop is a service, no instance; it has: {ids}"


def test_logs_of_a_service(p):
    said = refused(p, "logs", "shop")
    assert said == "shop is a service, and each of its instances has a log: plimsoll logs --all shop"
    assert "shop-1 | " in p.cli(*said.partition("plimsoll ")[2].split()).stdout


def test_a_stop_with_nothing_to_wait_for_warns_of_nothing(make):
    p = make(config=EMPTY).start()
    p.cli("stop")
    assert p.process.wait(20 * SLOW) == 0
    assert "stopping" in p.log_tail()
    assert not re.search("warning controller: the (proxy|keeper)", p.log_tail()), p.log_tail()


def test_a_stop_in_order_does_not_miss_the_keeper(make):
    """The keeper may be gone before the controller is: it has been asked to."""
    p = make(flags=["--min", "2", "--max", "2"], command=[str(APP)])
    for how in (["stop"], ["stop", "--detach"]) * 3:
        p.start()
        p.wait_ready(2)
        p.cli(*how)
        assert p.process.wait(20 * SLOW) == 0
    p.start()
    wait(lambda: p.service()["ready"] == 2, 20, "all to be taken back")
    assert "keeper is gone" not in p.log.read_text(), p.log_tail()
