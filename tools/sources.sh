#!/bin/sh
# The tree is the list of sources: prints the .c files of the given folders, sorted.
set -eu
cd "$(dirname "$0")/.."
for folder in "$@"; do
    find "$folder" -maxdepth 2 -name '*.c' | LC_ALL=C sort
done
