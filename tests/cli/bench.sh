#!/bin/sh
# SPDX-License-Identifier: MIT
# winnow bench: usage, every suite on a tiny shape with valid JSON and SVG, no peer found, results drawn together. Nothing is timed here.
. "$(dirname "$0")/lib.sh"
python=$(command -v python3) || { echo "no python3 to read JSON with"; exit 77; }

# valid FILE.json FILE.svg: both parse; the JSON has a head and rows.
valid() {
    "$python" - "$1" "$2" >"$out" 2>"$err" <<'PY' || fail "not a valid result: $1, $2"
import json, sys, xml.dom.minidom
r = json.load(open(sys.argv[1]))
for key in ("machine", "date", "commit", "command", "threads", "version", "libraries", "notes", "rows", "peak_flops", "stream_bytes_per_second"):
    assert key in r, key
roles = {row["role"] for row in r["rows"]}
assert {"dense", "structure"} <= roles, roles
for row in r["rows"]:
    assert row["seconds"]["least"] <= row["seconds"]["median"] <= row["seconds"]["most"], row
    assert row["over_dense"]["median"] > 0 and row["over_best"]["median"] > 0, row
xml.dom.minidom.parse(sys.argv[2])
PY
}

run 2 bench; says "bench"
run 2 bench swim; says "gemm"
run 2 bench gemm extra; says "no files"
run 2 bench gemm --shape 4x4; says "--shapes"
run 2 bench summary; says "RESULT.json"
run 2 bench summary nothing.json; says "--svg"
run 1 bench gemm --shapes 12; says "OUTxIN"
run 1 bench gemm --shapes 12x0; says "OUTxIN"
run 1 bench gemm --rows 1,,2; says "numbers from 1"
run 1 bench gemm --dtype f8; says "f32, bf16"
run 1 bench gemm --work sideways; says "forward"
run 1 bench layer --shapes 8x8 --rows 4 --work sideways; says "there are 'forward and backward', 'step'"
# a type that nothing of what is asked for has
run 1 bench gemm --dtype int8; says "dtype: nothing of gemm is there in int8; there is f32, bf16"
run 1 bench prune --dtype bf16; says "nothing of prune is there in bf16; there is f32"
run 1 bench decode --work decode --dtype int4; says "nothing of decode that begins with 'decode' is there in int4; there is f32, bf16"
run 0 bench decode --shapes 16x16 --rows 1 --dtype int8 --repeats 2 --threads 1; prints " dense "; prints " 2:4 "
# a result that could not be written is found out before anything is measured
for file in --json --svg; do
    run 1 bench gemm $file "$dir/nowhere/x"; says "$dir/nowhere/x: No such file or directory"
    run 1 bench gemm $file "$dir"; says "$dir: Is a directory"
    [ ! -s "$out" ] || fail "measured, and then found no place for the result of $file"
done
run 1 bench gemm --peers mkl; says "openblas"
# a kernel that is not there is found out before anything is measured; one is forced by its name too
for force in spmm24:avx1024 spmm24_avx1024 spmm25:ref; do
    run 1 bench gemm --kernels $force; says "the nearest is"
    [ ! -s "$out" ] || fail "measured with $force"
done
run 0 bench gemm --shapes 16x16 --rows 8 --work forward --repeats 2 --peers none --kernel spmm24_ref; prints "spmm24_ref"
run 1 bench layer --shapes 8x8 --rows 4 --sparsity nonsense; says "nonsense"
run 4 bench gemm --device tpu; says "only cpu"
run 1 bench gemm --merge "$dir/missing.json"; says "missing.json"

tiny() { run 0 bench "$@" --threads 2 --repeats 2 --commit abc123 --json "$dir/$1.json" --svg "$dir/$1.svg"; }
tiny gemm --shapes 12x20,16x16 --rows 5,8 --peers none; prints "not asked for"
grep -q '"role": *"peer"' "$dir/gemm.json" && fail "a peer that was not asked for"
grep -q abc123 "$dir/gemm.json" || fail "no commit"
valid "$dir/gemm.json" "$dir/gemm.svg"
for op in spmm24 spmm24_columns 'mask24 + pack24 + spmm24_rows'; do # a line is an op, whichever variants ran
    grep -qF ">12 x 20 $op<" "$dir/gemm.svg" || fail "no line of $op"
done
tiny decode --shapes 16x16 --rows 1,3; valid "$dir/decode.json" "$dir/decode.svg"
tiny prune --shapes 16x16; valid "$dir/prune.json" "$dir/prune.svg"
tiny layer --shapes 16x16 --rows 8 --sparsity 2:4:row --sparsity '*=lowrank:4'; prints "lowrank 4"; valid "$dir/layer.json" "$dir/layer.svg"
tiny train --hidden-size 16 --layers 1 --heads 2 --vocab-size 300 --seq-len 8 --batch-size 2; valid "$dir/train.json" "$dir/train.svg"

# chains: the sample's one pattern of 1024 x 1024, two factors and their gradients; speed-up against the FLOPs saved
tiny ks --shapes 1024x1024 --rows 2 --work 'forward factor,weight gradient two factors 3' --peers none; prints "forward factor (4,64,64,4) 1024 x 1024"
valid "$dir/ks.json" "$dir/ks.svg"
if "$WINNOW" kernels --op kron_mul | grep -q cblas; then
    grep -q over_bmm "$dir/ks.json" || fail "no ratio to batched products"
    grep -q "of the 160 published patterns" "$dir/ks.json" || fail "no median over the sample"
fi
# batched products of another process, each layout beside its own; a factor's commas part no words
cat >"$dir/other.json" <<'END'
{"format": "winnow bench 1", "machine": "", "date": "2026-01-01", "threads": 2, "libraries": [], "notes": [], "rows": [
{"suite": "ks", "work": "forward factor (4,64,64,4)", "dtype": "f32", "name": "other, bmm", "role": "peer", "out": 1024, "in": 1024, "rows": 2, "seconds": {"median": 1000, "least": 1000, "most": 1000}},
{"suite": "ks", "work": "forward factor (4,64,64,4)", "dtype": "f32", "name": "other, bmm, batch last", "role": "peer", "out": 1024, "in": 1024, "rows": 2, "seconds": {"median": 1e-12, "least": 1e-12, "most": 1e-12}}]}
END
run 0 bench ks --shapes 1024x1024 --rows 2 --work 'forward factor (4,64,64,4)' --peers none --repeats 1 --threads 1 --no-dense --merge "$dir/other.json" --json "$dir/said.json"
prints_not matmul
# what was asked for is kept as a shell takes it back
"$python" - "$dir/said.json" >"$out.said" 2>"$err" <<'PY' || fail "the result's command is not what was given"
import json, shlex, sys
words = shlex.split(json.load(open(sys.argv[1]))["command"])
assert words[:3] == ["winnow", "bench", "ks"], words
rest = words[3:]
assert "--no-dense" in rest and rest[rest.index("--work") + 1] == "forward factor (4,64,64,4)", rest
assert sorted(rest) == sorted(["--no-dense", "--shapes", "1024x1024", "--rows", "2", "--work", "forward factor (4,64,64,4)", "--peers", "none", "--repeats", "1", "--threads", "1"]), rest
PY
prints "as fast as permuted and batched products of another process, both batch last (0.00 to 0.00)"
grep -E "as fast as permuted and batched products of another process \([0-9]{4,}" "$out" >/dev/null || fail "batch first is not beside batch first"
run 1 bench ks --shapes 1024x1024 --rows 2 --work '64,64,4)'; says "nothing of these shapes"
run 2 bench gemm --shapes 16x16 --rows 8 --no-dense; says "gemm has no --dense or --no-dense"
# what a loaded layer packs is float32
for dtype in f32 bf16; do
    run 0 bench ks --shapes 1024x1024 --rows 2 --work 'forward two factors 3' --peers none --repeats 1 --threads 1 --dtype $dtype
    if [ $dtype = f32 ] && "$WINNOW" kernels --op kron_mul | grep -q avx; then prints ", as loaded"; else prints_not ", as loaded"; fi
done
run 1 bench ks --shapes 7x7; says "nothing of these shapes"
run 1 bench ks --dtype int8; says "f32, bf16 or f16"

# libraries that are there are measured, whichever they are; a shape a kernel does not take is said, not skipped in silence
run 0 bench gemm --shapes 16x16 --rows 8 --work forward --repeats 2 --threads 1; prints "matmul"
run 0 bench prune --shapes 6x16 --work "choose tiles" --repeats 2; prints "multiple"
# only the reference multiplies a type: left out, with a note
WN_CPU=none "$WINNOW" bench gemm --shapes 16x16 --rows 8 --work forward --repeats 2 --peers none >"$out" 2>"$err" || fail "WN_CPU=none"
prints "only the reference"

# another process's result joins as a peer of the same work
"$python" - "$dir/other.json" <<'PY'
import json, sys
row = {"suite": "gemm", "work": "forward", "dtype": "f32", "name": "other 1.0\x1b[2J", "role": "peer", "out": 16, "in": 16, "rows": 8, "seconds": {"median": 1e-3, "least": 1e-3, "most": 1e-3}}
json.dump({"format": "winnow bench 1", "machine": "", "date": "", "threads": 1, "libraries": [{"name": "other", "found": True, "version": "1.0", "path": ""}], "rows": [row]}, open(sys.argv[1], "w"))
PY
run 0 bench gemm --shapes 16x16 --rows 8,9 --work forward --repeats 2 --peers none --merge "$dir/other.json"; prints "other 1.0?[2J"
[ "$(grep -c 'other 1.0' "$out")" = 1 ] || fail "merged where it does not belong"

run 0 bench summary "$dir/gemm.json" "$dir/decode.json" "$dir/prune.json" "$dir/layer.json" "$dir/train.json" "$dir/ks.json" --svg "$dir/all.svg"
valid "$dir/gemm.json" "$dir/all.svg"
echo '{"format": "winnow bench 1", "rows": [{"suite": "gemm"}]}' >"$dir/bad.json"
run 1 bench summary "$dir/bad.json" --svg "$dir/bad.svg"; says "bad.json"
echo '{"rows": 3}' >"$dir/bad.json"
run 1 bench summary "$dir/bad.json" --svg "$dir/bad.svg"; says "format"
exit 0
