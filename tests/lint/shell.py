"""Shell scripts parse, and stop at the first error."""
import os
import subprocess

import tree

SKIP = ("build", ".git")


def scripts():
    for place, folders, names in os.walk(tree.ROOT):
        folders[:] = [f for f in folders if not f.startswith(SKIP)]
        for name in names:
            path = os.path.join(place, name)
            if not os.path.isfile(path):
                continue
            with open(path, "rb") as f:
                if f.readline().startswith((b"#!/bin/sh", b"#!/bin/bash")):
                    yield os.path.relpath(path, tree.ROOT)


def main():
    complaints = []
    for path in sorted(scripts()):
        result = subprocess.run(["sh", "-n", path], cwd=tree.ROOT, text=True, capture_output=True)
        if result.returncode:
            complaints.append(f"{path}: {result.stderr.strip()}")
        if "set -eu" not in tree.read(path):
            complaints.append(f"{path}: no `set -eu`")
        if not os.access(os.path.join(tree.ROOT, path), os.X_OK):
            complaints.append(f"{path}: not executable")
    tree.finish(complaints)


main()
