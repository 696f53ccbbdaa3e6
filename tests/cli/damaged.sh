#!/bin/sh
# SPDX-License-Identifier: MIT
# Compressed documents that are damaged in their middle end a run without losing what it learned before; mended, it goes on with the same bits.
. "$(dirname "$0")/lib.sh"
make_text "$dir/text"
mkdir "$dir/en"
awk 'NF { printf "{\"text\": \"%s\"}\n", $0 }' "$dir/text" >"$dir/all"
head -n 100 "$dir/all" | gzip >"$dir/en/part-0.json.gz"
sed -n '101,1200p' "$dir/all" | gzip >"$dir/en/part-1.json.gz"
options="--data $dir/en --tokenizer bytes --pack --no-shuffle --hidden-size 32 --layers 1 --heads 2 --seq-len 32 --batch-size 4 --warmup 4 --steps 200 --log-every 1 --eval-every 0 --threads 2"
losses() { grep '"kind": *"step"' "$1/metrics.jsonl" | sed 's/.*"step": *\([0-9]*\).*"loss": *\([^,}]*\).*/\1 \2/'; }

# shellcheck disable=SC2086
run 0 train --out "$dir/whole" $options
losses "$dir/whole" >"$dir/want"

# A hundred bytes of the second file are lost half way.
part=$dir/en/part-1.json.gz
cp "$part" "$dir/copy"
half=$(($(wc -c <"$part") / 2))
head -c "$half" "$dir/copy" >"$part"
head -c 100 /dev/zero >>"$part"
tail -c +$((half + 101)) "$dir/copy" >>"$part"
# shellcheck disable=SC2086
run 1 train --out "$dir/run" $options
says "part-1.json.gz"
says "all updates before it are saved in step-0"
[ -s "$dir/run/latest/model.safetensors" ] || fail "no model was saved"
last=$(losses "$dir/run" | wc -l)
[ "$last" -gt 20 ] && [ "$last" -lt 200 ] || fail "$last updates before the damage"
grep -q "\"step\": $last," "$dir/run/latest/state.json" || fail "the checkpoint is not of update $last"
run 1 train --out "$dir/run" --resume
says "part-1.json.gz"

# Made again from the text, in another size.
gzip -dc "$dir/copy" | gzip -1 >"$part"
run 0 train --out "$dir/run" --resume
says "file 2, which was damaged, has another size now"
losses "$dir/run" | cmp - "$dir/want" || fail "the losses differ after the damage"
cmp "$dir/run/latest/model.safetensors" "$dir/whole/latest/model.safetensors" || fail "the models differ"

# Shuffled, both files are of one block, and the damage is met before the first update.
options="--data $dir/en --tokenizer bytes --hidden-size 32 --layers 1 --heads 2 --seq-len 32 --batch-size 4 --steps 5 --log-every 1 --eval-every 0 --threads 2"
cp "$dir/copy" "$part"
# shellcheck disable=SC2086
run 0 train --out "$dir/mixed" $options
{ head -c "$half" "$dir/copy"; head -c 100 /dev/zero; tail -c +$((half + 101)) "$dir/copy"; } >"$part"
# shellcheck disable=SC2086
run 1 train --out "$dir/first" $options
says "part-1.json.gz"
says "no update was made yet, and resuming begins with the first one when the data can be read"
gzip -dc "$dir/copy" | gzip -1 >"$part"
run 0 train --out "$dir/first" --resume
says "file 2, which was damaged, has another size now"
cmp "$dir/first/latest/model.safetensors" "$dir/mixed/latest/model.safetensors" || fail "the models differ after damage before the first update"
