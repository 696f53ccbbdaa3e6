#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every test of a build directory: cmocka programs, command-line cases, tree checks. Ends with 'N passed, N failed, N skipped'.
set -u
build=$1
root=$(cd "$(dirname "$0")/.." && pwd)
build=$(cd "$build" && pwd)
passed=0 failed=0 skipped=0
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Counts of a cmocka program, from its closing lines; a program that dies counts as one failure.
count_cmocka() {
    name=$1 code=$2
    p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s += $1} END {print s + 0}')
    f=$(sed -n 's/^\[  FAILED  \] [^:]*: \([0-9]*\) test.*/\1/p' "$log" | awk '{s += $1} END {print s + 0}')
    k=$(sed -n 's/^\[  SKIPPED \] [^:]*: \([0-9]*\) test.*/\1/p' "$log" | awk '{s += $1} END {print s + 0}')
    [ "$code" = 0 ] || [ "$f" -gt 0 ] || f=1
    [ "$code" != 0 ] || [ "$((p + k))" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + k))
    printf '%-36s %3d passed, %d failed%s\n' "$name" "$p" "$f" "$([ "$k" = 0 ] || echo ", $k skipped")"
    [ "$f" = 0 ] || cat "$log"
}

# A script passes with exit code 0, is skipped with 77.
count_script() {
    case $2 in
    0) passed=$((passed + 1)) verdict=passed ;;
    77) skipped=$((skipped + 1)) verdict="skipped: $(tail -n 1 "$log")" ;;
    *) failed=$((failed + 1)) verdict=FAILED ;;
    esac
    printf '%-36s %s\n' "$1" "$verdict"
    [ "$verdict" != FAILED ] || cat "$log"
}

for program in "$build"/tests/*; do
    if [ ! -f "$program" ] || [ ! -x "$program" ]; then continue; fi
    timeout 600 "$program" >"$log" 2>&1 </dev/null
    count_cmocka "$(basename "$program")" $?
done
for script in "$root"/tests/cli/*.sh "$root"/tests/checks/*.sh; do
    [ -f "$script" ] || continue
    case $script in */lib.sh) continue ;; esac
    WINNOW=$build/winnow WN_BUILD=$build timeout 600 sh "$script" >"$log" 2>&1 </dev/null
    count_script "$(basename "$script" .sh)" $?
done
if [ "$skipped" -gt 0 ]; then echo "$passed passed, $failed failed, $skipped skipped"; else echo "$passed passed, $failed failed"; fi
[ "$failed" = 0 ]
