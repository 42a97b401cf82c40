#!/usr/bin/python3
"""The system tests, as `make check` runs them: pytest with the arguments given here. They start thousands of programs,
several at a time, on whatever machine this is; so the few that fail are run once more, alone. One that passes then has
met a race, in itself or in the product: it is named at the end, and somebody is to look at it."""
import json
import os
import pathlib
import subprocess
import sys

FEW = 3
PYTEST = [sys.executable, "-m", "pytest", "-q"]
TESTS_FAILED = 1  # pytest's exit status


def failed(cache):
    """Names as pytest takes them: without the group that says which tests share a worker."""
    names = json.loads((cache / "v" / "cache" / "lastfailed").read_text())
    return sorted(name.rsplit("@", 1)[0] for name in names)


def main(arguments):
    cache = pathlib.Path(os.environ["PLIMSOLL_BUILD"]) / "pytest"
    (cache / "v" / "cache" / "lastfailed").unlink(missing_ok=True)
    status = subprocess.run([*PYTEST, "-o", f"cache_dir={cache}", "--dist", "loadgroup", *arguments]).returncode
    names = failed(cache) if status == TESTS_FAILED else []
    if not 0 < len(names) <= FEW:
        return status
    print("once more, alone:", *names, sep="\n  ", flush=True)
    status = subprocess.run([*PYTEST, "-p", "no:cacheprovider", *names]).returncode
    if status == 0:
        print("FAILED BESIDE OTHERS, PASSED ALONE (a race: the first output above says more):", *names, sep="\n  ")
    return status


sys.exit(main(sys.argv[1:]))
