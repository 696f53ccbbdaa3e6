// SPDX-License-Identifier: MIT
// Launches turned back into kron_mul of float32 numbers, factors read from their tiles.
#include "kron_f32.h"

#include "kernels/cuda/args_kron_f32.h"
#include "kron.h"
#include "tensor/tensor.h"
#include <stdlib.h>
#include <string.h>

unsigned long fake_kron_f32_bytes(int pack) {
    return pack ? sizeof(wn__gpu_kron_pack_f32) : sizeof(wn__gpu_kron_f32);
}

// Where number (j, k) of block g lies, as args_kron_f32.h describes it.
static int64_t place(int64_t down, int64_t across, int64_t g, int64_t j, int64_t k) {
    const int64_t tile = (g * down + j / 8) * across + k / 16;
    const int64_t lane = 4 * (2 * (j % 4) + j % 8 / 4) + k % 4;
    return tile * 128 + k % 16 / 8 * 64 + 2 * lane + k / 4 % 2;
}

int fake_kron_pack_f32(const void *argument) {
    wn__gpu_kron_pack_f32 p;
    memcpy(&p, argument, sizeof p);
    if (p.down != (p.b + 7) / 8 || p.across != (p.c + 15) / 16) return 1;
    memset(p.tiles, 0, (size_t)p.a * (size_t)p.d * (size_t)(p.down * p.across) * 512);
    for (int64_t i = 0; i < p.a; i++)
        for (int64_t j = 0; j < p.b; j++)
            for (int64_t k = 0; k < p.c; k++)
                for (int64_t l = 0; l < p.d; l++)
                    p.tiles[place(p.down, p.across, i * p.d + l, j, k)] =
                        p.w[i * p.stride[0] + j * p.stride[1] + k * p.stride[2] + l * p.stride[3]];
    return 0;
}

// [a,b,c,d] again, to be freed.
static wn_tensor unpacked(const wn__gpu_kron_f32 *p) {
    float *w = malloc((size_t)p->a * (size_t)p->b * (size_t)p->c * (size_t)p->d * sizeof *w);
    for (int64_t i = 0; w != NULL && i < p->a; i++)
        for (int64_t j = 0; j < p->b; j++)
            for (int64_t k = 0; k < p->c; k++)
                for (int64_t l = 0; l < p->d; l++)
                    w[((i * p->b + j) * p->c + k) * p->d + l] =
                        p->tiles[place(p->down, p->across, i * p->d + l, j, k)];
    return wn__tensor4(w, WN_DTYPE_F32, p->a, p->b, p->c, p->d);
}

static wn_tensor matrix(const float *data, int64_t rows, int64_t columns, int64_t row,
                        int64_t column) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, WN_DTYPE_F32, rows, columns);
    t.stride[0] = row;
    t.stride[1] = column;
    return t;
}

// Four numbers from every multiple of four on are 16 bytes, along vectors or features.
static int whole(const wn_tensor *t, int vectors) {
    return (t->stride[vectors ? 0 : 1] == 1 || t->shape[vectors ? 0 : 1] < 2) &&
           (t->shape[vectors ? 1 : 0] < 2 || t->stride[vectors ? 1 : 0] % 4 == 0) &&
           (uintptr_t)t->data % 16 == 0;
}

int fake_kron_f32(const void *argument, const char *name) {
    wn__gpu_kron_f32 p;
    memcpy(&p, argument, sizeof p);
    const int blocks = strstr(name, "lanes8") ? 8 : strstr(name, "lanes4") ? 4 : 1;
    const int vectors = blocks == 1; // are four of a row
    const wn_tensor x =
        matrix(p.x, p.n, (int64_t)p.a * p.c * p.d, vectors ? p.x_q : p.x_row, p.x_feature);
    const wn_tensor y =
        matrix(p.y, p.n, (int64_t)p.a * p.b * p.d, vectors ? p.y_q : p.y_row, p.y_feature);
    if (p.x == p.y) return 1; // blocks of threads read what others write
    if (p.down != (p.b + 7) / 8 || p.across != (p.c + 15) / 16 || p.d % blocks != 0) return 1;
    if (p.x_input != p.d * p.x_feature || p.y_output != p.d * p.y_feature) return 1;
    if (vectors ? p.rows != (p.n + 3) / 4 || p.x_row != 4 * p.x_q || p.y_row != 4 * p.y_q
                : p.rows != p.n || p.x_q != 1 || p.x_feature != 1 || p.y_q != p.y_feature)
        return 1;
    if (!vectors && !p.wide_in) return 1;
    if ((p.wide_in && !whole(&x, vectors)) || (p.wide_out && (p.y_q != 1 || !whole(&y, vectors))))
        return 1;
    if ((strstr(name, "exact") != NULL) != (p.c < WN_KRON_F32_EXACT)) return 1;
    const wn_tensor w = unpacked(&p);
    const int bad = fake_kron_multiply(&w, &x, &y, p.accumulate);
    free(w.data);
    return bad;
}
