// SPDX-License-Identifier: MIT
/* mvue24_tokens on the items of pack24.inc.h: four rows of an item are drawn into a buffer of the
 * first cache, and packed from there. */
#include "kernels/mvue24_tokens.h"
#include "kernels/simd/mvue24_groups.h"

/* What a worker has beside its item. */
typedef struct drawn24 {
    draws24 draws;
    _Alignas(64) float y[4][ITEM_COLUMNS];
} drawn24;

static void draw_block(const wn__mvue24 *p, const place24 *at, int64_t block, drawn24 *d) {
    int64_t i0 = at->i0 + 4 * block, rows = p->x.shape[0] - i0;
    const float *x = (const float *)p->x.data + i0 * p->x.stride[0] + at->j0;
    draw_words(&d->draws, i0 / 4 * p->x.shape[1] + at->j0, at->columns);
    if (p->method == WN_MVUE24_EXACT)
        prune_block(&d->draws, p, WN_MVUE24_EXACT, x, d->y[0], rows, at->columns);
    else
        prune_block(&d->draws, p, WN_MVUE24_APPROX, x, d->y[0], rows, at->columns);
}

typedef struct drawn_job {
    pack24_job pack; /* of a wn__pack24 that says where the transposed form goes */
    const wn__mvue24 *draw;
} drawn_job;

static void drawn_items(void *ctx, int64_t begin, int64_t end, int worker) {
    (void)worker;
    const drawn_job *job = ctx;
    item24 item;
    drawn24 d;
    d.draws = draws_of(job->draw);
    for (int64_t i = begin; i < end; i++) {
        place24 at = place_of(&job->pack, i);
        if (at.blocks < ITEM_BLOCKS) memset(item.nibble, 0xE, sizeof item.nibble);
        for (int64_t b = 0; b < at.blocks; b++) {
            int64_t rows = clamp24(job->draw->x.shape[0] - at.i0 - 4 * b, 4);
            const float *row[4];
            for (int64_t k = 0; k < 4; k++)
                row[k] = d.y[k < rows ? k : 0];
            draw_block(job->draw, &at, b, &d);
            tokens_columns(row, rows, NULL, at.columns, &item, b);
            if (b + 1 == at.blocks || (b + 1) % STRIP_BLOCKS == 0)
                write_values(&job->pack, &at, b / STRIP_BLOCKS * STRIP_BLOCKS, &item, false);
        }
        write_indices(job->pack.p, &at, &item);
    }
    _mm_sfence(); /* streamed lines are seen before the block counts as done */
}

static wn_status mvue24_tokens(const void *args, wn__exec *x) {
    const wn__mvue24_tokens *p = args;
    const wn__pack24 out = {.w = p->x, .values_t = p->values, .index_t = p->index};
    /* y is a block's buffer; only its stride counts */
    const wn__mvue24 draw = {.x = p->x,
                             .y = {.stride = {ITEM_COLUMNS, 1}},
                             .group = 4,
                             .method = p->method,
                             .seed = p->seed,
                             .stream = p->stream,
                             .counter = p->counter};
    int64_t r = p->x.shape[0], c = p->x.shape[1];
    drawn_job job = {.pack = {.p = &out,
                              .across = (c + ITEM_COLUMNS - 1) / ITEM_COLUMNS,
                              .stream_columns = streams(&p->values, TOKENS_STREAM_BYTES)},
                     .draw = &draw};
    int64_t items = (r + 4 * ITEM_BLOCKS - 1) / (4 * ITEM_BLOCKS) * job.pack.across;
    wn__parallel_for(x->pool, items, 1, drawn_items, &job);
    return WN_OK;
}
