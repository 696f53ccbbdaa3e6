#!/bin/sh
# SPDX-License-Identifier: MIT
# Each public header compiles alone as C11 and as C++.
cd "$(dirname "$0")/../.." || exit 1
bad=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for header in include/winnow/*.h; do
    name=winnow/$(basename "$header")
    printf '#include <%s>\nint main(void) { return 0; }\n' "$name" >"$scratch/alone.c"
    cp "$scratch/alone.c" "$scratch/alone.cc"
    ${CC:-cc} -std=c11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$scratch/alone.c" || bad=1
    if command -v g++ >/dev/null 2>&1; then
        g++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$scratch/alone.cc" || bad=1
    elif command -v clang++ >/dev/null 2>&1; then
        clang++ -std=c++11 -Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only "$scratch/alone.cc" || bad=1
    fi
done
exit $bad
