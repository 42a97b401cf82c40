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


AMPLE = """\
services:
  shop:
    listen: [":8080"]
    run: {command: [/bin/true]}
    scale:
      min: 1
      max: 100
      headroom: 100%
      rules:
        - target: {metric: concurrency, value: 12}
"""


def data_of(page):
    begin = page.index('id="data">') + len('id="data">')
    return json.loads(page[begin:page.index("</script>", begin)])


@pytest.fixture(scope="module")
def harsh(tmp_path_factory):
    """A load with bursts in its last part alone: what is cheap on the first part misses them; only
    the policy as given, with more headroom than the search ever tries, does not."""
    folder = tmp_path_factory.mktemp("harsh")
    rows = (f"{30 * n},{(400 + 150 * math.sin(n / 40)) * (2 if n > 599 and n % 60 == 0 else 1):.2f}"
            for n in range(960))
    (folder / "load.csv").write_text("t_seconds,rps\n" + "\n".join(rows) + "\n")
    (folder / "plimsoll.yaml").write_text(AMPLE)
    return folder / "load.csv", "--slo", "p99.5<500ms", "--boot", "30s", "-f", (
        folder / "plimsoll.yaml")


def test_what_keeps_the_goal_in_both_parts_is_printed_too(harsh, tmp_path):
    result = json.loads(tune(*harsh, "--json"))
    best, both = (result["candidates"][result[key]] for key in ("best", "keeps_both"))
    assert not best["slo_test"] and both["slo_train"] and both["slo_test"]
    assert both["as_given"] and both["family"] == "shop"
    page = tmp_path / "tune.html"
    text = tune(*harsh, "--html", page)
    assert text.index("\nscale:\n" + best["scale"]) < text.index("\nscale:\n" + both["scale"])
    row = f"{result['keeps_both'] + 1} as given: shop"
    assert f"\n{row} " in text and f"keeps the SLO in both parts is {row}." in text
    names = [run["name"] for run in data_of(page.read_text())["runs"]]
    assert names == ["best", "keeps both, as given: shop"]


def test_a_row_of_ones_choice(harsh):
    rows = json.loads(tune(*harsh, "--json"))["candidates"]
    for row, c in enumerate(rows, 1):
        text = tune(*harsh, "--row", row)
        assert f"\nRow {row}" in text and text.count("\nscale:\n") == 1
        assert text.endswith("\nscale:\n" + c["scale"])
    p = cli("tune", "--budget-runs", 30, "--trace", *harsh, "--row", len(rows) + 1)
    assert p.returncode == 2 and f"but 1 to {len(rows)}" in p.stderr


def test_none_that_keeps_the_goal_in_both_parts(harsh):
    result = json.loads(tune(harsh[0], "--slo", "p99<250ms", "--json"))
    assert result["keeps_both"] is None and result["best"] is not None
    text = tune(harsh[0], "--slo", "p99<250ms")
    assert "No row keeps the SLO in both parts." in text and text.count("\nscale:\n") == 1
    for name in ("default policy", "Knative's windows"):
        assert f"as given: {name} " in text


def test_a_page_on_standard_output(trace):
    page = tune(trace, "--slo", "p99<250ms", "--html", "-")
    assert page.startswith("<!DOCTYPE") and page.rstrip().endswith("</html>")
    assert "best" in [run["name"] for run in data_of(page)["runs"]]


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
    data = data_of(page.read_text())
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
    (["--slo", "p99<1s", "--row", "0"], "--row"),
    (["--slo", "p99<1s", "--row", "1", "--json"], "--json has it for all"),
    (["--slo", "p99<1s", "--html", "-", "--json"], "both want standard output"),
    (["--slo", "p99<1s", "--service", "shop"], "--config is missing"),
])
def test_what_cannot_be(trace, more, said):
    p = cli("tune", "--trace", trace, *more)
    assert p.returncode == 2 and said in p.stderr, p.stderr


def test_a_service_without_rules(trace, tmp_path):
    config = tmp_path / "plimsoll.yaml"
    config.write_text(CONFIG)
    p = cli("tune", "--trace", trace, "--slo", "p99<1s", "-f", config, "--service", "other")
    assert p.returncode != 0 and "scale" in p.stderr
