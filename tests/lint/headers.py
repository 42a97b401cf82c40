"""Every header compiles alone, and says `#pragma once`."""
import concurrent.futures
import subprocess

import tree

PACKAGES = ["libuv", "libcurl", "jansson", "libfyaml", "sqlite3", "libmicrohttpd", "libsystemd"]


def main():
    flags = subprocess.run(["pkg-config", "--cflags"] + PACKAGES, check=True, text=True,
                           capture_output=True).stdout.split()

    def compile_alone(path):
        command = ["cc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-Isrc", "-x", "c",
                   "-include", path, "/dev/null"] + flags
        result = subprocess.run(command, cwd=tree.ROOT, text=True, capture_output=True)
        return f"{path}: does not compile alone\n{result.stderr}" if result.returncode else None

    headers = tree.files(["src"], (".h",))
    complaints = [f"{path}:1: no #pragma once" for path in headers
                  if "#pragma once" not in tree.read(path)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        complaints += [c for c in pool.map(compile_alone, headers) if c]
    tree.finish(complaints)


main()
