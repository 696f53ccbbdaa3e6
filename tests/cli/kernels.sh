#!/bin/sh
# SPDX-License-Identifier: MIT
# Listing, explaining and checking kernels; the doctor; running without vector instructions.
. "$(dirname "$0")/lib.sh"

run 0 kernels; prints "spmm24_ref"
run 0 kernels --json; prints "\"name\": \"matmul_ref\""
run 0 kernels --op spmm24 --problem T=8,n=16,k=32; prints "* spmm24_"; prints "spmm24_ref"
run 0 kernels --check --quick --op mask24; prints "0 failed"
run 0 kernels --time --op matmul --problem m=16,n=16,k=16 --repeats 3; prints "matmul_ref"
run 2 kernels --op nothing
# model_test_doctor runs the same self-tests
sanitized || { run 0 doctor; prints "threads"; prints "spmm24_"; prints "all self-tests passed"; }
WN_CPU=none "$WINNOW" kernels --op spmm24 --problem T=8,n=16,k=32 >"$out" 2>"$err" || fail "WN_CPU=none"
prints "* spmm24_ref"
# a kernel by its name; one that is not there, and what this machine lacks for those that are
run 0 kernels --check --quick --kernel spmm24_ref; prints "spmm24_ref"; prints "120 cases, 0 failed"
run 2 kernels --check --kernel spmm24_reff; says "no kernel is called 'spmm24_reff'"
run 2 kernels --check --kernel spmm24_ref --op matmul; says "leave out --op and --variant"
run 0 kernels --kernel spmm24_ref --problem T=8,n=16,k=32; prints "* spmm24_ref"
run 1 kernels --check --quick --op spmm24 --variant nothing; says "no kernel that runs here matches"
run 0 kernels --tune --op matmul --problem m=8,n=8,k=8 --variant ref --repeats 1; prints "* matmul_ref"
grep -q "matmul_[^r]" "$out" && fail "--tune tried more than --variant"
run 4 kernels --tune --op matmul --variant nothing; says "no variant of matmul"
export WN_CPU=none
for what in --check "--time --problem T=8,n=16,k=32"; do
    # shellcheck disable=SC2086
    run 4 kernels $what --op spmm24 --variant avx2; says "spmm24_avx2: "; says "avx2"
done
unset WN_CPU
# a failing case names the command that repeats it; the case is the only one run
run 0 kernels --check --op matmul --variant ref --problem m=3,n=4,k=5; prints "1 cases, 0 failed"
# sums below the smallest number have the same sign with any number of threads
for what in T=63,r=16,c=700 T=63,r=16,c=1029,accumulate=1,sums=1; do
    run 0 kernels --check --op spmm24_columns --problem "$what,dtype=bf16,data=tiny"; prints ", 0 failed"
done
