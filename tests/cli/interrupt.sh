#!/bin/sh
# SPDX-License-Identifier: MIT
# SIGINT ends with a checkpoint and 130; kill -9 loses at most what came after the last one; resuming gives the losses of a run never stopped.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
# Enough that a run is at work yet when it is killed.
if sanitized; then steps=120; else steps=400; fi
options="$tiny --sparse --steps $steps --save-every 10 --log-every 1"

# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/whole" $options
losses() { grep '"kind": *"step"' "$1/metrics.jsonl" | sed 's/.*"step": *\([0-9]*\).*"loss": *\([^,}]*\).*/\1 \2/'; }
losses "$dir/whole" >"$dir/want"
[ "$(wc -l <"$dir/want")" = $steps ] || fail "$(wc -l <"$dir/want") losses, not $steps"

# shellcheck disable=SC2086
"$WINNOW" train --data "$dir/text" --out "$dir/int" $options --profile >"$out" 2>"$err" &
child=$!
await [ -e "$dir/int/latest" ]
kill -INT $child
wait $child
[ $? = 130 ] || fail "SIGINT does not end with 130"
says "updates after the first"; says "between kernels"
run 0 train --out "$dir/int" --resume
losses "$dir/int" | cmp - "$dir/want" || fail "the losses differ after SIGINT and resume"

# shellcheck disable=SC2086
"$WINNOW" train --data "$dir/text" --out "$dir/kill" $options >"$out" 2>"$err" &
child=$!
await [ -e "$dir/kill/latest" ]
sleep 0.3$(($$ % 10))
kill -9 $child
wait $child 2>/dev/null
run 0 train --out "$dir/kill" --resume
losses "$dir/kill" | cmp - "$dir/want" || fail "the losses differ after kill -9 and resume"
cmp "$dir/kill/latest/model.safetensors" "$dir/whole/latest/model.safetensors" || fail "the models differ"

# Ctrl-C ends a reader of the log first: the checkpoint is saved all the same.
mkfifo "$dir/log"
# shellcheck disable=SC2086
"$WINNOW" train --data "$dir/text" --out "$dir/pipe" $options --steps 100000 --save-every 0 >"$out" 2>"$dir/log" &
child=$!
head -n 40 "$dir/log" >"$err"
kill -TERM $child
wait $child
[ $? = 130 ] || fail "a lost reader of the log ends the run without a checkpoint"
[ -s "$dir/pipe/latest/state.json" ] || fail "no checkpoint"

# A lost terminal is told by the shell and by the kernel: the checkpoint is saved all the same. Under nohup nobody is told.
if sh -c 'kill -HUP $$' 2>/dev/null; then
    echo "SIGHUP is ignored here, left out"
else
    # shellcheck disable=SC2086
    "$WINNOW" train --data "$dir/text" --out "$dir/hup" $options --steps 100000 --save-every 0 >"$out" 2>"$err" &
    child=$!
    await grep -q '"step"' "$dir/hup/metrics.jsonl"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -HUP $child 2>/dev/null || break; sleep 0.01; done
    wait $child
    [ $? = 130 ] || fail "SIGHUP twice does not end with 130"
    [ -s "$dir/hup/latest/state.json" ] || fail "no checkpoint after SIGHUP twice"
fi

# kill -9 between exact steps on sparse factors, with random draws in the gradients: the same bits.
options="$tiny --steps $((steps / 2)) --save-every 7 --log-every 1 --sparsity *_proj=lowrank:8+2:4+mvue --sparsity mlp.act=act2:4:mvue --act-warmup 50 --act-permute --optimizer loro_adamw --exact-every 10 --refresh all"
set -f
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/loro" $options
# shellcheck disable=SC2086
"$WINNOW" train --data "$dir/text" --out "$dir/lorokill" $options >"$out" 2>"$err" &
child=$!
set +f
await [ -e "$dir/lorokill/latest" ]
sleep 0.4$(($$ % 10))
kill -9 $child
wait $child 2>/dev/null
run 0 train --out "$dir/lorokill" --resume
losses "$dir/loro" >"$dir/want"
losses "$dir/lorokill" | cmp - "$dir/want" || fail "the losses differ after kill -9 and resume of LORO"
cmp "$dir/lorokill/latest/model.safetensors" "$dir/loro/latest/model.safetensors" || fail "the models of LORO differ"
cmp "$dir/lorokill/latest/training.safetensors" "$dir/loro/latest/training.safetensors" || fail "the states of LORO differ"
