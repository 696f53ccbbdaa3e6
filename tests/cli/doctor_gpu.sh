#!/bin/sh
# SPDX-License-Identifier: MIT
# What winnow doctor says about GPUs: none without a driver, and why; one behind a driver that stands in for NVIDIA's.
. "$(dirname "$0")/lib.sh"
fake=$WN_BUILD/fake/libfake_cuda.so
[ -f "$fake" ] || { echo "the stand-in driver was not built"; exit 1; }

export WN_LIBCUDA="$dir/no-such-driver.so"
run 0 doctor --quick
prints "gpu        none: no NVIDIA driver: $dir/no-such-driver.so: cannot open shared object file"

export WN_LIBCUDA="$fake"
export WN_LIBCUBLASLT="$WN_BUILD/fake/libfake_cublaslt.so"
run 0 doctor --quick
prints "gpu 0      Fake GPU 0, compute capability 9.0, 4 multiprocessors, 0.1 GiB, driver for CUDA 13.0"
if ! grep -q "gpu code   not built" "$out"; then
    prints "probe_sm80 ok"
    prints "probe_sm90a ok"
    prints "reads and writes counted"
fi
prints "gpu libs   cuBLASLt"
FAKE_CUDA_DEVICES=0 run 0 doctor --quick
prints "gpu        none: the NVIDIA driver shows no GPU"
FAKE_CUDA_DEVICES=2 run 0 doctor --quick --json
prints '"Fake GPU 1"'
