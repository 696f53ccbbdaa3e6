#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs every test of a build directory, as many at a time as there are cores: cmocka programs, command-line cases, tree checks.
# Ends with 'N passed, N failed[, N skipped]'; what a failing test said stands before that.
set -u

# one BUILD RESULTS TEST: runs it; its log and counts go to RESULTS, one line to standard output.
one() {
    build=$1 results=$2 test=$3
    name=$(basename "$test" .sh)
    log=$results/$name.log
    begin=$(date +%s)
    case $test in
    *.sh) WINNOW=$build/winnow WN_BUILD=$build timeout 1200 sh "$test" >"$log" 2>&1 </dev/null ;;
    *) timeout 1200 "$test" >"$log" 2>&1 </dev/null ;;
    esac
    code=$?
    note=
    case $test in
    *.sh) # passes with exit code 0, is skipped with 77
        p=0 f=0 k=0
        case $code in 0) p=1 ;; 77) k=1 note=": $(tail -n 1 "$log")" ;; *) f=1 ;; esac
        ;;
    *) # cmocka's closing lines, in which newer ones name the group; a program that dies, or runs nothing, counts as one failure
        p=$(sed -n 's/^\[  PASSED  \] \([0-9]*\) test.*/\1/p' "$log" | awk '{s += $1} END {print s + 0}')
        f=$(sed -n 's/^\[  FAILED  \] \([^:]*: \)\{0,1\}\([0-9]\{1,\}\) test(s), listed.*/\2/p' "$log" | awk '{s += $1} END {print s + 0}')
        k=$(sed -n 's/^\[  SKIPPED \] \([^:]*: \)\{0,1\}\([0-9]\{1,\}\) test(s), listed.*/\2/p' "$log" | awk '{s += $1} END {print s + 0}')
        [ "$code" = 0 ] || [ "$f" -gt 0 ] || f=1
        [ "$code" != 0 ] || [ "$((p + k))" -gt 0 ] || f=1
        ;;
    esac
    echo "$p $f $k" >"$results/$name.count"
    [ "$f" = 0 ] || : >"$results/$name.failed"
    printf '%-36s %3d passed, %d failed%s (%d s)\n' "$name" "$p" "$f" "$([ "$k" = 0 ] || echo ", $k skipped$note")" $(($(date +%s) - begin))
}

if [ "$1" = --one ]; then
    one "$2" "$3" "$4"
    exit 0
fi

build=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# Scripts first, then the programs of the folders with long ones: those would otherwise run alone at the end.
tests() {
    for test in "$root"/tests/cli/*.sh "$root"/tests/checks/*.sh "$build"/tests/model_* "$build"/tests/kernels_* "$build"/tests/prune_* "$build"/tests/text_* "$build"/tests/*; do
        case $test in */lib.sh) continue ;; *.sh) ;; *) [ -x "$test" ] || continue ;; esac
        [ ! -f "$test" ] || printf '%s\n' "$test"
    done
}
tests | awk '!seen[$0]++' >"$results/tests"
xargs -P "$(nproc)" -d '\n' -I '{}' sh "$0" --one "$build" "$results" '{}' <"$results/tests"

count=$(cat "$results"/*.count | awk '{p += $1; f += $2; k += $3} END {printf "%d passed, %d failed", p, f; if (k) printf ", %d skipped", k}')
for log in "$results"/*.failed; do
    [ -e "$log" ] || continue
    echo "== $(basename "$log" .failed)"
    cat "${log%.failed}.log"
done
# A test that left no counts (killed from outside) is a failure too.
ran=$(find "$results" -name '*.count' | wc -l)
[ "$ran" = "$(wc -l <"$results/tests")" ] || { echo "some tests left no counts"; count="0 passed, 1 failed"; }
echo "$count"
case $count in *" 0 failed"*) ;; *) exit 1 ;; esac
