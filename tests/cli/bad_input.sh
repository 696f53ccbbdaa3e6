#!/bin/sh
# SPDX-License-Identifier: MIT
# Training refuses what it cannot do, and says what to do instead.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"

: >"$dir/empty"
# shellcheck disable=SC2086
{
    run 1 train --data "$dir/empty" --out "$dir/r1" $tiny --steps 2; says "empty"
    printf 'a' >"$dir/one"
    run 1 train --data "$dir/one" --out "$dir/r2" $tiny --steps 2; says "one"
    run 1 train --data "$dir/absent" --out "$dir/r3" $tiny --steps 2; says "absent"
    run 1 train --data "$dir/text" --out "$dir/r4" $tiny --steps 2 --sparsity 'nothing.*=2:4'; says "nothing.*"; says "mlp.up_proj"
    run 1 train --data "$dir/text" --out "$dir/r5" $tiny --steps 2 --sparsity 'mlp.*=3:4'; says "3:4"
    run 1 train --data "$dir/text" --out "$dir/r6" $tiny --steps 2 --intermediate-size 66 --sparse; says "66"; says "64"
    run 0 train --data "$dir/text" --out "$dir/r7" $tiny --steps 2 --intermediate-size 66 --sparsity 'mlp.*=2:4:row'
    run 1 train --data "$dir/text" --out "$dir/r8" $tiny --steps 2 --heads 5; says "5"
    run 1 train --data "$dir/text" --out "$dir/r9" $tiny --steps 2 --schedule cubic; says "cosine"
    run 1 train --data "$dir/text" --out "$dir/r10" $tiny --steps 2 --mlp gelu; says "relu2"
    run 1 train --data "$dir/text" --out "$dir/r11" $tiny --steps 2 --kernels matmul:nothing; says "nothing"
    for word in torchrun run_c4.py --nproc_per_node=1 '--nproc-per-node 4' --standalone '--rdzv_endpoint host:1' '--master_port 1'; do
        # shellcheck disable=SC2086
        run 2 train $word --model_config llama_toy; says "belongs to the launcher's command"; says "${word%%[ =]*}"
    done
    run 2 eval "$dir/a" --nproc_per_node 1; says "unknown option --nproc_per_node"
    run 1 train --out "$dir/absent" --resume --steps 3; says "absent"

    run 0 train --data "$dir/text" --out "$dir/a" $tiny --steps 3
    run 1 train --data "$dir/text" --out "$dir/a" $tiny --steps 3; says "resume it"
    # a vocabulary that does not match
    run 0 tokenize --train "$dir/text" --vocab-size 500 --out "$dir/t500.json"
    run 1 train --data "$dir/text" --init-from "$dir/a" --tokenizer "$dir/t500.json" --out "$dir/r12" $tiny --steps 2; says "300"
    # a checkpoint of another model
    run 0 train --data "$dir/text" --out "$dir/b" $tiny --steps 3 --layers 1
    cp "$dir/b/latest/training.safetensors" "$dir/a/latest/training.safetensors"
    run 1 train --out "$dir/a" --resume --steps 6; says "training.safetensors"
    run 0 train --data "$dir/text" --out "$dir/c" $tiny --steps 3
    printf 'x' | dd of="$dir/c/latest/training.safetensors" bs=1 seek=2000 conv=notrunc 2>/dev/null
    run 1 train --out "$dir/c" --resume --steps 6; says "training.safetensors"
}

# What a model's files have wrong is said with the file and the tensor.
spoil() { rm -rf "$dir/bad"; cp -r "$dir/b/latest/" "$dir/bad"; }
spoil; sed -i 's/"num_hidden_layers": 1/"num_hidden_layers": 2/' "$dir/bad/config.json"
run 1 generate "$dir/bad" --prompt a --tokens 1; says "bad/model.safetensors: no tensor 'model.layers.1."
spoil; sed -i 's/"intermediate_size": [0-9]*/"intermediate_size": 32/' "$dir/bad/config.json"
run 1 generate "$dir/bad" --prompt a --tokens 1; says "bad/model.safetensors: tensor 'model.layers.0.mlp."; says "the configuration says F32 ["
run 1 prune "$dir/bad" -o "$dir/no"; says "bad/model.safetensors: tensor 'model.layers.0.mlp."
spoil; size=$(wc -c <"$dir/bad/model.safetensors")
printf '\000\000\300\177' | dd of="$dir/bad/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
run 1 generate "$dir/bad" --prompt a --tokens 1; says "bad: logit 0 is NaN; 'winnow inspect' names weights that are not finite"
run 1 eval "$dir/bad" --data "$dir/text"; says "the loss is NaN"
run 0 inspect "$dir/bad"; prints "1 NaN or infinite"
# Names that would drive a terminal do not get there.
header='{"\u001b[31mx\u202ey":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
{ printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0"; printf '%s\000\000\200\077' "$header"; } >"$dir/name.safetensors"
run 0 inspect "$dir/name.safetensors"; prints '?[31mx?y'; prints_not "$(printf '\033')"
cp "$dir/name.safetensors" "$dir/bad/model.safetensors"
run 3 validate "$dir/bad"; prints 'FAIL ?[31mx?y: belongs to no part'; prints_not "$(printf '\033')"
run 1 eval "$dir/bad" --data "$dir/text"; says "tensor '?[31mx?y' belongs"
# Wide numbers: their deviation, and what float32 cannot hold.
header='{"w":{"dtype":"F64","shape":[2,1],"data_offsets":[0,16]}}'
{ printf "\\$(printf %03o ${#header})\0\0\0\0\0\0\0"; printf '%s\000\000\000\000\000\000\360\176\000\000\000\000\000\000\360\376' "$header"; } >"$dir/wide.safetensors"
run 0 inspect "$dir/wide.safetensors"; prints "std 2.74e+303 "
run 1 ks fit "$dir/wide.safetensors"; says "wide.safetensors: tensor 'w': 2.74306e+303 at row 0, column 0: at most 3.4028e+38 in float32"

# A full disk and a read-only folder (root ignores modes, so both are mounts).
if [ "$(id -u)" = 0 ] && mkdir "$dir/small" && mount -t tmpfs -o size=600k none "$dir/small" 2>/dev/null; then
    # shellcheck disable=SC2086
    run 1 train --data "$dir/text" --out "$dir/small/run" $tiny --steps 4 --save-every 2 --hidden-size 64
    says "No space left"
    [ ! -e "$dir/small/run/latest" ] || [ -s "$dir/small/run/latest/state.json" ] || fail "a broken checkpoint was published"
    head -c 600000 /dev/zero >"$dir/small/fill" 2>/dev/null; run 1 convert "$dir/b/latest" "$dir/small/b.pth"; says "small/b.pth: cannot write"; says_not "b.pth: $dir"
    find "$dir/small" -name '*.tmp*' | grep . && fail "temporary files stay behind"
    mount -o remount,ro "$dir/small"
    # shellcheck disable=SC2086
    run 1 train --data "$dir/text" --out "$dir/small/other" $tiny --steps 2
    says "Read-only file system"
    umount "$dir/small"
fi
exit 0
