// SPDX-License-Identifier: MIT
/* matmul's tile on vectors of 32 bytes: its sums stay in registers, a panel of a gives scalars and
 * one of b vectors. */
#include "kernels/simd/half.h"
#include "kernels/simd/matmul_plan.h"

#define TILE_M     WN_AVX2_TILE_M
#define TILE_N     WN_AVX2_TILE_N
#define SHAPE      wn__matmul_avx2_shape
#define TILE_VECS  (TILE_N / VF)
#define TILE_DEPTH 1

#include "kernels/simd/matmul_pack.inc.h"

/* Nothing to set up. */
ALWAYS void tiles_begin(void) {}
ALWAYS void tiles_end(void) {}

/* Rows first .. first+count of a, each along k from l on. */
static void pack_a(const wn_tensor *a, int64_t first, int64_t count, int64_t l, int64_t depth,
                   float *to) {
    pack(a, 0, first, count, l, depth, TILE_M, to);
}

/* acc[TILE_M][TILE_N] = sum over depth of a column of the a panel times a row of the b panel. */
ALWAYS void tile_product(int64_t depth, const float *a, const float *b, vf acc[TILE_M][TILE_VECS]) {
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            acc[i][v] = vf_zero();
    }
    for (int64_t l = 0; l < depth; l++) {
        vf row[TILE_VECS];
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            row[v] = vf_load(b + v * VF);
        UNROLL
        for (int i = 0; i < TILE_M; i++) {
            vf scalar = vf_set(a[i]);
            UNROLL
            for (int v = 0; v < TILE_VECS; v++)
                acc[i][v] = vf_fma(scalar, row[v], acc[i][v]);
        }
        a += TILE_M;
        b += TILE_N;
    }
}

/* The lines of a tile of c are on their way while its sums are made. */
ALWAYS void tile_prefetch(const float *c, int64_t stride) {
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int j = 0; j < TILE_N; j += 16)
            _mm_prefetch((const char *)(c + i * stride + j), _MM_HINT_T0);
        _mm_prefetch((const char *)(c + i * stride + TILE_N - 1), _MM_HINT_T0);
    }
}

/* c += tile, where c is a whole tile. */
static void tile_add(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    vf acc[TILE_M][TILE_VECS];
    tile_prefetch(c, stride);
    tile_product(depth, a, b, acc);
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++) {
            float *at = c + i * stride + v * VF;
            vf_store(at, vf_add(vf_load(at), acc[i][v]));
        }
    }
}

static void tile_set(int64_t depth, const float *a, const float *b, float *c, int64_t stride) {
    vf acc[TILE_M][TILE_VECS];
    tile_prefetch(c, stride);
    tile_product(depth, a, b, acc);
    UNROLL
    for (int i = 0; i < TILE_M; i++) {
        UNROLL
        for (int v = 0; v < TILE_VECS; v++)
            vf_store(c + i * stride + v * VF, acc[i][v]);
    }
}

/* A tile at the edge of c: rows x columns of it exist. */
static void tile_edge(int64_t depth, const float *a, const float *b, float *c, int64_t stride,
                      int64_t rows, int64_t columns, bool add) {
    float tile[TILE_M * TILE_N];
    tile_set(depth, a, b, tile, TILE_N);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            c[i * stride + j] = (add ? c[i * stride + j] : 0) + tile[i * TILE_N + j];
}
