"""Functions of at most 70 lines, files of at most 800, lines of at most 100 columns."""
import re

import tree

FUNCTION_MAX, FILE_MAX, LINE_MAX = 70, 800, 100
# A longer table or switch says so, and why, in a comment with this mark.
LONG = "tidy: long"


def functions(text):
    """(first line, last line, name) of every function body: a brace in column 1 to its end."""
    lines = tree.bare(text).splitlines()
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{") and start is None:
            start = number
        elif line.startswith("}") and start is not None:
            above = " ".join(lines[max(0, start - 6):start - 1])
            names = re.findall(r"(\w+)\s*\(", above)
            yield start, number, names[-1] if names else "?"
            start = None


def main():
    complaints = []
    for path in tree.c_files():
        text = tree.read(path)
        lines = text.splitlines()
        if len(lines) > FILE_MAX and LONG not in text:
            complaints.append(f"{path}: {len(lines)} lines, at most {FILE_MAX}")
        for number, line in enumerate(lines, 1):
            if len(line) > LINE_MAX:
                complaints.append(f"{path}:{number}: {len(line)} columns, at most {LINE_MAX}")
        for first, last, name in functions(text):
            length = last - first - 1
            marked = LONG in "\n".join(lines[max(0, first - 8):last])
            if length > FUNCTION_MAX and not marked:
                complaints.append(f"{path}:{first}: {name}() has {length} lines, "
                                  f"at most {FUNCTION_MAX}")
        if not text.lstrip().startswith("/*"):
            complaints.append(f"{path}:1: open with a paragraph: what it owns, what it never does")
    tree.finish(complaints)


main()
