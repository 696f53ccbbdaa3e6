// SPDX-License-Identifier: MIT
// The cut of a product into blocks and the workspace that follows from it.
#include "kernels/simd/matmul_plan.h"
#include "kernels/contract.h"
#include "kernels/simd/accepts.h"
#include "kernels/simd/spmm24_plan.h"

#define ENOUGH    12   // blocks; more threads than that need larger products
#define EACH      4    // columns of blocks for each thread, at least, that packs its own
#define MOST_PART 4096 // rows, or columns, that are packed at a time
#define MOST_SUMS 2048 // the same where their sums wait beside c: 16 MiB
#define SLACK     16   // floats that the last store of a panel may pass its end by
#define LINE      16   // floats of a cache line
#define PAGE      1024 // floats apart from one to the next, which want the same lines of L1
// Slices that are packed at a time where that is b alone, and for all threads: all of a product
// that is not very deep, so that they wait for each other once.
#define SHARED_SLICES 4

// Slices that fit L1 and L2 with a packed block, of 168 or 256 KiB; packed b of a part is 1 MiB.
const wn__matmul_shape wn__matmul_avx2_shape = {.tile_m = WN_AVX2_TILE_M,
                                                .tile_n = WN_AVX2_TILE_N,
                                                .steps = 1,
                                                .most_m = 168,
                                                .most_n = 256,
                                                .least_m = 84,
                                                .least_n = 128,
                                                .slice = 256,
                                                .slices = 4,
                                                .packed_m = WN_AVX2_TILE_M};
const wn__matmul_shape wn__matmul_amx_shape = {.tile_m = WN_AMX_TILE_M,
                                               .tile_n = WN_AMX_TILE_N,
                                               .steps = WN_PAIR_STEPS,
                                               .most_m = 256,
                                               .most_n = 256,
                                               .least_m = 84,
                                               .least_n = 128,
                                               .slice = 256,
                                               .slices = 4,
                                               .packed_m = WN_AMX_TILE_M};
// Both panels come from L2, 33 KiB of a and 256 KiB of b for a slice. Rows of a block are so many
// that what is packed of them where they lie side by side is whole lines, and no more, so that
// threads end together.
#define ROWS_SHAPE(steps_, rows_)                                                                  \
    {                                                                                              \
        .tile_m = WN_AVX512_TILE_M, .tile_n = WN_AVX512_TILE_N, .steps = (steps_),                 \
        .most_m = (rows_), .most_n = 128, .least_m = (rows_), .least_n = 64,                       \
        .slice = WN_AVX512_SLICE, .slices = 2, .packed_m = WN_AVX512_TILE_ROWS, .pad = LINE,       \
        .reads_rows = true                                                                         \
    }
const wn__matmul_shape wn__matmul_avx512_shape = ROWS_SHAPE(1, 112);
const wn__matmul_shape wn__matmul_pairs_shape = ROWS_SHAPE(WN_PAIR_STEPS, 224);

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// As many whole blocks of size as are packed at a time, at least one.
static int64_t whole_blocks(int64_t size, int64_t block, int64_t most) {
    return smaller(wn__ceil_div(size > 0 ? size : 1, block), most / block) * block;
}

// size cut into equal parts of at most `most`, each a multiple of tile but the last.
static int64_t even_part(int64_t size, int64_t most, int64_t tile) {
    int64_t parts = wn__ceil_div(size, most);
    return parts > 0 ? wn__ceil_div(wn__ceil_div(size, parts), tile) * tile : tile;
}

bool wn__matmul_is_few(const wn__matmul *p) {
    return p->a.dtype != WN_DTYPE_BF16 && p->c.shape[0] <= WN_MATMUL_FEW_M &&
           (p->b.stride[1] == 1 || p->a.stride[1] == 1);
}

bool wn__matmul_copies(const wn_tensor *a, const wn__matmul_shape *shape) {
    return a->stride[0] % (shape->steps * PAGE) == 0;
}

wn__matmul wn__matmul_of_spmm24(const wn__spmm24 *p) {
    return (wn__matmul){.a = p->x,
                        .b = wn__tensor2(NULL, p->x.dtype, p->x.shape[1], p->y.shape[1]),
                        .bias = p->bias,
                        .c = p->y,
                        .accumulate = p->accumulate,
                        .rounded16 = p->rounded16};
}

// Whole steps, and rows that do not want the same lines of L1, or panels enough to copy a tile of
// them for.
static bool reads_rows(const wn_tensor *a, const wn__matmul_shape *shape, int64_t block_n) {
    wn_dtype dtype = shape->steps == 1 ? WN_DTYPE_F32 : WN_DTYPE_BF16;
    return shape->reads_rows && a->dtype == dtype && a->stride[1] == 1 &&
           a->shape[1] % shape->steps == 0 && a->stride[0] % shape->steps == 0 &&
           (!wn__matmul_copies(a, shape) || block_n >= 4 * shape->tile_n);
}

static int64_t columns_of(const wn__matmul_plan *plan, int64_t n) {
    return wn__ceil_div(smaller(n, plan->part_n), plan->block_n);
}

// Whether narrower columns are enough for each thread to pack its own, so that none waits for what
// others pack. Not where a tile of a would be copied for each of them.
static bool narrows(const wn__matmul *p, const wn__matmul_shape *shape, const wn__matmul_plan *plan,
                    int threads) {
    bool copied = plan->as_it_lies && wn__matmul_copies(&p->a, shape);
    return shape->reads_rows && !copied &&
           wn__ceil_div(smaller(p->c.shape[1], plan->part_n), shape->least_n) >= EACH * threads;
}

wn__matmul_plan wn__matmul_plan_for(const wn__matmul *p, const wn__matmul_shape *shape,
                                    int threads) {
    int64_t m = p->c.shape[0], n = p->c.shape[1], k = p->a.shape[1];
    int64_t most_m = shape->most_m, most_n = shape->most_n;
    while (wn__ceil_div(m, most_m) * wn__ceil_div(n, most_n) < ENOUGH) {
        if (most_n > shape->least_n && most_n > most_m)
            most_n /= 2;
        else if (most_m > shape->least_m)
            most_m /= 2;
        else if (most_n > shape->least_n)
            most_n /= 2;
        else
            break;
    }
    wn__matmul_plan plan = {.block_m = even_part(m, most_m, shape->tile_m),
                            .block_n = even_part(n, most_n, shape->tile_n),
                            .slice_k = shape->steps * shape->slice};
    bool waits = p->c.dtype == WN_DTYPE_BF16;
    int64_t most = waits ? MOST_SUMS : MOST_PART;
    plan.part_m = whole_blocks(m, plan.block_m, most);
    plan.as_it_lies = reads_rows(&p->a, shape, plan.block_n);
    plan.part_n = whole_blocks(n, plan.block_n, most);
    plan.own = columns_of(&plan, n) >= EACH * threads;
    if (!plan.own && narrows(p, shape, &plan, threads)) {
        plan.block_n = shape->least_n;
        plan.part_n = whole_blocks(n, plan.block_n, most);
        plan.own = true;
    }
    int64_t columns = columns_of(&plan, n);
    plan.part_k = plan.slice_k * (plan.as_it_lies && !plan.own ? SHARED_SLICES : shape->slices);
    plan.parts_m = wn__ceil_div(m, plan.part_m);
    plan.parts_k = k > 0 ? wn__ceil_div(k, plan.part_k) : 1;
    plan.parts = plan.parts_m * wn__ceil_div(n, plan.part_n) * plan.parts_k;
    int64_t slice = smaller(wn__ceil_div(k, shape->steps), shape->slice);
    slice = wn__ceil_div(slice, LINE) * LINE; // whole rows of tile registers
    int64_t slices = wn__ceil_div(smaller(k, plan.part_k), plan.slice_k);
    plan.a_pitch = slice + shape->pad;
    int64_t packed_m = wn__ceil_div(plan.block_m, shape->tile_m) * shape->packed_m;
    plan.a_floats = wn__ceil_div(packed_m * plan.a_pitch + SLACK, LINE) * LINE;
    plan.b_floats = wn__ceil_div(plan.block_n * slice + SLACK, LINE) * LINE;
    if (!plan.as_it_lies)
        plan.a_all = slices * wn__ceil_div(smaller(m, plan.part_m), plan.block_m) * plan.a_floats;
    plan.b_all = slices * (plan.own ? threads : columns) * plan.b_floats;
    plan.sums_stride = waits ? wn__ceil_div(smaller(n, plan.part_n), LINE) * LINE : 0;
    plan.bytes = (size_t)(plan.a_all + plan.b_all + smaller(m, plan.part_m) * plan.sums_stride) *
                 sizeof(float);
    return plan;
}

wn__matmul_part wn__matmul_part_at(const wn__matmul_plan *plan, const wn__matmul *p, int64_t i) {
    int64_t along_k = i % plan->parts_k, rest = i / plan->parts_k;
    wn__matmul_part part = {.m0 = rest % plan->parts_m * plan->part_m,
                            .n0 = rest / plan->parts_m * plan->part_n,
                            .l0 = along_k * plan->part_k};
    part.m = smaller(p->c.shape[0] - part.m0, plan->part_m);
    part.n = smaller(p->c.shape[1] - part.n0, plan->part_n);
    part.depth = smaller(p->a.shape[1] - part.l0, plan->part_k);
    part.rows = wn__ceil_div(part.m, plan->block_m);
    part.columns = wn__ceil_div(part.n, plan->block_n);
    part.slices = wn__ceil_div(part.depth, plan->slice_k);
    return part;
}

int64_t wn__matmul_slice(const wn__matmul_plan *plan, const wn__matmul_part *part, int64_t s) {
    return smaller(part->depth - s * plan->slice_k, plan->slice_k);
}

wn__matmul_block wn__matmul_block_at(const wn__matmul_plan *plan, const wn__matmul_part *part,
                                     int64_t i) {
    int64_t m = i % part->rows * plan->block_m, n = i / part->rows * plan->block_n;
    return (wn__matmul_block){part->m0 + m, smaller(part->m - m, plan->block_m), part->n0 + n,
                              smaller(part->n - n, plan->block_n)};
}

static size_t workspace(const wn__matmul *p, const wn__matmul_shape *shape, int threads) {
    return wn__matmul_is_few(p) ? 0 : wn__matmul_plan_for(p, shape, threads).bytes;
}

size_t wn__workspace_spmm24_amx(const void *args, int threads) {
    const wn__matmul dense = wn__matmul_of_spmm24(args);
    if (wn__spmm24_is_few(args)) return 0;
    return wn__matmul_plan_for(&dense, &wn__matmul_amx_shape, threads).bytes;
}

size_t wn__workspace_matmul_amx(const void *args, int threads) {
    return workspace(args, &wn__matmul_amx_shape, threads);
}

size_t wn__workspace_matmul_avx512bf16(const void *args, int threads) {
    return workspace(args, &wn__matmul_pairs_shape, threads);
}

size_t wn__workspace_matmul_avx512(const void *args, int threads) {
    return workspace(args, &wn__matmul_avx512_shape, threads);
}

size_t wn__workspace_matmul_avx2(const void *args, int threads) {
    return workspace(args, &wn__matmul_avx2_shape, threads);
}
