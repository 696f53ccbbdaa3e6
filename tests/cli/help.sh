#!/bin/sh
# SPDX-License-Identifier: MIT
# Help, manual page, completion, version, and usage errors with their exit codes.
. "$(dirname "$0")/lib.sh"

run 0 --version; prints "winnow 0."
run 0 help; prints "train"
for command in train eval generate prune ks convert validate inspect tokenize plot doctor kernels verify help; do
    run 0 help "$command"; prints "usage: winnow $command"
    run 0 "$command" --help; prints "usage: winnow $command"
done
run 0 help --man; prints ".TH WINNOW 1"; prints "seq\\-len"
run 0 help --completion; prints "complete -o filenames -F _winnow winnow"
bash -n "$out" 2>"$err" || fail "the completion script does not parse"

run 2
run 2 trian; says "nearest is 'train'"
run 2 train --sparsty x; says "nearest is --sparsity"
run 2 train --layers 0; says "nearest legal value is 1"
run 2 train; says "needs --out"
run 2 train --out "$dir/r"; says "needs --data"
run 2 eval; says "needs MODEL"
run 2 help nothing; says "unknown command"
run 1 inspect "$dir/absent"; says "absent"
run 1 generate "$dir/absent" --prompt x; says "absent"
printf 'layer = 3\n' >"$dir/c.conf"
run 2 train --config "$dir/c.conf"; says "c.conf: line 1: unknown option 'layer'; the nearest is 'layers'"
printf 'lr = 1\nseed = 3\n# told\nlr=2\n' >"$dir/c.conf"
run 2 train --config "$dir/c.conf" --lr 3; says "c.conf: line 4: 'lr' is given a second time, line 1 has it already"
"$WINNOW" help train >/dev/full 2>"$err" && fail "a full disk under standard output went unnoticed"
says "standard output"
