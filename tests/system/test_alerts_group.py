"""Alerts of two controllers that share a lease in a real etcd: who tells, and what is told of whom."""

import contextlib
import os
import shutil
import signal

import pytest

from plimsoll import wait
from receivers import Webhook
from test_takeover import group, knows, leads  # noqa: F401  group is a fixture

pytestmark = pytest.mark.skipif(not shutil.which("etcd"), reason="there is no etcd here")

ALERTS = """
alerts:
  group-wait: 0s
  group-interval: 1s
  to: [{webhook: {url: "%s"}}]
  rules:
    member-silent: {for: 1s}
    lease-lost: {keep-firing-for: 2s}
"""


@pytest.fixture
def pair(group):
    """A leader, a standby, and who is told by both."""
    g, webhook = group(2), Webhook()
    for p in g.members:
        p.config.write_text(ALERTS % webhook.url + p.config.read_text())
    yield (*g.start(), webhook)
    webhook.stop()


@contextlib.contextmanager
def paused(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def comes(webhook, *wanted):
    wait(lambda: wanted in webhook.alerts(), 30, f"{wanted}")


def test_a_silent_member_is_told_by_the_leader(pair):
    leader, standby, webhook = pair
    with paused(standby.status()["controller"]["pid"]):
        comes(webhook, "member-silent", "", standby.name, "firing")
        assert f"member {standby.name}" in leader.cli("status").stdout
    comes(webhook, "member-silent", "", standby.name, "resolved")
    assert webhook.alerts() == [("member-silent", "", standby.name, "firing"),
                                ("member-silent", "", standby.name, "resolved")]


def test_who_leads_again_has_not_lost_the_lease(group):
    g, webhook = group(1), Webhook()
    [p] = g.members
    p.config.write_text(ALERTS.replace("for: 2s", "for: 10m") % webhook.url + p.config.read_text())
    g.start()
    with paused(g.etcd.members[0].process.pid):
        wait(lambda: p.status()["alerts"], 30, "the alert")
    comes(webhook, "lease-lost", "", p.name, "resolved")
    text = next(m["alerts"][0]["text"] for _, _, m in webhook.messages)
    assert text == f"{p.name} led and does not any more: the lease could not be renewed in time; nobody leads now"
    webhook.stop()


def test_who_lost_the_lease_tells_it_and_nothing_else(pair):
    leader, standby, webhook = pair
    assert leads(leader) and not leads(standby)
    with paused(leader.status()["controller"]["pid"]):
        wait(lambda: leads(standby), 30, "the other one to lead")
    comes(webhook, "lease-lost", "", leader.name, "firing")
    wait(lambda: knows(leader, 2) == standby.name, 30, "it to follow")
    comes(webhook, "lease-lost", "", leader.name, "resolved")
    assert len(webhook.alerts("lease-lost")) == 2
    [message] = [m for _, _, m in webhook.messages if m["alerts"][0]["kind"] == "lease-lost"
                 and m["status"] == "firing"]
    assert message["state"] == str(leader.state)
    good = leader.config.read_text()
    leader.config.write_text(good + "nonsense: 1\n")
    assert leader.cli("reload", check=False).returncode != 0
    assert not leader.status()["alerts"], "it has nothing to say of what others decide"
