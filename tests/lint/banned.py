"""Calls that have no bounds, or hide their errors. Tests may use them on texts of their own."""
import re

import tree

BANNED = {
    "strcpy": "str_copy", "strcat": "struct str", "strncpy": "str_copy", "strncat": "struct str",
    "sprintf": "fmt or struct str", "vsprintf": "fmt_v", "gets": "fgets",
    "atoi": "num_parse_i64", "atol": "num_parse_i64", "atoll": "num_parse_i64",
    "atof": "num_parse_double", "strtok": "strtok_r", "tmpnam": "mkstemp", "mktemp": "mkstemp",
    "alloca": "a bounded array", "system": "posix_spawn", "rand": "base/rng.h",
    "srand": "base/rng.h", "setlocale": "nothing: numbers here know no locale",
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(")


def main():
    complaints = []
    for path in tree.files(["src", "examples", "bench"], (".c", ".h")):
        for number, line in enumerate(tree.bare(tree.read(path)).splitlines(), 1):
            for name in CALL.findall(line):
                complaints.append(f"{path}:{number}: {name}(): use {BANNED[name]}")
    tree.finish(complaints)


main()
