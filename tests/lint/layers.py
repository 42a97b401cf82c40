"""Who may include whom: the table in ARCHITECTURE.md against the includes in src/."""
import re

import tree

ROW = re.compile(r"^\| ([a-z, ]+) \| (.*?) \|$", re.M)
HEADING = "| folder | may include |"


def split(text):
    """At commas, with what stands in parentheses left out: that is for people."""
    return [part.strip(" `") for part in re.sub(r"\([^)]*\)", "", text).split(",") if part.strip()]


def read_table(text, folders):
    """{folder: (set of folders, set of headers)}"""
    table = {}
    section = text[text.index(HEADING):].split("\n\n")[0]
    for left, right in ROW.findall(section):
        if left == "folder":
            continue
        if right.startswith("all but "):
            allowed = [f for f in folders if f not in split(right[len("all but "):])]
        else:
            allowed = [item for item in split(right) if item != "-"]
        headers = {item for item in allowed if item.endswith(".h")}
        unknown = set(allowed) - headers - set(folders)
        if unknown:
            tree.finish([f"ARCHITECTURE.md: {left}: no such folder: {sorted(unknown)}"])
        for folder in split(left):
            table[folder] = (set(allowed) - headers | {folder}, headers)
    return table


def main():
    folders = sorted({path.split("/")[1] for path in tree.files(["src"], (".c", ".h"))})
    table = read_table(tree.read("ARCHITECTURE.md"), folders)
    complaints = [f"ARCHITECTURE.md: src/{f} is not in the table" for f in folders
                  if f not in table]
    for path in tree.files(["src"], (".c", ".h")):
        own = path.split("/")[1]
        if own not in table:
            continue
        allowed, headers = table[own]
        for number, line in enumerate(tree.read(path).splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            header = match.group(1)
            folder = header.split("/")[0]
            if "/" not in header or ".." in header:
                complaints.append(f"{path}:{number}: include by path from src/: {header}")
            elif folder not in allowed and header not in headers:
                complaints.append(f"{path}:{number}: {own} may not include {header}")
            elif header.endswith("_int.h") and folder != own:
                complaints.append(f"{path}:{number}: {header} is private to {folder}")
    tree.finish(complaints)


main()
