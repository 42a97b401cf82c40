"""docs/capacity.md shows what `plimsoll capacity` prints; and the command refuses what means nothing."""

import json
import re
import shlex
import subprocess

import pytest

from plimsoll import PROGRAM, ROOT

DOC = (ROOT / "docs" / "capacity.md").read_text()
BLOCKS = re.findall(r"```console\n\$ plimsoll ((?:[^\n]*\\\n)*[^\n]*)\n(.*?)```\n", DOC, flags=re.S)


def capacity(*args, stdin=None):
    return subprocess.run([str(PROGRAM), "capacity", *args], capture_output=True, text=True,
                          input=stdin, timeout=60, cwd=ROOT)


def test_the_document_has_its_examples():
    assert len(BLOCKS) >= 7
    assert len(BLOCKS) == DOC.count("```console")


@pytest.mark.parametrize("command,shown", BLOCKS, ids=range(len(BLOCKS)))
def test_the_document_shows_what_is_printed(command, shown):
    args = shlex.split(command.replace("\\\n", " "))
    assert args[0] == "capacity"
    p = capacity(*args[1:])
    assert p.stdout + p.stderr == shown


def test_json_says_the_same():
    args = ("--rate", "1000/s", "--service", "50ms", "--slo", "wait-p99<50ms")
    answer = json.loads(capacity(*args, "--json").stdout)
    assert answer["instances"] == 54 and answer["fits"] is True
    names = [line.split("  ")[0] for line in capacity(*args).stdout.splitlines()[1:]]
    assert [s["step"] for s in answer["steps"]] == names[:len(answer["steps"])]


@pytest.mark.parametrize("args,status,text", [
    ("", 2, "no load: give --rate"),
    ("--rate 5", 2, "give --service"),
    ("--rate fast --service 1s", 2, '--rate is "fast"'),
    ("--rate 5/fortnight --service 1s", 2, "4M/h"),
    ("--rate 5 --service 1", 2, "20ms"),
    ("--users 5 --service 1s", 2, "--users needs --think"),
    ("--users 5 --think 0 --response 0 --service 1s", 2, "no bound"),
    ("--rate 5 --service 80ms --slo p99<50ms", 1, "never waits takes 0.3684 s"),
    ("--rate 5 --service 1ms --slo p100<1s", 2, "p99<250ms"),
    ("--class a:1:x", 2, "read:100B/month:2ms"),
    ("--rate 1 --service 1ms --zones 1", 2, "2 or more"),
    ("--rate 1 --service 1ms --headroom 99%", 2, "from 0% to 95%"),
    ("--connections 5 --connections-each 5 --rate 1 --service 1ms --refused 0%", 2,
     "from 0.0000001% to 50%"),
    ("--rate 1 --service 0s", 2, "from 0.000001s to 1000000s"),
    ("--rate 1T --service 1s", 1, "not computed"),
    ("--rate 1 --usl /nowhere/points.csv", 2, "No such file"),
    ("--rate 1000 --service 50ms --max-instances 10", 1, ""),
    ("--rate 0/s --service 5ms", 2, 'no load: --rate is "0/s", and must be more than 0'),
    ("--users 0 --think 10s --service 5ms", 2, 'no load: --users is "0", and must be more than 0'),
    ("--daily-users 9 --requests-a-day 0 --service 5ms", 2, 'no load: --requests-a-day is "0"'),
    ("--class a:0/s:5ms", 2, 'no load: --class is "a:0/s:5ms"'),
    ("--class a:100/s:50ms --service 10ms", 2, "--service is for requests that are in no --class"),
    ("--class a:100/s:50ms --service-cv2 0", 2, "--service-cv2 is for requests that are in no"),
    ("--rate 1 --service 1ms --headroom 20", 2, "from 0% to 95%"),
    ("--rate 1 --service 1ms --headroom few", 2, "20% or 0.2"),
    ("--rate 1 --service 1ms --slo wait-<50ms", 2, "wait-p99<50ms"),
    ("--rate 1 --service 1ms --slo <50ms", 2, "wait-p99<50ms"),
    ("--rate 5 --rate fast --service 1s", 2, '--rate is "fast"'),
])
def test_refuses_what_means_nothing(args, status, text):
    p = capacity(*args.split())
    assert p.returncode == status, p
    assert text in p.stderr


LOAD = ("--rate", "100/s", "--service", "50ms")


def answer_of(*args, stdin=None):
    p = capacity(*args, "--json", stdin=stdin)
    return p.returncode, json.loads(p.stdout), p.stderr


@pytest.mark.parametrize("slo,same", [
    ("wait-p95<100ms", "wait p95<100ms"),
    ("wait-p95<100ms", "wait p95 <= 100ms"),
    ("wait-p95<100ms", "wait-p95 below 100ms"),
    ("p99<300ms", "latency p99<300ms"),
    ("p99<300ms", "latency-p99 < 300ms"),
    ("wait<10ms", "wait < 10ms"),
])
def test_a_target_is_read_as_people_write_it(slo, same):
    one, other = (answer_of(*LOAD, "--slo", text)[1] for text in (slo, same))
    assert one["fits"] is True
    assert one["instances"] == other["instances"]
    assert one["utilisation"] == other["utilisation"]


@pytest.mark.parametrize("option,percent,ratio", [
    (("--headroom",), "20%", "0.2"),
    (("--connections", "1000", "--connections-each", "10", "--refused"), "5%", "0.05"),
])
def test_shares_are_percentages_or_ratios(option, percent, ratio):
    answers = [answer_of(*LOAD, *option, text)[1] for text in (percent, ratio)]
    assert answers[0] == answers[1]
    assert answers[0]["instances"] != answer_of(*LOAD, *option[:-1])[1]["instances"]


def test_rates_add_up():
    twice = answer_of("--rate", "40/s", "--rate", "3600/min", "--service", "50ms")[1]
    assert twice == answer_of(*LOAD)[1]


def test_zones_need_not_be_equal():
    args = (*LOAD, "--slo", "p99<300ms", "--zones", "3")
    p = capacity(*args, "--max-instances", "11")
    assert p.returncode == 0
    assert "4 in the fullest of 3: without it, 7 are left" in p.stdout
    assert p.stdout.endswith("\n11 instances carry the peak of 100/s.\n")
    p = capacity(*args, "--max-instances", "10")
    assert p.returncode == 1
    assert "1 too few; 6 of them may work" in p.stdout


def test_connections_are_told_once():
    p = capacity(*LOAD, "--slo", "p99<300ms", "--spare", "5", "--max-instances", "4",
                 "--connections", "1000", "--connections-each", "10")
    assert p.returncode == 1
    assert p.stdout.count("connections that fit") == 1


def test_one_of_a_thing():
    p = capacity("--users", "0.5", "--think", "10s", "--service", "5ms")
    assert "X = N / (Z + R) = 0.5 / (10 + 0.005)" in p.stdout
    assert p.stdout.endswith("\n1 instance carries the peak of 0.04998/s.\n")
    p = capacity("--rate", "150", "--service", "10ms", "--max-instances", "1")
    assert "1 carries 100/s at most" in p.stdout
    assert "at most 1 is allowed;\nwithin the target it carries 100/s" in p.stdout


FOLLOWS = ("working", "instances", "utilisation", "fitting_per_s", "cost_month", "kwh_month",
           "co2_kg_month")
SLOWING = "n,throughput\n1,100\n2,190\n4,340\n8,560\n16,800\n"


@pytest.mark.parametrize("args,rows,reason", [
    ((*LOAD, "--slo", "p99<50ms"), None, "never waits takes 0.2303 s"),
    (("--usl", "-", "--rate", "5000/s"), SLOWING, "38 carry 949.5/s, and more than that carry less"),
    (("--usl", "-", "--rate", "500/s", "--concurrency", "4", "--slo", "p99<250ms",
      "--max-instances", "4"), SLOWING, "8 come nearest, with 0.2726 s"),
])
def test_json_says_that_no_number_fits(args, rows, reason):
    status, answer, told = answer_of(*args, stdin=rows)
    assert status == 1
    assert answer["fits"] is False
    assert reason in answer["reason"]
    assert told == f"plimsoll: {answer['reason']}\n"
    assert answer["peak_per_s"] > 0 and answer["service_s"] > 0 and answer["steps"]
    assert [answer[name] for name in FOLLOWS] == [None] * len(FOLLOWS)


def test_json_says_why_it_does_not_fit():
    status, answer, told = answer_of("--rate", "1000", "--service", "50ms", "--max-instances", "9")
    assert status == 1 and told == ""
    assert answer["fits"] is False
    assert answer["reason"] == "the peak of 1000/s takes 51 instances, and at most 9 are allowed"
    assert answer_of(*LOAD)[1]["reason"] is None


@pytest.mark.parametrize("rows,warnings", [
    ("1,100\n2,300\n4,1600\n8,9000\n", ["does not fit these rows: R2 is 0.8118", "at N = 1 it says",
                                       "alpha and beta, which cannot be below 0, are held there"]),
    ("1,100\n2,90\n4,500\n8,100\n16,900\n", ["does not fit these rows: R2 is 0.6284",
                                            "at N = 8 it says", "alpha and beta"]),
    (SLOWING, []),
])
def test_a_fit_that_is_none_is_told(rows, warnings):
    status, answer, told = answer_of("--usl", "-", "--rate", "50/s", stdin=rows)
    assert status == 0
    assert len(answer["warnings"]) == len(warnings)
    assert all(part in text for part, text in zip(warnings, answer["warnings"]))
    assert told == "".join(f"warning: {text}\n" for text in answer["warnings"])
    assert capacity("--usl", "-", "--rate", "50/s", stdin=rows).stderr == told


def test_bad_rows_are_told_and_counted():
    rows = "# measured\nN,X\n1,2\nx,3\n2,3,4\n5,-1\n7,9\n8 10\n"
    p = capacity("--usl", "-", "--rate", "2", stdin=rows)
    assert p.returncode == 0
    assert p.stderr.splitlines()[:4] == [
        '-:4: not a number: "x"',
        '-:5: wants two columns, instances and throughput: "2,3,4"',
        '-:6: must be above 0: "-1"',
        "-: 3 rows not taken, 3 taken"]
    p = capacity("--usl", "-", "--rate", "2", "--json", stdin=rows)
    assert json.loads(p.stdout)["bad_rows"] == 3


def test_rows_that_no_law_fits():
    p = capacity("--usl", "-", "--rate", "2", stdin="1,2\n2,3\n3,4\n1e308,1e308\n")
    assert p.returncode == 2
    assert "no law of this kind goes through these 4 rows" in p.stderr
