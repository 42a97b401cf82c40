"""Every example in docs/rules.md is one that `plimsoll check` takes.

A block is a whole file, the keys of a service ("scale:"), or items of scale.rules; what is missing around it is
added here: a service to say it of, the sources that the examples name, and another service to follow.
"""

import re
import subprocess
import textwrap

import pytest

from plimsoll import PROGRAM, ROOT

PAGE = ROOT / "docs" / "rules.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)

SERVICE = """
    listen: ["127.0.0.1:8080"]
    run: {command: [./server]}
    sources:
      jobs: {exec: {command: [echo, "1"]}}
      oldest-job: {global: true, exec: {command: [echo, "1"]}}
"""
OTHERS = """
  web:
    listen: ["127.0.0.1:8081"]
    run: {command: [./web]}
  database:
    listen: ["127.0.0.1:8082"]
    run: {command: [./database]}
"""
BUDGETS = "budgets: {tier: {per-hour: 10, currency: EUR}}\n"


def blocks():
    text = PAGE.read_text()
    return [(text.count("\n", 0, m.start()) + 1, m[1]) for m in BLOCK.finditer(text)]


def whole(block):
    if re.search(r"^services:", block, re.MULTILINE):
        return block
    if block.startswith("- "):
        block = "scale:\n  max: 40\n  rules:\n" + textwrap.indent(block, "    ")
    return BUDGETS + "services:\n  shop:" + SERVICE + textwrap.indent(block, "    ") + OTHERS


def test_there_are_examples_of_every_rule():
    kinds = {k for _, block in blocks() for k in re.findall(r"^\s*- ([a-z]+):", block, re.MULTILINE)}
    assert kinds >= {"target", "threshold", "step", "schedule", "concurrency", "queue", "busyness",
                     "predictive", "slo", "ratio"}


@pytest.mark.parametrize("line, block", blocks(), ids=lambda x: str(x) if isinstance(x, int) else "")
def test_example_is_accepted(line, block, tmp_path):
    file = tmp_path / "plimsoll.yaml"
    file.write_text(whole(block))
    p = subprocess.run([PROGRAM, "check", file], capture_output=True, text=True, timeout=30)
    assert p.returncode == 0, f"docs/rules.md:{line}: {p.stderr}\n{whole(block)}"
