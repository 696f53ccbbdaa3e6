#!/bin/sh
# SPDX-License-Identifier: MIT
# prune -> validate -> eval -> generate, twice the same files, and what all three refuse with which exit code.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/run" $tiny --steps 6 --no-tie-embeddings

# one round, from a run directory
run 0 prune "$dir/run" -o "$dir/p" --method magnitude --pattern row
prints "12 of 13 linear layers 2:4"; prints "model.layers.0.mlp.down_proj"; prints "(53.1%)"
says "not copied from $dir/run/latest: state.json, training.safetensors"
run 0 validate "$dir/p"; prints "12 of 13 linear layers are 2:4, 12 recorded"; prints "$dir/p: valid"
run 0 validate "$dir/run"; prints "0 of 13 linear layers are 2:4; config.json records none"
run 0 eval "$dir/p" --data "$dir/text" --strict-kernels --json; prints '"loss"'
run 0 generate "$dir/p" --prompt "The river" --tokens 8 --temperature 0 --strict-kernels --json
run 0 inspect "$dir/p"; prints "12 of them 2:4"; prints "2:4 weights in 12 layers (row)"
# the head by name, and then it runs packed too
run 0 prune "$dir/run" -o "$dir/head" --sparsity '*=2:4:row' -q; prints "13 of 13 linear layers 2:4"
run 0 validate -q "$dir/head"; prints "13 of 13 linear layers are 2:4, 13 recorded"
run 0 eval "$dir/head" --data "$dir/text"
# training takes it up, and may keep the pattern
# shellcheck disable=SC2086
run 0 train --init-from "$dir/p" --data "$dir/text" --out "$dir/tuned" $tiny --steps 3 --sparsity '*_proj=2:4:row' --mask-freeze-after 1
grep -q "layers that are 2:4 there" "$out" "$err" && fail "layers that keep their pattern are said to lose it"
run 0 validate "$dir/tuned/latest"; prints "12 of 13 linear layers are 2:4, 12 recorded"

# shellcheck disable=SC2086
run 0 train --init-from "$dir/p" --data "$dir/text" --out "$dir/dense" $tiny --steps 2 --sparsity 'self_attn.*=2:4:row'
says "note: 4 of the 12 layers that are 2:4 there are dense here"

# again, in either pattern, nothing changes
for pattern in row tile; do
    run 0 prune "$dir/run" -o "$dir/a-$pattern" --pattern $pattern -q
    run 0 prune "$dir/a-$pattern" -o "$dir/b-$pattern" --pattern $pattern -t 1 -q
    diff -r "$dir/a-$pattern" "$dir/b-$pattern" >"$out" || fail "pruning again changed a file"
    run 0 validate "$dir/b-$pattern"
done
prints "2:4 both ways, recorded tile"
run 0 prune "$dir/run" --dry-run --json; prints '"written": false'; prints '"packed_bytes"'
run 0 prune "$dir/run" -o "$dir/some" --sparsity 'mlp.*=2:4:tile' --json; prints '"pruned_layers": 4'
run 0 validate "$dir/some" --json; prints '"valid": true'; prints '"recorded": "tile"'

# what prune refuses, leaving nothing
run 2 prune "$dir/run"; says "needs --out"
run 1 prune "$dir/absent" -o "$dir/x"; says "absent"
run 1 prune "$dir/run" -o "$dir/p"; says "--force to replace it"
run 0 prune "$dir/run" -o "$dir/p" --force -q
cp -r "$dir/run/latest/" "$dir/step"
run 1 prune "$dir/p" -o "$dir/step" --force; says "$dir/step: not replaced, as it holds the file 'state.json'"
for kept in state.json training.safetensors; do [ -f "$dir/step/$kept" ] || fail "a refused prune took $kept"; done
run 1 prune "$dir/p" -o "$dir/p/inside"; says "the model's own directory"
run 1 prune "$dir/run" -o "$dir/run"; says "holds the model"
run 1 prune "$dir/run" -o "$dir/x" --pattern 3:4; says "expected row or tile"
run 1 prune "$dir/run" -o "$dir/x" --method wanda; says "expected magnitude"
run 1 prune "$dir/run" -o "$dir/x" --sparsity 'lm_hat=2:4:row'; says "matches no layer"; says "model.layers.*.mlp.up_proj"
run 1 prune "$dir/run" -o /proc/nowhere/x; says "/proc/nowhere"
for left in "$dir/x" "$dir/p/inside"; do [ ! -e "$left" ] || fail "a refused prune left $left"; done

# NaN: 7FC00000 in the last weight of the file, which is the last layer's v_proj
cp -r "$dir/run/latest/" "$dir/nan"
size=$(wc -c <"$dir/nan/model.safetensors")
printf '\000\000\300\177' | dd of="$dir/nan/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>"$err"
cp -r "$dir/p" "$dir/q"
printf '\000\000\300\177' | dd of="$dir/q/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>"$err"
run 3 validate "$dir/nan"; prints "1 of "; prints "NaN or infinite, the first at row"; prints "1 problem"
run 3 validate "$dir/q" --json; prints '"valid": false'

# shapes, truncation, index
cp -r "$dir/p" "$dir/shape"
sed 's/"intermediate_size": 128/"intermediate_size": 132/' "$dir/p/config.json" >"$dir/shape/config.json"
run 3 validate "$dir/shape"; prints "mlp.up_proj.weight: shape [128, 32], the configuration says [132, 32]"; prints "4 problems"
run 1 prune "$dir/shape" -o "$dir/x"; says "the configuration says [132, 32]"
cp -r "$dir/p" "$dir/cut"
head -c 5000 "$dir/p/model.safetensors" >"$dir/cut/model.safetensors"
run 3 validate "$dir/cut"; prints "model.safetensors"; prints "1 problem"
run 1 prune "$dir/cut" -o "$dir/x"; says "model.safetensors"
run 1 validate "$dir/absent"; says "absent"
# a record that is not true
cp -r "$dir/run/latest/" "$dir/claim"
cp "$dir/p/config.json" "$dir/claim/config.json"
run 3 validate -q "$dir/claim"; prints "config.json says 2:4 row, but row 0, group 0"; prints "12 problems"
run 0 prune "$dir/claim" -o "$dir/honest" --sparsity 'mlp.*=2:4:row'
says "config.json says 2:4 row of model.layers.0.self_attn.q_proj, which its weight is not: not recorded"
run 0 validate "$dir/honest"; prints "4 of 13 linear layers are 2:4, 4 recorded"

# A full disk and a read-only folder (root ignores modes, so both are mounts).
if [ "$(id -u)" = 0 ] && mkdir "$dir/small" && mount -t tmpfs -o size=60k none "$dir/small" 2>/dev/null; then
    run 1 prune "$dir/run" -o "$dir/small/p"; says "No space left"
    find "$dir/small" -mindepth 1 | grep . && fail "something stays behind on a full disk"
    mount -o remount,ro "$dir/small"
    run 1 prune "$dir/run" -o "$dir/small/p"; says "Read-only file system"
    umount "$dir/small"
fi
[ ! -e "$dir/x" ] || fail "a refused prune left something"
find "$dir" -name '*.tmp-*' | grep . && fail "temporary names stay behind"
exit 0
