#!/bin/sh
# SPDX-License-Identifier: MIT
# The examples train a model and continue a text with it.
: "${WN_BUILD:?build directory}"
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"

example() {
    want=$1
    shift
    program=$1
    shift
    "$WN_BUILD/examples/$program" "$@" >"$out" 2>"$err" </dev/null
    got=$?
    [ "$got" = "$want" ] || fail "exit code $got, not $want: $program $*"
}

example 0 02_train "$dir/text" "$dir/run" 20; prints "step 20 of 20: loss "; prints "saved "; prints " bits per byte"
example 0 01_generate "$dir/run" "The river" 12; prints "4 of 12 linear layers are sparse"; prints "The river"; prints "12 tokens in "
example 1 01_generate "$dir/absent"; says "absent"
example 1 02_train "$dir/absent" "$dir/other"; says "absent"
example 2 01_generate
