// SPDX-License-Identifier: MIT
// sum, sumsq, nonfinite and colsum on 512-bit vectors.
#include "kernels/declare.h"
#include "kernels/simd/reduce.inc.h"

wn_status wn__sum_avx512(const void *args, wn__exec *x) {
    return sum_chunks(args, x, sum_chunk);
}

wn_status wn__sumsq_avx512(const void *args, wn__exec *x) {
    return sum_chunks(args, x, sumsq_chunk);
}

wn_status wn__nonfinite_avx512(const void *args, wn__exec *x) {
    return nonfinite(args, x);
}

wn_status wn__colsum_avx512(const void *args, wn__exec *x) {
    return colsum(args, x);
}
