// SPDX-License-Identifier: MIT
/* Panels of two vectors of lanes, one a vector of the batch, a row a feature (simd/kron_plan.h):
 * bringing them in, and the products of a packed block with them. */
#include "kernels/simd/kron_block.inc.h"
#include "kernels/simd/kron_plan.h"

/* Floats of the packed weights from those in use to those on their way: they come from L3, which a
 * tile of a few KiB does not give a prefetcher time to notice. */
enum { KRON_AHEAD = 512 };

/* ---- the register tile: J outputs of a block from c of its inputs, added to what is there or not.
 * w[c][J], x[c][LANES]. */
ALWAYS void kron_tile(const int J, int64_t c, const float *w, const float *x, const int32_t *place,
                      float *out, bool add) {
    vf sum[ROWS][2];
    if (add) {
        UNROLL
        for (int j = 0; j < J; j++) {
            const float *from = out + (int64_t)place[j] * LANES;
            sum[j][0] = vf_load(from);
            sum[j][1] = vf_load(from + VF);
        }
    } else {
        UNROLL
        for (int j = 0; j < J; j++)
            sum[j][0] = sum[j][1] = vf_zero();
    }
    for (int64_t k = 0; k < c; k++, w += J, x += LANES) {
        vf x0 = vf_load(x), x1 = vf_load(x + VF);
        _mm_prefetch((const char *)(w + KRON_AHEAD), _MM_HINT_T0);
        UNROLL
        for (int j = 0; j < J; j++) {
            vf weight = vf_set(w[j]);
            sum[j][0] = vf_fma(weight, x0, sum[j][0]);
            sum[j][1] = vf_fma(weight, x1, sum[j][1]);
        }
    }
    UNROLL
    for (int j = 0; j < J; j++) {
        float *to = out + (int64_t)place[j] * LANES;
        vf_store(to, sum[j][0]);
        vf_store(to + VF, sum[j][1]);
    }
}

/* Panels of x and out that pass together. */
typedef struct kron_panels {
    int64_t count, x, out; /* floats from one to the next */
    bool add;              /* to what is in out */
} kron_panels;

#define KRON_CASE(J)                                                                               \
    case J:                                                                                        \
        for (int64_t i = 0; i < n->count; i++)                                                     \
            kron_tile(J, c, w, x + i * n->x, place, out + i * n->out, n->add);                     \
        break;

static void kron_tiles(int64_t rows, int64_t c, const float *w, const float *x,
                       const int32_t *place, float *out, const kron_panels *n) {
    switch (rows) {
        KRON_CASE(1)
        KRON_CASE(2)
        KRON_CASE(3)
        KRON_CASE(4)
        KRON_CASE(5)
#if VF == 16
        KRON_CASE(6)
        KRON_CASE(7)
        KRON_CASE(8)
        KRON_CASE(9)
        KRON_CASE(10)
        KRON_CASE(11)
#endif
    default:
        for (int64_t i = 0; i < n->count; i++)
            kron_tile(ROWS, c, w, x + i * n->x, place, out + i * n->out, n->add);
    }
}

/* All outputs of a block: output o goes to row place[o] of out. */
static void kron_block(int64_t outputs, int64_t c, const float *w, const float *x,
                       const int32_t *place, float *out, const kron_panels *n) {
    int64_t tiles = (outputs + ROWS - 1) / ROWS;
    for (int64_t i = 0, o = 0; i < tiles; i++) {
        int64_t rows = wn__kron_tile_rows(outputs, tiles, i);
        kron_tiles(rows, c, w + o * c, x, place + o, out, n);
        o += rows;
    }
}

/* ---- x into a panel */

static bool kron_batch_first(const wn_tensor *t) {
    return t->stride[1] == 1 || t->shape[1] < 2;
}

/* Columns of a batch that go into a panel or come out of it: column i is row place[i] of it. */
typedef struct kron_columns {
    const wn_tensor *of;
    int64_t first, count;
    const int32_t *place;
    bool stream; /* past the caches */
} kron_columns;

ALWAYS void kron_bring_as(const wn_dtype dtype, const kron_columns *from, int64_t t0,
                          float *panel) {
    const wn_tensor *x = from->of;
    int64_t n = kron_least(LANES, x->shape[0] - t0);
    if (!kron_batch_first(x)) {
        for (int64_t c = 0; c < from->count; c++) {
            int64_t at = (from->first + c) * x->stride[1] + t0;
            float *to = panel + (int64_t)from->place[c] * LANES;
            for (int64_t t = 0; t < LANES; t += VF) {
                int64_t some = n - t < 0 ? 0 : kron_least(VF, n - t);
                vf_store(to + t, num_get(dtype, x->data, at + (some > 0 ? t : 0), some));
            }
        }
        return;
    }
    for (int64_t t = 0; t < LANES; t += VF) {
        int64_t rows = n - t < 0 ? 0 : kron_least(VF, n - t);
        int64_t at = (t0 + (rows > 0 ? t : 0)) * x->stride[0] + from->first;
        for (int64_t c = 0; c < from->count; c += VF) {
            int64_t some = kron_least(VF, from->count - c);
            vf block[VF];
            num_read_block(dtype, x->data, at + c, x->stride[0], rows, some, block);
            vf_transpose(block);
            UNROLL
            for (int64_t i = 0; i < VF; i++)
                if (i < some) vf_store(panel + (int64_t)from->place[c + i] * LANES + t, block[i]);
        }
    }
}

static void kron_bring_in(const kron_columns *from, int64_t t0, float *panel) {
#define BRING(dtype) kron_bring_as(dtype, from, t0, panel)
    NUM_SWITCH(from->of->dtype, BRING)
#undef BRING
}
