// SPDX-License-Identifier: MIT
// Cases of matmul: every combination of transposed operands, row padding, bias and accumulation.
// Bound: that of the header, with bias and the old c as terms. sums=1: c of F32 where the operands
// are BF16; round16=1: operands of F32 that hold bfloat16 numbers.
#include "kernels/check/harness.h"
#include "kernels/matmul.h"

enum { M, N, K, DTYPE, DATA, AT, BT, BIAS, ACCUMULATE, PAD, SUMS, ROUND16, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("m", 0, 512, 129, 400),
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 1100),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_FLAG("at", 0),
    WN__FIELD_FLAG("bt", 0),
    WN__FIELD_FLAG("bias", 0),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("pad", 0, 9, 0),
    WN__FIELD_FLAG("sums", 0),
    WN__FIELD_FLAG("round16", 0),
};

// Each flag goes with one dtype.
static void settle(wn__problem *p) {
    p->value[SUMS] = p->value[SUMS] && p->value[DTYPE] == WN_DTYPE_BF16 - 1;
    p->value[ROUND16] = p->value[ROUND16] && p->value[DTYPE] == WN_DTYPE_F32 - 1;
}

static wn_tensor matrix(wn_dtype dtype, int64_t rows, int64_t columns, int64_t pad,
                        int64_t transposed) {
    return transposed ? wn__view2_transposed(dtype, rows, columns, pad)
                      : wn__view2(dtype, rows, columns, pad);
}

static void declare(wn__case *c) {
    wn__matmul *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    wn_dtype sums = v[SUMS] ? WN_DTYPE_F32 : dtype;
    p->accumulate = v[ACCUMULATE];
    p->rounded16 = v[ROUND16];
    wn__case_part(c, "a", &p->a, WN__READ, matrix(dtype, v[M], v[K], v[PAD], v[AT]));
    wn__case_part(c, "b", &p->b, WN__READ, matrix(dtype, v[K], v[N], v[PAD], v[BT]));
    if (v[BIAS]) wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, sums, v[N]));
    wn__case_part(c, "c", &p->c, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__view2(sums, v[M], v[N], v[PAD]));
}

static void fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    if (!c->problem.value[ROUND16]) return;
    wn__part_round16(wn__case_find(c, "a"));
    wn__part_round16(wn__case_find(c, "b"));
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    wn__part *p = wn__case_find(c, "c");
    wn__round stored = wn__round_stored(r, p);
    double terms = (double)(v[K] + v[BIAS] + v[ACCUMULATE]);
    wn__bound_sum(p, &stored, terms, v[DATA] == WN__DATA_INTEGERS);
    const wn__vectors a = {wn__case_find(c, "a"), v[K], 1, v[K]},
                      b = {wn__case_find(c, "b"), 1, v[N], v[K]};
    if (v[ROUND16] || wn__case_dtype(c, DTYPE) == WN_DTYPE_BF16)
        wn__bound_flushed(p, r, &a, &b, terms);
}

static double flops(const wn__problem *p) {
    return 2.0 * (double)p->value[M] * (double)p->value[N] * (double)p->value[K];
}

const wn__case_type wn__cases_matmul = {.op = WN__OP_matmul,
                                        .alone = "m",
                                        .args_size = sizeof(wn__matmul),
                                        .fields = fields,
                                        .field_count = FIELDS,
                                        .multilinear = true,
                                        .settle = settle,
                                        .declare = declare,
                                        .fill = fill,
                                        .bound = bound,
                                        .flops = flops};
