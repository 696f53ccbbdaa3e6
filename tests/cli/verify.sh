#!/bin/sh
# SPDX-License-Identifier: MIT
# The production suite with few tokens a shape, and what verify refuses.
. "$(dirname "$0")/lib.sh"

run 2 verify --suite nothing; says "there is 'production'"
run 2 verify --quick; says "--quick goes with --suite production"
run 3 verify --suite production --quick --kernels spmm24:nothing; prints "has no variant 'nothing'"; prints "0/11 production shapes pass"
# the same code on small shapes is model_test_verify_production
! sanitized || exit 0
run 0 verify --suite production --quick
prints "11/11 production shapes pass"; prints "16 x 4096 x 11008"; prints "11/11 are within the guide's own limits"
