// SPDX-License-Identifier: MIT
// spmm24_blocks_rows, relu24_blocks and mvue24_blocks on a GPU: what is launched for which
// arguments.
#include "kernels/spmm24_blocks_rows.h"

#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_rows.h"
#include "kernels/cuda/block24.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/launch24.h"
#include "kernels/declare.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/relu24_blocks.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

// b lies along its columns m; else along k.
static bool across(const wn__spmm24_blocks_rows *p) {
    return p->b.stride[0] != 1;
}

// b as rows of what lies together: itself, or its transpose.
static wn_tensor lines_of(const wn__spmm24_blocks_rows *p) {
    wn_tensor t = p->b;
    if (across(p)) return t;
    t.shape[0] = p->b.shape[1];
    t.shape[1] = p->b.shape[0];
    t.stride[0] = p->b.stride[1];
    t.stride[1] = p->b.stride[0];
    return t;
}

static bool refuse(char *why, size_t n, const char *what, int64_t stride, int of) {
    (void)snprintf(why, n, "row stride %lld of %s is not a multiple of %d", (long long)stride, what,
                   of);
    return false;
}

bool wn__accepts_gpu_blocks_rows(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks_rows *p = args;
    const wn_tensor lines = lines_of(p);
    const bool whole = p->c.dtype == WN_DTYPE_F32;
    const int of = whole ? 4 : 8;
    const int64_t most = INT_MAX - 1024; // tiles go a little beyond
    if (p->b.dtype != p->values) {
        (void)snprintf(why, n, "b is %s, blocks hold %s", wn_dtype_name(p->b.dtype),
                       wn_dtype_name(p->values));
        return false;
    }
    if (p->accumulate && !whole) {
        (void)snprintf(why, n, "c += of %s, not F32, has no device code",
                       wn_dtype_name(p->c.dtype));
        return false;
    }
    if (p->b.shape[0] == 0) {
        (void)snprintf(why, n, "k is 0");
        return false;
    }
    if (p->c.shape[0] > most || p->c.shape[1] > most || p->b.shape[0] > most) {
        (void)snprintf(why, n, "a size is beyond 2^31");
        return false;
    }
    if (lines.shape[0] > 1 && lines.stride[0] % 8 != 0)
        return refuse(why, n, "b", lines.stride[0], 8);
    if (p->c.shape[0] > 1 && p->c.stride[0] % of != 0)
        return refuse(why, n, "c", p->c.stride[0], of);
    return true;
}

// Bulk stores write 16 bytes or nothing, so a row of 16-bit results is made of whole ones.
bool wn__accepts_gpu_blocks_rows_bulk(const void *args, char *why, size_t n) {
    const wn__spmm24_blocks_rows *p = args;
    if (!wn__accepts_gpu_blocks_rows(args, why, n)) return false;
    if (p->c.dtype == WN_DTYPE_F32 || p->c.shape[1] % 8 == 0) return true;
    (void)snprintf(why, n, "m=%lld is not a multiple of 8", (long long)p->c.shape[1]);
    return false;
}

static const char *type_of(const wn__spmm24_blocks_rows *p) {
    return p->values == WN_DTYPE_BF16 ? "bf16" : "f16";
}

static wn__gpu_blocks_rows arguments(const wn__spmm24_blocks_rows *p) {
    return (wn__gpu_blocks_rows){
        .b_data = p->b.data,
        .b_stride = lines_of(p).stride[0],
        .c_data = p->c.data,
        .c_stride = p->c.stride[0],
        .blocks = p->blocks.data,
        .rows = (int)p->c.shape[0],
        .columns = (int)p->c.shape[1],
        .depth = (int)p->b.shape[0],
        .panels = (int)p->blocks.shape[0],
        .steps = (int)p->blocks.shape[1],
        .split = 1,
        .whole = p->c.dtype == WN_DTYPE_F32,
        .accumulate = p->accumulate,
    };
}

typedef struct tile {
    const char *name;
    int rows, columns, stages;
} tile;

#define TILE(rows, columns, stages) {#rows "x" #columns, rows, columns, stages},
static const tile tiles[] = {WN_ROWS_TILES(TILE)};
#undef TILE
enum { TILES = sizeof tiles / sizeof *tiles };

typedef struct plan {
    const tile *tile;
    int64_t down, across; // tiles
    int split;            // parts of a sum
} plan;

// Cycles of a plan on 132 processors: waves of tiles, each a start, steps of 64 of k, an epilogue
// and what a sum in parts costs to write and to read. The constants are those of spmm24_blocks.
static double predict(const plan *p, int64_t steps) {
    enum { PROCESSORS = 132, START = 1000, STORE = 150, PARTS = 4500 };
    const double product = p->tile->columns == 128 ? 97 : p->tile->columns == 192 ? 135 : 178;
    const double waves = (double)wn__ceil_div(p->down * p->across * p->split, PROCESSORS);
    const double numbers = (double)p->tile->rows * p->tile->columns;
    const double parts = p->split == 1 ? 0 : PARTS + 4 * numbers * (1 + p->split) / 32;
    const double sum = p->tile->rows / 64.0 * 2 * product * (double)wn__ceil_div(steps, p->split);
    return waves * (START + sum + parts + STORE * numbers / 4096);
}

static plan plan_of(int64_t rows, int64_t columns, int64_t steps, int largest) {
    enum { MOST_PARTS = 8, LEAST_STEPS = 8, MOST_WORK = 512 };
    plan best = {.split = 1};
    double least = -1;
    for (int i = 0; i < TILES; i++)
        for (int split = 1; split <= MOST_PARTS; split++) {
            const plan one = {.tile = &tiles[i],
                              .down = wn__ceil_div(rows, tiles[i].rows),
                              .across = wn__ceil_div(columns, tiles[i].columns),
                              .split = split};
            if (tiles[i].rows > largest) continue;
            if (split > 1 &&
                (one.down * one.across * split > MOST_WORK || steps < (int64_t)LEAST_STEPS * split))
                continue;
            const double cycles = predict(&one, steps);
            if (least >= 0 && cycles >= least) continue;
            least = cycles;
            best = one;
        }
    return best;
}

static size_t partial_bytes(const plan *p) {
    if (p->split == 1) return 0;
    return sizeof(float) * (size_t)(p->down * p->across * p->split) *
           (size_t)(p->tile->rows * p->tile->columns);
}

static plan plan_of_rows(const wn__spmm24_blocks_rows *p) {
    return plan_of(p->c.shape[0], p->c.shape[1], p->blocks.shape[1], 256);
}

size_t wn__workspace_blocks_rows_sm90a(const void *args, int threads) {
    const plan p = plan_of_rows(args);
    (void)threads;
    return partial_bytes(&p);
}

// b as rows of what lies together along k, for boxes of whole tiles and of the last.
static wn_status make_row_maps(wn__cuda *d, const wn_tensor *lines, const tile *t,
                               wn__gpu_blocks_rows *a) {
    WN_TRY(wn__cuda_tensor_map(d, lines, (unsigned)t->columns, &a->b));
    return a->last > 0 ? wn__cuda_tensor_map(d, lines, (unsigned)a->last, &a->b_last) : WN_OK;
}

static wn_status make_maps(wn__cuda *d, const wn__spmm24_blocks_rows *p, const tile *t,
                           wn__gpu_blocks_rows *a) {
    const wn_tensor lines = lines_of(p);
    if (across(p))
        WN_TRY(wn__cuda_tensor_map(d, &lines, 64, &a->b));
    else
        WN_TRY(make_row_maps(d, &lines, t, a));
    return a->whole ? WN_OK : wn__cuda_tensor_map(d, &p->c, 16, &a->c);
}

// Runs `symbol` of a plan; a has everything but the plan.
static wn_status run_plan(const plan *p, const wn__cuda_image *image, const char *symbol,
                          wn__gpu_blocks_rows *a, wn__exec *x) {
    enum { ROWS_WALKED_TOGETHER = 4096, THREADS = 384 };
    const int64_t work = p->down * p->across * p->split;
    const int64_t fit = wn__cuda_info(wn__gpu_device(x->gpu))->multiprocessors;
    const wn__cuda_launch l = {.grid = {(unsigned)(work < fit ? work : fit), 1, 1},
                               .block = {THREADS, 1, 1},
                               .shared_bytes =
                                   (unsigned)WN_ROWS_SHARED(p->tile->rows, p->tile->columns,
                                                            p->tile->stages, WN_BLOCK24_BYTES)};
    a->tiles_m = (int)p->down;
    a->tiles_n = (int)p->across;
    a->split = p->split;
    a->group = ROWS_WALKED_TOGETHER / p->tile->rows;
    a->partial = (float *)(void *)x->scratch;
    if (p->split > 1) WN_TRY(wn__gpu_counters(x->gpu, 2 * p->down * p->across, &a->arrived));
    return wn__gpu_launch(x->gpu, image, symbol, &l, a);
}

wn_status wn__spmm24_blocks_rows_sm90a(const void *args, wn__exec *x) {
    const wn__spmm24_blocks_rows *p = args;
    const plan chosen = plan_of_rows(p);
    wn__gpu_blocks_rows a = arguments(p);
    char symbol[64];
    if (p->c.shape[0] == 0 || p->c.shape[1] == 0) return WN_OK;
    a.last = a.columns % chosen.tile->columns;
    WN_TRY(make_maps(wn__gpu_device(x->gpu), p, chosen.tile, &a));
    (void)snprintf(symbol, sizeof symbol, "wn_blocks_rows_%s_%s%s", chosen.tile->name, type_of(p),
                   across(p) ? "_across" : "");
    return run_plan(&chosen, &wn__image_blocks_rows_sm90a, symbol, &a, x);
}

// The same product with the roles of rows and columns: W's features down, tokens across. Choosing
// needs registers that tiles of 256 rows do not leave.
static plan plan_of_relu24(const wn__relu24_blocks *p) {
    return plan_of(p->n, p->x.shape[0], p->blocks.shape[1], 128);
}

bool wn__accepts_gpu_relu24_blocks(const void *args, char *why, size_t n) {
    const wn__relu24_blocks *p = args;
    const int64_t most = INT_MAX - 1024; // tiles go a little beyond
    if (p->x.dtype != p->values)
        (void)snprintf(why, n, "x is %s, blocks hold %s", wn_dtype_name(p->x.dtype),
                       wn_dtype_name(p->values));
    else if (p->x.shape[1] == 0)
        (void)snprintf(why, n, "k is 0");
    else if (p->x.shape[0] > most || p->x.shape[1] > most || p->n > most)
        (void)snprintf(why, n, "a size is beyond 2^31");
    else if (p->x.shape[0] > 1 && p->x.stride[0] % 8 != 0)
        return refuse(why, n, "x", p->x.stride[0], 8);
    else
        return true;
    return false;
}

size_t wn__workspace_relu24_blocks_sm90a(const void *args, int threads) {
    const plan p = plan_of_relu24(args);
    (void)threads;
    return partial_bytes(&p);
}

wn_status wn__relu24_blocks_sm90a(const void *args, wn__exec *x) {
    const wn__relu24_blocks *p = args;
    const plan chosen = plan_of_relu24(p);
    wn__gpu_blocks_rows a = {.c_data = p->out.data,
                             .blocks = p->blocks.data,
                             .rows = (int)p->n,
                             .columns = (int)p->x.shape[0],
                             .depth = (int)p->x.shape[1],
                             .last = (int)(p->x.shape[0] % chosen.tile->columns),
                             .panels = (int)p->blocks.shape[0],
                             .steps = (int)p->blocks.shape[1]};
    char symbol[64];
    if (p->x.shape[0] == 0 || p->n == 0) return WN_OK;
    WN_TRY(make_row_maps(wn__gpu_device(x->gpu), &p->x, chosen.tile, &a));
    (void)snprintf(symbol, sizeof symbol, "wn_relu24_blocks_%s_%s", chosen.tile->name,
                   p->values == WN_DTYPE_BF16 ? "bf16" : "f16");
    return run_plan(&chosen, &wn__image_relu24_blocks_sm90a, symbol, &a, x);
}

wn_status wn__spmm24_blocks_rows_sm80(const void *args, wn__exec *x) {
    enum { ROWS_WALKED_TOGETHER = 2048 };
    const wn__spmm24_blocks_rows *p = args;
    wn__gpu_blocks_rows a = arguments(p);
    char symbol[64];
    a.tiles_m = (int)wn__ceil_div(a.rows, WN_ROWS_SM80_ROWS);
    a.tiles_n = (int)wn__ceil_div(a.columns, WN_ROWS_SM80_COLUMNS);
    a.group = ROWS_WALKED_TOGETHER / WN_ROWS_SM80_ROWS;
    const wn__cuda_launch l = {.grid = {(unsigned)a.tiles_m * (unsigned)a.tiles_n, 1, 1},
                               .block = {WN_ROWS_SM80_THREADS, 1, 1},
                               .shared_bytes = WN_ROWS_SM80_SHARED};
    (void)snprintf(symbol, sizeof symbol, "wn_blocks_rows_%s%s", type_of(p),
                   across(p) ? "_across" : "");
    return wn__gpu_launch(x->gpu, &wn__image_blocks_rows_sm80, symbol, &l, &a);
}

wn_status wn__mvue24_blocks_sm80(const void *args, wn__exec *x) {
    enum { THREADS = 256 };
    static const char *const symbols[2][2] = {
        {"wn_mvue24_blocks_exact_bf16", "wn_mvue24_blocks_exact_f16"},
        {"wn_mvue24_blocks_approx_bf16", "wn_mvue24_blocks_approx_f16"}};
    const wn__mvue24_blocks *p = args;
    wn__gpu_mvue24_blocks a = {.x = p->x.data,
                               .blocks = p->blocks.data,
                               .rows = p->x.shape[0],
                               .columns = p->x.shape[1],
                               .stride = p->x.stride[0],
                               .across = p->blocks.shape[1],
                               .draws = {p->seed, p->stream, (uint32_t)p->counter}};
    // blocks go down the tokens in steps: four turns of the four that a multiprocessor holds
    const int64_t panels = p->blocks.shape[0];
    const int64_t fit = wn__gpu_resident(x->gpu, 16) / (panels > 0 ? panels : 1);
    const int64_t down = fit < 1 ? 1 : fit < a.across ? fit : a.across;
    const wn__cuda_launch l = {.grid = {(unsigned)panels, wn__gpu_down(down, 1), 1},
                               .block = {THREADS, 1, 1}};
    return wn__gpu_launch(x->gpu, &wn__image_mvue24_blocks_sm80,
                          symbols[p->method == WN_MVUE24_APPROX][p->x.dtype == WN_DTYPE_F16], &l,
                          &a);
}

#endif
