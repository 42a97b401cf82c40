"""base, core and balance need nothing from outside and keep no state: `ld -r` of their objects
leaves no undefined symbol but these, and no writable data."""
import os
import re
import subprocess
import sys
import tempfile

import tree

PURE = ["base", "core", "balance"]
ALLOWED = {
    # memory and strings that look at nothing but their arguments
    "memcpy", "memmove", "memset", "memcmp", "memchr", "strlen", "strnlen", "strcmp", "strncmp",
    "strchr", "strrchr", "strspn", "strcspn",
    # a failed assert, and the compiler's own
    "__assert_fail", "abort", "__stack_chk_fail", "_GLOBAL_OFFSET_TABLE_",
    "__udivti3", "__umodti3", "__divti3", "__modti3",
    # of libm, only what IEEE 754 rounds exactly
    "sqrt", "floor", "ceil", "fabs", "trunc",
}
WRITABLE = re.compile(r"^\.(data|bss|tdata|tbss)(?!\.rel\.ro)")


def run(*command):
    result = subprocess.run(command, text=True, capture_output=True)
    if result.returncode:
        tree.finish([f"{' '.join(command)}: {result.stderr.strip()}"])
    return result.stdout


def main():
    build = sys.argv[1]
    archives = [os.path.join(build, f"lib{name}.a") for name in PURE]
    with tempfile.TemporaryDirectory() as scratch:
        whole = os.path.join(scratch, "pure.o")
        run("ld", "-r", "-o", whole, "--whole-archive", *archives)
        undefined = {line.split()[-1] for line in run("nm", "-u", whole).splitlines()}
        complaints = [f"{', '.join(PURE)} must not need {name}()"
                      for name in sorted(undefined - ALLOWED)]
        for line in run("objdump", "-t", whole).splitlines():
            match = re.match(r"^[0-9a-f]+ (.{7}) (\S+)\t([0-9a-f]+) +(\S+)$", line)
            if match and WRITABLE.match(match.group(2)) and int(match.group(3), 16) > 0:
                complaints.append(f"writable static data: {match.group(4)} in {match.group(2)}")
    tree.finish(complaints)


main()
