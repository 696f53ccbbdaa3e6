#!/bin/sh
# SPDX-License-Identifier: MIT
# A run from text to a directory that evaluates, generates, inspects, plots and resumes.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/run" $tiny --sparse --steps 40 --save-every 20 --keep 5 --lr 5e-3
says "2:4 sparsity enabled - converted 4 MLP layers"
says "step 40/40 100% | loss "
says "eval 40 | loss "
says "mask "
says "save 40 | "
for file in run.json metrics.jsonl loss.svg tokenizer.json latest/config.json latest/generation_config.json latest/tokenizer.json latest/tokenizer_config.json \
    latest/model.safetensors latest/training.safetensors latest/state.json step-000020/model.safetensors; do
    [ -s "$dir/run/$file" ] || fail "$file is missing"
done
[ "$(readlink "$dir/run/latest")" = step-000040 ] || fail "latest points to $(readlink "$dir/run/latest")"
grep -q '"ArceeForCausalLM"' "$dir/run/latest/config.json" || fail "the architecture is not Arcee"
grep -q 'PreTrainedTokenizerFast' "$dir/run/latest/tokenizer_config.json" || fail "the tokenizer class is not named"
grep -q '^<svg' "$dir/run/loss.svg" || fail "loss.svg is no SVG"

run 0 eval "$dir/run" --data "$dir/run/data/eval.tokens" --trigram "$dir/run/data/train.tokens"; prints "bpb"; prints "byte trigram"
run 0 eval "$dir/run" --data "$dir/run/data/eval.tokens" --json; prints "\"bits_per_byte\""
cp -rL "$dir/run/latest" "$dir/broken" && rm "$dir/broken/tokenizer.json"
run 0 eval "$dir/broken" --data "$dir/run/data/eval.tokens"; prints "tokens,"; grep -q bpb "$out" && fail "bits per byte of a text that nothing can decode"
size=$(wc -c <"$dir/broken/model.safetensors")
printf '\377\377\377\177' | dd of="$dir/broken/model.safetensors" bs=1 seek=$((size - 4)) conv=notrunc 2>/dev/null
run 1 eval "$dir/broken" --data "$dir/run/data/eval.tokens"; says "the loss is NaN"
run 0 generate "$dir/run" --prompt "The river" --tokens 20 --temperature 0 --quiet
cp "$out" "$dir/cached"
run 0 generate "$dir/run" --prompt "The river" --tokens 20 --temperature 0 --quiet --no-cache
cmp "$out" "$dir/cached" || fail "greedy text differs without the cache"
run 0 generate "$dir/run" --prompt "The river" --tokens 20 --seed 3 --json; prints "\"ids\""
run 0 generate "$dir/run" --prompt "The river" # the default length exceeds this model's context
run 1 generate "$dir/run" --prompt "The river" --tokens 1000; says "exceed the context"
[ ! -s "$out" ] || fail "a refused prompt was printed"
run 0 inspect "$dir/run"; prints "mlp.up_proj.weight"; prints "2:4 both ways"
run 0 inspect "$dir/run" --json; prints "\"is24\": true"
run 0 plot "$dir/run" --out "$dir/p.svg"; run 0 plot "$dir/run" --text; prints "held out"
run 0 plot "$dir/run" --text --y gnorm; prints "training"
run 0 plot "$dir/run" --text --y bits_per_byte; prints "held out"
run 1 plot "$dir/run" --text --y nonsense; says "no 'nonsense' over 'step'"
printf '{"kind":"step","step":1,"loss":-1e308}\n{"kind":"step","step":1e300,"loss":1e308}\n' >"$dir/metrics.jsonl"
run 0 plot "$dir" --text --out "$dir/odd.svg"
cp -RL "$dir/run/latest" "$dir/mute" && rm "$dir/mute/tokenizer.json"
run 0 eval "$dir/mute" --data "$dir/run/data/eval.tokens"
run 1 eval "$dir/mute" --data "$dir/run/data/eval.tokens" --trigram "$dir/run/data/train.tokens"; says "no tokenizer"
run 1 plot "$dir/run" --out "$dir/absent/p.svg"; says "absent/p.svg"; [ "$(wc -l <"$err")" = 1 ] || fail "one line for one failure"

# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/dense" $tiny --steps 5 --mlp swiglu
grep -q '"LlamaForCausalLM"' "$dir/dense/latest/config.json" || fail "the architecture is not Llama"
run 0 train --out "$dir/run" --resume --steps 60
says "step 60/60"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --init-from "$dir/dense" --out "$dir/more" $tiny --steps 3
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/dry" $tiny --sparse --dry-run
[ ! -e "$dir/dry/latest" ] || fail "--dry-run trained"
# what a plan makes of 2:4 activations
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/dry" $tiny --mlp relu2 --sparsity mlp.act=act2:4 --dry-run; says "2:4 activations are multiplied in dense form: "
if grep -qw avx2 /proc/cpuinfo && [ -z "${WN_CPU:-}" ]; then
    # shellcheck disable=SC2086
    run 0 train --data "$dir/text" --out "$dir/dry" $tiny --hidden-size 64 --mlp relu2 --sparsity mlp.act=act2:4 --dry-run; says "are multiplied as packs"; says "spmm24_rows_avx"
fi

# The plan of any model, without data or a directory.
run 0 train --dry-run --model-config 1b --mlp relu2 --sparsity '*_proj=lowrank:512' --sparsity 'mlp.act=act2:4' --optimizer loro_adamw
says "without a gate 1.5 x its intermediate size: 8191 -> 8192"
says "replaced 144 modules by lowrank 512: 1207959552 parameters"
says "act 2:4 naive"
says "memory "
run 1 train --dry-run --model-config 2b; says "llama_{toy 9m"

# A model begun from another is not read with another tokenizer in silence.
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --init-from "$dir/run" --tokenizer bytes --out "$dir/other" $tiny --steps 1; says "the tokenizer is not that of"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --init-from "$dir/run" --tokenizer "$dir/run/tokenizer.json" --out "$dir/same" $tiny --steps 1
grep -q "not that of" "$err" && fail "the same tokenizer is called another"

# The columns of the table end below each other, whatever the longest structure is.
# shellcheck disable=SC2086
run 0 train --dry-run $tiny --sparsity 'mlp.act=act2:4:soft_dynamic' --sparsity 'mlp.up_proj=adapter:4:9'
says "adapter 4, alpha 9"; says "the frozen weights of 2 modules are random"
awk '/^layers /{ n = length($0) } /^  (mlp|self_attn)\./{ if (length($0) != n) exit 1 }' "$err" || fail "the table of layers is not aligned"
# shellcheck disable=SC2086
run 0 train --dry-run --init-from "$dir/dense" $tiny --sparsity 'mlp.up_proj=adapter:4:9'; says "adapter 4, alpha 9"; says_not "are random"

# Methods by their flags: lines for exact steps, masks and zeros, and a resumed run that keeps them.
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/loro" $tiny --steps 12 --log-every 4 --optimizer loro_adamw --exact-every 4 --refresh all \
    --sparsity '*_proj=lowrank:8+2:4+mvue' --sparsity 'mlp.act=act2:4:soft' --act-warmup 4 --act-permute --dtype bfloat16 --lowrank-init auto --log-flips --log-act-zeros
says "method   loro_adamw, exact step every 4 (core paper, gauge fix), refresh all every 4, bfloat16"
says "initialized 12 low-rank modules by auto"
says "exact 12 | 12 pairs | loss "
says "| 0 fell back"
says "mask 12 | 2:4 flips "
says "act 12 | zeros "
grep -q '"flip_rate/model.layers.0.mlp.up_proj"' "$dir/loro/metrics.jsonl" || fail "no flip rate of a layer"
grep -q '"sparsity_relu/layer_1"' "$dir/loro/metrics.jsonl" || fail "no zeros of a layer"
grep -q '"beta2": 0.999' "$dir/loro/run.json" || fail "run.json does not say which beta2 was used"
run 0 train --out "$dir/loro" --resume --steps 14 --lowrank-init orth --exact-every 5
says "note: lowrank_init: this run has auto; orth is ignored"
says "note: exact_every: 5 from here on, 4 before"
says "step 14/14"
run 0 eval "$dir/loro" --data "$dir/loro/data/eval.tokens"
for flag in "--optimizer lion" "--dtype float16" "--act-backward none" "--refresh some" "--schedule step" "--scale-rule never" "--exact-core other" "--galore-type up" "--lowrank-init gauss"; do
    # shellcheck disable=SC2086
    run 1 train --data "$dir/text" --out "$dir/bad" $tiny $flag; says "${flag##* }"
done
[ ! -e "$dir/bad" ] || fail "a refused option left a directory"

# Documents: a folder of JSON lines, plain and gzip, their tokenizer learned.
mkdir "$dir/documents"
awk '{ printf "{\"text\": \"%s\"}\n", $0 }' "$dir/text" | head -n 200 >"$dir/documents/a.jsonl"
awk '{ printf "{\"url\": \"-\", \"text\": \"%s\"}\n", $0 }' "$dir/text" | tail -n 200 | gzip >"$dir/documents/b.json.gz"
# shellcheck disable=SC2086
run 0 train --data "$dir/documents" --eval-data "$dir/documents/a*.jsonl" --eval-tokens 500 --galore-compat-eval --out "$dir/docs" $tiny --steps 6
says "2 files"
says "300 ids, learned from the first "
says "compat loss "
compat=$(sed -n 's/^eval 6 .*\(compat loss [0-9.]* ppl [0-9.]*\).*/\1 |/p' "$err")
run 0 eval "$dir/docs" --data "$dir/documents/a*.jsonl" --batch-size 4 --seq-len 32 --max-tokens 500 --galore-compat-eval; prints "${compat:-nothing}"
run 0 eval "$dir/docs" --data "$dir/documents/a*.jsonl" --batch-size 4 --seq-len 32 --max-tokens 500 --galore-compat-eval --json; prints '"compat_loss"'
run 0 eval "$dir/docs" --data "$dir/documents/a*.jsonl" --batch-size 4 --seq-len 32 --max-tokens 500; ! grep -q compat "$out" || fail "the compat loss was not asked for"
run 0 train --out "$dir/docs" --resume --steps 8; says "step 8/8"
run 0 train --out "$dir/docs" --resume --steps 7; says "no update is left: step 8 of 7"
# shellcheck disable=SC2086
run 0 train --data "$dir/documents" --eval-data "$dir/documents/b.json.gz" --out "$dir/packed" $tiny --steps 3 --pack
bpb=$(sed -n 's/^eval 3 .*\(bpb [0-9.]*\).*/\1 |/p' "$err")
run 0 eval "$dir/packed" --pack --data "$dir/documents/b.json.gz" --trigram "$dir/documents/a.jsonl"; prints "${bpb:-nothing}"; prints "byte trigram"
# With the numerics of the run, batch and length included, an evaluation says what the run said.
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/numerics" $tiny --steps 6 --dtype bfloat16 --fp8
loss=$(sed -n 's/^eval 6 | loss \([0-9.]*\) .*/loss \1 nats/p' "$err")
run 0 eval "$dir/numerics" --data "$dir/numerics/data/eval.tokens" --batch-size 4 --seq-len 32 --dtype bfloat16 --fp8
prints "${loss:-nothing}"; prints "numerics: bfloat16, products in simulated FP8"
run 0 eval "$dir/numerics" --data "$dir/numerics/data/eval.tokens"; ! grep -q numerics "$out" || fail "float32 is no news"
run 0 generate "$dir/numerics" --prompt the --tokens 4 --fp8; says "[numerics: float32, products in simulated FP8]"
run 1 eval "$dir/numerics" --data "$dir/text" --dtype float16; says "expected one of 'float32', 'bfloat16'"
# What FP8 rounds once more stays in floats; without it matrices are stored as BF16. config.json says which.
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/half" $tiny --steps 1 --dtype bfloat16
grep -q '"torch_dtype": "bfloat16"' "$dir/half/latest/config.json" || fail "torch_dtype of BF16 matrices"
grep -q '"torch_dtype": "float32"' "$dir/numerics/latest/config.json" || fail "torch_dtype of float32 matrices"
head -n 1 "$dir/documents/a.jsonl" >"$dir/one.jsonl"
run 1 eval "$dir/packed" --pack --data "$dir/one.jsonl"; says "one window"
run 0 tokenize --train "$dir/documents" --vocab-size 300 --out "$dir/documents.json"; prints "300 ids"
run 2 tokenize --tokenizer bytes --out "$dir/no.tokens" "$dir/documents"; says "give them to winnow train"
rm "$dir/documents/a.jsonl"
run 1 train --out "$dir/docs" --resume --steps 9; says "not the files this run was begun with"
# shellcheck disable=SC2086
run 0 train --data "$dir/text" --out "$dir/unsaved" $tiny --steps 3 --no-save-last
[ ! -e "$dir/unsaved/latest" ] || fail "--no-save-last saved"
