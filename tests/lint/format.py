"""The code is as clang-format leaves it."""
import re
import subprocess

import tree


def main():
    result = subprocess.run(["clang-format", "--dry-run", "-Werror"] + tree.c_files(),
                            cwd=tree.ROOT, text=True, capture_output=True)
    places = re.findall(r"^(\S+?:\d+):\d+: error:", result.stderr, re.M)
    complaints = [f"{place}: not formatted; `make format`" for place in dict.fromkeys(places)]
    if result.returncode and not complaints:
        complaints = [result.stderr]
    tree.finish(complaints)


main()
