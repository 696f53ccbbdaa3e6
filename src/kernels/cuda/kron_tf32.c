// SPDX-License-Identifier: MIT
// kron_mul of float32 numbers on compute capability 9.0: factors of wide blocks, each packed first,
// by wgmma; those of other shapes among them as sm80 has them. kron.c goes through the chain.
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/cuda/accepts.h"
#include "kernels/cuda/args_kron_tf32.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron.h"
#include "kernels/declare.h"
#include <limits.h>
#include <stdio.h>

#ifdef WN_HAVE_DEVICE_CODE

// How a factor is cut: groups of four blocks side by side, of four one behind the other, or of one,
// into parts of outputs and steps of inputs.
typedef struct cut {
    int form;
    int64_t groups, parts, steps;
} cut;

// Fewer inputs than this have a narrower bound than two parts keep; products of fewer outputs are
// mostly of zeros, those of one block up to ALONE of its own. Beyond NEAR blocks side by side
// every 16 bytes of x are looked up in L2 by themselves, which takes as long as sm80 where inputs
// are not many.
enum { LEAST_INPUTS = 16, LEAST_OUTPUTS = 33, ALONE = 128, NEAR = 8, MANY = 320 };

static bool is_wide(const wn__kron_size *s) {
    if (s->c < LEAST_INPUTS || s->b < LEAST_OUTPUTS) return false;
    if (s->d > 1) return s->d % WN_KRON_TF32_MATRICES == 0 && (s->d <= NEAR || s->c >= MANY);
    return s->b % 2 == 0 && s->c % 4 == 0 && (s->b > ALONE || s->a % WN_KRON_TF32_MATRICES == 0);
}

static cut cut_of(const wn__kron_size *s) {
    const int form = s->d > 1        ? WN_KRON_TF32_LANES
                     : s->b <= ALONE ? WN_KRON_TF32_SIDES
                                     : WN_KRON_TF32_ROWS;
    const int64_t outputs = WN_KRON_TF32_OUTPUTS,
                  part = form == WN_KRON_TF32_ROWS ? outputs * WN_KRON_TF32_MATRICES : outputs;
    return (cut){.form = form,
                 .groups = s->a * s->d / (form == WN_KRON_TF32_ROWS ? 1 : WN_KRON_TF32_MATRICES),
                 .parts = wn__ceil_div(s->b, part),
                 .steps = wn__ceil_div(s->c, WN_KRON_TF32_INPUTS)};
}

// Whether vectors have their numbers one behind the other and begin at multiples of 16 bytes.
static bool in_order(const wn_tensor *t) {
    return t->stride[1] == 1 && (t->shape[0] < 2 || t->stride[0] % 4 == 0) &&
           (uintptr_t)t->data % 16 == 0;
}

static int64_t tiles_of(const cut *c, int64_t vectors) {
    return wn__ceil_div(vectors, WN_KRON_TF32_VECTORS) * c->groups * c->parts;
}

static size_t packed_bytes(const wn_tensor *w) {
    const wn__kron_size s = wn__kron_size_of(w);
    const cut c = cut_of(&s);
    if (!is_wide(&s)) return wn__gpu_kron_packed_f32(w);
    return (size_t)(c.groups * c.parts * c.steps) * WN_KRON_TF32_STEP * sizeof(float);
}

bool wn__accepts_gpu_kron_tf32(const void *args, char *why, size_t n) {
    const wn__kron_mul *p = args;
    int wide = 0;
    if (p->x.dtype != WN_DTYPE_F32) {
        (void)snprintf(why, n, "dtype %s is not F32", wn_dtype_name(p->x.dtype));
        return false;
    }
    if (!wn__accepts_gpu_kron_mul(args, why, n)) return false;
    for (int t = 0; t < p->count; t++) {
        const wn__kron_size s = wn__kron_size_of(&p->w[t]);
        const cut c = cut_of(&s);
        if (!is_wide(&s)) continue;
        wide++;
        if (tiles_of(&c, p->x.shape[0]) <= INT_MAX) continue;
        (void)snprintf(why, n, "%lld vectors are more tiles than a launch counts",
                       (long long)p->x.shape[0]);
        return false;
    }
    if (wide == 0)
        (void)snprintf(
            why, n,
            "no factor has wide blocks: %d outputs, %d inputs, d a multiple of 4 (beyond 8 from %d "
            "inputs on), or 1 and four such blocks or %d outputs",
            LEAST_OUTPUTS, LEAST_INPUTS, MANY, ALONE + 1);
    else if (!in_order(&p->x) || !in_order(&p->y))
        (void)snprintf(why, n, "x or y is not batch first with rows of whole 16 bytes");
    else
        return true;
    return false;
}

static wn_status pack(wn__gpu *gpu, const wn_tensor *w, const cut *c, float *tiles) {
    enum { MOST_BLOCKS = 4096 };
    const wn__kron_size s = wn__kron_size_of(w);
    wn__gpu_kron_tf32_pack a = {.w = w->data,
                                .tiles = tiles,
                                .a = (int)s.a,
                                .b = (int)s.b,
                                .c = (int)s.c,
                                .d = (int)s.d,
                                .groups = (int)c->groups,
                                .parts = (int)c->parts,
                                .steps = (int)c->steps,
                                .form = c->form};
    for (int i = 0; i < 4; i++)
        a.stride[i] = w->stride[i];
    const int64_t blocks = wn__ceil_div(c->groups * c->parts * c->steps * (WN_KRON_TF32_STEP / 8),
                                        WN_KRON_TF32_PACK_THREADS);
    const wn__cuda_launch l = {
        .grid = {(unsigned)(blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS), 1, 1},
        .block = {WN_KRON_TF32_PACK_THREADS, 1, 1}};
    return wn__gpu_launch(gpu, &wn__image_kron_tf32_sm90a, "wn_kron_tf32_pack", &l, &a);
}

static wn_status run_factor(wn__gpu *gpu, const wn_tensor *w, const wn_tensor *x,
                            const wn_tensor *y, void *tiles, bool accumulate) {
    const wn__kron_size s = wn__kron_size_of(w);
    const cut c = cut_of(&s);
    if (!is_wide(&s)) return wn__gpu_kron_factor_f32(gpu, w, x, y, tiles, accumulate);
    const int64_t processors = wn__cuda_info(wn__gpu_device(gpu))->multiprocessors;
    const int64_t count = tiles_of(&c, x->shape[0]);
    wn__gpu_kron_tf32 a = {.x = x->data,
                           .y = y->data,
                           .tiles = tiles,
                           .x_vector = x->stride[0],
                           .y_vector = y->stride[0],
                           .n = (int)x->shape[0],
                           .b = (int)s.b,
                           .c = (int)s.c,
                           .d = (int)s.d,
                           .groups = (int)c.groups,
                           .parts = (int)c.parts,
                           .steps = (int)c.steps,
                           .count = (int)count,
                           .accumulate = accumulate};
    WN_TRY(pack(gpu, w, &c, tiles));
    static const char *const symbol[] = {[WN_KRON_TF32_LANES] = "wn_kron_tf32_lanes",
                                         [WN_KRON_TF32_SIDES] = "wn_kron_tf32_sides",
                                         [WN_KRON_TF32_ROWS] = "wn_kron_tf32_rows"};
    const wn__cuda_launch l = {.grid = {(unsigned)(count < processors ? count : processors), 1, 1},
                               .block = {WN_KRON_TF32_THREADS, 1, 1},
                               .shared_bytes = (unsigned)WN_KRON_TF32_SHARED(c.form)};
    return wn__gpu_launch(gpu, &wn__image_kron_tf32_sm90a, symbol[c.form], &l, &a);
}

size_t wn__workspace_kron_mul_sm90a_tf32(const void *args, int threads) {
    (void)threads;
    return wn__gpu_kron_most(args, packed_bytes) + wn__gpu_kron_between_bytes(args);
}

wn_status wn__kron_mul_sm90a_tf32(const void *args, wn__exec *x) {
    return wn__gpu_kron_chain(args, x, wn__gpu_kron_most(args, packed_bytes), run_factor);
}

#endif
