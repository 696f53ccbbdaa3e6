#!/bin/sh
# SPDX-License-Identifier: MIT
# Files stay under 800 lines, functions under 100 (kernels excepted), no unfinished marks, every file says its licence.
cd "$(dirname "$0")/../.." || exit 1
bad=0
complain() { echo "$*"; bad=1; }
files=$(git ls-files --cached --others --exclude-standard 'src/*.[ch]' 'include/*.h' 'cli/*.[ch]' 'tests/*.[ch]' 'tools/*.c' 'examples/*.c' 2>/dev/null || find src include cli tests tools examples -name '*.[ch]')
for file in $files; do
    [ -f "$file" ] || continue
    lines=$(wc -l <"$file")
    [ "$lines" -le 800 ] || complain "$file: $lines lines, at most 800"
    head -n 1 "$file" | grep -q 'SPDX-License-Identifier: MIT' || complain "$file: no SPDX line"
    case $file in src/kernels/*/*) continue ;; esac
    # A function runs from the first line that ends in ') {', which its signature does, to a '}' at column 0.
    awk -v file="$file" '
        /\)[[:space:]]*\{[[:space:]]*$/ && !start { start = NR; name = $0 }
        /^\}/ { if (start && NR - start + 1 > 100) { print file ":" start ": " NR - start + 1 " lines: " name; found = 1 } start = 0 }
        END { exit found }' "$file" || bad=1
done
# Marks and disabled code (the words are put together so that this file does not find itself).
marks="TO""DO|FIX""ME|X""XX|HA""CK"
# shellcheck disable=SC2086
grep -nE "\b($marks)\b|^[[:space:]]*#[[:space:]]*if 0" $files && bad=1
exit $bad
