#!/bin/sh
# SPDX-License-Identifier: MIT
# A file includes its own folder, include/winnow/, and folders strictly below it; clients see include/winnow/ only;
# a third-party header is included by the one file that wraps it.
cd "$(dirname "$0")/../.." || exit 1
bad=0

level() {
    case $1 in
    base) echo 0 ;; tensor) echo 1 ;; kernels) echo 2 ;; sparse | text | formats) echo 3 ;; nn | optim | data | dist) echo 4 ;;
    model) echo 5 ;; infer) echo 6 ;; train) echo 7 ;; prune) echo 8 ;; bench) echo 9 ;; *) echo unknown ;;
    esac
}

complain() { echo "$*"; bad=1; }

# Every include of src/ but the system's: quoted ones, and in brackets those of a folder of ours.
for file in $(find src -name '*.[ch]' -o -name '*.def' | sort); do
    own=$(echo "$file" | cut -d/ -f2)
    own_level=$(level "$own")
    [ "$own_level" != unknown ] || complain "$file: folder $own has no layer"
    for included in $(sed -n 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*\(["<]\)\([^">]*\)[">].*/\1\2/p' "$file"); do
        bracket=${included%"${included#?}"}
        included=${included#?}
        folder=${included%%/*}
        [ "$bracket" = '"' ] || [ "$(level "$folder")" != unknown ] || continue
        [ "$folder" = winnow ] && continue
        [ "$folder" = "$own" ] && continue
        their=$(level "$folder")
        if [ "$their" = unknown ]; then complain "$file includes \"$included\": not a layer"
        elif [ "$their" -ge "$own_level" ]; then complain "$file includes \"$included\": $folder is not below $own"; fi
    done
done
for file in $(find cli examples bench -name '*.[ch]' 2>/dev/null); do
    grep -nE '#[[:space:]]*include[[:space:]]*["<]([^">]*/)?(base|tensor|kernels|sparse|text|formats|nn|optim|data|model|infer|train|prune|bench)/' "$file" | sed "s|^|$file:|" | grep . && bad=1
done
for header in jansson.h pcre2.h utf8proc.h zlib.h cblas.h lapacke.h; do
    users=$(grep -rlE "#[[:space:]]*include[[:space:]]*[<\"]$header" src cli 2>/dev/null | wc -l)
    [ "$users" -le 1 ] || complain "$header is included by $users files: $(grep -rlE "include[[:space:]]*[<\"]$header" src cli | tr '\n' ' ')"
done
# The library never prints, exits, aborts or asserts on input.
grep -rnE '\b(v?printf|puts|putchar|abort|_?_?[eE]xit|assert|perror)[[:space:]]*\(|\b(stdout|stderr)\b' src --include='*.[ch]' && bad=1
exit $bad
