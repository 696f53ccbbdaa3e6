// SPDX-License-Identifier: MIT
// kron_mul of many small factors on a GPU: neighbours whose product is one factor again, of blocks
// of at most 64 x 64, are multiplied out first. Factors go past the batch once each, so fewer of
// them are worth more products.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include "kernels/kron_mul.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

enum { SIDE = 64 };

// left right, or of factors that were turned the transpose of right^T left^T.
static bool product_of(const wn__kron_size *left, const wn__kron_size *right, wn__kron_size *out) {
    if (right->a % left->a == 0 && left->d % right->d == 0 && left->a * left->c % right->a == 0)
        *out = (wn__kron_size){left->a, left->b * (left->d / right->d),
                               right->c * (right->a / left->a), right->d};
    else if (left->a % right->a == 0 && right->d % left->d == 0 &&
             right->a * right->b % left->a == 0)
        *out = (wn__kron_size){right->a, left->b * (left->a / right->a),
                               right->c * (right->d / left->d), left->d};
    else
        return false;
    return out->b <= SIDE && out->c <= SIDE;
}

static wn_status multiply(wn__gpu *gpu, const wn_tensor *left, const wn_tensor *right,
                          const wn_tensor *to) {
    enum { MOST_BLOCKS = 4096 };
    const wn__kron_size l = wn__kron_size_of(left), r = wn__kron_size_of(right),
                        s = wn__kron_size_of(to);
    wn__gpu_kron_merge a = {.left = left->data, .right = right->data, .to = to->data};
    const wn__kron_size size[3] = {l, r, s};
    for (int i = 0; i < 4; i++) {
        a.left_stride[i] = left->stride[i];
        a.right_stride[i] = right->stride[i];
    }
    for (int i = 0; i < 3; i++) {
        a.size[i][0] = (int)size[i].a;
        a.size[i][1] = (int)size[i].b;
        a.size[i][2] = (int)size[i].c;
        a.size[i][3] = (int)size[i].d;
    }
    const int64_t blocks = wn__ceil_div(s.a * s.b * s.c * s.d, WN_KRON_WEIGHTS_THREADS);
    const wn__cuda_launch launch = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_WEIGHTS_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_weights_sm80,
                          left->dtype == WN_DTYPE_BF16 ? "wn_kron_merge_bf16" : "wn_kron_merge_f16",
                          &launch, &a);
}

// Its blocks one behind the other.
static wn_tensor factor_at(void *data, wn_dtype dtype, const wn__kron_size *s) {
    wn_tensor t = wn__tensor4(data, dtype, s->a, s->b, s->c, s->d);
    t.stride[0] = s->d * s->b * s->c;
    t.stride[1] = s->c;
    t.stride[2] = 1;
    t.stride[3] = s->b * s->c;
    return t;
}

// The chain that is left, its products at `scratch` in `used` bytes; made where there is a GPU.
static wn_status merge(const wn__kron_mul *p, char *scratch, wn__gpu *gpu, wn__kron_mul *out,
                       size_t *used) {
    *used = 0;
    out->x = p->x;
    out->y = p->y;
    out->accumulate = p->accumulate;
    out->count = 0;
    for (int t = 0; t < p->count; t++) {
        const wn__kron_size left = wn__kron_size_of(&p->w[t]);
        wn_tensor *last = out->count > 0 ? &out->w[out->count - 1] : NULL;
        wn__kron_size s, right = last ? wn__kron_size_of(last) : left;
        if (!last || !product_of(&left, &right, &s)) {
            out->w[out->count++] = p->w[t];
            continue;
        }
        wn_tensor both = factor_at(scratch ? scratch + *used : NULL, p->x.dtype, &s);
        both.device = p->w[t].device;
        *used += wn__cuda_whole((size_t)(s.a * s.b * s.c * s.d) * 2);
        if (gpu) WN_TRY(multiply(gpu, &p->w[t], last, &both));
        *last = both;
    }
    return WN_OK;
}

bool wn__accepts_gpu_kron_merged(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    wn__kron_mul q;
    size_t used;
    if (!wn__gpu_kron_accepts16(p, why, n)) return false;
    if (p->count > 2 && merge(p, NULL, NULL, &q, &used) == WN_OK && q.count < p->count)
        return wn__gpu_kron_accepts16(&q, why, n);
    (void)snprintf(why, n, "less than three factors, or no two whose product has blocks of %d",
                   SIDE);
    return false;
}

size_t wn__workspace_kron_mul_sm90a_merged(const void *args, int threads) {
    wn__kron_mul q;
    size_t used;
    (void)!merge(args, NULL, NULL, &q, &used);
    return used + wn__workspace_kron_mul_sm80(&q, threads);
}

wn_status wn__kron_mul_sm90a_merged(const void *args, wn__exec *x) {
    const wn__kron_mul *p = args;
    wn__kron_mul q;
    size_t used;
    char why[160];
    if (p->x.shape[0] == 0) return WN_OK;
    WN_TRY(merge(p, x->scratch, x->gpu, &q, &used));
    wn__exec rest = *x;
    rest.scratch += used;
    rest.scratch_size -= used;
    if (wn__accepts_gpu_kron_fused(&q, why, sizeof why)) return wn__kron_mul_sm90a_fused(&q, &rest);
    return wn__kron_mul_sm80(&q, &rest);
}

#endif
