#!/bin/sh
# SPDX-License-Identifier: MIT
# Times the hot kernels of this build on this machine: every variant of an op on one case, medians of interleaved repeats on random data.
# usage: bench/run.sh [THREADS]     (from ./run bench)
set -eu
cd "$(dirname "$0")/.."
threads=${1:-0}
winnow=build/winnow

title() { printf '\n%s\n' "$*"; }

echo "$(date -u +%Y-%m-%d) commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) processors, threads $threads"
for size in m=2048,n=768,k=192 m=512,n=3072,k=768 m=1,n=4096,k=4096; do
    title "y = x W^T, $size: dense, then 2:4 (executed FLOPs are half)"
    "$winnow" kernels --time --op matmul --problem "$size" --threads "$threads"
    "$winnow" kernels --time --op spmm24 --problem "T=${size#m=}" --threads "$threads"
done
for op in mask24 pack24 rmsnorm rmsnorm_grad attention attention_grad relu2 relu2_grad cross_entropy adamw sumsq; do
    title "$op, default case"
    "$winnow" kernels --time --op "$op" --threads "$threads"
done
