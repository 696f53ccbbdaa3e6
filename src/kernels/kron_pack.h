// SPDX-License-Identifier: MIT
/* kron_pack: the factors of a chain of two and more in the order in which the panels of kron_mul
 * read them, and where every number between them goes. A private layout: it lives in memory only,
 * never on disk.
 *
 *   packed   a run of floats, then one of 32-bit integers, both counted by wn__kron_packing_of
 *
 * Floats, each factor from a whole cache line on: block after block (i, l), its b outputs cut into
 * ceil(b / rows) tiles of nearly one size, larger ones first, each tile [c][its outputs]. The right
 * one of two chainable factors, (a1 s, r t, c, d) before (a1, b, s r, t d): for each of the a1, for
 * each l, `chunk` of the t at a time, for each of the s, those outputs of the block as one block: u
 * slowest, output (q, u) of it is row q t + u.
 *
 * Integers, each run from a whole line on: the place of every input of the chain, block after
 * block; of every output of each factor in the order of its blocks, which is where the next factor
 * has it as an input, of the last its row; 0, 1, ... for as many as the chain has outputs. Of two
 * chainable factors in their stead: of the outputs (u, q) of a chunk u s r + q, of the outputs of a
 * block of the left one j d.
 *
 * w: F32, BF16 or F16 (F64: ref alone), one dtype, any strides, sizes as in kron_mul. packed: U8,
 * overlaps nothing. lanes: 16 (panels of AVX2, tiles of 6 outputs) or 32 (AVX-512, 12). Exact but
 * for F64, which is rounded to nearest even. */
#ifndef WN_KERNELS_KRON_PACK_H
#define WN_KERNELS_KRON_PACK_H

#include "kernels/kron_mul.h"

struct wn__exec;

typedef struct wn__kron_pack {
    wn_tensor packed; /* U8 [wn__kron_packed_bytes] */
    wn_tensor w[WN__KRON_FACTORS];
    int count;
    int64_t lanes;
} wn__kron_pack;

typedef struct wn__kron_packing {
    int64_t rows;    /* outputs of a tile, at most */
    int64_t in, out; /* of the chain */
    bool pair;       /* two chainable factors, with */
    int64_t s, t, r; /* a2/a1, d1/d2 and the inner rank, */
    int64_t chunk;   /* and so many of t at a time */
    int64_t panels;  /* that go through a factor together, at most */
    int64_t middle;  /* rows of what lies between: a chunk's, or the widest of a chain */
    int64_t weights; /* floats */
    int64_t places;  /* integers */
} wn__kron_packing;

/* Of one factor and more. */
wn__kron_packing wn__kron_packing_of(const wn_tensor *w, int count, int64_t lanes);
/* The same for all lanes. */
int64_t wn__kron_packed_bytes(const wn_tensor *w, int count);
/* The lanes of the variant that would multiply by these factors in panels; 0: none of those. */
int64_t wn__kron_packed_lanes(const struct wn__exec *x, const wn__kron_mul *p);

/* Numbers rounded up to whole cache lines. */
static inline int64_t wn__kron_line(int64_t n) {
    return (n + 15) / 16 * 16;
}
/* A block's outputs are cut into tiles of nearly one size. */
static inline int64_t wn__kron_tile_rows(int64_t outputs, int64_t tiles, int64_t i) {
    return outputs / tiles + (i < outputs % tiles);
}
/* The integers of a chain, in their order; what lies between runs is left as it is. */
void wn__kron_places(const wn_tensor *w, int count, const wn__kron_packing *n, int32_t *place);

#endif
