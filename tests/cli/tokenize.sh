#!/bin/sh
# SPDX-License-Identifier: MIT
# Learning a tokenizer, text to ids and back, shards, and bad input.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"

run 0 tokenize --train "$dir/text" --vocab-size 320 --out "$dir/tokenizer.json"; prints "byte-level BPE"
run 0 tokenize --tokenizer "$dir/tokenizer.json" --out "$dir/text.tokens" "$dir/text"; prints "vocabulary 320"
run 0 tokenize --tokenizer "$dir/tokenizer.json" --decode "$dir/text.tokens"
cmp "$out" "$dir/text" || fail "a shard decodes to something else"
printf 'Every river.\nnaïve 🙂 \377\376 text\n' >"$dir/odd"
run 0 tokenize --tokenizer "$dir/tokenizer.json" --ids "$dir/odd"
[ "$(wc -l <"$out")" = 2 ] || fail "one line of ids for each line"
sed -n 2p "$out" >"$dir/ids"
run 0 tokenize --tokenizer "$dir/tokenizer.json" --decode "$dir/ids"
sed -n 2p "$dir/odd" | tr -d '\n' | cmp - "$out" || fail "invalid UTF-8 does not round-trip"
run 0 tokenize --tokenizer bytes --out "$dir/bytes.tokens" --json "$dir/text"; prints "\"vocab_size\": 257"

run 2 tokenize "$dir/text"; says "needs --tokenizer"
run 1 tokenize --tokenizer "$dir/text" --ids "$dir/text"; says "text"
run 1 tokenize --tokenizer bytes --out "$dir/absent/x.tokens" "$dir/text"; says "absent"
: >"$dir/empty"
run 1 tokenize --train "$dir/empty" --out "$dir/t.json"
printf '1 2 x' >"$dir/bad"
run 1 tokenize --tokenizer bytes --decode "$dir/bad"; says "'x' is not a token id"
printf '99999' >"$dir/bad"
run 1 tokenize --tokenizer bytes --decode "$dir/bad"; says "99999"
head -c 40 "$dir/bytes.tokens" >"$dir/cut.tokens"
run 1 tokenize --tokenizer bytes --decode "$dir/cut.tokens"; says "cut.tokens"
