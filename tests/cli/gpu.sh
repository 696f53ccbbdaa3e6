#!/bin/sh
# SPDX-License-Identifier: MIT
# winnow bench and kernels on a GPU: none, and behind a driver and a library that stand in for NVIDIA's. Nothing is timed here.
. "$(dirname "$0")/lib.sh"
[ -f "$WN_BUILD/fake/libfake_cuda.so" ] || { echo "the stand-in driver was not built"; exit 1; }

export WN_LIBCUDA="$dir/no-such-driver.so"
run 4 bench gemm --device cuda; says "no NVIDIA driver: $dir/no-such-driver.so"
run 4 kernels --op matmul --problem m=8,n=8,k=8 --device cuda; says "no NVIDIA driver"
run 4 kernels --op matmul --problem m=8,n=8,k=8 --device tpu; says "there are cpu and cuda"
run 1 bench gemm --protocol burst; says "of a GPU only"

export WN_LIBCUDA="$WN_BUILD/fake/libfake_cuda.so"
export FAKE_CUDA_MIB=512
run 0 kernels --op mask24
if ! grep -q mask24_sm80 "$out"; then
    run 4 bench gemm --device cuda; says "not built"
    exit 0
fi
run 1 bench layer --device cuda; says "there are gemm, decode, prune, mlp, ks"
run 1 bench gemm --device cuda --peers openblas; says "cublaslt, cusparselt"
run 1 bench gemm --device cuda --dtype f8; says "f32, bf16, f16 or e4m3"
run 1 bench gemm --device cuda --dtype int8; says "nothing of gemm is there in int8; there is bf16, f16"
run 1 bench gemm --device cuda --dtype f32; says "nothing of gemm is there in f32; there is bf16, f16"
run 1 bench gemm --device cuda --protocol often; says "burst or sustained"

# without the library a product is refused with the reason
export WN_LIBCUBLASLT="$dir/none.so"
run 0 kernels --op matmul --problem m=8,n=8,k=8 --device cuda; prints "no cuBLASLt: not found: $dir/none.so"; prints "refused: runs on the cpu only"
run 0 bench gemm --device cuda --shapes 64x64 --rows 16 --repeats 2 --work forward; prints "no cuBLASLt"
run 4 ks fit "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" --device cuda --impl bmm --method sgd --num-epochs 1 --output-dir "$dir/ksnone"; says "no cuBLASLt"

export WN_LIBCUBLASLT="$WN_BUILD/fake/libfake_cublaslt.so"
export WN_LIBCUSPARSELT="$dir/none.so"
run 0 kernels --op matmul --problem m=8,n=8,k=8,bt=1,dtype=bf16 --device cuda; prints "* matmul_cublaslt"
for suite in gemm decode; do
    run 0 bench $suite --device cuda --shapes 64x128 --rows 16,32 --repeats 2 --json "$dir/$suite.json" --svg "$dir/$suite.svg"
    prints "cuBLASLt 13.1.0, best of 8"
    prints "matmul_cublaslt"
    prints "spmm24_blocks_"
    prints "burst samples"
    grep -q '"device": "cuda"' "$dir/$suite.json" || fail "no device in $suite.json"
done
run 0 bench gemm --device cuda --work forward --shapes 64x64 --rows 16 --protocol sustained --peers none --dtype f16; prints "sustained samples"; prints "not asked for"
run 0 bench prune --device cuda --shapes 64x128 --repeats 2 --json "$dir/prune.json"; prints "mask24_sm80"; prints "x copy"
run 0 bench prune --device cuda --shapes 64x128 --repeats 2 --dtype f32 --work pack; prints "pack24_sm80"

# chains: rows of whole 16 bytes, so that whole chains run at once; the dense product; batched ones of another process
export FAKE_CUBLASLT_CHOICES=1
cat >"$dir/torch.json" <<'EOF'
{"format": "winnow bench 1", "machine": "", "date": "2026-11-29", "threads": 0, "libraries": [], "notes": [], "rows": [
 {"suite": "ks", "work": "forward factor (4,64,64,4)", "dtype": "bf16", "name": "torch 2, bmm, own process", "role": "peer", "out": 1024, "in": 1024, "rows": 1, "seconds": {"median": 0.01, "least": 0.01, "most": 0.01}},
 {"suite": "ks", "work": "forward factor (4,64,64,4)", "dtype": "bf16", "name": "torch 2, dense, own process", "role": "peer", "out": 1024, "in": 1024, "rows": 1, "seconds": {"median": 5, "least": 5, "most": 5}}]}
EOF
run 0 bench ks --device cuda --shapes 1024x1024 --rows 1 --repeats 1 --work 'forward factor' --merge "$dir/torch.json" --json "$dir/ks.json" --svg "$dir/ks.svg"
prints "dense peak"; prints "cuBLASLt 13.1.0, best of 1"; prints "torch 2, bmm"
prints "times as fast as permuted and batched products ("; prints "times as fast as permuted and batched products of another process ("
prints "times as fast as the dense product"; prints "kron_mul_cublaslt, bmm"
grep -q over_bmm "$dir/ks.json" || fail "no ratio to batched products"
grep -q "FLOPs of the chain" "$dir/ks.svg" || fail "no picture of chains"
unset FAKE_CUBLASLT_CHOICES
run 0 bench ks --device cuda --shapes 4096x4096 --rows 1 --repeats 1 --work 'forward two,forward butterfly radix 16,weight gradient two factors 3' --peers none --dtype f16
prints "kron_mul_sm90a_fused"; prints "kron_mul_sm90a_rank"; prints "kron_mul_sm90a_wide"; prints "kron_pair_grad_sm80"; prints "kron_grad_cublaslt, bmm"
# what a fit does besides its products, and one on the GPU, with targets of the library
for op in embed squared_error gradient_norms fit_update; do
    run 0 kernels --check --quick --op $op --variant sm80
done
# cards with less shared memory than 9.0: all that 8.0 has, and 99 KiB, before and after 9.0
for card in 80:166912 86:101376 120:101376; do
    export FAKE_CUDA_COMPUTE=${card%:*} FAKE_CUDA_SHARED=${card#*:}
    run 0 kernels --check --quick --op 'kron*' --variant sm80
done
unset FAKE_CUDA_COMPUTE FAKE_CUDA_SHARED
run 0 ks fit "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" --device cuda --method sgd --num-epochs 2 --output-dir "$dir/ks"; says "fit on Fake GPU 0 in float16"; says "ms a step"
run 0 ks fit "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" --device cuda --dtype float32 --method sgd --num-epochs 2 --output-dir "$dir/ks32"; says "fit on Fake GPU 0 in float32"
run 0 ks fit "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" --device cuda --impl bmm --method sgd --num-epochs 2 --output-dir "$dir/ksbmm"; says "fit on Fake GPU 0 in float16"; says "ms a step"
run 0 ks fit --weight_path "$(dirname "$0")/../fixtures/formats/pth/parameter.pth" --device cuda --num-epochs 1 --output-dir "$dir/ksdoc"; says "method sgd, impl triton, dtype float16"
run 0 bench ks --device cuda --shapes 1024x1024 --rows 1 --repeats 1 --work 'forward factor,input gradient factor,forward two' --dtype float32
prints "kron_mul_sm80"; prints "cuBLASLt 13.1.0, COMPUTE_32F, best of"; prints "kron_mul_cublaslt, bmm"
run 1 bench ks --device cuda --dtype e4m3; says "dtype: f32, bf16 or f16, not 'e4m3'"
run 1 bench ks --device cuda --shapes 7x7; says "nothing of these shapes"

# choices are measured, kept, replayed elsewhere and heeded
run 0 kernels --tune --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --device cuda --repeats 2 --cache "$dir/choices"
prints "* matmul_cublaslt"
run 0 kernels --tune --op spmm24_blocks --problem T=16,n=64,k=64,dtype=bf16 --device cuda --repeats 2 --cache "$dir/choices"
[ "$(grep -c "^Fake GPU 0" "$dir/choices")" = 2 ] || fail "two choices: $(cat "$dir/choices")"
run 0 bench gemm --device cuda --work forward --shapes 64x64 --rows 16 --repeats 2 --peers none --tuned "$dir/choices"
WN_LIBCUDA="$dir/none.so" "$WINNOW" kernels --op matmul --problem m=15,n=60,k=64,bt=1,dtype=bf16 --cache "$dir/choices" >"$out" 2>"$err" || fail "replay"
prints "measured on Fake GPU 0, driver 13000: matmul_cublaslt"
run 0 kernels --op matmul --problem m=15,n=60,k=64,bt=1,dtype=bf16 --cache "$dir/choices" --device cuda; prints "* matmul_cublaslt"
run 0 kernels --tune --op matmul --problem m=8,n=8,k=8 --repeats 2; prints "winnow choices 2"; prints "* matmul_"
# W written out beside its blocks: what multiplies it needs no room to write it, is timed with the others, and a choice is for these sizes only
case="T=16,n=64,k=64,dtype=bf16,dense=given"
run 0 kernels --tune --op spmm24_blocks --problem $case --device cuda --repeats 2 --cache "$dir/dense"
prints "spmm24_blocks_cublaslt"
sed -i 's/\tspmm24_blocks\t\([^\t]*\)\t[a-z0-9_]*\t[^\t]*\t/\tspmm24_blocks\t\1\tcublaslt\t-\t/' "$dir/dense"
run 0 kernels --op spmm24_blocks --problem $case --cache "$dir/dense" --device cuda
grep -q "^\* spmm24_blocks_cublaslt .* measured .* us" "$out" || fail "a measured choice of dense: $(cat "$out")"
grep -q "^  spmm24_blocks_sm90a_few .* could run  measured .* us" "$out" || fail "what 2:4 took: $(cat "$out")"
run 0 kernels --op spmm24_blocks --problem T=15,n=64,k=64,dtype=bf16,dense=given --cache "$dir/dense" --device cuda; prints "* spmm24_blocks_sm90a_few"
run 0 kernels --op spmm24_blocks --problem T=16,n=64,k=64,dtype=bf16 --cache "$dir/dense" --device cuda; prints "* spmm24_blocks_sm90a_few"
run 0 bench gemm --device cuda --work forward --shapes 64x64 --rows 16 --repeats 2 --peers none --tuned "$dir/dense"; prints "spmm24_blocks_cublaslt"
run 0 kernels --op spmm24_blocks8 --problem T=16,n=64,k=64 --device cuda; prints "W is not given written out"
run 0 kernels --op spmm24_blocks8 --problem T=16,n=64,k=64,dense=given,scales=rows --device cuda; prints "* spmm24_blocks8_sm90a_few"
run 0 bench gemm --device cuda --work forward --dtype e4m3 --shapes 64x64 --rows 16 --repeats 1 --peers none --kernel spmm24_blocks8_cublaslt; prints "spmm24_blocks8_cublaslt"
echo "x	y" >>"$dir/choices"
run 1 kernels --op matmul --problem m=8,n=8,k=8 --cache "$dir/choices"; says "choices:5: fewer than 9 fields"
run 2 kernels --tune; says "--op"
# the library's own choices are tried: the fastest is kept by its text, runs again on another start, and is said where this library has it not
export FAKE_CUBLASLT_FAST=3
run 0 kernels --tune --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --device cuda --repeats 2 --cache "$dir/ways"
grep -q "^\* matmul_cublaslt .* us  cublaslt/130100/3/" "$out" || fail "a way: $(cat "$out")"
unset FAKE_CUBLASLT_FAST
WN_LIBCUDA="$dir/none.so" "$WINNOW" kernels --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --cache "$dir/ways" >"$out" 2>"$err" || fail "replay of a way"
prints "matmul_cublaslt cublaslt/130100/3/"
run 0 kernels --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --cache "$dir/ways" --device cuda
grep -q "^\* matmul_cublaslt .* way cublaslt/130100/3/[0-9a-f]*$" "$out" || fail "the way of a plan: $(cat "$out")"
export FAKE_CUBLASLT_VERSION=130200
run 0 kernels --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --cache "$dir/ways" --device cuda; prints "but cuBLASLt is 130200 here"
unset FAKE_CUBLASLT_VERSION
# what is there to be checked is not tuned to, nor taken from a file
run 0 kernels --tune --op spmm24_blocks --problem T=16,n=256,k=64,dtype=bf16 --variant 'sm90a*[a-z]' --device cuda --repeats 2 --cache "$dir/parts"
grep -q "^  spmm24_blocks_sm90a_parts .*there to be checked" "$out" || fail "parts: $(cat "$out")"
sed -i 's/\tsm90a[a-z_]*\t/\tsm90a_parts\t/' "$dir/parts"
run 0 kernels --op spmm24_blocks --problem T=16,n=256,k=64,dtype=bf16 --cache "$dir/parts" --device cuda
prints "* spmm24_blocks_sm90a_few"
grep -q "^  spmm24_blocks_sm90a_parts .*to be checked" "$out" || fail "parts in a file: $(cat "$out")"
# 8-bit W of a row that is not of whole 16 bytes: the library refuses, 2:4 does not mind
run 0 kernels --op spmm24_blocks8 --problem T=5,n=16,k=37,dense=given --device cuda
grep -q "^  spmm24_blocks8_cublaslt .*rows of whole 16 bytes" "$out" || fail "k=37: $(cat "$out")"
run 0 kernels --check --op spmm24_blocks8 --variant 'sm90a*[a-z]' --problem T=5,n=16,k=37,dense=given

# a variant whose results are wrong is not chosen, however fast: another is, or none
export FAKE_CUBLASLT_WRONG=1
run 0 kernels --tune --op spmm24_blocks --problem T=16,n=64,k=64,dtype=bf16 --device cuda --repeats 2 --cache "$dir/wrong"
grep -q "spmm24_blocks_cublaslt .*error allowed" "$out" || fail "a wrong product was not refused"
grep -q "cublaslt" "$dir/wrong" && fail "a wrong product was chosen: $(cat "$dir/wrong")"
run 4 kernels --tune --op matmul --problem m=16,n=64,k=64,bt=1,dtype=bf16 --device cuda --repeats 2 --cache "$dir/wrong"; says "agrees with ref"
grep -q matmul "$dir/wrong" && fail "a wrong product was kept"
unset FAKE_CUBLASLT_WRONG

# a folder's results in one picture, what is none of them left out
echo '{"format": "other"}' >"$dir/other.json"
run 0 bench summary "$dir" --svg "$dir/all.svg"; says "left out: $dir/other.json"
grep -q "choose tiles" "$dir/all.svg" || fail "prune is not in the picture"
mkdir "$dir/empty"
run 1 bench summary "$dir/empty" --svg "$dir/x.svg"; says "no results in this folder"
exit 0
