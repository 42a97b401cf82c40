"""Policies of tests/policies against the real core: what the rules do together."""
import pathlib
import subprocess

import pytest

from plimsoll import PROGRAM

FILES = sorted((pathlib.Path(__file__).resolve().parent.parent / "policies").glob("*.test.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_policy(path):
    p = subprocess.run([PROGRAM, "test", path], capture_output=True, text=True, timeout=60)
    assert p.returncode == 0, p.stdout + p.stderr
    assert " 0 failed" in p.stdout
