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
run 1 eval "$dir/broken" --data "$dir/run/data/eval.tokens"; says "the loss is nan"
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
