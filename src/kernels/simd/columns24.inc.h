// SPDX-License-Identifier: MIT
/* columns24 for F32 and BF16: a block of 64 rows and 64 columns is a matrix of bits, whose
 * transpose has one word for each column, and a matrix of floats, transposed as well. Eight rows at
 * a time, the bits look up how to close the gaps between the kept entries, of BF16 once for pairs
 * and once for what is single. What a block lists waits beside it, since whole vectors are written
 * past its end. */
#include "kernels/op.h"
#include "kernels/simd/columns24_bits.h"
#include "kernels/simd/half.h"

typedef struct columns24_job {
    const wn__columns24 *p;
    uint64_t close[256]; /* byte k: the place of the k-th set bit */
} columns24_job;

typedef struct block24 {
    _Alignas(64) float turned[BLOCK][WN_COLUMNS24_SLICE];
    uint64_t bits[BLOCK];
    _Alignas(64) float values[BLOCK * WN_COLUMNS24_SLICE + 8];
    _Alignas(64) uint8_t row[BLOCK * WN_COLUMNS24_SLICE + 8];
} block24;

ALWAYS void read_block(bool half, const wn__columns24 *p, int64_t i0, int64_t j0, block24 *b) {
    int64_t rows = clamp24(p->w.shape[0] - i0, BLOCK), columns = clamp24(p->w.shape[1] - j0, BLOCK);
    int64_t down = p->w.stride[0];
    const void *w = half_at(p->w.data, half, i0 * down + j0);
    read_bits(p, i0, j0, b->bits);
    for (int64_t i = 0; i < rows; i += VF)
        for (int64_t j = 0; j < columns; j += VF) {
            vf r[VF];
            half_read_block(half_at(w, half, i * down + j), half, down, clamp24(rows - i, VF),
                            clamp24(columns - j, VF), r);
            vf_transpose(r);
            UNROLL
            for (int64_t k = 0; k < VF; k++)
                vf_store(&b->turned[j + k][i], r[k]);
        }
}

/* The entries of some rows of a column, from place n of the block's list on; returns where they
 * end. */
static int64_t list_column(const columns24_job *job, block24 *b, int64_t j, uint64_t bits,
                           int64_t n) {
    for (int64_t i = 0; bits != 0; i += 8, bits >>= 8) {
        uint64_t places = job->close[bits & 255], rows = places + (uint64_t)i * 0x0101010101010101;
        __m256i lanes = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)places));
        __m256 v = _mm256_permutevar8x32_ps(_mm256_load_ps(&b->turned[j][i]), lanes);
        _mm256_storeu_ps(b->values + n, v);
        memcpy(b->row + n, &rows, sizeof rows);
        n += __builtin_popcountll(bits & 255);
    }
    return n;
}

/* n values of a block to places i .. of a list; bfloat16 numbers lose nothing, not a NaN's bits. */
ALWAYS void put_values(bool half, void *list, int64_t i, const float *from, int64_t n) {
    if (!half) {
        memcpy((float *)list + i, from, (size_t)n * sizeof *from);
        return;
    }
    for (int64_t k = 0; k < n; k += VF)
        half_store_n((uint16_t *)list + i + k, vf_load(from + k), clamp24(n - k, VF));
}

ALWAYS void list_slices_of(bool half, const columns24_job *job, int64_t begin, int64_t end) {
    const wn__columns24 *p = job->p;
    int64_t c = p->w.shape[1], room = p->row.shape[1];
    block24 b;
    for (int64_t s = begin; s < end; s++) {
        int32_t *start = (int32_t *)p->start.data + s * (c + 1);
        uint8_t *row = (uint8_t *)p->row.data + s * room;
        int64_t total = 0;
        for (int64_t j0 = 0; j0 < c; j0 += BLOCK) {
            int64_t n = 0;
            read_block(half, p, s * WN_COLUMNS24_SLICE, j0, &b);
            for (int64_t j = 0; j < clamp24(c - j0, BLOCK); j++) {
                uint64_t bits = b.bits[j], first = half ? in_pairs(bits) : bits;
                start[j0 + j] = (int32_t)(total + n);
                n = list_column(job, &b, j, first, n);
                n = list_column(job, &b, j, bits & ~first, n);
            }
            put_values(half, p->values.data, s * room + total, b.values, n);
            memcpy(row + total, b.row, (size_t)n);
            total += n;
        }
        start[c] = (int32_t)total;
        size_t size = half ? sizeof(uint16_t) : sizeof(float);
        memset((char *)p->values.data + (size_t)(s * room + total) * size, 0,
               (size_t)(room - total) * size);
        memset(row + total, 0, (size_t)(room - total));
    }
}

static void list_slices(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const columns24_job *job = ctx;
    if (job->p->w.dtype == WN_DTYPE_BF16)
        list_slices_of(true, job, begin, end);
    else
        list_slices_of(false, job, begin, end);
}

static wn_status columns24(const void *args, wn__exec *x) {
    columns24_job job = {.p = args};
    WN_TRY(wn__columns24_refuse(args));
    for (unsigned byte = 0; byte < 256; byte++)
        for (unsigned bit = 0, n = 0; bit < 8; bit++)
            if (byte >> bit & 1) job.close[byte] |= (uint64_t)bit << (8 * n++);
    wn__parallel_for(x->pool, job.p->start.shape[0], 1, list_slices, &job);
    return WN_OK;
}
