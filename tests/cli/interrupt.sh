#!/bin/sh
# SPDX-License-Identifier: MIT
# SIGINT ends with a checkpoint and 130; kill -9 loses at most what came after the last one; resuming gives the losses of a run never stopped.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
options="$tiny --sparse --save-every 10 --log-every 1 --schedule constant"
losses() { grep '"kind": *"step"' "$1/metrics.jsonl" | sed 's/.*"step": *\([0-9]*\).*"loss": *\([^,}]*\).*/\1 \2/'; }

# stopped SIGNAL CODE NAME SECONDS OPTIONS...: a run that would not end by itself gets the signal so long after its first checkpoint; it goes on, and is then what a run
# of as many updates is that nobody stopped.
stopped() {
    signal=$1 code=$2 name=$3 seconds=$4
    shift 4
    "$WINNOW" train --data "$dir/text" --out "$dir/$name" "$@" --steps 1000000000 >"$out" 2>"$err" &
    child=$!
    await [ -e "$dir/$name/latest" ]
    sleep "$seconds"
    kill "-$signal" $child
    wait $child 2>/dev/null
    [ $? = "$code" ] || fail "SIG$signal does not end with $code"
    cp "$err" "$dir/said"
    saved=$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "$dir/$name/latest/state.json")
    run 0 train --out "$dir/$name" --resume --steps $((saved + 25))
    run 0 train --data "$dir/text" --out "$dir/$name-whole" "$@" --steps $((saved + 25))
    losses "$dir/$name-whole" >"$dir/want"
    [ "$(wc -l <"$dir/want")" = $((saved + 25)) ] || fail "$(wc -l <"$dir/want") losses, not $((saved + 25))"
    losses "$dir/$name" | cmp - "$dir/want" || fail "the losses differ after SIG$signal and resume"
    cmp "$dir/$name/latest/model.safetensors" "$dir/$name-whole/latest/model.safetensors" || fail "the models differ after SIG$signal"
    cmp "$dir/$name/latest/training.safetensors" "$dir/$name-whole/latest/training.safetensors" || fail "the states differ after SIG$signal"
}

# shellcheck disable=SC2086
stopped INT 130 int 0 $options --profile
cp "$dir/said" "$err"; says "updates after the first"; says "between kernels"
# shellcheck disable=SC2086
stopped KILL 137 kill 0.3$(($$ % 10)) $options

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
set -f # the rules have stars
# shellcheck disable=SC2086
stopped KILL 137 loro 0.4$(($$ % 10)) $tiny --save-every 7 --log-every 1 --schedule constant --sparsity *_proj=lowrank:8+2:4+mvue --sparsity mlp.act=act2:4:mvue --act-warmup 50 \
    --act-permute --optimizer loro_adamw --exact-every 10 --refresh all
set +f
