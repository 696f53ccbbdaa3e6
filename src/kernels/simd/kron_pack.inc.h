// SPDX-License-Identifier: MIT
/* kron_pack: see kernels/kron_pack.h. A task is a block, or all that share a block of outputs. */
#include "kernels/simd/kron_block.inc.h"

typedef struct kron_packer {
    const wn_tensor *w; /* the factor that is being packed */
    const wn__kron_packing *n;
    float *to;
} kron_packer;

static void kron_pack_blocks(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const kron_packer *job = ctx;
    const wn__kron_size s = wn__kron_size_of(job->w);
    for (int64_t g = begin; g < end; g++)
        kron_pack_block(job->w, g / s.d, g % s.d, s.b, 1, 1, 0, job->to + g * s.b * s.c);
}

/* The right factor of a pair: for each (i1, l) chunk after chunk, in each all v. */
static void kron_pack_right(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const kron_packer *job = ctx;
    const wn__kron_packing *n = job->n;
    const wn__kron_size size = wn__kron_size_of(job->w);
    for (int64_t g = begin; g < end; g++) {
        int64_t i1 = g / size.d, l = g % size.d, unit = n->r * size.c;
        float *to = job->to + g * n->s * n->t * unit;
        for (int64_t u = 0; u < n->t; u += n->chunk) {
            int64_t some = kron_least(n->chunk, n->t - u);
            for (int64_t v = 0; v < n->s; v++, to += some * unit)
                kron_pack_block(job->w, i1 * n->s + v, l, some * n->r, n->r, n->t, u, to);
        }
    }
}

/* Floats and integers of all factors; what lies between the runs is left as it is. */
static void kron_pack_all(const wn_tensor *w, int count, const wn__kron_packing *n, float *to,
                          wn__exec *x) {
    wn__kron_places(w, count, n, (int32_t *)(void *)(to + n->weights));
    for (int t = 0; t < count; t++) {
        const wn__kron_size s = wn__kron_size_of(&w[t]);
        kron_packer job = {&w[t], n, to};
        if (n->pair && t == 0)
            wn__parallel_for(x->pool, s.a / n->s * s.d, 1, kron_pack_right, &job);
        else
            wn__parallel_for(x->pool, s.a * s.d, 1, kron_pack_blocks, &job);
        to += wn__kron_line(s.a * s.b * s.c * s.d);
    }
}

/* kron_mul packs as part of its own work, and has no use for this. */
__attribute__((unused)) static wn_status kron_pack(const wn__kron_pack *p, wn__exec *x) {
    const wn__kron_packing n = wn__kron_packing_of(p->w, p->count, p->lanes);
    memset(p->packed.data, 0, (size_t)(n.weights + n.places) * sizeof(float));
    kron_pack_all(p->w, p->count, &n, p->packed.data, x);
    return WN_OK;
}
