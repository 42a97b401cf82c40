"""`plimsoll tune`: the same answer twice, an honest test, and YAML that `check` accepts and
`simulate` gives the same numbers for."""

import json
import math
import subprocess

import pytest

from plimsoll import PROGRAM, SLOW

CONFIG = """\
services:
  shop:
    listen: [":8080"]
    run: {command: [/bin/true]}
    scale:
      min: 1
      max: 100
      rules:
        - target: {metric: concurrency, value: 12}
        - schedule: {cron: "0 9 * * MON-FRI", for: 1h, min: 2}
  other:
    listen: [":8081"]
    run: {command: [/bin/true]}
"""


def cli(*args):
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True,
                          timeout=300 * SLOW)


def tune(trace, *more):
    p = cli("tune", "--trace", trace, "--budget-runs", 30, *more)
    assert p.returncode == 0, p.stderr
    return p.stdout


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    path = tmp_path_factory.mktemp("trace") / "load.csv"
    rows = (f"{30 * n},{400 + 250 * math.sin(n / 40) + 90 * (n * 7919 % 100 > 96):.2f}"
            for n in range(960))
    path.write_text("t_seconds,rps\n" + "\n".join(rows) + "\n")
    return path


def test_same_seed_same_answer(trace):
    first = tune(trace, "--slo", "p99<250ms", "--json", "--seed", 3)
    assert first == tune(trace, "--slo", "p99<250ms", "--json", "--seed", 3)
    assert first != tune(trace, "--slo", "p99<250ms", "--json", "--seed", 4)


def test_front_and_honesty(trace):
    result = json.loads(tune(trace, "--slo", "p99<250ms", "--json"))
    front = [c for c in result["candidates"] if c["front"]]
    hours = [c["train"]["instance_hours"] for c in front]
    over = [c["train"]["violations"] for c in front]
    assert hours == sorted(hours) and over == sorted(over, reverse=True)
    best = result["candidates"][result["best"]]
    assert best["train"]["violations"] <= 0.01 and best["slo_train"]
    # Half of what the SLO allows stays in reserve.
    assert all(c["train"]["violations"] > 0.005 for c in front[:result["best"]])
    assert best["slo_test"] == (best["test"]["violations"] <= 0.01)
    given = [c for c in result["candidates"] if c["as_given"]]
    assert given and all(best["train"]["instance_hours"] <= c["train"]["instance_hours"]
                         for c in given if c["slo_train"])
    assert result["train_s"] / (result["train_s"] + result["test_s"]) == pytest.approx(0.6, abs=0.01)


def test_what_is_printed_can_be_pasted(trace, tmp_path):
    text = tune(trace, "--slo", "p99<250ms")
    assert "SLO IN THE TEST" in text and "@ best" in text
    scale = text[text.index("\nscale:\n") + 1:]
    pasted = tmp_path / "pasted.yaml"
    body = "".join(f"    {line}\n" for line in scale.splitlines())
    pasted.write_text('services:\n  shop:\n    listen: [":8080"]\n'
                      "    run: {command: [/bin/true], ready: {within: 10m}}\n" + body)
    p = cli("check", pasted)
    assert p.returncode == 0, p.stdout + p.stderr
    result = json.loads(tune(trace, "--slo", "p99<250ms", "--json"))
    best = result["candidates"][result["best"]]
    run = json.loads(cli("simulate", "--trace", trace, "--config", pasted, "--slo-wait", "250ms",
                         "--json").stdout)["runs"][0]["score"]
    whole = best["train"]["instance_hours"] + best["test"]["instance_hours"]
    assert run["instance_hours"] == pytest.approx(whole, rel=1e-9)


def test_a_service_of_a_configuration(trace, tmp_path):
    config = tmp_path / "plimsoll.yaml"
    config.write_text(CONFIG)
    result = json.loads(tune(trace, "--slo", "wait p95<100ms", "-f", config, "--service", "shop",
                             "--json"))
    assert sum(c["as_given"] for c in result["candidates"]) == 1
    for c in result["candidates"]:
        assert 'schedule: {cron: "0 9 * * MON-FRI", for: 1h, min: 2}' in c["scale"]
        assert "max: 100" in c["scale"]


def test_page(trace, tmp_path):
    page = tmp_path / "tune.html"
    tune(trace, "--slo", "p99<250ms", "--html", page)
    text = page.read_text()
    begin = text.index('id="data">') + len('id="data">')
    data = json.loads(text[begin:text.index("</script>", begin)])
    assert "best" in [run["name"] for run in data["runs"]]
    assert len(data["dots"]) > 10 and any(dot["front"] for dot in data["dots"])


@pytest.mark.parametrize("more, said", [
    (["--slo", "fast"], "p99<250ms"),
    (["--slo", "p99<100"], "p99<250ms"),
    (["--slo", "p99<100ms", "--slots", 20], "--slots"),
    ([], "--slo"),
    (["--slo", "p99<1s", "--train", "200%"], "--train"),
    (["--slo", "p99<1s", "--budget-runs", 0], "--budget-runs"),
    (["--slo", "p99<1s", "--slo-wait", "1s"], "--slo-wait"),
])
def test_what_cannot_be(trace, more, said):
    p = cli("tune", "--trace", trace, *more)
    assert p.returncode == 2 and said in p.stderr, p.stderr


def test_a_service_without_rules(trace, tmp_path):
    config = tmp_path / "plimsoll.yaml"
    config.write_text(CONFIG)
    p = cli("tune", "--trace", trace, "--slo", "p99<1s", "-f", config, "--service", "other")
    assert p.returncode != 0 and "scale" in p.stderr
