#!/bin/sh
# Text files as C strings, to stdout: page.html becomes `const char page_html[]`.
set -eu
echo '/* Made from the files beside it by tools/embed.sh. */'
echo '#include "sim/page/page_assets.h"'
for file in "$@"; do
    printf '\nconst char %s[] =\n' "$(basename "$file" | tr . _)"
    sed 's/[\\"]/\\&/g; s/.*/    "&\\n"/; $ s/$/;/' "$file"
done
