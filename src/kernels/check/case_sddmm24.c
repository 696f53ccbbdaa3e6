// SPDX-License-Identifier: MIT
// Cases of sddmm24. Bound: matmul's with the tokens as terms, and the old v. sums as in matmul's.
#include "kernels/check/masks24.h"
#include "kernels/contract.h"
#include "kernels/sddmm24.h"

#include <stdio.h>

enum { T, N, K, DTYPE, DATA, MASKS, ACCUMULATE, DYPAD, XPAD, SUMS, FIELDS };

static const wn__field fields[FIELDS] = {
    WN__FIELD_SIZE("T", 0, 512, 129, 1100),
    WN__FIELD_SIZE("n", 0, 512, 70, 400),
    WN__FIELD_SIZE("k", 0, 512, 129, 400),
    WN__FIELD_DTYPE,
    WN__FIELD_DATA(WN__DATA_INFINITE),
    WN__FIELD_WORDS("masks", WN__MASKS_SHORT, WN__MASKS_FULL, wn__masks_words),
    WN__FIELD_FLAG("accumulate", 0),
    WN__FIELD_CHOICE("dypad", 0, 9, 0),
    WN__FIELD_CHOICE("xpad", 0, 9, 0),
    WN__FIELD_FLAG("sums", 0),
};

static void settle(wn__problem *p) {
    p->value[SUMS] = p->value[SUMS] && p->value[DTYPE] == WN_DTYPE_BF16 - 1;
}

static void declare(wn__case *c) {
    wn__sddmm24 *p = c->args;
    const int64_t *v = c->problem.value;
    wn_dtype dtype = wn__case_dtype(c, DTYPE);
    int64_t groups = wn__ceil_div(v[K], 4);
    p->accumulate = v[ACCUMULATE];
    wn__case_part(c, "dy", &p->dy, WN__READ, wn__view2(dtype, v[T], v[N], v[DYPAD]));
    wn__case_part(c, "x", &p->x, WN__READ, wn__view2(dtype, v[T], v[K], v[XPAD]));
    wn__case_part(c, "index", &p->index, WN__READ,
                  wn__tensor2(NULL, WN_DTYPE_U8, v[N], wn__ceil_div(groups, 2)));
    wn__case_part(c, "v", &p->v, v[ACCUMULATE] ? WN__UPDATE : WN__WRITE,
                  wn__tensor2(NULL, v[SUMS] ? WN_DTYPE_F32 : dtype, v[N], 2 * groups));
}

static void fill(wn__case *c) {
    const int64_t *v = c->problem.value;
    wn__case_fill(c, (wn__data)v[DATA]);
    wn__packed_fill(c, NULL, wn__case_find(c, "index"), v[K], v[MASKS] == WN__MASKS_FULL);
}

static void bound(wn__case *c, const wn__round *r) {
    const int64_t *v = c->problem.value;
    wn__part *p = wn__case_find(c, "v");
    wn__round stored = wn__round_stored(r, p);
    wn__bound_sum(p, &stored, (double)(v[T] + v[ACCUMULATE]), v[DATA] == WN__DATA_INTEGERS);
}

static double flops(const wn__problem *p) {
    return 4.0 * (double)p->value[T] * (double)p->value[N] * (double)wn__ceil_div(p->value[K], 4);
}

// The dense weight gradient.
static void baseline(const wn__problem *p, wn__op *op, char *text, size_t n) {
    const int64_t *v = p->value;
    *op = WN__OP_matmul;
    (void)snprintf(text, n, "m=%lld,n=%lld,k=%lld,at=1,dtype=%s,accumulate=%lld,sums=%lld",
                   (long long)v[N], (long long)v[K], (long long)v[T], wn__dtype_words[v[DTYPE]],
                   (long long)v[ACCUMULATE], (long long)v[SUMS]);
}

const wn__case_type wn__cases_sddmm24 = {.op = WN__OP_sddmm24,
                                         .args_size = sizeof(wn__sddmm24),
                                         .fields = fields,
                                         .field_count = FIELDS,
                                         .multilinear = true,
                                         .settle = settle,
                                         .declare = declare,
                                         .fill = fill,
                                         .bound = bound,
                                         .flops = flops,
                                         .baseline = baseline};
