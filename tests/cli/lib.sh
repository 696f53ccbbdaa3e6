# SPDX-License-Identifier: MIT
# shellcheck shell=sh
# Sourced by the command-line tests: a scratch folder, a small text, and checks that say what they saw.
set -u
: "${WINNOW:?path of the program}"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
out=$dir/out err=$dir/err

fail() {
    echo "FAILED: $*"
    echo "--- standard output"; head -n 40 "$out" 2>/dev/null
    echo "--- standard error"; head -n 40 "$err" 2>/dev/null
    exit 1
}

# run CODE ARGUMENTS...: runs winnow and checks its exit code.
run() {
    want=$1
    shift
    "$WINNOW" "$@" >"$out" 2>"$err" </dev/null
    got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want: winnow $*"
}

# await COMMAND...: until it succeeds, while the program $child runs.
# shellcheck disable=SC2154
await() {
    until "$@" 2>/dev/null; do
        kill -0 "$child" 2>/dev/null || "$@" || fail "ended before: $*"
        sleep 0.02
    done
}

says() { grep -qF -- "$1" "$err" || fail "standard error lacks: $1"; }
says_not() { ! grep -qF -- "$1" "$err" || fail "standard error has: $1"; }
prints() { grep -qF -- "$1" "$out" || fail "standard output lacks: $1"; }
prints_not() { ! grep -qF -- "$1" "$out" || fail "standard output has: $1"; }

# Whether the program is a sanitized build: some ten times slower, and here for the code it reaches, not for sizes.
sanitized() { grep -qE '^WN_SANITIZE:[A-Z]*=.' "$WN_BUILD/CMakeCache.txt" 2>/dev/null; }

# About 60 kB of made-up prose with structure to learn, the same every time.
make_text() {
    awk 'BEGIN {
        srand(7)
        n = split("the a one some every", d, " "); m = split("river house garden letter evening window carriage sister stranger morning", s, " ")
        k = split("saw found left kept wanted remembered followed lost", v, " "); a = split("quietly again slowly at_last with_care", w, " ")
        for (i = 0; i < 1300; i++) {
            t = d[1 + int(rand() * n)] " " s[1 + int(rand() * m)] " " v[1 + int(rand() * k)] " " d[1 + int(rand() * n)] " " s[1 + int(rand() * m)] " " w[1 + int(rand() * a)] "."
            gsub("_", " ", t); print toupper(substr(t, 1, 1)) substr(t, 2)
        } }' >"$1"
}

# A tiny model's options, so that a run takes a second or two.
# shellcheck disable=SC2034
tiny="--vocab-size 300 --hidden-size 32 --layers 2 --heads 2 --seq-len 32 --batch-size 4 --warmup 4 --log-every 5 --eval-every 0 --threads 2"
