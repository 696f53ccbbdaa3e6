#!/bin/sh
# SPDX-License-Identifier: MIT
# winnow ks fit: the flags of the program it follows as written there, what it writes, and torch reads it.
. "$(dirname "$0")/lib.sh"
weight=$(dirname "$0")/../fixtures/formats/pth/parameter.pth # 4 x 3

run 0 ks fit --weight_path "$weight" --rank 2 --bs_last --impl triton --batch_size 8 --num_epochs 2 --lr 1e-3 --weight_decay 1e-4 \
    --optimizer adamw --scheduler plateau --scheduler_patience 10 --scheduler_factor 0.5 --step_size 30 --gamma 0.1 --max_grad_norm 1.0 \
    --log_grad_norm --num_samples 50 --val_split 0.2 --output_dir "$dir/run" --save_prefix chain --save_interval 1 --device cuda \
    --dtype float16 --log_interval 1 --verbose --method sgd --json
prints '"factors": 4'; says 'the fit runs on the CPU'; says 'epoch 2/2 | train '
for file in chain_best.pth chain_final.pth chain_epoch_1.pth chain_epoch_2.pth chain_training_log.json chain_rank_2_loss_curves.json \
    chain_rank_2_loss_curves.csv; do
    [ -s "$dir/run/$file" ] || fail "no $file"
done
# The two commands of its document, word for word but for the program's name.
mkdir "$dir/ckpt"; cp "$weight" "$dir/ckpt/gate_proj_weights0.pth"
here=$PWD; cd "$dir" || exit 1
run 0 ks fit --weight_path ckpt/gate_proj_weights0.pth --rank 4 --batch_size 64 --num_epochs 10 --lr 1e-3 --output_dir ./trained_models
says "method sgd, impl "; says "epoch 10/10 | train "
for file in best.pth final.pth epoch_10.pth rank_4_loss_curves.json rank_4_loss_curves.csv; do
    [ -s "trained_models/ks_chain_$file" ] || fail "no ks_chain_$file"
done
for key in epoch train_loss val_loss grad_norm weight_grad_norms weight_names learning_rate compression_stats dense_parameters sparse_parameters \
    compression_ratio memory_savings_percent; do
    grep -q "\"$key\":" trained_models/ks_chain_training_log.json || fail "the log lacks $key"
done
run 0 ks fit --weight_path ckpt/gate_proj_weights0.pth --rank 8 --impl triton --batch_size 32 --num_epochs 100 --lr 5e-4 --weight_decay 1e-5 --optimizer adamw \
    --scheduler cosine --max_grad_norm 1.0 --log_grad_norm --num_samples 10000 --val_split 0.2 --dtype float16 --device cuda --save_interval 10 --verbose
says "batch 200/250 | loss "; says "epoch 100/100 | train "
cd "$here" || exit 1
run 0 ks fit "$weight" --chain monarch:2x3 --output-dir "$dir/closed"; prints "relative error"
run 0 ks fit "$weight" --ranks 1,2 --output-dir "$dir/sweep" --num-epochs 2 --method sgd --num-samples 20 --batch-size 8 -q; prints "rank      2"
[ "$(wc -l <"$dir/sweep/rank_sweep_summary.csv")" = 3 ] || fail "no line for each rank"
for file in rank_1/rank_1_final.pth rank_2/rank_2_best.pth rank_sweep_summary.json; do [ -s "$dir/sweep/$file" ] || fail "no $file"; done
run 0 ks fit "$weight" --ranks 1,2 --output-dir "$dir/sweep" --method svd --json; prints '"rank": 2'; grep -q 'rank  ' "$out" && fail "a table beside JSON"
run 2 ks fit "$weight" --ranks 1,,2; says "joined by ','"
run 2 ks fit "$weight" --ranks 2,1,2; says "the same one twice"
run 2 ks fit "$weight" --ranks 1,2 --chain monarch:2x3; says "is of legacy chains"
run 0 ks fit "$weight" --ranks 1,2 --chain legacy+lowrank:1 --output-dir "$dir/sweephead" --method svd -q; prints "rank      2"
run 1 ks fit "$weight" --method sgd --lr 1e3 --optimizer sgd --max-grad-norm 0 --output-dir "$dir/far"; says "the loss is not finite in epoch"
[ ! -e "$dir/far/ks_chain_final.pth" ] || fail "a fit that went nowhere was kept"
run 0 ks fit "$weight" --chain monarch:2x3+lowrank:1 --output-dir "$dir/head"; prints "4 x 3 in 2 factors: 17 of 12 parameters"
run 0 ks fit "$weight" --chain monarch:2x3+lowrank:1 --output-dir "$dir/head" --json; cp "$out" "$dir/head.json"
run 0 inspect "$dir/head/ks_chain_final.pth"; prints "and a head of rank 1, head.out times head.in, beside it"; prints "head.out"
run 1 ks fit "$weight" --chain monarch:2x3+lowrank:4 --output-dir "$dir/no"; says "a head of rank 4 beside 4 x 3: from 1 to 3"
run 1 ks fit "$weight" --method lbfgs --output-dir "$dir/no"; says "method 'lbfgs': svd, als, sgd or auto expected"
run 1 ks fit "$weight" --optimizer lion --output-dir "$dir/no"; says "optimizer 'lion': adamw, adam or sgd expected"
run 0 ks fit "$weight" --method als --output-dir "$dir/als"; prints " sweeps"
run 1 ks fit "$dir/nothing.pth"; says "nothing.pth"
head -c 350 "$(dirname "$0")/../fixtures/formats/pth/bare_legacy.pth" >"$dir/cut.pth"; run 1 ks fit "$dir/cut.pth"; says "the file is cut off: storage 0 takes 24 bytes"
# SIGTERM: after the epoch, with a checkpoint and 130; gone on with to the bit. One fit at a time has a prefix; files half written of a killed one go, no others.
long="--method sgd --num-samples 400 --batch-size 4 --save-interval 0 --threads 1"
mkdir "$dir/term"; : >"$dir/term/ks_chain_best.pth.tmp-7-0"; : >"$dir/term/ks_chain_epoch_5.pth.tmp-7-1"; : >"$dir/term/ks_chain_b_best.pth.tmp-7-0"; : >"$dir/term/ks_chain_best.pth.tmp-old"
# shellcheck disable=SC2086
"$WINNOW" ks fit "$weight" $long --num-epochs 1000000 --output-dir "$dir/term" >"$out" 2>"$dir/log" </dev/null &
child=$!
await grep -q "epoch 2/" "$dir/log"
# shellcheck disable=SC2086
run 1 ks fit "$weight" $long --num-epochs 2 --output-dir "$dir/term"; says "another fit is writing files of this prefix"
# shellcheck disable=SC2086
run 0 ks fit "$weight" $long --num-epochs 2 --output-dir "$dir/term" --save-prefix other
kill -TERM $child
wait $child
[ $? = 130 ] || fail "SIGTERM does not end a fit with 130"
cp "$dir/log" "$err"; says "stopped after epoch "; says "ks_chain_best.pth.tmp-7-0, which a fit that was killed left behind"
[ "$(cd "$dir/term" && echo *.tmp-* *.lock)" = "ks_chain_b_best.pth.tmp-7-0 ks_chain_best.pth.tmp-old *.lock" ] || fail "left behind: $(ls "$dir/term")"
# A lost reader of what it says ends no fit.
mkfifo "$dir/pipe"
# shellcheck disable=SC2086
"$WINNOW" ks fit "$weight" $long --num-epochs 1000000 --output-dir "$dir/unread" >"$out" 2>"$dir/pipe" </dev/null &
child=$!
head -n 4 "$dir/pipe" >"$err"
kill -TERM $child
wait $child
[ $? = 130 ] || fail "a lost reader ends a fit without a checkpoint"
for file in "$dir"/unread/ks_chain_epoch_*.pth; do [ -s "$file" ] || fail "no checkpoint"; done
# A sweep ends as its fit does; within the first epoch there is nothing to save.
# shellcheck disable=SC2086
"$WINNOW" ks fit "$weight" $long --ranks 1,2 --num-epochs 1000000 --output-dir "$dir/ranks" >"$out" 2>"$err" </dev/null &
child=$!
await [ -e "$dir/ranks/rank_1/rank_1_best.pth" ]
kill -TERM $child
wait $child
[ $? = 130 ] || fail "SIGTERM does not end a sweep with 130"
says "rank 1: stopped after epoch "; says "--save-prefix rank_1 stand for --ranks"
for file in "$dir"/ranks/rank_1/rank_1_epoch_*.pth; do [ -s "$file" ] || fail "no checkpoint of the sweep"; done
[ ! -e "$dir/ranks/rank_1/rank_1.lock" ] || fail "a lock was left"
# shellcheck disable=SC2086
"$WINNOW" ks fit "$weight" $long --num-samples 4000000 --log-interval 100 --output-dir "$dir/first" >"$out" 2>"$err" </dev/null &
child=$!
await grep -q "^epoch 1/.* batch 100/" "$err"
kill -TERM $child
wait $child
[ $? = 130 ] || fail "SIGTERM does not end the first epoch with 130"
says "stopped in epoch 1, the first of this fit"
[ -z "$(ls -A "$dir/first")" ] || fail "left behind: $(ls -A "$dir/first")"
saved=$(sed -n 's/.* with --resume \(.*\) goes on$/\1/p' "$dir/log"); epoch=${saved##*_epoch_}; epoch=${epoch%.pth}; more=$((epoch + 3))
# shellcheck disable=SC2086
run 0 ks fit "$weight" $long --num-epochs $more --output-dir "$dir/term" --resume "$saved"
# shellcheck disable=SC2086
run 0 ks fit "$weight" $long --num-epochs $more --output-dir "$dir/whole"
cmp "$dir/whole/ks_chain_final.pth" "$dir/term/ks_chain_final.pth" || fail "a fit that was stopped and went on is another"
run 2 ks unfit "$weight"; says "fit or apply expected"
run 2 ks fit "$weight" --recover 3; says "ks fit has no --recover"
run 2 ks fit; says "needs one weight"
run 2 ks fit "$weight" --device tpu; says "cpu or cuda"
WN_LIBCUDA="$dir/no-such-driver.so" run 0 ks fit "$weight" --device cuda --method sgd --num-epochs 1 --output-dir "$dir/gpu"; says "the fit runs on the CPU"

# ks apply: layers of a model as chains, run, validated and trained as such; merged; with training afterwards.
make_text "$dir/text"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/model" $tiny --steps 12 --mlp relu2
run 0 ks apply "$dir/model" -o "$dir/chains" --sparsity '*_proj=kron:monarch:8' --sparsity '*.o_proj=dense' --ratio 0.5 --calib "$dir/text" --calib-tokens 640 \
    --rounds 3 --threads 2
prints "10 of 12 linear layers are chains: 11264 of their 22528 parameters, 50.00% (50.00% asked for)"; prints "monarch:8:2"; prints "what remains: "
says "before: loss "; says "fitted: loss "; says "windows of 32 tokens: $dir/model/latest has no more positions"
run 0 eval "$dir/chains" --data "$dir/text" --seq-len 32; prints "loss "
run 0 generate "$dir/chains" --prompt The --tokens 3
run 0 validate "$dir/chains"; prints "chains: valid"
run 0 train --init-from "$dir/chains" --data "$dir/text" --out "$dir/more" --steps 1 --batch-size 4 --threads 2
says "sequences of 32 tokens: $dir/chains has no more positions"; says "kron monarch 8x8 rank 2"; says "replaced 10 modules by kron"
grep -q '"model.layers.0.mlp.up_proj=kron:monarch:8:2"' "$dir/more/run.json" || fail "run.json lacks the chains"
run 0 train --resume --out "$dir/more" --steps 2 --threads 2
# A teacher: as many updates in one go and in two are the same bits; a teacher is dense.
run 0 train --init-from "$dir/chains" --teacher "$dir/model" --distill-weight 0.75 --data "$dir/text" --out "$dir/taught" --steps 4 --seq-len 32 --batch-size 4 --threads 2 --schedule constant
says "of the loss, at temperature 2"
run 0 train --init-from "$dir/chains" --teacher "$dir/model" --distill-weight 0.75 --data "$dir/text" --out "$dir/half" --steps 2 --seq-len 32 --batch-size 4 --threads 2 --schedule constant
run 0 train --resume --out "$dir/half" --steps 4 --threads 1; says "0.75 of the loss"
cmp "$dir/taught/latest/training.safetensors" "$dir/half/latest/training.safetensors" || fail "a resumed run with a teacher is another"
run 4 train --init-from "$dir/model" --teacher "$dir/chains" --data "$dir/text" --out "$dir/no" --steps 1 --seq-len 32; says "a teacher is dense"; rm -rf "$dir/no"
run 0 train --init-from "$dir/model" --distill-weight 0.3 --data "$dir/text" --out "$dir/no" --steps 1 --seq-len 32; says "distill_weight has no effect: there is no teacher"; rm -rf "$dir/no"
# A run of before there were teachers goes on, to the same bits.
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/today" $tiny --steps 4 --schedule constant
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/earlier" $tiny --steps 2 --schedule constant
for file in run.json latest/state.json; do
    grep -v '"teacher"\|"distill_' "$dir/earlier/$file" >"$dir/old.json"; cmp -s "$dir/old.json" "$dir/earlier/$file" && fail "$file had no teacher to lose"
    cp "$dir/old.json" "$dir/earlier/$file"
done
run 0 train --resume --out "$dir/earlier" --steps 4; grep -q '"distill_weight": 0.5' "$dir/earlier/run.json" || fail "run.json of a run that went on is the old one"
cmp "$dir/today/latest/training.safetensors" "$dir/earlier/latest/training.safetensors" || fail "a run of an earlier program went on in another way"
# A head beside the chain: trained, gone on with to the bit, merged for everybody, kept by ks apply.
heads="--sparsity mlp.*=kron:monarch:8:2+lowrank:2 --sparsity *.o_proj=kron:butterfly+lowrank:3"
set -f # the rules have stars
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/headed" $tiny --steps 4 --mlp relu2 --schedule constant $heads; says "kron monarch 8x8 rank 2 + lowrank 2"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/part" $tiny --steps 2 --mlp relu2 --schedule constant $heads
set +f
run 0 train --resume --out "$dir/part" --steps 4 --threads 1
cmp "$dir/headed/latest/training.safetensors" "$dir/part/latest/training.safetensors" || fail "a resumed run with heads is another"
cmp "$dir/headed/latest/model.safetensors" "$dir/part/latest/model.safetensors" || fail "a resumed run with heads has other products"
run 0 inspect "$dir/headed/latest/training.safetensors"; prints "model.layers.1.mlp.up_proj.head_out"; prints "model.layers.0.self_attn.o_proj.head_in"
run 0 inspect "$dir/headed"; prints "model.layers.1.mlp.up_proj.weight"; grep -q head_in "$out" && fail "a checkpoint for everybody has a head"
run 0 eval "$dir/headed" --data "$dir/text" --seq-len 32; prints "loss "
run 0 ks apply "$dir/model" -o "$dir/withhead" --sparsity '*_proj=kron:monarch:8+lowrank:2' --ratio 0.5 --calib "$dir/text" --calib-tokens 640 --seq-len 32 --rounds 2 --recover 2 \
    --threads 2
prints "monarch:8:2+lowrank:2"; prints "12288 of their 24576 parameters, 50.00%"
run 0 eval "$dir/withhead" --data "$dir/text" --seq-len 32; prints "loss "
run 0 validate "$dir/withhead"
run 1 prune "$dir/withhead" -o "$dir/no"; says "no layer has a weight that could be 2:4: all are chains"
run 0 inspect "$dir/withhead"; prints "12 layers are chains"; prints "128 x 32 monarch:8:2+lowrank:2 (4,32,8,1) (1,8,8,16): 2368 of 4096 parameters"; prints "together 12288 of 24576"
run 0 inspect "$dir/withhead/model.safetensors"; prints "12 layers are chains"; prints "layout groups-cb (tagged)"; prints "128 x 32 lowrank:2 + (4,32,8,1) (1,8,8,16): 2368 of 4096"
run 0 train --init-from "$dir/withhead" --data "$dir/text" --out "$dir/on" --steps 1 --seq-len 32 --batch-size 4 --threads 2; says "replaced 12 modules in all"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.q_proj=kron:monarch:8+lowrank:33' --calib "$dir/text" --seq-len 32; says "a head of rank 33 beside 32 x 32: from 1 to 32"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.q_proj=kron:monarch:8+lowrank:8' --ratio 0.25 --calib "$dir/text" --seq-len 32; says "one block of rank 1 and the head has"
# inspect of checkpoints: their chain, its layout and what it costs; what does not fit together is refused.
run 0 inspect "$dir/run/chain_final.pth"; prints "chain of 4 factors for 4 x 3: 30 of 12 parameters"; prints "layout groups-cb (winnow.chain says so)"
prints " 0  (1,2,3,1)"; prints "model_state_dict.weights.3"; prints "a bottleneck: the chain is a matrix of rank 2 and no more"; prints "optimizer_state_dict.state.0.exp_avg"
run 0 inspect "$weight"; prints "(bare tensor)"
run 0 inspect "$dir/run/chain_final.pth" --json; prints '"config"'
run 4 inspect "$(dirname "$0")/../fixtures/formats/pth/no_system.pth"; says "posix.system"
cp -R "$dir/chains" "$dir/other"; sed 's/rightmost-first groups-cb/rightmost-first groups-bc/' "$dir/chains/model.safetensors" >"$dir/other/model.safetensors"
run 1 eval "$dir/other" --data "$dir/text" --seq-len 32; says "layout groups-bc, but groups-cb is read"
sed 's/(4,8,8,1) (1,8,8,4)/(4,8,8,1) (2,8,8,2)/' "$dir/chains/model.safetensors" >"$dir/other/model.safetensors"
run 1 eval "$dir/other" --data "$dir/text" --seq-len 32; says "factor 1 is (2,8,8,2), but the layer's is (1,8,8,4)"
sed 's/rightmost-first groups-cb/rightmost-first groups-bc/' "$dir/chains/model.safetensors" >"$dir/other/model.safetensors"
run 1 inspect "$dir/other/model.safetensors"; says "layout groups-bc"
cp -R "$dir/chains" "$dir/odd"; sed 's/monarch:8:2/monarch:8:3/' "$dir/chains/config.json" >"$dir/odd/config.json"
run 1 inspect "$dir/odd"; says "is no factor of monarch:8:3"
run 1 ks apply "$dir/chains" -o "$dir/no" --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --seq-len 32; says "is a chain already"
run 1 ks apply "$dir/model" -o "$dir/chains" --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --seq-len 32; says "--force"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:monarch:7' --calib "$dir/text" --seq-len 32; says "the nearest that do: 8"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.q_proj=kron:monarch:8' --ratio 0.01 --calib "$dir/text" --seq-len 32; says "one block of rank 1 has"
# 2 N log2 N parameters of a butterfly, N = 32, are 5/16 of a layer; what they leave is the others'.
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.q_proj=kron:butterfly' --ratio 0.31 --calib "$dir/text" --seq-len 32
says "a ratio of 0.31: the layers that are to become butterflies have 0.3125 of the parameters"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.up_proj=kron:monarch:8' --sparsity '*.q_proj=kron:butterfly' --ratio 0.0625 --calib "$dir/text" --seq-len 32
says "the others add to that"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*.up_proj=kron:monarch:8' --sparsity '*.q_proj=kron:butterfly' --ratio 0.0833334 --calib "$dir/text" --seq-len 32
says "a ratio of 0.0833334, of which butterflies leave 0.02604; one block of rank 1 has"
run 0 ks apply "$dir/model" -o "$dir/both" --sparsity '*.up_proj=kron:monarch:8' --sparsity '*.q_proj=kron:butterfly' --ratio 0.25 --calib "$dir/text" --calib-tokens 320 --seq-len 32 --rounds 1
prints "monarch:16x8:1"; prints "butterfly"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:monarhc:8' --calib "$dir/text" --seq-len 32
says "is unknown from ':monarhc:8' on; legal: kron:butterfly and kron:monarch:B[xC][:R], both with +lowrank:K"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=2:4' --calib "$dir/text" --seq-len 32; says "kron:... or dense expected"
run 2 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:butterfly'; says "needs --calib"
run 2 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --distill-weight 1; says "of the updates of --recover"
run 1 ks apply "$dir/chains" -o "$dir/no" --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --seq-len 32 --recover 1 --distill-weight 1; says "is a chain already"
run 2 ks apply "$dir/model" --lr 3; says "ks apply has no --lr"
run 4 ks apply "$dir/model" --device cuda; says "its closed forms and least squares have no GPU code"
run 2 ks apply "$dir/model" --device tpu; says "cpu expected"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:monarch:8' --calib "$dir/chains/model.safetensors" --seq-len 32; says "a plain text expected"
run 1 ks apply "$dir/model" -o /proc/no --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --seq-len 32; says "/proc/no"; says_not "before"
[ ! -e "$dir/no" ] || fail "a refused apply left something"
run 0 ks apply "$dir/model" -o "$dir/merged" --sparsity 'mlp.*=kron:monarch:4:4' --calib "$dir/text" --calib-tokens 320 --seq-len 32 --rounds 1 --merge --recover 3 --search \
    --distill-weight 0.5 --threads 2 --json
prints '"loss_recovered"'; prints '"plain_output_error"'
grep -q kron "$dir/merged/config.json" && fail "a merged model says that it has chains"
[ ! -e "$dir/merged/recovery" ] || fail "the run of recovery was left"
run 0 eval "$dir/merged" --data "$dir/text" --seq-len 32
run 0 ks fit "$dir/model" --tensor model.layers.1.mlp.up_proj.weight --chain monarch:8:2 --calib "$dir/text" --calib-tokens 320 --method svd \
    --output-dir "$dir/one"
prints "relative error of the outputs"; says "windows of 32 tokens"
run 1 ks apply "$dir/model" -o "$dir/no" --sparsity '*_proj=kron:monarch:8' --calib "$dir/text" --seq-len 33; says "windows of 33 tokens (--seq-len), the model has 32 positions"
run 1 train --init-from "$dir/model" --data "$dir/text" --out "$dir/no" --steps 1 --seq-len 33; says "32 positions, seq_len is 33"
run 1 ks fit "$weight" --calib "$dir/text" --output-dir "$dir/no"; says "needs a model directory"
run 0 convert "$dir/chains" "$dir/chains.pth"; prints "tensors"
run 0 convert "$dir/model" "$dir/model.pth"; prints "tensors"
run 0 convert "$dir/chains.pth" "$dir/chains.safetensors"; run 0 inspect "$dir/chains.safetensors"; prints "10 layers are chains"; prints "layout groups-cb (tagged)"
run 0 convert "$dir/run/chain_final.pth" "$dir/chain.safetensors"; run 0 convert "$dir/chain.safetensors" "$dir/chain.pth"
run 0 inspect "$dir/chain.pth"; prints "chain of 4 factors for 4 x 3: 30 of 12 parameters"; prints "layout groups-cb (winnow.chain says so)"
run 0 ks fit "$dir/chains.pth" --tensor model.layers.0.self_attn.o_proj.weight --chain monarch:8 --output-dir "$dir/two"

if command -v python3 >/dev/null 2>&1; then # a model with biases and a layer of zeros
    cp -RL "$dir/model/latest" "$dir/biased"; rm -f "$dir/biased/training.safetensors" "$dir/biased/state.json"
    python3 - "$dir/biased" <<'PYTHON'
import json
import struct
import sys

path = sys.argv[1] + "/model.safetensors"
raw = open(path, "rb").read()
size = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8 : 8 + size]), bytearray(raw[8 + size :])
begin, end = header["model.layers.1.mlp.up_proj.weight"]["data_offsets"]
data[begin:end] = bytes(end - begin)
for name in [n for n in header if n.endswith("_proj.weight")]:
    at, rows = len(data), header[name]["shape"][0]
    data += struct.pack("<%df" % rows, *[0 if "1.mlp.up" in name else i % 7 / 10 for i in range(rows)])
    header[name[:-6] + "bias"] = {"dtype": "F32", "shape": [rows], "data_offsets": [at, len(data)]}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open(path, "wb").write(struct.pack("<Q", len(text)) + text + data)
config = json.load(open(sys.argv[1] + "/config.json"))
config.update(attention_bias=True, mlp_bias=True)
json.dump(config, open(sys.argv[1] + "/config.json", "w"))
PYTHON
    run 0 ks apply "$dir/biased" -o "$dir/few" --sparsity '*_proj=kron:monarch:32:32' --calib "$dir/text" --calib-tokens 320 --seq-len 32 --rounds 0 --threads 2
    prints "12 of 12 linear layers"; prints "what remains: 0.0000 nats"
fi
if command -v python3 >/dev/null 2>&1 && python3 -c 'import torch' 2>/dev/null; then
    python3 - "$dir/run/chain_final.pth" "$weight" "$dir/head/ks_chain_final.pth" "$dir/head.json" <<'PYTHON'
import json
import sys

import torch

c = torch.load(sys.argv[1], weights_only=True)
w = torch.load(sys.argv[2], weights_only=True)
factors = [v for name, v in c["model_state_dict"].items() if name != "bias"]
assert [tuple(v.shape) for v in factors] == [(a * d, k, b) for a, b, k, d in c["patterns"]]
assert c["model_state_dict"]["bias"].shape == (w.shape[0],)
model = torch.nn.Module()
model.bias = torch.nn.Parameter(torch.zeros(w.shape[0]))
model.weights = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros_like(v)) for v in factors])
model.load_state_dict(c["model_state_dict"])
optimizer = torch.optim.AdamW(model.parameters())
optimizer.load_state_dict(c["optimizer_state_dict"])
scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)
scheduler.load_state_dict(c["scheduler_state_dict"])
for key in ("epoch", "train_loss", "val_loss", "grad_norm", "weight_grad_norms", "weight_names", "impl", "learning_rate", "compression_stats"):
    assert key in c, key
assert set(c["compression_stats"]) == {"dense_parameters", "sparse_parameters", "compression_ratio", "memory_savings_percent"}
assert list(c["model_state_dict"]) == ["bias"] + c["weight_names"] == ["bias"] + [f"weights.{i}" for i in range(len(factors))]
assert len(c["weight_grad_norms"]) == len(factors) and c["impl"] == "triton"
headed = torch.load(sys.argv[3], weights_only=True)
assert headed["head"]["in"].shape == (1, w.shape[1]) and headed["head"]["out"].shape == (w.shape[0], 1)
product = headed["head"]["out"] @ headed["head"]["in"]
x = torch.eye(w.shape[1])
for (a, b, k, d), blocks in zip(headed["patterns"], list(headed["model_state_dict"].values())[1:]):
    x = torch.einsum("nikl,ilkj->nijl", x.reshape(-1, a, k, d), blocks.reshape(a, d, k, b)).reshape(-1, a * b * d)
assert abs((product + x.T - w).norm() / w.norm() - json.load(open(sys.argv[4]))["relative_error"]) < 1e-6
PYTHON
else
    echo "no torch here, its half left out"
fi
