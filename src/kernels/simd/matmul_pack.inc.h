// SPDX-License-Identifier: MIT
/* Packing of matmul: slices of an operand become panels of TILE_M or TILE_N vectors side by side. A
 * float of a panel holds STEPS consecutive k: one number, or where the processor multiplies pairs
 * of bfloat16 numbers a pair, the lower k in the lower half. What does not exist is zero. */
#include "kernels/matmul.h"
#include "kernels/simd/half.h"
#include "kernels/simd/matmul_plan.h"

/* Floats of a panel that hold `depth` steps of k, in whole rows of a tile where that has such. */
ALWAYS int64_t panel_depth(int64_t depth) {
    return (depth + STEPS * TILE_DEPTH - 1) / (STEPS * TILE_DEPTH) * TILE_DEPTH;
}

/* Panels of `width` of count vectors that are contiguous along depth: to[l * width + i] = from[i *
 * stride + l]. */
ALWAYS void pack_along(const void *from, bool half, int64_t stride, int64_t count, int64_t depth,
                       int64_t width, float *to) {
    const int64_t most = STEPS * VF;
    for (int64_t i = 0; i < count; i += width, to += width * panel_depth(depth))
        for (int64_t sub = 0; sub < width; sub += VF) {
            int64_t lanes = width - sub < VF ? width - sub : VF;
            int64_t exist = count - i - sub < lanes ? count - i - sub : lanes;
            const void *at = half_at(from, half, (i + sub) * stride);
            for (int64_t l = 0; l < depth; l += most) {
                int64_t n = depth - l < most ? depth - l : most;
                vf r[VF];
                /* The rows of a slice are too short for a prefetcher to foresee the next ones. */
                for (int64_t s = 0; s < lanes; s++)
                    _mm_prefetch(half_at(at, half, (width + s) * stride + l), _MM_HINT_T0);
                pack_read_block(half_at(at, half, l), half, stride, exist, n, r);
                vf_transpose(r);
                /* What a vector holds beyond the panel's width is overwritten by the next. */
                UNROLL
                for (int64_t s = 0; s < VF; s++)
                    if (s < panel_depth(n)) vf_store(to + (l / STEPS + s) * width + sub, r[s]);
            }
        }
}

/* n lanes of vectors that stand side by side, at depth l of `depth`. */
ALWAYS vf pack_read_across(const void *from, bool half, int64_t stride, int64_t n, int64_t l,
                           int64_t depth) {
    if (l >= depth) return vf_zero();
    vf low = half_get(from, half, 0, n);
#if PAIRS
    return pairs_of(low, l + 1 < depth ? half_get(from, half, stride, n) : vf_zero());
#else
    (void)stride;
    return low;
#endif
}

/* The same of vectors that stand side by side: to[l * width + i] = from[l * stride + i]. Row by row
 * of from, whose rows may be pages apart: every line and page is met once. */
ALWAYS void pack_across_width(const void *from, bool half, int64_t stride, int64_t count,
                              int64_t depth, int64_t width, float *to) {
    for (int64_t l = 0; l < STEPS * panel_depth(depth); l += STEPS)
        for (int64_t i = 0; i < count; i += width) {
            const void *at = half_at(from, half, l * stride + i);
            float *panel = to + i * panel_depth(depth) + l / STEPS * width;
            UNROLL
            for (int64_t sub = 0; sub < width; sub += VF) {
                int64_t lanes = width - sub < VF ? width - sub : VF, left = count - i - sub;
                vf v = vf_zero();
                if (left >= VF)
                    v = pack_read_across(half_at(at, half, sub), half, stride, VF, l, depth);
                else if (left > 0)
                    v = pack_read_across(half_at(at, half, sub), half, stride, left, l, depth);
                if (lanes == VF || l + STEPS < depth) /* the next row overwrites what is too much */
                    vf_store(panel + sub, v);
                else
                    vf_store_n(panel + sub, v, lanes);
            }
        }
}

ALWAYS void pack_across(const void *from, bool half, int64_t stride, int64_t count, int64_t depth,
                        int64_t width, float *to) {
    if (width == TILE_M)
        pack_across_width(from, half, stride, count, depth, TILE_M, to);
    else
        pack_across_width(from, half, stride, count, depth, TILE_N, to);
}

ALWAYS void pack_vectors(const void *from, bool half, int64_t across, int64_t along, int64_t count,
                         int64_t depth, int64_t width, float *to) {
    if (along == 1)
        pack_along(from, half, across, count, depth, width, to);
    else
        pack_across(from, half, along, count, depth, width, to);
}

/* Vectors first .. first+count of t, each along k from l on; `vectors` is the dimension they are
 * counted in. */
static void pack(const wn_tensor *t, int vectors, int64_t first, int64_t count, int64_t l,
                 int64_t depth, int64_t width, float *to) {
    int64_t across = t->stride[vectors], along = t->stride[1 - vectors];
    int64_t at = first * across + l * along;
    if (t->dtype == WN_DTYPE_BF16)
        pack_vectors(half_at(t->data, true, at), true, across, along, count, depth, width, to);
    else
        pack_vectors(half_at(t->data, false, at), false, across, along, count, depth, width, to);
}

/* Columns first .. first+count of b, each along k from l on. */
static void pack_b(const wn_tensor *b, int64_t first, int64_t count, int64_t l, int64_t depth,
                   float *to) {
    pack(b, 1, first, count, l, depth, TILE_N, to);
}
