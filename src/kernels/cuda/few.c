// SPDX-License-Identifier: MIT
// spmm24_blocks of few tokens on a GPU: which shape, and how many blocks of threads divide the
// inputs of a panel.
#include "base/fail.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/images.h"
#include "kernels/declare.h"
#include "kernels/spmm24_blocks.h"
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

bool wn__accepts_gpu_few(const void *args, char *why, size_t n) {
    enum { MANY = 32, FEW_PANELS = 32 };
    char other[160];
    const wn__spmm24_blocks *p = args;
    if (p->x.shape[0] > WN_FEW_MOST_TOKENS)
        (void)snprintf(why, n, "%lld tokens are more than %d", (long long)p->x.shape[0],
                       WN_FEW_MOST_TOKENS);
    else if (p->x.shape[0] > MANY && p->blocks.shape[0] > FEW_PANELS &&
             wn__accepts_gpu_spmm24_bulk(args, other, sizeof other))
        (void)snprintf(why, n, "tiles are faster for %lld tokens and %lld outputs",
                       (long long)p->x.shape[0], (long long)p->y.shape[1]);
    else if (p->x.shape[0] > 1 && p->x.stride[0] % 8 != 0)
        (void)snprintf(why, n, "rows of x %lld elements apart, not a multiple of 8",
                       (long long)p->x.stride[0]);
    else if (p->y.shape[0] > 1 && p->y.stride[0] % 2 != 0)
        (void)snprintf(why, n, "rows of y %lld elements apart, an odd number",
                       (long long)p->y.stride[0]);
    else if (p->gate)
        (void)snprintf(why, n, "a gate has no device code for few tokens");
    else if (p->x.dtype != p->values)
        (void)snprintf(why, n, "x of %s and blocks of %s", wn_dtype_name(p->x.dtype),
                       wn_dtype_name(p->values));
    else
        return true;
    return false;
}

typedef struct shape {
    int tokens, panels, deep, stages;
    const char *symbol[2]; // of BF16 and F16
} shape;

static const shape shapes[] = {
#define SHAPE(tokens, panels, deep, stages)                                                        \
    {tokens, panels, deep, stages, {"wn_few_bf16_" #tokens, "wn_few_f16_" #tokens}},
    WN_FEW_SHAPES(SHAPE)
#undef SHAPE
};

static const shape *shape_of(int64_t tokens) {
    const shape *s = shapes;
    while (s->tokens < tokens)
        s++;
    return s;
}

// The smallest division that leaves few processors without work, and each block of threads some;
// two where a processor has room for both.
static int split_of(int groups, int depth, int processors, const shape *s) {
    enum { TOKENS_OF_MUCH_WORK = 64, STEPS_OF_MUCH_WORK = 16 };
    int split = groups <= processors && depth > 1 ? 2 : 1;
    while (split < WN_FEW_MOST_SPLIT && 4 * groups * split < 3 * processors && 2 * split <= depth)
        split *= 2;
    if (s->tokens == TOKENS_OF_MUCH_WORK && split < WN_FEW_MOST_SPLIT &&
        groups * split < processors && depth > STEPS_OF_MUCH_WORK * split)
        split *= 2;
    return split;
}

// As many stages of weights as let two blocks of threads share a processor; bytes of shared memory.
static unsigned stages_of(const shape *s, int split, size_t shared_bytes, wn__gpu_few *a) {
    enum { OWN = 1024 }; // that a processor takes for itself, of each block of threads
    const int half = (int)((shared_bytes + OWN) / 2) - OWN;
    const int stage = WN_FEW_WEIGHTS(s->panels, s->deep) + 16;
    a->token_stages = s->stages;
    int bytes = 1024 + a->token_stages * (WN_FEW_TOKENS(s->tokens, s->deep) + 16) +
                WN_FEW_SENT(s->tokens, s->panels, split) + 8;
    a->weight_stages = (half - bytes) / stage;
    if (a->token_stages > a->weight_stages) a->token_stages = a->weight_stages;
    return (unsigned)(bytes + a->weight_stages * stage);
}

wn_status wn__spmm24_blocks_sm90a_few(const void *args, wn__exec *x) {
    const wn__spmm24_blocks *p = args;
    const shape *s = shape_of(p->x.shape[0]);
    wn__cuda *d = wn__gpu_device(x->gpu);
    wn__gpu_few a = {.blocks = p->blocks.data,
                     .bias = wn__given(&p->bias) ? p->bias.data : NULL,
                     .residual = wn__given(&p->residual) ? p->residual.data : NULL,
                     .y = p->y.data,
                     .residual_stride = wn__given(&p->residual) ? p->residual.stride[0] : 0,
                     .y_stride = p->y.stride[0],
                     .tokens = (int)p->x.shape[0],
                     .outputs = (int)p->y.shape[1],
                     .panels = (int)p->blocks.shape[0],
                     .depth = (int)p->blocks.shape[1],
                     .relu2 = p->relu2,
                     .early = wn__gpu_lets_next_begin(x->gpu)};
    const int groups = (a.panels + s->panels - 1) / s->panels;
    const int split = split_of(groups, a.depth, wn__cuda_info(d)->multiprocessors, s);
    if (a.tokens == 0) return WN_OK;
    if (a.depth > 0) WN_TRY(wn__cuda_tensor_map(d, &p->x, (unsigned)s->tokens, &a.x));
    const unsigned shared_bytes = stages_of(s, split, (size_t)wn__cuda_info(d)->shared_bytes, &a);
    const wn__cuda_launch l = {.grid = {(unsigned)(groups * split), 1, 1},
                               .block = {WN_FEW_THREADS, 1, 1},
                               .shared_bytes = shared_bytes,
                               .cluster = (unsigned)split,
                               .overlap = true};
    return wn__gpu_launch(x->gpu, &wn__image_few_sm90a, s->symbol[p->values == WN_DTYPE_F16], &l,
                          &a);
}

#endif
