// SPDX-License-Identifier: MIT
/* tile24 on the items of pack24.inc.h: a step of tiles is split into its entries once, for the
 * search and for both forms. */
#include "kernels/mask24.h"
#include "kernels/tile24.h"

typedef struct tile24_job {
    pack24_job pack;
    atomic_bool nan; /* a block has met one */
} tile24_job;

/* A step: row[i] begins at its first column. Lanes with a NaN. */
ALWAYS vm tile_step(const step24 *to, const float *const row[4], item24 *item, int64_t block,
                    int64_t column, bool whole, bool stream) {
    vm nan = vm_of_bits(0);
    vi bits = best_masks(row, &nan);
    store_forms(to, row, bits, item, block, column, whole, stream);
    return nan;
}

/* The last tiles of a block that make no step. */
static vm tile_rest(const tile24_job *job, step24 *to, const float *w, item24 *item, int64_t block,
                    int64_t column, int64_t n) {
    float rest[4][STEP_COLUMNS] = {{0}};
    const float *const row[4] = {rest[0], rest[1], rest[2], rest[3]};
    for (int64_t i = 0; i < 4; i++)
        memcpy(rest[i], w + i * job->pack.p->w.stride[0], (size_t)n * sizeof *w);
    to->tiles = n / 4;
    return tile_step(to, row, item, block, column, false, false);
}

/* Whether any entry is NaN. */
static bool tile_block(const tile24_job *job, const place24 *at, int64_t block, item24 *item) {
    const wn__pack24 *p = job->pack.p;
    int64_t i0 = at->i0 + 4 * block, stride = p->w.stride[0];
    const float *w = (const float *)p->w.data + i0 * stride + at->j0;
    step24 to = {.values_stride = p->values.shape[1],
                 .index_stride = p->index.shape[1],
                 .mask_stride = p->mask.shape[1],
                 .rows = 4};
    to.values = (float *)p->values.data + i0 * to.values_stride + at->j0 / 2;
    to.index = (uint8_t *)p->index.data + i0 * to.index_stride + at->j0 / 8;
    to.mask = (uint8_t *)p->mask.data + i0 * to.mask_stride + at->j0 / 4;
    vm nan = vm_of_bits(0);
    for (int64_t j = 0; j < at->columns; j += STEP_COLUMNS, w += STEP_COLUMNS) {
        const float *const row[4] = {w, w + stride, w + 2 * stride, w + 3 * stride};
        if (at->columns - j < STEP_COLUMNS) {
            nan = vm_or(nan, tile_rest(job, &to, w, item, block, j, at->columns - j));
            break;
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            prefetch_step(row[i], stride);
        nan = vm_or(nan, job->pack.stream_rows ? tile_step(&to, row, item, block, j, true, true)
                                               : tile_step(&to, row, item, block, j, true, false));
        to.values += 2 * VF;
        to.index += VF / 2;
        to.mask += VF;
    }
    return vm_bits(nan) != 0;
}

static void tile_items(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    tile24_job *job = ctx;
    item24 item;
    bool nan = false;
    for (int64_t i = begin; i < end; i++) {
        place24 at = place_of(&job->pack, i);
        if (at.blocks < ITEM_BLOCKS) memset(item.nibble, 0xE, sizeof item.nibble);
        for (int64_t b = 0; b < at.blocks; b++) {
            nan |= tile_block(job, &at, b, &item);
            if (b + 1 == at.blocks || (b + 1) % STRIP_BLOCKS == 0)
                write_values(&job->pack, &at, b / STRIP_BLOCKS * STRIP_BLOCKS, &item, true);
        }
        write_indices(job->pack.p, &at, &item);
    }
    if (nan) atomic_store_explicit(&job->nan, true, memory_order_relaxed);
    _mm_sfence(); /* streamed lines are seen before the block counts as done */
}

static wn_status tile24(const void *args, wn__exec *x) {
    const wn__tile24 *p = args;
    const wn__pack24 pack = {.w = p->w,
                             .mask = p->mask,
                             .values = p->values,
                             .index = p->index,
                             .values_t = p->values_t,
                             .index_t = p->index_t};
    const wn__mask24 mask = {.w = p->w, .mask = p->mask, .method = WN_MASK24_TILE};
    int64_t r = p->w.shape[0], c = p->w.shape[1];
    tile24_job job = {.pack = {.p = &pack,
                               .across = (c + ITEM_COLUMNS - 1) / ITEM_COLUMNS,
                               .stream_rows = streams(&p->values, WEIGHT_STREAM_BYTES),
                               .stream_columns = streams(&p->values_t, WEIGHT_STREAM_BYTES)}};
    int64_t items = (r + 4 * ITEM_BLOCKS - 1) / (4 * ITEM_BLOCKS) * job.pack.across;
    wn__parallel_for(x->pool, items, 1, tile_items, &job);
    if (!atomic_load(&job.nan)) return WN_OK;
    memset(p->mask.data, 0, wn__tensor_bytes(&p->mask)); /* no half of an answer */
    return wn__mask24_refuse_nan(&mask);
}
