// SPDX-License-Identifier: MIT
// Launches turned back into kron_mul of float32 numbers, factors read from their tiles.
#include "kron_tf32.h"

#include "kernels/cuda/args_kron_tf32.h"
#include "kron.h"
#include "tensor/tensor.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

unsigned long fake_kron_tf32_bytes(const char *name) {
    return strstr(name, "pack") ? sizeof(wn__gpu_kron_tf32_pack) : sizeof(wn__gpu_kron_tf32);
}

typedef struct cut {
    int form;
    int64_t parts, steps, d;
} cut;

// Where number (j, k) of block (i, l) lies, as args_kron_tf32.h describes it; what was cut off it
// has its piece four further.
static int64_t place(const cut *c, int64_t i, int64_t j, int64_t k, int64_t l, int low) {
    const int64_t block = i * c->d + l, tile = j / 64;
    const int rows = c->form == WN_KRON_TF32_ROWS;
    const int64_t group = rows ? block : block / 4;
    const int64_t part = rows ? tile / 4 : tile, matrix = rows ? tile % 4 : block % 4;
    const int64_t step = (group * c->parts + part) * c->steps + k / 16;
    const int64_t piece = (k % 16 / 4 + 4 * low) ^ (j % 8);
    return ((step * 4 + matrix) * 64 + j % 64) * 32 + 4 * piece + k % 4;
}

static int fits(const cut *c, int64_t blocks, int64_t b, int64_t k, int64_t groups) {
    const int rows = c->form == WN_KRON_TF32_ROWS, outputs = rows ? 256 : 64;
    if (c->steps != (k + 15) / 16 || c->parts != (b + outputs - 1) / outputs) return 0;
    if (groups * (rows ? 1 : 4) != blocks || k < 16) return 0;
    return c->form == WN_KRON_TF32_LANES ? c->d % 4 == 0 : c->d == 1 && b % 2 == 0 && k % 4 == 0;
}

static float high_part(float w) {
    uint32_t bits;
    memcpy(&bits, &w, sizeof bits);
    if (isfinite(w)) bits &= 0xffffe000U;
    memcpy(&w, &bits, sizeof w);
    return w;
}

static int pack(const void *argument) {
    wn__gpu_kron_tf32_pack p;
    memcpy(&p, argument, sizeof p);
    const cut c = {p.form, p.parts, p.steps, p.d};
    if (!fits(&c, (int64_t)p.a * p.d, p.b, p.c, p.groups)) return 1;
    memset(p.tiles, 0,
           (size_t)p.groups * (size_t)p.parts * (size_t)p.steps * WN_KRON_TF32_STEP *
               sizeof(float));
    for (int64_t i = 0; i < p.a; i++)
        for (int64_t j = 0; j < p.b; j++)
            for (int64_t k = 0; k < p.c; k++)
                for (int64_t l = 0; l < p.d; l++) {
                    const float w =
                        p.w[i * p.stride[0] + j * p.stride[1] + k * p.stride[2] + l * p.stride[3]];
                    p.tiles[place(&c, i, j, k, l, 0)] = high_part(w);
                    p.tiles[place(&c, i, j, k, l, 1)] = isfinite(w) ? w - high_part(w) : 0;
                }
    return 0;
}

// [a,b,c,d] again, to be freed.
static wn_tensor unpacked(const wn__gpu_kron_tf32 *p, int64_t a, const cut *c) {
    float *w = malloc((size_t)a * (size_t)p->b * (size_t)p->c * (size_t)p->d * sizeof *w);
    for (int64_t i = 0; w != NULL && i < a; i++)
        for (int64_t j = 0; j < p->b; j++)
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t l = 0; l < p->d; l++)
                    w[((i * p->b + j) * p->c + k) * p->d + l] =
                        p->tiles[place(c, i, j, k, l, 0)] + p->tiles[place(c, i, j, k, l, 1)];
    return wn__tensor4(w, WN_DTYPE_F32, a, p->b, p->c, p->d);
}

static wn_tensor vectors(const float *data, int64_t n, int64_t features, int64_t stride) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, WN_DTYPE_F32, n, features);
    t.stride[0] = stride;
    return t;
}

int fake_kron_tf32(const void *argument, const char *name) {
    if (strstr(name, "pack")) return pack(argument);
    wn__gpu_kron_tf32 p;
    memcpy(&p, argument, sizeof p);
    const int form = strstr(name, "lanes")   ? WN_KRON_TF32_LANES
                     : strstr(name, "sides") ? WN_KRON_TF32_SIDES
                                             : WN_KRON_TF32_ROWS;
    const cut c = {form, p.parts, p.steps, p.d};
    const int64_t a = p.groups * (form == WN_KRON_TF32_ROWS ? 1 : 4) / p.d;
    if (p.x == p.y) return 1; // blocks of threads read what others write
    if (!fits(&c, a * p.d, p.b, p.c, p.groups)) return 1;
    if (p.count != (p.n + 127) / 128 * p.groups * p.parts) return 1;
    if ((uintptr_t)p.x % 16 != 0 || (uintptr_t)p.y % 16 != 0) return 1;
    if (p.n > 1 && (p.x_vector % 4 != 0 || p.y_vector % 4 != 0)) return 1;
    const wn_tensor x = vectors(p.x, p.n, a * p.c * p.d, p.x_vector);
    const wn_tensor y = vectors(p.y, p.n, a * p.b * p.d, p.y_vector);
    const wn_tensor w = unpacked(&p, a, &c);
    const int bad = fake_kron_multiply(&w, &x, &y, p.accumulate);
    free(w.data);
    return bad;
}
