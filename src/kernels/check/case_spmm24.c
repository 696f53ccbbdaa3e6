// SPDX-License-Identifier: MIT
// Cases of spmm24: weights are packed here, group by group, with each pair of columns and every
// short group. Bound: matmul's with the 2 ceil(k/4) packed terms of a row, bias and the old y. sums
// and round16 as in matmul's.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/spmm24.h"

#include <stdio.h>

enum { T, N, K, DTYPE, DATA, MASKS, BIAS, ACCUMULATE, XPAD, YPAD, SUMS, ROUND16, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 512, 129, 400),
    WN__FIELD_SIZE("n", 0, 512, 129, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 1100),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_FLAG("bias", 0),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("xpad", 0, 9, 0),
    WN__FIELD_CHOICE("ypad", 0, 9, 0),
    WN__FIELD_FLAG("sums", 0),
    WN__FIELD_FLAG("round16", 0),
};

// Each flag goes with one dtype.
static void settle(wn__problem *p) {
    p->value[SUMS] = p->value[SUMS] && p->value[DTYPE] == WN_DTYPE_BF16 - 1;
    p->value[ROUND16] = p->value[ROUND16] && p->value[DTYPE] == WN_DTYPE_F32 - 1;
}

static void declare(wn__case *c) {
    wn__spmm24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    int64_t groups = wn__ceil_div(v[K], 4);
    wn_dtype sums = v[SUMS] ? WN_DTYPE_F32 : dtype;
    p->accumulate = v[ACCUMULATE];
    p->rounded16 = v[ROUND16];
    wn__case_part(c, "x", &p->x, WN__READ, wn__view2(dtype, v[T], v[K], v[XPAD]));
    wn__case_part(c, "values", &p->values, WN__READ, wn__tensor2(NULL, dtype, v[N], 2 * groups));
    wn__case_part(c, "index", &p->index, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[N], wn__ceil_div(groups, 2)));
    if (v[BIAS]) wn__case_part(c, "bias", &p->bias, WN__READ, wn__tensor1(NULL, sums, v[N]));
    wn__case_part(c, "y", &p->y, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__view2(sums, v[T], v[N], v[YPAD]));
}

static void fill(wn__case *c) {
    wn__case_fill(c, (wn__data)c->problem.value[DATA]);
    if (c->problem.value[ROUND16]) {
        wn__part_round16(wn__case_find(c, "x"));
        wn__part_round16(wn__case_find(c, "values"));
    }
    wn__packed_fill(c, wn__case_find(c, "values"), wn__case_find(c, "index"), c->problem.value[K],
                    c->problem.value[MASKS] == WN__MASKS_FULL);
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    double terms = (double)(2 * wn__ceil_div(v[K], 4) + v[BIAS] + v[ACCUMULATE]);
    wn__part *p = wn__case_find(c, "y");
    wn__round stored = wn__round_stored(r, p);
    wn__bound_sum(p, &stored, terms, v[DATA] == WN__DATA_INTEGERS);
    int64_t slots = 2 * wn__ceil_div(v[K], 4);
    const wn__vectors x = {wn__case_find(c, "x"), v[K], 1, v[K]},
                      w = {wn__case_find(c, "values"), slots, 1, slots};
    if (v[ROUND16] || wn__case_dtype(c, DTYPE) == WN_DTYPE_BF16)
        wn__bound_flushed(p, r, &x, &w, terms);
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[T] * (double)p->value[N] * (double)wn__ceil_div(p->value[K], 4);
}

// The same product with the weights dense, [n,k] as they lie in a model.
static void baseline(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n,
                   "m=%lld,n=%lld,k=%lld,bt=1,dtype=%s,bias=%lld,accumulate=%lld,sums=%lld,"
                   "round16=%lld",
                   (long long)v[T], (long long)v[N], (long long)v[K], wn__dtype_words[v[DTYPE]],
                   (long long)v[BIAS], (long long)v[ACCUMULATE], (long long)v[SUMS],
                   (long long)v[ROUND16]);
}

const wn__case_type wn__cases_spmm24 = {.op = WN__OP_spmm24,
                                        .args_size = sizeof(wn__spmm24),
                                        .fields = fields,
                                        .field_count = FIELDS,
                                        .multilinear = true,
                                        .settle = settle,
                                        .declare = declare,
                                        .fill = fill,
                                        .bound = bound,
                                        .flops = flops,
                                        .baseline = baseline,
                                        .alone = "T"};
