"""Alerts: each caused for real, told to a real HTTP server, a real Alertmanager and a command."""

import json
import os
import re
import shutil
import subprocess

import pytest

from plimsoll import APP, PROGRAM, ROOT, Load, wait
from receivers import Alertmanager, Webhook

# Short times, so that a test need not wait; what they mean is tested in tests/unit/core/test_alert.c.
ALERTS = """
alerts:
  group-wait: 0s
  group-interval: 1s
  to: [{webhook: {url: "@URL@"}}]
  rules:
    pool-at-max: {for: 1s}
    crash-loop: {keep-firing-for: 0s}
    start-failures: {for: 0s, keep-firing-for: 0s}
    source-silent: {for: 0s}
    slo-broken: {for: 1s, keep-firing-for: 0s}
    disk-full: {for: 0s}
"""

SHOP = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    drain: 1s
    run:
      command: %s
      env: {%s}
      ready: {http: /healthz, within: 5s}
      stop: {grace: 1s}
%s
    scale: %s
"""


def shop(command='["@APP@"]', env="", more="", scale="{min: 1, max: 2}"):
    return SHOP % (command, env, more, scale)


@pytest.fixture
def webhook():
    w = Webhook()
    yield w
    w.stop()


def write(p, url, services, alerts=ALERTS):
    p.write_config(alerts.replace("@URL@", url) + services)


@pytest.fixture
def told(make, webhook):
    """A plimsoll whose alerts go to `webhook`."""

    def start(services, alerts=ALERTS, url=None):
        p = make(config=alerts.replace("@URL@", url or webhook.url) + services)
        p.webhook = webhook
        return p.start()

    return start


def comes(p, kind, service="", what="", status="firing", within=20):
    """The message has come, and what fires is in `status` as well."""
    wanted = (kind, service, what, status)
    wait(lambda: wanted in p.webhook.alerts(), within, f"{wanted} in {p.webhook.alerts()}")
    if status == "firing":
        assert [a for a in p.status()["alerts"] if (a["kind"], a["service"]) == (kind, service)]
    return next(a for _, _, m in reversed(p.webhook.messages) for a in m["alerts"]
                if (a["kind"], a["service"], a["what"], a["status"]) == wanted)


def reload(p, services, alerts=ALERTS):
    write(p, p.webhook.url, services, alerts)
    p.cli("reload")


def test_crash_loop_fires_once_and_is_resolved(told):
    p = told(shop(env='APP_EXIT: "3"'))
    alert = comes(p, "crash-loop", "shop")
    assert "3" in alert["text"] and alert["severity"] == "critical" and alert["since"]
    assert "crash-loop" in p.cli("status").stdout
    code, body = p.api("GET", "/v1/alerts")
    assert code == 200 and body["alerts"][0]["state"] == "firing"
    assert body["targets"][0]["sent"] >= 1 and body["targets"][0]["trouble"] == ""
    reload(p, shop())
    resolved = comes(p, "crash-loop", "shop", status="resolved", within=40)
    assert resolved["ended"]
    assert p.webhook.alerts("crash-loop") == [("crash-loop", "shop", "", "firing"),
                                              ("crash-loop", "shop", "", "resolved")]
    noted = lambda: [e["kind"] for e in p.events() if e["text"].startswith("crash-loop: ")]
    wait(lambda: noted() == ["alert", "resolved"], 10, "both among the events")


def test_start_failures(told, tmp_path):
    program = tmp_path / "nonexistent"
    p = told(shop(command=f'["{program}"]'))
    assert "nonexistent" in comes(p, "start-failures", "shop")["text"]
    assert not p.webhook.alerts("crash-loop")
    program.symlink_to(APP)
    p.wait_ready(1, within=40)
    comes(p, "start-failures", "shop", status="resolved", within=15)  # made good, though not forgotten yet


def test_pool_at_max_by_load(told):
    scale = "{min: 1, max: 1, rules: [{target: {metric: concurrency, value: 1}}]}"
    p = told(shop(env='APP_SERVICE_MS: "100"', scale=scale))
    p.wait_ready(1)
    with Load(p.port, clients=4):
        text = comes(p, "pool-at-max", "shop")["text"]
    assert "1 of at most 1" in text and "want" in text
    comes(p, "pool-at-max", "shop", status="resolved", within=90)


def test_source_silent_names_the_source(told, tmp_path):
    value = tmp_path / "value"
    value.write_text("1")
    more = f'    sources: {{jobs: {{exec: {{command: [cat, "{value}"]}}, every: 200ms}}}}'
    scale = "{min: 1, max: 3, rules: [{target: {metric: jobs, value: 1}}]}"
    p = told(shop(more=more, scale=scale))
    p.wait_ready(1)
    value.unlink()
    assert "jobs" in comes(p, "source-silent", "shop", "jobs")["text"]
    value.write_text("1")
    comes(p, "source-silent", "shop", "jobs", "resolved")


def test_slo_broken(told):
    scale = '{min: 1, max: 1, rules: [{slo: "p99 below 20ms"}]}'
    p = told(shop(env='APP_SERVICE_MS: "60"', scale=scale))
    p.wait_ready(1)
    with Load(p.port, clients=1):
        assert "promised is 20ms" in comes(p, "slo-broken", "shop", "latency-p99")["text"]


def test_budget_spent(told):
    more = "budgets: {team: {per-day: 30, currency: EUR}}\n"
    p = told(more + shop(scale="{min: 0, max: 3, cost: 36000, budget: team}"))
    p.cli("scale", "shop", "1")
    text = comes(p, "budget-spent", "", "team/day", within=40)["text"]
    assert "team" in text and "EUR" in text


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "disk"
    path.mkdir()
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("a small disk needs root")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(path)],
                          capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr.strip()}")
    path.chmod(0o755)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_disk_full(make, webhook, small_disk):
    p = make(config=ALERTS.replace("@URL@", webhook.url) + shop())
    p.journal_broken = True
    p.webhook, p.state = webhook, small_disk / "state"
    p.start().wait_ready(1)
    filler = small_disk / "filler"
    with open(filler, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 4096)
        except OSError:
            pass
    wait(lambda: webhook.alerts("disk-full"), 40, "the alert")
    filler.unlink()
    wait(lambda: any(a[3] == "resolved" for a in webhook.alerts("disk-full")), 40, "its end")
    p.stop()


def test_config_refused_in_slacks_words(told):
    slack = ALERTS.replace('{url: "@URL@"}', '{url: "@URL@", format: slack}')
    p = told(shop(), slack)
    p.wait_ready(1)
    good = p.config.read_text()
    p.config.write_text(good + "nonsense: <&>\n")
    assert p.cli("reload", check=False).returncode != 0
    path, headers, message = wait(lambda: p.webhook.messages, 20, "a message")[0]
    assert path == "/hook" and headers["Content-Type"] == "application/json"
    assert list(message) == ["text"] and "1 firing" in message["text"]
    assert "*config-refused*" in message["text"] and "nonsense" in message["text"]
    p.config.write_text(good)
    p.cli("reload")
    wait(lambda: "resolved" in p.webhook.messages[-1][2]["text"], 20, "its end")


def test_a_real_alertmanager(make, tmp_path):
    if not shutil.which("prometheus-alertmanager"):
        pytest.skip("prometheus-alertmanager is not installed")
    am = Alertmanager(tmp_path / "am").start()
    try:
        own = ALERTS.replace('{url: "@URL@"}', f'{{url: "{am.url}", format: alertmanager}}')
        p = make(config=own + shop(env='APP_EXIT: "3"')).start()
        [alert] = wait(lambda: am.alerts(), 30, "an alert in the Alertmanager")
        labels = alert["labels"]
        assert labels["alertname"] == "crash-loop" and labels["service"] == "shop"
        assert labels["severity"] == "critical" and labels["job"] == "plimsoll"
        assert "3" in alert["annotations"]["summary"]
        if shutil.which("amtool"):
            text = subprocess.run(["amtool", f"--alertmanager.url={am.url}", "alert", "query"],
                                  capture_output=True, text=True, check=True).stdout
            assert "crash-loop" in text
        p.write_config(own + shop())
        p.cli("reload")
        wait(lambda: not am.alerts(), 40, "the Alertmanager to hear of its end")
    finally:
        am.stop()


def test_a_target_that_is_down_is_asked_again(told, webhook):
    webhook.status = 500
    p = told(shop(env='APP_EXIT: "3"'))
    wait(lambda: webhook.refused >= 3, 30, "some attempts")
    [target] = p.status()["alert_targets"]
    assert target["failures"] >= 2 and "500" in target["trouble"] and "not today" in target["trouble"]
    assert webhook.url.split("/")[2] in target["name"] and "/hook" not in target["name"]
    assert "not today" in p.cli("status").stdout
    webhook.status = 200
    comes(p, "crash-loop", "shop", within=40)
    wait(lambda: p.status()["alert_targets"][0]["trouble"] == "", 10, "the trouble to be over")
    assert len(webhook.alerts("crash-loop")) == 1
    told_of = lambda: [e["kind"] for e in p.events() if "alerts cannot be told" in e["text"]]
    wait(lambda: told_of() == ["alert", "resolved"], 10, "both events, once however many attempts")


def test_a_target_that_hangs_holds_nobody_up(told, webhook):
    webhook.open.clear()
    p = told(shop())
    p.wait_ready(1)
    good = p.config.read_text()
    p.config.write_text(good + "nonsense: 1\n")
    p.cli("reload", check=False)
    wait(lambda: p.status()["alerts"], 10, "the alert to fire")
    with Load(p.port, clients=2) as load:
        load.wait_ok(200)
    p.config.write_text(good)
    p.cli("reload")
    wait(lambda: not p.status()["alerts"], 10, "it to be over")


def test_a_restarted_controller_tells_nothing_twice(told):
    p = told(shop(env='APP_EXIT: "3"'))
    comes(p, "crash-loop", "shop")
    old = p.kill_role("controller")
    wait(lambda: (s := p.try_status()) and s["controller"]["pid"] not in (None, old), 20, "another one")
    [alert] = wait(lambda: p.status()["alerts"], 20, "the alert in status")
    assert alert["state"] == "firing"
    p.config.write_text(p.config.read_text() + "nonsense: 1\n")
    p.cli("reload", check=False)
    comes(p, "config-refused")
    assert p.webhook.alerts("crash-loop") == [("crash-loop", "shop", "", "firing")]


def test_a_command_is_told(make, tmp_path):
    heard = tmp_path / "heard"
    to = f'[{{command: "cat >> {heard}; echo >> {heard}"}}]'
    p = make(config=ALERTS.replace('[{webhook: {url: "@URL@"}}]', to) + shop(env='APP_EXIT: "3"')).start()
    wait(lambda: heard.exists() and heard.read_text().endswith("\n"), 30, "the command to have run")
    message = json.loads(heard.read_text().splitlines()[0])
    assert message["status"] == "firing" and message["alerts"][0]["kind"] == "crash-loop"
    assert message["host"] and message["state"] == str(p.state)


def test_a_command_that_fails_is_told_of(make):
    to = "[{command: [sh, -c, 'exit 7']}, {command: [/nonexistent]}]"
    p = make(config=ALERTS.replace('[{webhook: {url: "@URL@"}}]', to) + shop(env='APP_EXIT: "3"')).start()

    def both():
        troubles = [t["trouble"] for t in p.status()["alert_targets"]]
        return len(troubles) == 2 and "status 7" in troubles[0] and "no such file" in troubles[1]

    wait(both, 30, "both troubles")


def test_off_and_groups(told):
    alerts = ALERTS.replace("group-wait: 0s", "group-wait: 2s\n  group-by: nothing")
    alerts = alerts.replace("crash-loop: {keep-firing-for: 0s}", "crash-loop: off")
    two = shop(command="[/nonexistent/program]") + """
  blog:
    run: {command: [/nonexistent/other]}
    scale: {min: 1, max: 1}
"""
    p = told(two + "  third:\n    run: {command: [\"false\"]}\n    scale: {min: 1, max: 1}\n", alerts)
    wait(lambda: p.webhook.messages, 20, "a message")
    kinds = {(a["kind"], a["service"]) for a in p.webhook.messages[0][2]["alerts"]}
    assert kinds == {("start-failures", "shop"), ("start-failures", "blog")}
    wait(lambda: p.service("third")["trouble"], 20, "it to crash")
    assert not p.webhook.alerts("crash-loop")


def test_a_typing_mistake_is_named(make):
    p = make(config=ALERTS.replace("pool-at-max", "pool-at-mox") + shop())
    done = subprocess.run(p.argv(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert 'unknown key "pool-at-mox"; did you mean "pool-at-max"?' in done.stderr


CLOCK = r"""
/* CLOCK_REALTIME set by as many seconds as the file in CLOCK_SHIFT says. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    int rc = (int)syscall(SYS_clock_gettime, clock, ret);
    FILE *f = clock == CLOCK_REALTIME ? fopen(getenv("CLOCK_SHIFT"), "r") : NULL;
    long seconds = 0;
    if (f && fscanf(f, "%ld", &seconds) == 1)
        ret->tv_sec += seconds;
    if (f)
        fclose(f);
    return rc;
}
"""


def test_clock_jump(make, webhook, tmp_path):
    source, library, shift = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "shift"
    source.write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    shift.write_text("0")
    shift.chmod(0o644)
    p = make(config=ALERTS.replace("@URL@", webhook.url) + shop(),
             env={"LD_PRELOAD": library, "CLOCK_SHIFT": shift,
                  "ASAN_OPTIONS": "verify_asan_link_order=0"})
    p.webhook = webhook
    p.start().wait_ready(1)
    shift.write_text("3600")
    assert "forward by 1h" in comes(p, "clock-jump")["text"]


def test_engine_down_and_back(told, docker):
    alerts = ALERTS.replace("  rules:\n", "  rules:\n    engine-down: {for: 0s}\n")
    services = """
docker: {host: "%s"}
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    docker:
      image: %s
      command: /app
      env: {HOST: 0.0.0.0}
      ready: {http: /healthz}
    scale: {min: 1, max: 1}
""" % (docker.host, docker.image)
    p = told(services, alerts)
    p.wait_ready(1, within=60)
    docker.kill()
    assert "docker" in comes(p, "engine-down", "", "docker", within=60)["text"]
    assert "engine docker does not answer" in p.cli("status").stdout
    docker.start()
    comes(p, "engine-down", "", "docker", "resolved", within=90)


def test_each_plugin_is_an_engine_of_its_own(make, webhook):
    """Which one does not answer, and nothing else about its service."""
    broken = """
  %s:
    exec: {command: [sh, -c, "echo %s >&2; exit 3"]}
    scale: {min: 1, max: 1}
"""
    alerts = ALERTS.replace("  rules:\n", "  rules:\n    engine-down: {for: 0s}\n")
    p = make()
    p.webhook = webhook
    write(p, webhook.url, "services:" + broken % ("one", "a") + broken % ("two", "b"), alerts)
    p.start(ready=False)
    for service in ("one", "two"):
        wait(lambda service=service: ("engine-down", service, "exec", "firing") in webhook.alerts(), 30,
             f"engine-down of {service} in {webhook.alerts()}")
    assert not webhook.alerts("start-failures")


PAGE = (ROOT / "docs" / "alerts.md").read_text()


def test_the_examples_of_the_page(tmp_path, told):
    [example] = re.findall(r"^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "plimsoll.yaml"
    file.write_text(example + shop().replace("@PORT@", "8080"))
    done = subprocess.run([PROGRAM, "check", file], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    [message] = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    message = json.loads(message)
    p = told(shop(env='APP_EXIT: "3"'))
    comes(p, "crash-loop", "shop")
    real = p.webhook.messages[0][2]
    assert set(real) == set(message) and set(real["alerts"][0]) == set(message["alerts"][0])
    kinds = re.findall(r"^\| `([a-z-]+)` \|.*\|.*\|.*\|.*\|$", PAGE, re.MULTILINE)
    reference = subprocess.run([PROGRAM, "config-reference"], capture_output=True, text=True).stdout
    section = reference.split("### alerts.rules\n")[1].split("\n#")[0]
    assert kinds == re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE)
