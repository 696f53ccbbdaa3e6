#!/bin/sh
# SPDX-License-Identifier: MIT
# winnow bench, with what it cannot know: the commit, and PyTorch's times where PyTorch is installed.
# usage: bench/run.sh [SUITE...] [OPTIONS of winnow bench]     (from ./run bench; no suite: all)
# WN_BENCH_OUT=DIR: also write DIR/DATE-SUITE-DTYPE.json and .svg, and DIR/DATE-summary.svg.
set -eu
cd "$(dirname "$0")/.."
winnow=build/winnow
suites=""
while [ $# -gt 0 ]; do
    case $1 in
    gemm | decode | prune | layer | train | mlp | ks) suites="$suites $1" && shift ;;
    *) break ;;
    esac
done
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
date=$(date -u +%Y-%m-%d)

# The value of an option --NAME VALUE or --NAME=VALUE among the arguments behind it.
value_of() {
    name=$1 found=""
    shift
    while [ $# -gt 0 ]; do
        case $1 in
        "--$name") found=${2:-} ;;
        "--$name="*) found=${1#*=} ;;
        esac
        shift
    done
    printf '%s' "$found"
}

# The same sizes in PyTorch, into $scratch/torch.json.
torch_times() {
    suite=$1
    shift
    given=$#
    script=bench/peers/torch_peer.py names="threads dtype shapes rows repeats work mlp hidden-size layers heads vocab-size seq-len batch-size"
    if [ "$(value_of device "$@")" = cuda ]; then script=bench/peers/torch_gpu.py names="dtype shapes rows repeats work"; fi
    for name in $names; do
        value=$(value_of "$name" "$@")
        if [ -n "$value" ]; then set -- "$@" "--$name" "$value"; fi
    done
    shift "$given"
    python3 "$script" "$suite" --json "$scratch/torch.json" "$@"
}

run_suite() {
    suite=$1
    shift
    dtype=$(value_of dtype "$@")
    if [ -n "${WN_BENCH_OUT:-}" ]; then
        mkdir -p "$WN_BENCH_OUT"
        base=$WN_BENCH_OUT/$date-$suite-${dtype:-f32}
        if [ "$(value_of device "$@")" = cuda ]; then base=$WN_BENCH_OUT/$date-$suite-${dtype:-bf16}-$(value_of protocol "$@"); fi
        base=${base%-}
        set -- "$@" --json "$base.json" --svg "$base.svg"
    fi
    if { [ "$suite" != prune ] || [ "$(value_of device "$@")" = cuda ]; } && python3 -c 'import torch' 2>/dev/null && torch_times "$suite" "$@"; then set -- "$@" --merge "$scratch/torch.json"; fi
    "$winnow" bench "$suite" --commit "$commit" "$@"
}

if [ -z "$suites" ]; then
    suites="gemm decode prune layer train"
    if [ "$(value_of device "$@")" = cuda ]; then suites="gemm decode prune mlp ks"; fi
fi
for suite in $suites; do
    run_suite "$suite" "$@"
    echo
done
if [ -n "${WN_BENCH_OUT:-}" ]; then "$winnow" bench summary "$WN_BENCH_OUT/$date"-*.json --svg "$WN_BENCH_OUT/$date-summary.svg"; fi
