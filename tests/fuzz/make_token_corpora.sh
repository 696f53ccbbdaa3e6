#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the seed files of fuzz_tokenizer and fuzz_shard with the program itself. usage: make_token_corpora.sh WINNOW
set -eu
winnow=$1
cd "$(dirname "$0")/corpus"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
printf 'the river, the river and the house; it is 12 or 345.\nthe house' >"$scratch/text"
for kind in gpt2 llama3 qwen2; do
    "$winnow" tokenize --train "$scratch/text" --vocab-size 262 --pretokenizer "$kind" --out "$scratch/$kind.json"
    { tr -d '\n' <"$scratch/$kind.json"; printf '\nthe house 12'; } >"fuzz_tokenizer/$kind"
done
"$winnow" tokenize --tokenizer bytes "$scratch/text" --out "$scratch/u16.tokens"
cp "$scratch/u16.tokens" fuzz_shard/u16
