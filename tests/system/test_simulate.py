"""plimsoll simulate and score, as people call them."""

import gzip
import json
import math
import re
import subprocess
from pathlib import Path

import pytest

from plimsoll import PROGRAM
from test_history import remember

TRACES = Path(__file__).resolve().parents[2] / "traces"
WC98 = TRACES / "wc98_19980608_19980621_60s.csv"
PEERS = ["hpa", "knative", "nomad", "aws_target", "aws_step", "uwsgi", "autopilot", "static_mean",
         "static_peak", "react", "adapt", "hist", "reg", "conpaas", "oracle"]


def cli(*args, stdin=None):
    return subprocess.run([str(PROGRAM), *map(str, args)], capture_output=True, text=True,
                          input=stdin, timeout=300)


def simulate(*args, stdin=None):
    p = cli("simulate", "--json", *args, stdin=stdin)
    assert p.returncode == 0, p.stderr
    return json.loads(p.stdout)


def waves(hours=6):
    rows = [f"{60 * n},{50 + 40 * math.sin(n / 20):.3f}" for n in range(60 * hours)]
    return "t_seconds,rps\n" + "\n".join(rows) + "\n"


def test_a_table_with_its_definitions():
    p = cli("simulate", "--trace", WC98, "--for", "1d", "--against", "hpa,knative,oracle")
    assert p.returncode == 0, p.stderr
    rows = [line.split()[0] for line in p.stdout.splitlines() if line]
    assert rows[1:6] == ["POLICY", "plimsoll", "hpa", "knative", "oracle"]
    for word in ("theta_U", "upsilon", "jitter", "Herbst"):
        assert word in p.stdout


    assert "instance-hours: every second" not in p.stdout
    shares = [word for line in p.stdout.splitlines()[3:6] for word in line.split() if "%" in word]
    assert all(re.fullmatch(r"(<0\.1|\d+\.\d)%", word) for word in shares)
    p = cli("simulate", "--trace", WC98, "--for", "1d", "--legend")
    assert "instance-hours: every second" in p.stdout


def test_all_peers_and_the_documented_json():
    out = simulate("--trace", "-", "--against", "all", "--boot", "30s", stdin=waves())
    assert out["load"]["steps"] == 360 and out["load"]["step_s"] == 60
    assert out["world"]["boot_s"] == 30 and out["world"]["fidelity"] == "tick"
    assert [r["policy"] for r in out["runs"]] == ["plimsoll", *PEERS]
    text = (TRACES.parent / "docs" / "simulate.md").read_text()
    for run in out["runs"]:
        assert len(run["hash"]) == 16
        for key in run["score"]:
            assert f"`{key}`" in text, key
    oracle, plimsoll = out["runs"][-1]["score"], out["runs"][0]["score"]
    assert oracle["instance_hours"] <= plimsoll["instance_hours"]
    assert oracle["violations"] <= plimsoll["violations"] + 1e-9


def test_knative_on_the_world_cup_as_published_by_the_study():
    """2,105 instance-hours on the first four days at a mean of 15 instances, boot 5 s."""
    out = simulate("--trace", WC98, "--for", "4d", "--boot", "5s", "--against", "knative")
    knative = out["runs"][1]["score"]
    assert knative["violations"] == 0
    assert 2095 < knative["instance_hours"] < 2115


def test_the_same_options_give_the_same_output():
    args = ["--trace", WC98, "--for", "6h", "--against", "all", "--decisions", "--points",
            "--boot-spread", "20%", "--crashes", "3", "--seed", "7"]
    assert simulate(*args) == simulate(*args)
    other = [a if a != "7" else "8" for a in args]
    assert simulate(*args)["runs"][0]["hash"] != simulate(*other)["runs"][0]["hash"]


def test_decisions_have_reasons():
    out = simulate("--trace", "-", "--decisions", "--points", stdin=waves())
    run = out["runs"][0]
    assert len(run["decisions"]) == run["score"]["moves"] > 5
    assert all(d["why"] and d["before"] != d["after"] for d in run["decisions"])
    assert 100 < len(run["points"]) <= 1200
    assert run["points"][-1]["instance_seconds"] == pytest.approx(
        run["score"]["instance_hours"] * 3600, rel=1e-6)


def test_bad_rows_are_named_and_counted():
    out = cli("simulate", "--json", "--trace", "-", stdin="t,rps\n0,10\n60,x\n120,30\n180,-1\n")
    assert out.returncode == 0
    assert 'standard input:3: "x" is no rate' in out.stderr
    assert 'standard input:5: "-1" is no rate' in out.stderr
    assert "2 bad rows" in out.stderr or "3 bad rows" in out.stderr
    assert json.loads(out.stdout)["load"]["bad_rows"] >= 2


def test_an_access_log():
    log = "".join(f'10.0.0.{n % 9} - - [10/Oct/2025:13:{n // 60 % 60:02}:{n % 60:02} +0200] '
                  f'"GET /{n} HTTP/1.1" 200 12 "-" "curl"\n' for n in range(1800) for _ in range(3))
    out = simulate("--trace", "-", stdin=log)
    assert out["load"]["steps"] == 1800
    assert out["load"]["mean"] == pytest.approx(3)


def test_a_prometheus_answer():
    values = [[1.7e9 + 60 * n, str(100 + 10 * (n % 7))] for n in range(120)]
    answer = {"status": "success", "data": {"resultType": "matrix",
                                            "result": [{"metric": {}, "values": values}]}}
    out = simulate("--trace", "-", "--capacity", "20", stdin=json.dumps(answer))
    assert out["load"]["steps"] == 120 and out["load"]["start_s"] == 1.7e9
    assert out["world"]["capacity"] == 20


def test_a_load_is_cut_scaled_and_resampled(tmp_path):
    f = tmp_path / "load.csv"
    f.write_text(waves())
    out = simulate("--trace", f, "--from", "1h", "--for", "2h", "--scale", "10", "--time-scale",
                   "2", "--resample", "15s")
    assert out["load"]["step_s"] == 15
    assert out["load"]["steps"] == 240
    assert 100 < out["load"]["mean"] < 900


def test_what_is_no_whole_step_is_left_out_and_said():
    """Not one request that the load has not: 90 min are an hour in steps of an hour."""
    out = simulate("--trace", "-", "--resample", "1h", stdin=flat(rps=10, minutes=90))
    assert out["load"]["steps"] == 1
    assert out["runs"][0]["score"]["requests"] == 36000
    assert [note for note in out["notes"] if "the last 30m of the load" in note]
    out = simulate("--trace", "-", "--resample", "45m", "--slots", "1",
                   stdin=flat(rps=10, minutes=90))
    assert out["runs"][0]["score"]["requests"] == 54000 and out["notes"] == []


def test_rounding_to_steps_is_said():
    out = simulate("--trace", "-", "--from", "30s", "--for", "90s", stdin=flat(rps=10))
    assert out["load"]["steps"] == 2
    assert [note for note in out["notes"] if "steps of 1m" in note and "from 0s to 2m" in note]
    for to in ("2m", "1d"):
        out = simulate("--trace", "-", "--from", "1m", "--for", to, "--slots", "1",
                       stdin=flat(rps=10))
        assert out["notes"] == []


def test_a_header_without_a_load_is_said_once(tmp_path):
    f = tmp_path / "graf.csv"
    f.write_text('"Time","sum(rate(http_requests_total[5m]))"\n' + "".join(
        f"2024-01-01 00:{n:02}:00,{n}\n" for n in range(50)))
    p = cli("simulate", "--trace", f)
    assert p.returncode == 2 and len(p.stderr.splitlines()) == 1
    assert "graf.csv:1: no column is a rate (rps, rate, value, load) or a count" in p.stderr
    assert "there are: Time, sum(rate(http_requests_total[5m]))" in p.stderr


def test_a_compressed_load(tmp_path):
    f = tmp_path / "load.csv.gz"
    f.write_bytes(gzip.compress(waves().encode()))
    p = cli("simulate", "--trace", f)
    assert p.returncode == 2 and len(p.stderr.splitlines()) == 1
    assert "compressed (gzip)" in p.stderr
    assert "zcat FILE | plimsoll simulate --trace -" in p.stderr


def test_a_histogram_whose_bounds_fall(tmp_path):
    f = tmp_path / "times.csv"
    f.write_text("below_s,share\n0.1,1\n0.05,1\n")
    p = cli("simulate", "--trace", "-", "--fidelity", "request", "--service-time",
            f"histogram:{f}", stdin=flat())
    assert p.returncode == 2
    assert f"{f}:3: below_s is 0.05, and must be more than 0.1" in p.stderr


def test_a_page_on_standard_output():
    p = cli("simulate", "--trace", "-", "--html", "-", stdin=flat())
    assert p.returncode == 0, p.stderr
    assert p.stdout.startswith("<!") and p.stdout.rstrip().endswith("</html>")
    assert "POLICY" not in p.stdout


def test_a_decision_says_its_move_once():
    p = cli("simulate", "--trace", "-", "--decisions", "--against", "hpa", stdin=waves())
    moves = [line for line in p.stdout.splitlines() if " -> " in line]
    assert len(moves) > 5 and all(line.count(" -> ") == 1 for line in moves)


@pytest.mark.parametrize("share", ["0.5", "50%", "50 %"])
def test_shares_are_read_either_way(share):
    one = simulate("--trace", "-", "--start-failures", share, stdin=waves())
    assert one["runs"] == simulate("--trace", "-", "--start-failures", "0.5",
                                   stdin=waves())["runs"]


def test_a_configuration_of_ones_own(tmp_path):
    f = tmp_path / "shop.yaml"
    f.write_text("""\
services:
  other:
    listen: ["127.0.0.1:1"]
    run: {command: [/bin/true]}
  shop:
    listen: ["127.0.0.1:2"]
    run: {command: [/bin/true]}
    scale:
      min: 3
      max: 5
      rules:
        - target: {metric: concurrency, value: 14}
""")
    p = cli("simulate", "--trace", "-", "-f", f, stdin=waves())
    assert p.returncode == 2 and "--service" in p.stderr
    out = simulate("--trace", "-", "-f", f, "--service", "shop", "--points", stdin=waves())
    desired = [p["desired"] for p in out["runs"][0]["points"][5:]]
    assert min(desired) >= 3 and max(desired) <= 5


WEB = """
budgets: {tier: {per-hour: 0.3}}
services:
  web:
    listen: ["127.0.0.1:1"]
    run: {command: [/bin/true]}
    max-concurrency: 4
    sources: {backlog: {push: {}}}
    scale: {min: 1, max: 20, cost: 0.1, budget: tier, rules: [@RULES@]@MORE@}
@OTHERS@
"""
QUEUE = "queue: {metric: backlog, length: 3}"
TARGET = "target: {metric: concurrency, value: 3}"
OTHER = """  other:
    listen: ["127.0.0.1:2"]
    run: {command: [/bin/true]}
    scale: {cost: 0.01, budget: tier}
"""


def flat(rps=100, minutes=10):
    return "t_seconds,rps\n" + "".join(f"{60 * n},{rps}\n" for n in range(minutes))


def web(tmp_path, *rules, more="", others=""):
    f = tmp_path / "web.yaml"
    f.write_text(WEB.replace("@RULES@", ", ".join("{%s}" % r for r in rules))
                 .replace("@MORE@", more).replace("@OTHERS@", others))
    return f


def rehearse(f, *more):
    out = simulate("--trace", "-", "-f", f, "--service", "web", "--boot", "10s", "--capacity",
                   "20", "--points", *more, stdin=flat())
    return out["notes"], [point["ready"] for point in out["runs"][0]["points"]]


def test_a_budget_of_its_own_is_kept(tmp_path):
    notes, ready = rehearse(web(tmp_path, TARGET))
    assert notes == [] and max(ready) == 3


def test_what_is_left_out_is_said(tmp_path):
    f = web(tmp_path, QUEUE, TARGET, "ratio: {service: other, per: 2}", more=", after: [other]",
            others=OTHER)
    notes, ready = rehearse(f)
    assert max(ready) > 5
    assert len(notes) == 4
    for word, note in zip(("tier", "after", "backlog", "ratio"), notes):
        assert word in note and "left out" in note
    p = cli("simulate", "--trace", "-", "-f", f, "--service", "web", stdin=flat())
    assert all(f"note: {note}" in p.stderr for note in notes)


@pytest.mark.parametrize("command", [["simulate"], ["tune", "--slo", "p99<1s"]])
def test_nothing_that_can_be_simulated(tmp_path, command):
    p = cli(*command, "--trace", "-", "-f", web(tmp_path, QUEUE), stdin=flat())
    assert p.returncode == 2
    assert "backlog" in p.stderr and p.stdout == ""


def test_how_long_a_request_takes_is_said(tmp_path):
    p = cli("simulate", "--trace", "-", "-f", web(tmp_path, TARGET), "--capacity", "20",
            "--boot", "5s", stdin=flat())
    assert "4 at a time, so a request takes 200ms" in p.stdout and p.stderr == ""
    out = simulate("--trace", "-", stdin=flat(rps=1))
    assert any("a request takes 5m" in note for note in out["notes"])


def test_no_oracle_where_it_would_be_no_bound():
    out = simulate("--trace", "-", "--fidelity", "request", "--against", "oracle,hpa", stdin=flat())
    assert [run["policy"] for run in out["runs"]] == ["plimsoll", "hpa"]
    assert any("oracle" in note for note in out["notes"])


def test_a_limit_on_latency_is_one_on_the_wait_in_a_fluid():
    args = ["--trace", "-", "--capacity", "20", "--slots", "4", "--against", "static_mean"]
    latency = simulate(*args, "--slo-latency", "400ms", stdin=waves())
    wait = simulate(*args, "--slo-wait", "200ms", stdin=waves())
    assert latency["runs"] == wait["runs"]
    assert latency["runs"][1]["score"]["violations"] > 0


def test_everybody_takes_part_once():
    out = simulate("--trace", "-", "--against", "hpa,hpa,all", stdin=flat(minutes=5))
    assert sorted(run["policy"] for run in out["runs"]) == sorted(["plimsoll", *PEERS])


def test_money_and_energy():
    out = simulate("--trace", "-", "--cost", "0.5", "--watts", "200", "--carbon", "400",
                   stdin=waves())
    score = out["runs"][0]["score"]
    assert score["cost"] == pytest.approx(score["instance_hours"] / 2)
    assert score["energy_kwh"] == pytest.approx(score["instance_hours"] * 0.2)
    assert score["co2_g"] == pytest.approx(score["energy_kwh"] * 400, rel=1e-6)


@pytest.mark.parametrize("wrong, text", [
    ([], "give a load"),
    (["--trace", "/nowhere.csv"], "/nowhere.csv"),
    (["--trace", WC98, "--recorded", "7d"], "not with both"),
    (["--recorded", "0s", "--service", "shop"], "--recorded 0s: the time to read must be more than "
                                                "0s and at most 400d"),
    (["--recorded", "100000d", "--service", "shop"], "at most 400d"),
    (["--trace", WC98, "--service", "shop"], "--config is missing"),
    (["--trace", WC98, "--state", "/tmp"], "--state does nothing without --recorded"),
    (["--trace", WC98, "--denoise"], "--denoise does nothing without --scale"),
    (["--trace", WC98, "--points"], "--points does nothing without --json"),
    (["--trace", WC98, "--trace", WC98], "--trace is given twice"),
    (["--trace", WC98, "--against", "hpa", "--against", "knative"], "--against is given twice"),
    (["--trace", WC98, "--html", "-", "--json"], "both want standard output"),
    (["--trace", WC98, "--for", "30s"], "it lasts 14d, in steps of 1m"),
    (["--trace", WC98, "--resample", "15d"], "--resample is 15d, longer than the whole load"),
    (["--recorded", "7d"], "needs --service"),
    (["--trace", WC98, "--against", "knativ"], 'did you mean "knative"?'),
    (["--trace", WC98, "--boot", "soon"], "--boot"),
    (["--trace", WC98, "--fidelity", "fluid"], "tick, request"),
    (["--trace", WC98, "--service-time", "lognormal:x"], "lognormal:CV"),
    (["--trace", WC98, "--start-failures", "3"], "--start-failures"),
    (["--trace", WC98, "--from", "20d"], "nothing of the load is left"),
    (["--trace", WC98, "--boot", "2d"], "within a day"),
    (["--trace", WC98, "--noisy", "200%"], "noisy"),
    (["--trace", WC98, "--capacity", "0"], "more than 0"),
    (["--trace", WC98, "--resample", "0s"], "more than 0"),
    (["--trace", WC98, "--slo-wait", "0s"], "more than 0"),
    (["--trace", WC98, "--slo-latency", "1ms"], "--slo-latency must be longer"),
    (["--trace", WC98, "--balance", "nonsense"], "--balance needs --fidelity request"),
    (["--trace", WC98, "--service-time", "exponential"], "--service-time needs --fidelity request"),
    (["--trace", WC98, "--fidelity", "request", "--balance", "nonsense", "--for", "1h"],
     "nonsense"),
])
def test_what_is_wrong_is_said(wrong, text):
    p = cli("simulate", *wrong)
    assert p.returncode == 2
    assert text in p.stderr


def test_recorded_of_nothing(tmp_path):
    p = cli("simulate", "--recorded", "7d", "--service", "shop", "--state", tmp_path)
    assert p.returncode == 2
    assert str(tmp_path) in p.stderr


CONFIG = """
services:
  shop:
    listen: "127.0.0.1:@PORT@"
    run: {command: ["@APP@"], ready: {http: /healthz}}
    scale:
      max: 30
      rules:
        - target: {metric: concurrency, value: 14}
"""


def test_last_week_again(make):
    """What plimsoll itself has recorded, through the policy that is configured."""
    p = make(config=CONFIG).start()
    p.wait_ready(1)
    p.stop()
    remember(p, "arrivals", 3, lambda at: 300 if at % 86400 < 43200 else 100)
    out = simulate("--recorded", "2d", "--state", p.state, "--config", p.config, "--capacity", "50",
                   "--against", "hpa,oracle")
    assert 2870 <= out["load"]["steps"] <= 2880
    assert out["load"]["step_s"] == 60
    assert 150 < out["load"]["mean"] < 250
    assert out["runs"][0]["score"]["moves"] >= 2
    out = simulate("--recorded", "2d", "--state", p.state, "--service", "shop")
    assert "without --config the policy is the default one, not that of shop" in out["notes"]


def test_score_compares_with_what_was_recorded(tmp_path):
    load = tmp_path / "waves_60s.csv"
    load.write_text(waves(2))
    record = tmp_path / "expected"
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- results: made by plimsoll score -->\nold\n"
                    "<!-- end of results -->\nafter\n")
    p = cli("score", "--record", record, "--update", page, load)
    assert p.returncode == 0, p.stderr
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("<!-- end of results -->\nafter\n")
    assert "old" not in text and "| waves | 300s |" in text and "| oracle |" in text
    assert cli("score", "--compare", record, load).returncode == 0
    rows = record.read_text().splitlines()
    name, boot, violations, seconds = rows[1].split()
    rows[1] = f"{name} {boot} {violations} {int(seconds) - 1}"
    record.write_text("\n".join(rows) + "\n")
    p = cli("score", "--compare", record, load)
    assert p.returncode == 1 and "got worse" in p.stderr
    cells = json.loads(cli("score", "--json", load).stdout)["cells"]
    assert [c["boot_s"] for c in cells] == [5, 60, 300]
    for c in cells:
        assert c["scores"]["oracle"]["violations"] <= c["scores"][c["peer"]]["violations"] + 1e-9
