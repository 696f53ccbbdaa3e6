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
example 0 03_ks "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" "$dir/ks" 3 2; prints "epoch 3 of 3: train "; prints "trained: 4 x 3 in 4 factors"
prints "closed form: 4 x 3"; prints "times smaller"; prints "relative error "
[ -s "$dir/ks/trained_best.pth" ] || fail "no trained_best.pth"
example 1 03_ks "$dir/absent" "$dir/ks"; says "absent"
example 2 03_ks
if command -v python3 >/dev/null 2>&1; then
    notebook="$(dirname "$0")/../../examples/make_ks_notebook.py"
    python3 "$notebook" --check >"$out" 2>"$err" || fail "the notebook is not what its script writes"
    if python3 -c 'import torch' 2>/dev/null; then WINNOW=$WINNOW python3 "$notebook" --run >"$out" 2>"$err" || fail "the notebook does not run"; fi
fi
example 2 01_generate
