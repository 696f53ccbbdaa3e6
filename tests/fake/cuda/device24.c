// SPDX-License-Identifier: MIT
// The 2:4 kernels of a GPU, one element after the other.
#include "device24.h"
#include "device8.h"
#include "few.h"
#include "fit.h"
#include "kron.h"
#include "kron_f32.h"
#include "kron_few.h"
#include "kron_permute.h"
#include "kron_tf32.h"
#include "values24.h"

#include "device_blocks.h"
#include "kernels/cuda/args24.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/args_fit.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/args_rows.h"
#include <stddef.h>
#include <string.h>

typedef enum kind {
    MASK_ROW,
    MASK_TILE,
    FLIPS,
    PACK_ROWS,
    PACK_COLUMNS,
    UNPACK,
    UNBLOCK,
    RANDOM,
    BLOCKS,
    BLOCKS_BOTH,
    BLOCKS_TILES,
    PRODUCT,
    PRODUCT_MAPS,
    TILE,
    SOFT,
    DOTS,
    DOTS_ROWS,
    APPLY,
    DECAY,
    MVUE_ROWS,
    MVUE_TOKENS,
    MVUE_PACK,
    TOKENS,
    EXTRA,
    BEGIN,
    FEW,
    BLOCKS_ROWS,
    MVUE_BLOCKS,
    RELU24_BLOCKS,
    RELU2,
    RELU2_GRAD,
    EMBED,
    ERROR,
    ERROR_SUM,
    NORMS,
    NORMS_SUM,
    FIT_UPDATE,
    KRON_PACK,
    KRON_ROWS,
    KRON_LANES,
    KRON_PAIR64,
    KRON_PAIR64T,
    KRON_RADIX16,
    KRON_RADIX16T,
    KRON_RANK_PACK,
    KRON_RANK_TURN,
    KRON_RANK8,
    KRON_RANK16,
    KRON_WIDE_PACK,
    KRON_WIDE_TURN,
    KRON_WIDE,
    KRON_WIDE_GRAD,
    KRON_HELD,
    KRON_HELD_JOIN,
    KRON_GRAD,
    KRON_GRAD_LANES,
    KRON_GRAD_F32,
    KRON_GRAD_SUM_F32,
    KRON_GRAD_SUM,
    KRON_MERGE,
    KRON_PACK_F32,
    KRON_F32,
    KRON_FEW,
    KRON_TF32,
    KRON_DENSE,
    KRON_PERMUTE,
    ROWS8,
    BLOCK8,
    PRODUCT8,
} kind;

#define FLOATS(name, kind, approx)                                                                 \
    {name "_f32", kind, 4, 23, approx}, {name "_bf16", kind, 2, 7, approx}, {                      \
        name "_f16", kind, 2, 10, approx                                                           \
    }

#define FEW_OF(outputs, tokens, halves, deep, most)                                                \
    {"wn_few_bf16_" #outputs "x" #tokens, FEW, 2, 7, 0},                                           \
        {"wn_few_f16_" #outputs "x" #tokens, FEW, 2, 10, 0},                                       \
        {"wn_few8_bf16_" #outputs "x" #tokens, FEW, 2, 7, 0},                                      \
        {"wn_few8_f16_" #outputs "x" #tokens, FEW, 2, 10, 0},
#define ROWS_OF(tile)                                                                              \
    {"wn_blocks_rows_" tile "_bf16", BLOCKS_ROWS, 2, 7, 0},                                        \
        {"wn_blocks_rows_" tile "_bf16_across", BLOCKS_ROWS, 2, 7, 0},                             \
        {"wn_blocks_rows_" tile "_f16", BLOCKS_ROWS, 2, 10, 0}, {                                  \
        "wn_blocks_rows_" tile "_f16_across", BLOCKS_ROWS, 2, 10, 0                                \
    }
#define TF32_OF(name)     {name, KRON_TF32, 4, 23, 0},
#define PERMUTE_OF(name)  {name, KRON_PERMUTE, 4, 23, 0},
#define PRODUCTS_OF(name) FLOATS(name, KRON_FEW, 0),
#define PRODUCT_OF(name)  {name, KRON_F32, 4, 23, 0},
#define GRAD_OF(name)     {name, KRON_GRAD_F32, 4, 23, 0},
#define WIDE_OF(outputs)                                                                           \
    SHORT("wn_kron_wide_grad" outputs, KRON_WIDE_GRAD), SHORT("wn_kron_wide" outputs, KRON_WIDE),
#define SHORT(name, kind)                                                                          \
    {name "_bf16", kind, 2, 7, 0}, {                                                               \
        name "_f16", kind, 2, 10, 0                                                                \
    }

#define LANES(name, kind) SHORT(name "8", kind), SHORT(name "4", kind), SHORT(name "2", kind)

static const struct {
    const char *name;
    kind kind;
    int size, bits; // bytes of an element; bits of its mantissa
    int approx;     // of mvue24
} kernels[] = {
    {"wn_mask24_row_f32", MASK_ROW, 4, 23, 0},
    {"wn_mask24_row_bf16", MASK_ROW, 2, 7, 0},
    {"wn_mask24_row_f16", MASK_ROW, 2, 10, 0},
    {"wn_mask24_tile_f32", MASK_TILE, 4, 23, 0},
    {"wn_mask24_tile_bf16", MASK_TILE, 2, 7, 0},
    {"wn_mask24_tile_f16", MASK_TILE, 2, 10, 0},
    {"wn_flips24", FLIPS, 1, 0, 0},
    {"wn_pack24_rows_4", PACK_ROWS, 4, 0, 0},
    {"wn_pack24_rows_2", PACK_ROWS, 2, 0, 0},
    {"wn_pack24_columns_4", PACK_COLUMNS, 4, 0, 0},
    {"wn_pack24_columns_2", PACK_COLUMNS, 2, 0, 0},
    {"wn_unpack24_4", UNPACK, 4, 0, 0},
    {"wn_unpack24_2", UNPACK, 2, 0, 0},
    FLOATS("wn_tile24", TILE, 0),
    FLOATS("wn_soft24", SOFT, 0),
    FLOATS("wn_dots24", DOTS, 0),
    {"wn_dots24_rows", DOTS_ROWS, 8, 0, 0},
    FLOATS("wn_apply24", APPLY, 0),
    FLOATS("wn_decay24", DECAY, 0),
    FLOATS("wn_mvue24_rows_exact", MVUE_ROWS, 0),
    FLOATS("wn_mvue24_rows_approx", MVUE_ROWS, 1),
    FLOATS("wn_mvue24_tokens_exact", MVUE_TOKENS, 0),
    FLOATS("wn_mvue24_tokens_approx", MVUE_TOKENS, 1),
    FLOATS("wn_mvue24_pack_exact", MVUE_PACK, 0),
    FLOATS("wn_mvue24_pack_approx", MVUE_PACK, 1),
    {"wn_pack24_tokens_4", TOKENS, 4, 0, 0},
    {"wn_pack24_tokens_2", TOKENS, 2, 0, 0},
    {"wn_pack24_extra_4", EXTRA, 4, 0, 0},
    {"wn_pack24_extra_2", EXTRA, 2, 0, 0},
    {"wn_pack24_begin", BEGIN, 1, 0, 0},
    {"wn_unblock24", UNBLOCK, 2, 0, 0},
    {"wn_random_f32", RANDOM, 4, 0, 0},
    {"wn_random_f16", RANDOM, 2, 0, 0},
    {"wn_random_bf16", RANDOM, 2, 0, 0},
    {"wn_block24", BLOCKS, 2, 0, 0},
    {"wn_block24_both", BLOCKS_BOTH, 2, 0, 0},
    {"wn_block24_tiles_bf16", BLOCKS_TILES, 2, 7, 0},
    {"wn_block24_tiles_f16", BLOCKS_TILES, 2, 10, 0},
    {"wn_spmm24_blocks_bf16", PRODUCT, 2, 7, 0},
    {"wn_spmm24_blocks_f16", PRODUCT, 2, 10, 0},
    {"wn_spmm24_blocks_128x256_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x256_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x208_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x208_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x200_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x200_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x232_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x232_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x192_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x192_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x176_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x176_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x160_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x160_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x208_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x208_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x160_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x160_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x128_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_256x128_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_192x128_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_192x128_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_rows8_bf16", ROWS8, 2, 7, 0},
    {"wn_rows8_f16", ROWS8, 2, 10, 0},
    {"wn_block8_bf16", BLOCK8, 2, 7, 0},
    {"wn_block8_f16", BLOCK8, 2, 10, 0},
    {"wn_spmm24_blocks8_128x256_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_128x256_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x208_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x208_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x200_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x200_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x192_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x192_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_128x208_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_128x208_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x176_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x176_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x160_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x160_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_256x128_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_256x128_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_192x128_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_192x128_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_128x160_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_128x160_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_128x128_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_128x128_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks8_128x64_bf16", PRODUCT8, 2, 7, 0},
    {"wn_spmm24_blocks8_128x64_f16", PRODUCT8, 2, 10, 0},
    {"wn_spmm24_blocks_128x128_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x128_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x64_bf16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_spmm24_blocks_128x64_f16", PRODUCT_MAPS, 2, 0, 0},
    {"wn_blocks_rows_bf16", BLOCKS_ROWS, 2, 7, 0},
    {"wn_blocks_rows_bf16_across", BLOCKS_ROWS, 2, 7, 0},
    {"wn_blocks_rows_f16", BLOCKS_ROWS, 2, 10, 0},
    {"wn_blocks_rows_f16_across", BLOCKS_ROWS, 2, 10, 0},
    ROWS_OF("128x256"),
    ROWS_OF("256x192"),
    ROWS_OF("128x128"),
    {"wn_mvue24_blocks_exact_bf16", MVUE_BLOCKS, 2, 7, 0},
    {"wn_mvue24_blocks_exact_f16", MVUE_BLOCKS, 2, 10, 0},
    {"wn_mvue24_blocks_approx_bf16", MVUE_BLOCKS, 2, 7, 1},
    {"wn_mvue24_blocks_approx_f16", MVUE_BLOCKS, 2, 10, 1},
    {"wn_embed_16", EMBED, 16, 0, 0},
    {"wn_embed_8", EMBED, 8, 0, 0},
    {"wn_embed_4", EMBED, 4, 0, 0},
    {"wn_embed_2", EMBED, 2, 0, 0},
    FLOATS("wn_squared_error", ERROR, 0),
    FLOATS("wn_squared_error_sum", ERROR_SUM, 0),
    {"wn_gradient_norms", NORMS, 4, 0, 0},
    {"wn_gradient_norms_sum", NORMS_SUM, 4, 0, 0},
    FLOATS("wn_fit_update", FIT_UPDATE, 0),
    FLOATS("wn_relu2", RELU2, 0),
    FLOATS("wn_relu2_grad", RELU2_GRAD, 0),
    {"wn_relu24_blocks_128x256_bf16", RELU24_BLOCKS, 2, 7, 0},
    {"wn_relu24_blocks_128x256_f16", RELU24_BLOCKS, 2, 10, 0},
    {"wn_relu24_blocks_128x128_bf16", RELU24_BLOCKS, 2, 7, 0},
    {"wn_relu24_blocks_128x128_f16", RELU24_BLOCKS, 2, 10, 0},
    WN_FEW_SHAPES(FEW_OF){"wn_kron_pack", KRON_PACK, 2, 0, 0},
    SHORT("wn_kron_rows", KRON_ROWS),
    LANES("wn_kron_lanes", KRON_LANES),
    SHORT("wn_kron_staged4", KRON_LANES),
    SHORT("wn_kron_staged2", KRON_LANES),
    SHORT("wn_kron_pair64", KRON_PAIR64),
    SHORT("wn_kron_pair64t", KRON_PAIR64T),
    SHORT("wn_kron_radix16", KRON_RADIX16),
    SHORT("wn_kron_radix16t", KRON_RADIX16T),
    {"wn_kron_rank_pack", KRON_RANK_PACK, 2, 0, 0},
    {"wn_kron_rank_turn", KRON_RANK_TURN, 2, 0, 0},
    SHORT("wn_kron_rank8", KRON_RANK8),
    SHORT("wn_kron_rank16", KRON_RANK16),
    {"wn_kron_wide_pack", KRON_WIDE_PACK, 2, 0, 0},
    {"wn_kron_wide_apart2", KRON_WIDE_TURN, 2, 0, 0},
    {"wn_kron_wide_apart4", KRON_WIDE_TURN, 2, 0, 0},
    {"wn_kron_wide_apart8", KRON_WIDE_TURN, 2, 0, 0},
    {"wn_kron_wide_together2", KRON_WIDE_TURN, 2, 0, 0},
    {"wn_kron_wide_together4", KRON_WIDE_TURN, 2, 0, 0},
    SHORT("wn_kron_held", KRON_HELD),
    SHORT("wn_kron_held_join", KRON_HELD_JOIN),
    SHORT("wn_kron_grad", KRON_GRAD),
    LANES("wn_kron_grad_lanes", KRON_GRAD_LANES),
    FAKE_KRON_GRADS(GRAD_OF){"wn_kron_grad_sum_f32", KRON_GRAD_SUM_F32, 4, 23, 0},
    SHORT("wn_kron_grad_sum", KRON_GRAD_SUM),
    SHORT("wn_kron_merge", KRON_MERGE),
    {"wn_kron_pack_f32", KRON_PACK_F32, 4, 23, 0},
    FAKE_KRON_PRODUCTS(PRODUCT_OF) FAKE_KRON_PERMUTES(PERMUTE_OF) FAKE_KRON_TF32(TF32_OF)
        FAKE_KRON_FEW(PRODUCTS_OF) FAKE_KRON_WIDTHS(WIDE_OF) FLOATS("wn_kron_dense", KRON_DENSE, 0),
};
enum { KERNELS = sizeof kernels / sizeof *kernels };

int fake_device24_count(void) {
    return KERNELS;
}

int fake_device24_find(const char *name, int *which) {
    for (int i = 0; i < KERNELS; i++)
        if (strcmp(kernels[i].name, name) == 0) {
            *which = i;
            return 1;
        }
    return 0;
}

static unsigned long kron_bytes(kind which) {
    switch (which) {
    case KRON_PACK:
        return sizeof(wn__gpu_kron_pack);
    case KRON_ROWS:
    case KRON_LANES:
        return sizeof(wn__gpu_kron_factor);
    case KRON_PAIR64:
    case KRON_PAIR64T:
    case KRON_RADIX16:
    case KRON_RADIX16T:
        return sizeof(wn__gpu_kron_fused);
    case KRON_RANK_PACK:
        return sizeof(wn__gpu_kron_rank_pack);
    case KRON_RANK_TURN:
    case KRON_WIDE_TURN:
        return sizeof(wn__gpu_kron_turn);
    case KRON_WIDE_PACK:
        return sizeof(wn__gpu_kron_order);
    case KRON_HELD:
    case KRON_HELD_JOIN:
        return sizeof(wn__gpu_kron_held);
    case KRON_WIDE:
    case KRON_WIDE_GRAD:
        return sizeof(wn__gpu_kron_product);
    case KRON_RANK8:
    case KRON_RANK16:
        return sizeof(wn__gpu_kron_rank);
    case KRON_GRAD:
    case KRON_GRAD_LANES:
    case KRON_GRAD_SUM:
        return sizeof(wn__gpu_kron_grad);
    case KRON_PACK_F32:
    case KRON_F32:
        return fake_kron_f32_bytes(which == KRON_PACK_F32);
    case KRON_GRAD_F32:
    case KRON_GRAD_SUM_F32:
        return fake_kron_grad_f32_bytes(which == KRON_GRAD_SUM_F32);
    case KRON_MERGE:
        return sizeof(wn__gpu_kron_merge);
    case KRON_PERMUTE:
        return fake_kron_permute_bytes();
    case KRON_DENSE:
        return sizeof(wn__gpu_kron_dense);
    case KRON_FEW:
        return fake_kron_few_bytes();
    default:
        return sizeof(wn__gpu_pack24);
    }
}

unsigned long fake_device24_bytes(int which) {
    switch (kernels[which].kind) {
    case MASK_ROW:
    case MASK_TILE:
        return sizeof(wn__gpu_mask24);
    case FLIPS:
        return sizeof(wn__gpu_flips24);
    case UNPACK:
        return sizeof(wn__gpu_unpack24);
    case UNBLOCK:
        return sizeof(wn__gpu_unblock24);
    case RANDOM:
        return sizeof(wn__gpu_random_values);
    case TILE:
        return sizeof(wn__gpu_tile24);
    case SOFT:
        return sizeof(wn__gpu_soft24);
    case DOTS:
    case DOTS_ROWS:
        return sizeof(wn__gpu_dots24);
    case APPLY:
        return sizeof(wn__gpu_apply24);
    case DECAY:
        return sizeof(wn__gpu_decay24);
    case MVUE_ROWS:
    case MVUE_TOKENS:
        return sizeof(wn__gpu_mvue24);
    case MVUE_PACK:
    case TOKENS:
    case EXTRA:
    case BEGIN:
        return sizeof(wn__gpu_tokens24);
    case BLOCKS:
    case BLOCKS_BOTH:
    case BLOCKS_TILES:
        return sizeof(wn__gpu_block24);
    case PRODUCT:
    case PRODUCT_MAPS:
    case PRODUCT8:
        return sizeof(wn__gpu_spmm24_blocks);
    case BLOCKS_ROWS:
    case RELU24_BLOCKS:
        return sizeof(wn__gpu_blocks_rows);
    case MVUE_BLOCKS:
        return sizeof(wn__gpu_mvue24_blocks);
    case RELU2:
    case RELU2_GRAD:
        return sizeof(wn__gpu_relu2);
    case ROWS8:
        return sizeof(wn__gpu_rows8);
    case BLOCK8:
        return sizeof(wn__gpu_block8);
    case FEW:
        return sizeof(wn__gpu_few);
    case EMBED:
        return sizeof(wn__gpu_embed);
    case ERROR:
    case ERROR_SUM:
        return sizeof(wn__gpu_squared_error);
    case NORMS:
    case NORMS_SUM:
        return sizeof(wn__gpu_gradient_norms);
    case FIT_UPDATE:
        return sizeof(wn__gpu_fit_update);
    case KRON_TF32:
        return fake_kron_tf32_bytes(kernels[which].name);
    default:
        return kron_bytes(kernels[which].kind);
    }
}

static unsigned cluster_of(int which, const void *argument) {
    const wn__gpu_spmm24_blocks *p = argument;
    switch (kernels[which].kind) {
    case PRODUCT_MAPS:
    case PRODUCT8:
        return (unsigned)(p->cluster * p->shared);
    case KRON_PAIR64:
    case KRON_PAIR64T:
    case KRON_RADIX16:
    case KRON_RADIX16T:
        return WN_KRON_FUSED_CLUSTER;
    case KRON_HELD_JOIN:
        return WN_KRON_HELD_JOINED;
    default:
        return 1;
    }
}

int fake_device24_fits(int which, const void *argument, const wn__cu_launch *l, unsigned cluster) {
    return kernels[which].kind == FEW ? fake_few_fits(argument, kernels[which].name, l, cluster)
                                      : cluster_of(which, argument) == cluster;
}

static void leave(unsigned *fault, unsigned number) {
    if (number < *fault) *fault = number;
}

static uint32_t bits_at(const void *p, int64_t i, int size) {
    uint32_t v = 0;
    memcpy(&v, (const char *)p + i * size, (size_t)size);
    return v;
}

static void put_bits(void *p, int64_t i, int size, uint32_t v) {
    memcpy((char *)p + i * size, &v, (size_t)size);
}

// The magnitude of an element, exact in float.
static float size_of(uint32_t v, int size, int mantissa) {
    float f = 0;
    v &= size == 4 ? 0x7FFFFFFFU : 0x7FFFU;
    if (mantissa == 10) { // float16
        const int exponent = (int)(v >> 10), fraction = (int)(v & 1023);
        if (exponent == 31)
            v = 0x7F800000U | (uint32_t)fraction << 13;
        else {
            f = (float)(exponent > 0 ? 1024 + fraction : fraction) * 0x1p-24F;
            for (int i = 1; i < exponent; i++)
                f *= 2;
            return f;
        }
    } else if (size == 2) {
        v <<= 16;
    }
    memcpy(&f, &v, sizeof f);
    return f;
}

static void mask_rows(const wn__gpu_mask24 *p, int size, int mantissa) {
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t g = 0; g < p->groups; g++) {
            unsigned mask = 0;
            float a[4];
            int n = 0;
            for (; n < 4 && 4 * g + n < p->columns; n++) {
                a[n] = size_of(bits_at(p->w, r * p->stride + 4 * g + n, size), size, mantissa);
                if (a[n] != a[n]) leave(p->fault, p->number);
            }
            for (int i = 0; i < n; i++) {
                int before = 0;
                for (int j = 0; j < n; j++)
                    before += a[j] > a[i] || (a[j] == a[i] && j < i);
                mask |= (unsigned)(before < 2) << i;
            }
            p->mask[r * p->groups + g] = (uint8_t)mask;
        }
}

static float two_of(const float a[4], unsigned mask) {
    float pair[2] = {0, 0};
    for (int j = 0, n = 0; j < 4; j++)
        if (mask >> j & 1) pair[n++] = a[j];
    return pair[0] + pair[1];
}

static unsigned best_tile(const float a[4][4]) {
    static const unsigned rows[6] = {3, 5, 9, 6, 10, 12};
    float best = -1;
    unsigned mask = 0;
    for (int i = 0; i < 6 * 6 * 6 * 6; i++) {
        const unsigned m[4] = {rows[i / 216], rows[i / 36 % 6], rows[i / 6 % 6], rows[i % 6]};
        int fits = 1;
        for (int c = 0; c < 4; c++)
            fits &= (m[0] >> c & 1) + (m[1] >> c & 1) + (m[2] >> c & 1) + (m[3] >> c & 1) == 2;
        const float sum =
            (two_of(a[0], m[0]) + two_of(a[1], m[1])) + (two_of(a[2], m[2]) + two_of(a[3], m[3]));
        if (!fits || !(sum > best)) continue;
        best = sum;
        mask = m[0] | m[1] << 4 | m[2] << 8 | m[3] << 12;
    }
    return mask;
}

static void mask_tiles(const wn__gpu_mask24 *p, int size, int mantissa) {
    for (int64_t t = 0; t < p->rows / 4; t++)
        for (int64_t g = 0; g < p->groups; g++) {
            float a[4][4];
            for (int i = 0; i < 16; i++) {
                const int64_t at = (4 * t + i / 4) * p->stride + 4 * g + i % 4;
                a[i / 4][i % 4] = size_of(bits_at(p->w, at, size), size, mantissa);
                if (a[i / 4][i % 4] != a[i / 4][i % 4]) leave(p->fault, p->number);
            }
            const unsigned mask = best_tile((const float(*)[4])a);
            for (int r = 0; r < 4; r++)
                p->mask[(4 * t + r) * p->groups + g] = (uint8_t)(mask >> 4 * r & 15);
        }
}

static void flips(const wn__gpu_flips24 *p) {
    for (int64_t i = 0; i < p->bytes; i++)
        for (int j = 0; j < 4; j++)
            *p->count += (unsigned)(p->a[i] ^ p->b[i]) >> j & 1U;
}

// One group of a packed row: v are its four elements, mask what it keeps. False: too much.
static int pack_group(const uint32_t v[4], unsigned mask, int size, void *values, int64_t slot,
                      unsigned *nibble) {
    int kept[2], n = 0;
    for (int j = 0; j < 4; j++)
        if (mask >> j & 1) {
            if (n == 2) return 0;
            kept[n++] = j;
        }
    // free slots: the highest columns that are not taken
    int at[2] = {n > 0 ? kept[0] : 2, n > 1 ? kept[1] : 3};
    if (n == 1 && kept[0] >= 2) {
        at[0] = 2;
        at[1] = 3;
    }
    *nibble = (unsigned)(at[0] | at[1] << 2);
    for (int s = 0; s < 2 && values != NULL; s++)
        put_bits(values, slot + s, size, mask >> at[s] & 1 ? v[at[s]] : 0);
    return 1;
}

static void pack(const wn__gpu_pack24 *p, int size, int columns) {
    uint8_t *const values = columns ? p->values_t : p->values;
    uint8_t *const index = columns ? p->index_t : p->index;
    const int64_t rows = columns ? p->columns : p->rows, depth = columns ? p->rows : p->columns;
    const int64_t groups = (depth + 3) / 4, pairs = (groups + 1) / 2;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < groups; g++) {
            uint32_t v[4] = {0};
            unsigned mask = columns ? 0 : p->mask[r * p->groups + g], nibble = 14;
            for (int j = 0; j < 4 && 4 * g + j < depth; j++) {
                const int64_t i = columns ? 4 * g + j : r, k = columns ? r : 4 * g + j;
                v[j] = bits_at(p->w, i * p->stride + k, size);
                if (columns)
                    mask |= ((unsigned)p->mask[i * p->groups + k / 4] >> (k % 4) & 1U) << j;
            }
            const int64_t left = depth - 4 * g;
            const int good = mask >> (left < 4 ? left : 4) == 0 &&
                             pack_group(v, mask, size, values, 2 * (r * groups + g), &nibble);
            if (!good) leave(p->fault, p->number);
            if (index == NULL) continue;
            uint8_t *byte = &index[r * pairs + g / 2];
            *byte = g % 2 != 0 ? (uint8_t)((*byte & 15) | nibble << 4) : (uint8_t)(nibble | 0xE0);
        }
}

static void unpack(const wn__gpu_unpack24 *p, int size) {
    for (int64_t r = 0; r < p->rows; r++)
        for (int64_t g = 0; g < p->groups; g++) {
            const unsigned nibble =
                (unsigned)p->index[r * ((p->groups + 1) / 2) + g / 2] >> (g % 2 * 4) & 15U;
            if ((nibble & 3) >= nibble >> 2) leave(p->fault, p->number);
            for (int j = 0; j < 4; j++) {
                uint32_t v = 0;
                for (int s = 0; s < 2; s++)
                    if ((int)(nibble >> (2 * s) & 3) == j)
                        v = bits_at(p->values, 2 * (r * p->groups + g) + s, size);
                if (4 * g + j < p->columns)
                    put_bits(p->w, r * p->stride + 4 * g + j, size, v);
                else if ((v & (size == 4 ? 0x7FFFFFFFU : 0x7FFFU)) != 0)
                    leave(p->fault, p->number);
            }
        }
}

// Whatever is small enough for every type.
static void random_values(const wn__gpu_random_values *p, int size) {
    for (int64_t i = 0; i < p->count; i++)
        put_bits(p->to, i, size, (uint32_t)((uint64_t)i * 2654435761U + p->seed) & 0x3CFF3CFFU);
}

static wn_dtype dtype_of(int which) {
    if (kernels[which].size == 4) return WN_DTYPE_F32;
    return kernels[which].bits == 10 ? WN_DTYPE_F16 : WN_DTYPE_BF16;
}

static int fake_blocks_tiles(const wn__gpu_block24 *p, int size, int mantissa) {
    wn__gpu_block24 b = *p;
    mask_tiles(&(wn__gpu_mask24){.w = p->w,
                                 .mask = p->tiles,
                                 .rows = p->rows,
                                 .columns = p->columns,
                                 .stride = p->stride,
                                 .groups = p->groups,
                                 .fault = p->fault,
                                 .number = p->number},
               size, mantissa);
    b.mask = p->tiles;
    return fake_blocks_pack(&b, p->blocks_t != NULL);
}

// Those that values24.c knows, and others that take everything.
static void run_values(int which, const void *argument) {
    const wn_dtype dtype = dtype_of(which);
    const int approx = kernels[which].approx;
    switch (kernels[which].kind) {
    case RANDOM:
        random_values(argument, kernels[which].size);
        break;
    case FLIPS:
        flips(argument);
        break;
    case UNBLOCK:
        fake_unblock24(argument);
        break;
    case TILE:
        fake_tile24(argument, dtype);
        break;
    case SOFT:
        fake_soft24(argument, dtype);
        break;
    case DOTS:
        fake_dots24(argument, dtype);
        break;
    case DOTS_ROWS:
        fake_dots24_rows(argument);
        break;
    case APPLY:
        fake_apply24(argument, dtype);
        break;
    case DECAY:
        fake_decay24(argument, dtype);
        break;
    case MVUE_ROWS:
    case MVUE_TOKENS:
        fake_mvue24(argument, dtype, kernels[which].kind == MVUE_ROWS, approx);
        break;
    case MVUE_PACK:
        fake_mvue24_pack(argument, dtype, approx);
        break;
    case MVUE_BLOCKS:
        fake_mvue24_blocks(argument, dtype, approx);
        break;
    case EMBED:
        fake_embed(argument, kernels[which].size);
        break;
    case NORMS_SUM: // does what NORMS was launched for, which is not where there is nothing
        fake_gradient_norms(argument);
        break;
    case FIT_UPDATE:
        fake_fit_update(argument, dtype);
        break;
    case RELU2:
    case RELU2_GRAD:
        fake_relu2(argument, dtype, kernels[which].kind == RELU2_GRAD);
        break;
    case TOKENS:
        fake_tokens24(argument, dtype);
        break;
    case BEGIN:
        fake_begin24(argument);
        break;
    default:
        break;
    }
}

int fake_device24_run(int which, const void *argument) {
    const int size = kernels[which].size, mantissa = kernels[which].bits;
    switch (kernels[which].kind) {
    case MASK_ROW:
        mask_rows(argument, size, mantissa);
        break;
    case MASK_TILE:
        mask_tiles(argument, size, mantissa);
        break;
    case PACK_ROWS:
    case PACK_COLUMNS:
        pack(argument, size, 0);
        if (kernels[which].kind == PACK_COLUMNS) pack(argument, size, 1);
        break;
    case UNPACK:
        unpack(argument, size);
        break;
    case BLOCKS:
    case BLOCKS_BOTH:
        return fake_blocks_pack(argument, kernels[which].kind == BLOCKS_BOTH);
    case BLOCKS_TILES:
        return fake_blocks_tiles(argument, size, mantissa);
    case PRODUCT:
        return fake_blocks_multiply(argument, mantissa == 7);
    case BLOCKS_ROWS:
        return fake_blocks_rows(argument, kernels[which].name, mantissa == 7);
    case RELU24_BLOCKS:
        return fake_relu24_blocks(argument, kernels[which].name, dtype_of(which));
    case PRODUCT_MAPS:
        return fake_blocks_multiply_maps(argument, kernels[which].name);
    case ERROR:
        return fake_squared_error(argument, dtype_of(which), 0);
    case ERROR_SUM:
        return fake_squared_error(argument, dtype_of(which), 1);
    case KRON_PACK:
        return fake_kron_pack(argument);
    case KRON_ROWS:
    case KRON_LANES:
        return fake_kron_factor(argument, dtype_of(which), kernels[which].kind == KRON_LANES);
    case KRON_PAIR64:
    case KRON_PAIR64T:
        return fake_kron_fused(argument, dtype_of(which), 2, kernels[which].kind == KRON_PAIR64T);
    case KRON_RADIX16:
    case KRON_RADIX16T:
        return fake_kron_fused(argument, dtype_of(which), 3, kernels[which].kind == KRON_RADIX16T);
    case KRON_RANK_PACK:
        return fake_kron_rank_pack(argument);
    case KRON_RANK_TURN:
        return fake_kron_rank_turn(argument);
    case KRON_WIDE_TURN:
        return fake_kron_wide_turn(argument, kernels[which].name);
    case KRON_WIDE_PACK:
        return fake_kron_wide_pack(argument);
    case KRON_HELD:
    case KRON_HELD_JOIN:
        return fake_kron_held(argument, dtype_of(which), kernels[which].kind == KRON_HELD_JOIN);
    case KRON_WIDE_GRAD:
        return fake_kron_wide_grad(argument, dtype_of(which), kernels[which].name);
    case KRON_WIDE:
        return fake_kron_wide(argument, dtype_of(which), kernels[which].name);
    case KRON_RANK8:
    case KRON_RANK16:
        return fake_kron_rank(argument, dtype_of(which), kernels[which].kind == KRON_RANK8);
    case KRON_GRAD:
    case KRON_GRAD_LANES:
        return fake_kron_grad(argument, dtype_of(which), kernels[which].kind == KRON_GRAD_LANES);
    case KRON_GRAD_F32:
        return fake_kron_grad_f32(argument, kernels[which].name);
    case KRON_GRAD_SUM_F32:
        return fake_kron_grad_sum_f32(argument);
    case KRON_GRAD_SUM:
        return fake_kron_grad_sum(argument, dtype_of(which));
    case KRON_PACK_F32:
        return fake_kron_pack_f32(argument);
    case KRON_F32:
        return fake_kron_f32(argument, kernels[which].name);
    case KRON_MERGE:
        return fake_kron_merge(argument, dtype_of(which));
    case KRON_PERMUTE:
        return fake_kron_permute(argument, kernels[which].name);
    case KRON_DENSE:
        return fake_kron_dense(argument, dtype_of(which));
    case KRON_TF32:
        return fake_kron_tf32(argument, kernels[which].name);
    case KRON_FEW:
        return fake_kron_few(argument, dtype_of(which), kernels[which].name);
    case PRODUCT8:
        return fake_product8(argument, kernels[which].name);
    case FEW:
        return fake_few(argument, kernels[which].name);
    case ROWS8:
        return fake_rows8(argument, mantissa == 7);
    case BLOCK8:
        return fake_block8(argument, mantissa == 7);
    default:
        run_values(which, argument);
        break;
    }
    return 0;
}
