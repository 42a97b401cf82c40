"""`plimsoll test`: the vectors of other autoscalers, the policies that are shipped, every output,
and what it says to files that are wrong."""

import json
import os
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

import pytest

from plimsoll import PROGRAM, ROOT, SLOW

sys.path.insert(0, str(ROOT / "tests" / "tools"))
import vectors_to_tests  # noqa: E402

VECTORS = ROOT / "tests" / "vectors"
POLICIES = sorted((ROOT / "examples" / "policies").glob("*.test.yaml"))
BROKEN = sorted((pathlib.Path(__file__).parent / "broken_policy_tests").glob("*.yaml"))

# How many cases each file has, by hand: a case that gets lost on the way is seen here.
CASES = {"hpa_replica_calculator": 86, "hpa_group_pods": 15, "nomad_strategies": 78, "keda": 35,
         "aws_documented": 27, "azure_flapping": 9, "fly_autostop": 4}

GOOD = """\
scale:
  min: 1
  max: 9
  rules:
    - target: {metric: concurrency, value: 10}
tests:
  - name: grows
    start: {instances: 1}
    timeline:
      - {at: 0s, metrics: {concurrency: 35}, expect: 4}
"""
WRONG = """\
  - name: a wish & nothing more
    timeline:
      - {at: 1m, metrics: {concurrency: 35}, expect: 5}
"""


def run(*args, stdin=None):
    return subprocess.run([PROGRAM, "test", *args], capture_output=True, text=True, input=stdin,
                          timeout=120 * SLOW)


def results(stdout):
    """The names of TAP lines, and which of them passed."""
    lines = re.findall(r"^(not )?ok \d+ - (.*)$", stdout, re.M)
    return {name: not bad for bad, name in lines}


def theirs():
    """Every case by its id, as the other autoscaler does it."""
    return {i: test for name in CASES
            for i, test in vectors_to_tests.convert(VECTORS, name).items()}


def test_all_vectors_are_known():
    assert set(vectors_to_tests.FILES) == set(CASES)
    cases = theirs()
    assert len(cases) == sum(CASES.values()), "an id comes twice"
    # Two tables say what is not as the other one has it, and there is no third way.
    assert {i for i, test in cases.items() if not test} == set(vectors_to_tests.NOT_RUN)
    assert {i for i, test in cases.items() if vectors_to_tests.ours(i, test) != test} == \
        set(vectors_to_tests.DIFFERENT)
    assert all(vectors_to_tests.NOT_RUN.values())
    assert all(reason for reason, _ in vectors_to_tests.DIFFERENT.values())


@pytest.mark.parametrize("name", CASES)
def test_vectors(name, tmp_path):
    file, tests = vectors_to_tests.write(VECTORS, tmp_path, name)
    assert len(tests) == CASES[name]
    p = run("--tap", file)
    assert {name.split()[0] for name in results(p.stdout)} == {i for i, t in tests.items() if t}
    assert p.returncode == 0, p.stdout + p.stderr


@pytest.mark.parametrize("case", vectors_to_tests.DIFFERENT)
def test_differences_are_there(case, tmp_path):
    """What is said to differ does: the test that the other one passes, we do not."""
    file = vectors_to_tests.write_tests(tmp_path / "theirs.yaml", [theirs()[case]])
    p = run("--tap", file)
    assert p.returncode != 0, f"{case} is no difference any more"
    assert p.returncode == 1 or "cannot be a target" in p.stderr, p.stderr


def test_both_tables_are_printed(tmp_path):
    p = subprocess.run([sys.executable, vectors_to_tests.__file__, VECTORS, tmp_path],
                       capture_output=True, text=True, timeout=60 * SLOW, check=True)
    for case in [*vectors_to_tests.DIFFERENT, *vectors_to_tests.NOT_RUN]:
        assert f"  {case}: " in p.stdout
    assert len(list(tmp_path.glob("*.test.yaml"))) == len(CASES)


def test_vectors_can_fail(tmp_path):
    """Each expectation moved by one is noticed."""
    tests = vectors_to_tests.convert(VECTORS, "fly_autostop")
    for test in tests.values():
        test["timeline"][0]["expect"] += 1
    file = tmp_path / "wrong.yaml"
    file.write_text("tests:\n" + "".join(f"  - {json.dumps(t)}\n" for t in tests.values()))
    p = run("--tap", file)
    assert p.returncode == 1
    assert list(results(p.stdout).values()) == [False] * CASES["fly_autostop"]


def test_there_are_policies():
    assert len(POLICIES) >= 5


@pytest.mark.parametrize("file", POLICIES, ids=lambda f: f.stem)
def test_shipped_policies(file):
    p = run(file)
    assert p.returncode == 0, p.stdout + p.stderr
    config = file.with_name(file.name.replace(".test.yaml", ".yaml"))
    checked = subprocess.run([PROGRAM, "check", config], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_example_of_the_guide(tmp_path):
    text = (ROOT / "docs" / "testing-policies.md").read_text()
    file = tmp_path / "shop.test.yaml"
    file.write_text(re.search(r"```yaml\n(.*?)```", text, re.S)[1])
    p = run(file)
    assert p.returncode == 0, p.stdout + p.stderr


def guide():
    """The example of the guide, and what the guide says is printed when it fails."""
    text = (ROOT / "docs" / "testing-policies.md").read_text()
    section = text.split("## What is said when one fails")[1].split("\n## ")[0]
    return re.search(r"```yaml\n(.*?)```", text, re.S)[1], \
        re.findall(r"```\n(.*?)```", section, re.S)


@pytest.mark.parametrize("number, line, before, after", [
    (0, 19, "desired: 6", "desired: 7"),
    (1, 20, "at: 40s", "at: 40s\n        exits: 9"),
])
def test_what_the_guide_shows_is_what_is_printed(number, line, before, after, tmp_path):
    text, shown = guide()
    lines = text.splitlines(keepends=True)
    assert before in lines[line - 1] and len(shown) == 2
    lines[line - 1] = lines[line - 1].replace(before, after)
    (tmp_path / "shop.test.yaml").write_text("".join(lines))
    p = subprocess.run([PROGRAM, "test", "shop.test.yaml"], capture_output=True, text=True,
                       cwd=tmp_path, timeout=60 * SLOW)
    assert p.returncode == 1
    assert p.stdout.startswith(f"shop.test.yaml\n{shown[number]}  ok  "), p.stdout


def test_each_move_is_told_once():
    moves = [line for line in run("-", stdin=GOOD + WRONG).stdout.splitlines() if "1m: 1" in line]
    assert moves == ["        moves: 1m: 1 -> 4: scale out to 4 for target concurrency 10"]


BUDGETED = """\
services:
  web: {listen: ":80", scale: {min: 1, max: 9, rules: [target: {metric: concurrency, value: 10}]}}
  db: {listen: ":81", scale: {min: 1, max: 9, rules: [target: {metric: rps, value: 10}]}}
tests:
  - name: both
    start: {instances: 1, services: {db: 2}}
    timeline:
      - {at: 0s, metrics: {concurrency: 35}}
      - {at: 0s, service: db, metrics: {rps: 45}}
      - {at: 1s, service: db, exits: 9, expect: 5}
"""


def test_of_several_services_each_is_named():
    p = run("-", stdin=BUDGETED)
    assert "there is no instance 9 of db at this moment (there are 1 to 5)" in p.stdout, p.stdout
    assert "moves: 0s web: 1 -> 4: " in p.stdout and "       0s db: 2 -> 5: " in p.stdout


ABSENT = """\
  - name: gone
    timeline:
      - {at: 1m, exits: 99, expect: 1}
"""


def test_an_instance_that_is_not_there_fails_the_test():
    said = "there is no instance 99 at this moment (there is 1)"
    p = run("--tap", "-", stdin=GOOD + ABSENT)
    assert p.returncode == 1 and results(p.stdout) == {"grows": True, "gone": False}
    assert f"# at 1m, -:13:25\n# {said}\n" in p.stdout
    _, bad = json.loads(run("--json", "-", stdin=GOOD + ABSENT).stdout)["tests"]
    assert (bad["mistake"], bad["expect_line"], bad["at_s"]) == (said, 13, 60.0)
    assert "expected" not in bad and "got" not in bad
    p = run("--junit", "-", "-", stdin=GOOD + ABSENT)
    failure = xml.etree.ElementTree.fromstring(p.stdout.encode()).find(".//failure")
    assert failure.get("message") == said and f"-:13:25\n{said}\n" in failure.text


def test_people(tmp_path):
    p = run("-", stdin=GOOD)
    assert (p.returncode, p.stderr) == (0, "")
    assert "ok    grows" in p.stdout and "1 test, 0 failed" in p.stdout
    p = run("-", stdin=GOOD + WRONG)
    assert p.returncode == 1
    for said in ("FAIL  a wish & nothing more", "at 1m, -:13:54", "- expected desired 5",
                 "+ got      desired 4", "target concurrency 10: out 4", "rules      1 -> 4",
                 "1m: 1 -> 4", "2 tests, 1 failed"):
        assert said in p.stdout, said


def test_tap():
    p = run("--tap", "-", stdin=GOOD + WRONG)
    lines = p.stdout.splitlines()
    assert p.returncode == 1
    assert lines[0] == "TAP version 13" and lines[-1] == "1..2"
    assert lines[2] == "ok 1 - grows" and lines[3] == "not ok 2 - a wish & nothing more"
    assert all(line.startswith("# ") for line in lines[4:-1])


def check_junit(root):
    suite = root.find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = suite.findall("testcase")
    assert [c.get("name") for c in cases] == ["grows", "a wish & nothing more"]
    assert cases[0].find("failure") is None
    assert cases[1].find("failure").get("message") == "expected desired 5, got desired 4"
    assert "why: " in cases[1].find("failure").text


def test_junit(tmp_path):
    file = tmp_path / "results.xml"
    p = run("--junit", file, "-", stdin=GOOD + WRONG)
    assert p.returncode == 1 and "FAIL" in p.stdout
    check_junit(xml.etree.ElementTree.parse(file).getroot())
    p = run("--junit", "-", "-", stdin=GOOD + WRONG)
    check_junit(xml.etree.ElementTree.fromstring(p.stdout.encode()))


def test_json():
    p = run("--json", "-", stdin=GOOD + WRONG)
    root = json.loads(p.stdout)
    assert p.returncode == 1 and (root["count"], root["failed"]) == (2, 1)
    good, bad = root["tests"]
    assert good["passed"] and not bad["passed"]
    assert (bad["at_s"], bad["expected"], bad["got"]) == (60.0, "desired 5", "desired 4")
    assert bad["decision"]["opinions"][0]["out"] == 4


ODD = r"""
  - name: "one # TODO\nnot ok 7 - x \e[2J"
    timeline: [{at: 0s, expect: 1}]
  - name: "two \t <&> ]]> ü \ufffe"
    timeline: [{at: 0s, expect: {reason: "x\nnot ok 9 <&>\x01"}}]
  - name: three
    scale: {max: 9, rules: [target: {metric: rps, value: 0}]}
    refused: "x\nok 10"
"""


def test_odd_texts_break_no_output():
    people = run("-", stdin=GOOD + ODD).stdout
    assert "\x1b" not in people and "\x01" not in people and "\nnot ok" not in people
    tap = run("--tap", "-", stdin=GOOD + ODD).stdout
    assert list(results(tap).values()) == [True, True, False, False], tap
    assert all(re.match(r"TAP|(not )?ok \d+ - |# |1\.\.4$", line) for line in tap.splitlines()), tap
    assert r"ok 2 - one \# TODO not ok 7 - x" in tap
    root = xml.etree.ElementTree.fromstring(run("--junit", "-", "-", stdin=GOOD + ODD).stdout)
    cases = list(root.iter("testcase"))
    assert len(cases) == 4 and cases[2].get("name") == "two  <&> ]]> ü ?"
    assert cases[2].find("failure").get("message").startswith('expected reason "x\nnot ok 9 <&>"')
    tests = json.loads(run("--json", "-", stdin=GOOD + ODD).stdout)["tests"]
    assert tests[1]["name"] == "one # TODO\nnot ok 7 - x \x1b[2J"
    assert tests[2]["name"] == "two \t <&> ]]> ü \ufffe"


def test_what_has_no_timeline_fails_at_no_time():
    p = run("-", stdin=GOOD + ODD)
    assert re.search(r"FAIL  three\n        -:\d+:5\n        - expected refused: ", p.stdout), p.stdout


def test_a_reason_is_no_pattern():
    """It is found as it is written, or not."""
    test = "  - {{name: why, timeline: [{{at: 0s, expect: {{reason: {}}}}}]}}\n"
    for reason, passes in [("target concurrency 10", True), ("[target, unknown]", True),
                           ("target .*", False), ("Target", False), ("[target, 99]", False)]:
        p = run("--tap", "-", stdin=GOOD + test.format(reason))
        assert results(p.stdout)["why"] == passes, reason


def test_standard_input_is_read_once():
    p = run("-", "-", stdin=GOOD)
    assert p.returncode == 2 and "standard input can be read only once" in p.stderr
    assert p.stdout == ""


def test_same_output_twice():
    assert run("--json", *POLICIES).stdout == run("--json", *POLICIES).stdout


def expected(file):
    """LINE, COLUMN and text of the first line, `# expect: LINE:COLUMN text`."""
    m = re.match(r"# expect: (\d+):(\d+) (.+)\n", file.read_text())
    assert m, f"{file.name} says not what is expected"
    return int(m[1]), int(m[2]), m[3]


@pytest.mark.parametrize("file", BROKEN, ids=lambda f: f.stem)
def test_broken_files(file):
    line, column, text = expected(file)
    p = run(file)
    lines = p.stderr.splitlines()
    assert p.returncode == 2, p
    assert f"{file.name}:{line}:{column}: " in lines[0] and text in lines[0], p.stderr
    assert lines[2] == f"       | {' ' * (column - 1)}^", p.stderr


def test_other_mistakes(tmp_path):
    p = run(tmp_path / "absent.yaml")
    assert p.returncode == 2 and "No such file" in p.stderr
    p = run("--tap", "--json", "-", stdin=GOOD)
    assert p.returncode == 2 and "standard output" in p.stderr
    # A file that is wrong does not keep the others from being tested, and is not forgotten.
    good = tmp_path / "good.yaml"
    good.write_text(GOOD)
    p = run(tmp_path / "absent.yaml", good)
    assert p.returncode == 2 and "1 test, 0 failed, 1 file could not be tested" in p.stdout


def broken_files(tmp_path):
    """One good file and three that cannot be tested, in ways of their own."""
    good, wrong = tmp_path / "good.yaml", tmp_path / "wrong & bad.yaml"
    good.write_text(GOOD)
    wrong.write_text("scale: {max: 9}\ntests:\n  - name: a\n    timeline: [{at: 0s}]\n    nme: b\n")
    return [tmp_path / "absent.yaml", good, wrong, tmp_path]


def check_place(error, file, line):
    """Of an error in a JSON answer."""
    assert error["file"] == str(file)
    assert error["place"].startswith(f"{file}:{line}:") if line else error["place"] == str(file)


def test_broken_files_are_in_json(tmp_path):
    absent, good, wrong, directory = files = broken_files(tmp_path)
    p = run("--json", *files)
    root = json.loads(p.stdout)
    assert p.returncode == 2 and (root["count"], root["failed"]) == (1, 0)
    assert [t["file"] for t in root["tests"]] == [str(good)]
    errors = root["errors"]
    assert len(errors) == 3
    for error, (file, line, text) in zip(errors, [(absent, 0, "No such file"), (wrong, 5, '"nme"'),
                                                  (directory, 0, "Is a directory")]):
        check_place(error, file, line)
        assert text in error["text"]
    assert json.loads(run("--json", good).stdout)["errors"] == []


def test_broken_files_are_in_junit(tmp_path):
    absent, good, wrong, directory = files = broken_files(tmp_path)
    p = run("--junit", "-", *files)
    assert p.returncode == 2
    suites = xml.etree.ElementTree.fromstring(p.stdout.encode()).findall("testsuite")
    assert [s.get("name") for s in suites] == [str(f) for f in (good, absent, wrong, directory)]
    assert [(s.get("tests"), s.get("failures"), s.get("errors")) for s in suites] == \
        [("1", "0", "0")] + [("1", "0", "1")] * 3
    error = suites[2].find("testcase").find("error")
    assert '"nme"' in error.get("message") and f"{wrong}:5:5: " in error.text


def test_broken_files_are_in_tap(tmp_path):
    absent, good, wrong, directory = files = broken_files(tmp_path)
    p = run("--tap", *files)
    assert p.returncode == 2 and p.stdout.splitlines()[-1] == "1..4"
    assert results(p.stdout) == {"grows": True, f"{absent} cannot be tested": False,
                                 f"{wrong} cannot be tested": False,
                                 f"{directory} cannot be tested": False}
    assert f"# {wrong}:5:5: " in p.stdout


def test_broken_files_are_counted_for_people(tmp_path):
    p = run(*broken_files(tmp_path))
    assert p.returncode == 2
    assert p.stdout.splitlines()[-1] == "1 test, 0 failed, 3 files could not be tested"
    assert f"{tmp_path}: Is a directory" in p.stderr


def test_what_is_no_text_is_told_all_the_same(tmp_path):
    """A name that is no UTF-8, and a key that is cut within a character where it is told."""
    wrong, good = os.fsencode(tmp_path) + b"/\xff.yaml", os.fsencode(tmp_path) + b"/\xfe.yaml"
    pathlib.Path(os.fsdecode(wrong)).write_text("tests: [{name: a, a" + 40 * "\u00e4" + ": 1}]\n")
    pathlib.Path(os.fsdecode(good)).write_text(GOOD + WRONG)
    p = subprocess.run([PROGRAM, "test", "--json", wrong, good], capture_output=True, timeout=60)
    root = json.loads(p.stdout)
    assert len(root["tests"]) == 2 and root["tests"][0]["file"] == f"{tmp_path}/?.yaml"
    assert 'unknown key "a' in root["errors"][0]["text"]
    p = subprocess.run([PROGRAM, "test", "--junit", "-", wrong, good], capture_output=True,
                       timeout=60)
    suites = xml.etree.ElementTree.fromstring(p.stdout).findall("testsuite")
    assert [s.get("name") for s in suites] == [f"{tmp_path}/?.yaml"] * 2


def test_configuration_with_errors(tmp_path):
    """The place is in the configuration, and the test file is not blamed."""
    (tmp_path / "shop.yaml").write_text("services:\n  shop:\n    listn: 80\n")
    file = tmp_path / "shop.test.yaml"
    file.write_text("config: shop.yaml\ntests: [{name: x, timeline: [{at: 0s, expect: 1}]}]\n")
    p = run(file)
    assert p.returncode == 2
    assert "/shop.yaml:3:5: " in p.stderr and 'did you mean "listen"' in p.stderr
