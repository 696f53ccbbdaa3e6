// SPDX-License-Identifier: MIT
// kron_pack, the specification: number by number.
#include "kernels/kron_pack.h"
#include "kernels/declare.h"
#include "kernels/element.h"

#include <string.h>

// Outputs of block (i, l), the o-th its row (o % r) t + u + o / r, tile after tile. Returns what
// follows.
static float *block(const wn_tensor *w, int64_t most, int64_t i, int64_t l, int64_t outputs,
                    int64_t r, int64_t t, int64_t u, float *to) {
    const int64_t c = w->shape[2], tiles = (outputs + most - 1) / most;
    for (int64_t tile = 0, first = 0; tile < tiles; tile++) {
        const int64_t rows = wn__kron_tile_rows(outputs, tiles, tile);
        for (int64_t k = 0; k < c; k++)
            for (int64_t o = first; o < first + rows; o++)
                *to++ = (float)wn__get(w, wn__kron_at(w, i, o % r * t + u + o / r, k, l));
        first += rows;
    }
    return to;
}

static void right_of_pair(const wn_tensor *w, const wn__kron_packing *n, float *to) {
    const wn__kron_size s = wn__kron_size_of(w);
    for (int64_t g = 0; g < s.a / n->s * s.d; g++)
        for (int64_t u = 0; u < n->t; u += n->chunk)
            for (int64_t v = 0; v < n->s; v++)
                to = block(w, n->rows, g / s.d * n->s + v, g % s.d,
                           (n->t - u < n->chunk ? n->t - u : n->chunk) * n->r, n->r, n->t, u, to);
}

wn_status wn__kron_pack_ref(const void *args, wn__exec *x) {
    const wn__kron_pack *p = args;
    const wn__kron_packing n = wn__kron_packing_of(p->w, p->count, p->lanes);
    float *to = p->packed.data;
    (void)x;
    memset(to, 0, (size_t)(n.weights + n.places) * sizeof *to);
    for (int t = 0; t < p->count; t++) {
        const wn__kron_size s = wn__kron_size_of(&p->w[t]);
        float *at = to;
        if (n.pair && t == 0)
            right_of_pair(&p->w[0], &n, to);
        else
            for (int64_t g = 0; g < s.a * s.d; g++)
                at = block(&p->w[t], n.rows, g / s.d, g % s.d, s.b, 1, 1, 0, at);
        to += wn__kron_line(s.a * s.b * s.c * s.d);
    }
    wn__kron_places(p->w, p->count, &n, (int32_t *)(void *)to);
    return WN_OK;
}
