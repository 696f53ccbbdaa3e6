// SPDX-License-Identifier: MIT
/* pack24_tokens on the items of pack24.inc.h: what is kept of four rows follows from their values,
 * the rest is pack24's transposed form. */
#include "base/fail.h"
#include "kernels/pack24_tokens.h"

typedef struct tokens_job {
    pack24_job pack; /* of a wn__pack24 that says where the transposed form goes */
    const int32_t *order;
    const uint8_t *dense;
} tokens_job;

/* Bit j: entry j of a row is not zero, or NaN; `n` of the step's columns exist. */
ALWAYS keep24 not_zero(const float *row, int64_t n) {
    keep24 keep = 0;
#pragma GCC unroll 4
    for (int l = 0; l < 4; l++) {
        vf v = vf_get(row + clamp24(VF * l, n), clamp24(n - VF * l, VF));
#if VF == 16
        __mmask16 some = _mm512_cmp_ps_mask(v, vf_zero(), _CMP_NEQ_UQ);
#else
        unsigned some = vm_bits(_mm256_cmp_ps(v, vf_zero(), _CMP_NEQ_UQ));
#endif
        keep |= (keep24)some << VF * l;
    }
    return keep;
}

/* Bit j: byte j is not 0. */
ALWAYS keep24 marked(const uint8_t *dense, int64_t n) {
    keep24 keep = 0;
    for (int64_t j = 0; j < n; j++)
        keep |= (keep24)(dense[j] != 0) << j;
    return keep;
}

/* The first two that are not zero; of dense columns the first two that exist. */
ALWAYS void keep_two(keep24 keep[4], keep24 dense, int64_t rows) {
    keep24 two = keep[0] & keep[1];
    keep[2] &= ~two;
    two |= (keep[0] | keep[1]) & keep[2];
    keep[3] &= ~two;
    keep[0] |= rows > 0 ? dense : 0;
    keep[1] |= rows > 1 ? dense : 0;
    keep[2] &= ~dense;
    keep[3] &= ~dense;
}

/* A block of four rows, of which `rows` exist, n columns. */
ALWAYS void tokens_columns(const float *const row[4], int64_t rows, const uint8_t *dense, int64_t n,
                           item24 *item, int64_t block) {
    for (int64_t j = 0; j < n; j += STEP_COLUMNS) {
        int64_t step = clamp24(n - j, STEP_COLUMNS);
        const float *from[4] = {row[0] + j, row[1] + j, row[2] + j, row[3] + j};
        keep24 keep[4] = {0};
        for (int64_t k = 0; k < rows; k++)
            keep[k] =
                step == STEP_COLUMNS ? not_zero(from[k], STEP_COLUMNS) : not_zero(from[k], step);
        keep_two(keep, dense ? marked(dense + j, step) : 0, rows);
        keep_columns(from, keep, item, block, j);
    }
}

static void tokens_block(const tokens_job *job, const place24 *at, int64_t block, item24 *item) {
    const wn__pack24 *p = job->pack.p;
    int64_t i0 = at->i0 + 4 * block, rows = clamp24(p->w.shape[0] - i0, 4);
    const float *row[4];
    for (int64_t k = 0; k < 4; k++) {
        int64_t i = i0 + (k < rows ? k : 0);
        row[k] =
            (const float *)p->w.data + (job->order ? job->order[i] : i) * p->w.stride[0] + at->j0;
    }
    tokens_columns(row, rows, job->dense ? job->dense + at->j0 : NULL, at->columns, item, block);
}

static void tokens_items(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const tokens_job *job = ctx;
    item24 item;
    for (int64_t i = begin; i < end; i++) {
        place24 at = place_of(&job->pack, i);
        if (at.blocks < ITEM_BLOCKS) memset(item.nibble, 0xE, sizeof item.nibble);
        for (int64_t b = 0; b < at.blocks; b++) {
            tokens_block(job, &at, b, &item);
            bool last = b + 1 == at.blocks || (b + 1) % STRIP_BLOCKS == 0;
            if (last) write_values(&job->pack, &at, b / STRIP_BLOCKS * STRIP_BLOCKS, &item, false);
        }
        write_indices(job->pack.p, &at, &item);
    }
    _mm_sfence(); /* streamed lines are seen before the block counts as done */
}

/* Places 2 and 3 of every group of the marked columns: few, one by one. */
static void tokens_extra(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const wn__pack24_tokens *p = ctx;
    const int32_t *order = wn__given(&p->order) ? p->order.data : NULL, *extra = p->extra.data;
    int64_t r = p->x.shape[0], c = p->x.shape[1], slots = p->values.shape[1];
    for (int64_t i = begin; i < end; i++) {
        float *values = (float *)p->values.data + (c + i) * slots;
        for (int64_t s = 0; s < slots; s++) {
            int64_t row = s / 2 * 4 + 2 + s % 2;
            bool exists = row < r;
            if (exists && order) row = order[row];
            values[s] = exists ? ((const float *)p->x.data)[row * p->x.stride[0] + extra[i]] : 0;
        }
        memset((uint8_t *)p->index.data + (c + i) * p->index.shape[1], 0xEE,
               (size_t)p->index.shape[1]);
    }
}

static wn_status pack24_tokens(const void *args, wn__exec *x) {
    const wn__pack24_tokens *p = args;
    const wn__pack24 out = {.w = p->x, .values_t = p->values, .index_t = p->index};
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    tokens_job job = {.pack = {.p = &out,
                               .across = (c + ITEM_COLUMNS - 1) / ITEM_COLUMNS,
                               .stream_columns = streams(&p->values, TOKENS_STREAM_BYTES)},
                      .order = wn__given(&p->order) ? p->order.data : NULL,
                      .dense = wn__given(&p->dense) ? p->dense.data : NULL};
    WN_TRY(wn__pack24_tokens_begin(p));
    int64_t items = (r + 4 * ITEM_BLOCKS - 1) / (4 * ITEM_BLOCKS) * job.pack.across;
    wn__parallel_for(x->pool, items, 1, tokens_items, &job);
    if (wn__given(&p->extra))
        wn__parallel_for(x->pool, p->extra.shape[0], 1, tokens_extra, (void *)args);
    return WN_OK;
}
