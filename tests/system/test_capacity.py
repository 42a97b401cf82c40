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
])
def test_refuses_what_means_nothing(args, status, text):
    p = capacity(*args.split())
    assert p.returncode == status, p
    assert text in p.stderr


def test_bad_rows_are_told_and_counted():
    rows = "# measured\nN,X\n1,2\nx,3\n2,3,4\n5,-1\n7,9\n8 10\n"
    p = capacity("--usl", "-", "--rate", "2", stdin=rows)
    assert p.returncode == 0
    assert p.stderr.splitlines() == [
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
