// SPDX-License-Identifier: MIT
// Launches turned back into kron_mul and kron_grad, factors read from their tiles.
#include "kron.h"

#include "fake_map.h"
#include "kernels/cuda/args_kron.h"
#include "kernels/cuda/args_kron_grad.h"
#include "kernels/declare.h"
#include "kernels/element.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include <stdlib.h>
#include <string.h>

typedef struct size {
    int64_t a, b, c, d;
} size;

// Where number (j, k) of block g lies among 16-bit numbers, as args_kron.h describes it.
static int64_t place(const size *s, int64_t g, int64_t j, int64_t k) {
    const int64_t down = (s->b + 15) / 16, across = (s->c + 15) / 16;
    const int64_t tile = (g * down + j / 16) * across + k / 16;
    const int64_t lane = j % 8 * 4 + k % 8 / 2;
    return tile * 256 + lane * 8 + (k % 16 / 8 * 2 + j % 16 / 8) * 2 + k % 2;
}

int fake_kron_pack(const void *argument) {
    wn__gpu_kron_pack p;
    memcpy(&p, argument, sizeof p);
    const size s = {p.a, p.b, p.c, p.d};
    if (p.down != (p.b + 15) / 16 || p.across != (p.c + 15) / 16) return 1;
    uint16_t *tiles = (uint16_t *)(void *)p.tiles;
    memset(tiles, 0, (size_t)(s.a * s.d) * (size_t)(p.down * p.across) * 512);
    for (int64_t i = 0; i < s.a; i++)
        for (int64_t j = 0; j < s.b; j++)
            for (int64_t k = 0; k < s.c; k++)
                for (int64_t l = 0; l < s.d; l++)
                    tiles[place(&s, i * s.d + l, j, k)] =
                        p.w[i * p.stride[0] + j * p.stride[1] + k * p.stride[2] + l * p.stride[3]];
    return 0;
}

// [a,b,c,d] again, to be freed.
static wn_tensor unpacked(const uint8_t *tiles, const size *s, wn_dtype dtype) {
    uint16_t *w = malloc((size_t)(s->a * s->b * s->c * s->d) * 2);
    for (int64_t i = 0; w != NULL && i < s->a; i++)
        for (int64_t j = 0; j < s->b; j++)
            for (int64_t k = 0; k < s->c; k++)
                for (int64_t l = 0; l < s->d; l++)
                    w[((i * s->b + j) * s->c + k) * s->d + l] =
                        ((const uint16_t *)(const void *)tiles)[place(s, i * s->d + l, j, k)];
    return wn__tensor4(w, dtype, s->a, s->b, s->c, s->d);
}

static wn_tensor matrix(const void *data, wn_dtype dtype, int64_t rows, int64_t columns,
                        int64_t row, int64_t column) {
    wn_tensor t = wn__tensor2((void *)(uintptr_t)data, dtype, rows, columns);
    t.stride[0] = row;
    t.stride[1] = column;
    return t;
}

static int whole_rows(const wn_tensor *t) {
    return t->stride[1] == 1 && (t->shape[0] < 2 || t->stride[0] % 8 == 0) &&
           (uintptr_t)t->data % 16 == 0;
}

// Blocks taken together: pieces of 16 bytes belong to one i, or to eight blocks of one.
static int side_by_side(const size *s, int64_t side, const wn_tensor *t, int lanes) {
    return whole_rows(t) && (lanes == 4 || lanes == 8 || lanes == 16) && s->a * s->d % lanes == 0 &&
           (s->d == 2 || s->d == 4
                ? side * s->d % 8 == 0
                : s->d % 8 == 0 && lanes > 4 && (s->d == 8 || s->d % lanes == 0));
}

int fake_kron_multiply(const wn_tensor *w, const wn_tensor *x, const wn_tensor *y, int accumulate) {
    wn__kron_mul p = {.x = *x, .y = *y, .w = {*w}, .count = 1, .accumulate = accumulate != 0};
    double *scratch = calloc((size_t)wn__kron_mul_width(&p) * 2, sizeof *scratch);
    wn__exec e = {.scratch = (char *)scratch};
    const int bad = scratch == NULL || w->data == NULL;
    if (!bad) (void)!wn__kron_mul_ref(&p, &e);
    free(scratch);
    return bad;
}

int fake_kron_factor(const void *argument, wn_dtype dtype, int lanes) {
    wn__gpu_kron_factor p;
    memcpy(&p, argument, sizeof p);
    const size s = {p.a, p.b, p.c, p.d};
    const wn_tensor x = matrix(p.x, dtype, p.n, s.a * s.c * s.d, p.x_vector, p.x_feature);
    const wn_tensor y = matrix(p.y, dtype, p.n, s.a * s.b * s.d, p.y_vector, p.y_feature);
    if (p.x == p.y) return 1; // blocks of threads read what others write
    if (lanes && !side_by_side(&s, s.c, &x, p.lanes)) return 1;
    if (p.wide_in && (!whole_rows(&x) || s.d != 1 || s.c % 8 != 0)) return 1;
    if (p.wide_out && (p.accumulate || (lanes ? !side_by_side(&s, s.b, &y, p.lanes)
                                              : !whole_rows(&y) || s.b % 8 != 0 || s.d != 1)))
        return 1;
    const wn_tensor w = unpacked(p.tiles, &s, dtype);
    const int bad = fake_kron_multiply(&w, &x, &y, p.accumulate);
    free(w.data);
    return bad;
}

int fake_kron_fused(const void *argument, wn_dtype dtype, int factors, int turned) {
    wn__gpu_kron_fused p;
    memcpy(&p, argument, sizeof p);
    const int64_t side = factors == 2 ? 64 : 16, width = 4096;
    const wn_tensor y = matrix(p.y, dtype, p.n, width, p.y_vector, 1);
    wn_tensor from = matrix(p.x, dtype, p.n, width, p.x_vector, 1), between[2];
    int bad = !whole_rows(&from) || !whole_rows(&y) || p.steps != (p.n + 31) / 32;
    size s = {turned ? 1 : width / side, side, side, turned ? width / side : 1};
    for (int i = 0; i < 2; i++)
        between[i] = wn__tensor2(calloc((size_t)(p.n * width), 2), dtype, p.n, width);
    for (int t = 0; t < factors && !bad; t++) {
        wn_tensor w = wn__tensor4((void *)(uintptr_t)p.w[t], dtype, s.a, s.b, s.c, s.d);
        for (int i = 0; i < 4; i++)
            w.stride[i] = p.stride[t][i];
        const wn_tensor *to = t + 1 == factors ? &y : &between[t % 2];
        bad = to->data == NULL || fake_kron_multiply(&w, &from, to, 0);
        from = *to;
        s.a = turned ? s.a * side : s.a / side;
        s.d = turned ? s.d / side : s.d * side;
    }
    free(between[0].data);
    free(between[1].data);
    return bad;
}

// Numbers of 16 bits in packed factors: of K_0 rank r of block t, input k of block s; of K_1 output
// j of block t, rank r of block s; rows of outputs are sorted.
typedef struct packed {
    int64_t rank, steps;
} packed;
static int64_t first_at(const packed *p, int64_t s, int64_t t, int64_t r, int64_t k) {
    const int64_t step = (p->rank * s + r) / 16;
    const int64_t half = p->rank == 8 ? s % 2 : t / 4 % 2;
    const int64_t row = p->rank == 8 ? t % 8 * 8 + r : t % 4 * 16 + r % 16;
    return (t / 8 * p->steps + step) * 16384 + half * 4096 + row * 64 + (k / 8 ^ (row & 7)) * 8 +
           k % 8;
}
static int64_t second_at(const packed *p, int64_t t, int64_t j, int64_t s, int64_t r) {
    const int64_t column = p->rank * s + r;
    const int64_t row = j / 16 * 16 + j / 2 % 2 * 8 + j / 4 % 4 * 2 + j % 2;
    return (t / 8 * p->steps + column / 16) * 16384 + 8192 + t % 8 * 1024 + row * 16 +
           (column / 8 % 2 ^ (row / 4 & 1)) * 8 + column % 8;
}

int fake_kron_rank_pack(const void *argument) {
    wn__gpu_kron_rank_pack p;
    memcpy(&p, argument, sizeof p);
    const packed at = {p.rank, p.steps};
    uint16_t *to = (uint16_t *)(void *)p.to;
    memset(to, 0, (size_t)((p.t + 7) / 8) * (size_t)p.steps * WN_KRON_RANK_BYTES);
    for (int64_t t = 0; t < p.t; t++)
        for (int64_t s = 0; s < p.s; s++)
            for (int64_t r = 0; r < p.rank; r++)
                for (int64_t k = 0; k < 64; k++) {
                    to[first_at(&at, s, t, r, k)] =
                        p.first[s * p.first_s + t * p.first_t + r * p.first_r + k * p.first_k];
                    to[second_at(&at, t, k, s, r)] =
                        p.second[s * p.second_s + t * p.second_t + r * p.second_r + k * p.second_j];
                }
    return p.steps != (p.rank * p.s + 15) / 16;
}

// Of every vector matrices [rows][columns] to [columns][rows].
static void turn_blocks(const wn__gpu_kron_turn *p, int64_t rows, int64_t columns) {
    for (int64_t v = 0; v < p->n; v++)
        for (int64_t block = 0; block < p->blocks; block++)
            for (int64_t i = 0; i < rows; i++)
                for (int64_t j = 0; j < columns; j++)
                    p->y[v * p->y_vector + (block * columns + j) * rows + i] =
                        p->x[v * p->x_vector + (block * rows + i) * columns + j];
}

int fake_kron_rank_turn(const void *argument) {
    wn__gpu_kron_turn p;
    memcpy(&p, argument, sizeof p);
    turn_blocks(&p, p.rows, p.columns);
    return p.rows % 8 != 0 || p.columns % 8 != 0 || p.x_vector % 8 != 0 || p.y_vector % 8 != 0 ||
           p.blocks < 1;
}

// ---- wide blocks

int fake_kron_wide_turn(const void *argument, const char *name) {
    wn__gpu_kron_turn p;
    memcpy(&p, argument, sizeof p);
    if (strstr(name, "apart"))
        turn_blocks(&p, p.rows, p.columns);
    else
        turn_blocks(&p, p.columns, p.rows);
    const int columns = name[strlen(name) - 1] - '0';
    return p.columns != columns || p.rows % (columns == 8 ? 256 : 64) != 0 || p.x_vector % 8 != 0 ||
           p.y_vector % 8 != 0 || p.blocks < 1;
}

int fake_kron_wide_pack(const void *argument) {
    wn__gpu_kron_order p;
    memcpy(&p, argument, sizeof p);
    int64_t all = 1;
    for (int i = 0; i < 6; i++)
        all *= p.size[i];
    for (int64_t at = 0; at < all; at++) {
        int64_t rest = at, from = 0;
        for (int i = 5; i >= 0; i--) {
            from += rest % p.size[i] * p.stride[i];
            rest /= p.size[i];
        }
        p.to[at] = p.w[from];
    }
    return p.size[5] % 8 != 0 || p.fast < 0 || p.fast > 5;
}

// The rows of a map, as they are multiplied with boxes of that many.
static wn_tensor mapped(const wn__cu_tensor_map *m, wn_dtype dtype, uint32_t box, int *bad) {
    fake_map map;
    memcpy(&map, m, sizeof map);
    *bad |= map.box[0] != 64 || map.box[1] != box || map.size[0] % 64 != 0;
    return matrix(map.address, dtype, (int64_t)map.size[1], (int64_t)map.size[0],
                  (int64_t)map.stride / 2, 1);
}

int fake_kron_wide(const void *argument, wn_dtype dtype, const char *name) {
    wn__gpu_kron_product p;
    memcpy(&p, argument, sizeof p);
    const int columns = atoi(name + strlen("wn_kron_wide")), rows = columns < 192 ? 256 : 128;
    int bad = p.b % columns != 0 || p.c % 64 != 0 || p.run % 8 != 0;
    bad |= p.tiles != (p.n + rows - 1) / rows * p.groups * (p.b / columns);
    const wn_tensor x = mapped(&p.rows, dtype, (uint32_t)rows, &bad);
    wn_tensor w = mapped(&p.columns, dtype, (uint32_t)columns, &bad);
    bad |= x.shape[0] != p.n || x.shape[1] != (int64_t)p.groups * p.c || w.shape[1] != p.c ||
           w.shape[0] != (int64_t)p.groups * p.b || w.stride[0] != p.c;
    const int64_t width = (int64_t)p.groups * p.b;
    uint16_t *out = calloc((size_t)(p.n * width), 2);
    const wn_tensor to = wn__tensor2(out, dtype, p.n, width);
    w = wn__tensor4(w.data, dtype, p.groups, p.b, p.c, 1);
    bad = bad || out == NULL || fake_kron_multiply(&w, &x, &to, 0);
    for (int64_t v = 0; v < p.n && !bad; v++)
        for (int64_t g = 0; g < p.groups; g++)
            for (int64_t j = 0; j < p.b; j++)
                p.y[v * p.y_vector + g * p.group_step + j / p.run * p.run_step + j % p.run] =
                    out[v * width + g * p.b + j];
    free(out);
    return bad;
}

// Every sum is in the first part.
int fake_kron_wide_grad(const void *argument, wn_dtype dtype, const char *name) {
    wn__gpu_kron_product p;
    memcpy(&p, argument, sizeof p);
    const int columns = atoi(name + strlen("wn_kron_wide_grad")), rows = columns < 192 ? 256 : 128;
    const int parts = (p.n + p.vectors - 1) / p.vectors;
    int bad = p.b % 64 != 0 || p.c % columns != 0 || p.vectors % 64 != 0;
    bad |= p.tiles != parts * p.groups * ((p.b + rows - 1) / rows) * (p.c / columns);
    wn__kron_grad g = {.x = mapped(&p.columns, dtype, 64, &bad),
                       .dy = mapped(&p.rows, dtype, 64, &bad),
                       .dw = wn__tensor4(p.sums, WN_DTYPE_F32, p.groups, p.b, p.c, 1)};
    wn__exec e = {0};
    if (bad || g.x.shape[0] != p.n || g.x.shape[1] != (int64_t)p.groups * p.c ||
        g.dy.shape[0] != p.n || g.dy.shape[1] != (int64_t)p.groups * p.b)
        return 1;
    memset(p.sums, 0, (size_t)parts * (size_t)(p.groups * p.b * p.c) * sizeof(float));
    (void)!wn__kron_grad_ref(&g, &e);
    return 0;
}

// Every tile of every slice has one owner.
static int shared(const wn__gpu_kron_held *p) {
    const int slices = p->b / 128;
    int bad = p->groups != WN_KRON_HELD_JOINED;
    char *owned = calloc((size_t)p->tiles * (size_t)slices, 1);
    for (int i = 0; i < WN_KRON_HELD_CLUSTERS * WN_KRON_HELD_SHARES; i++) {
        const wn__gpu_kron_share *s = &p->share[i / WN_KRON_HELD_SHARES][i % WN_KRON_HELD_SHARES];
        for (int tile = s->first; tile < s->end; tile++)
            bad |= tile < 0 || tile >= p->tiles || s->slice >= slices ||
                   owned[tile * slices + s->slice]++ != 0;
    }
    for (int i = 0; i < p->tiles * slices; i++)
        bad |= owned[i] != 1;
    free(owned);
    return bad;
}

int fake_kron_held(const void *argument, wn_dtype dtype, int join) {
    wn__gpu_kron_held p;
    memcpy(&p, argument, sizeof p);
    int bad = p.b % 128 != 0 || p.tiles != (p.n + 127) / 128 || (join && shared(&p));
    const wn_tensor x = mapped(&p.x, dtype, 128, &bad);
    const int64_t width = (int64_t)p.groups * p.b;
    if (!join) {
        const wn_tensor y = mapped(&p.y_map, dtype, 128, &bad);
        bad |= y.data != p.y || y.stride[0] != p.y_vector || y.shape[1] < width || p.run % 64 != 0;
    }
    bad |= x.shape[0] != p.n || x.shape[1] != (int64_t)p.groups * WN_KRON_HELD_INPUTS;
    uint16_t *out = calloc((size_t)(p.n * width), 2);
    const wn_tensor to = wn__tensor2(out, dtype, p.n, width);
    const wn_tensor w =
        wn__tensor4((void *)(uintptr_t)p.w, dtype, p.groups, p.b, WN_KRON_HELD_INPUTS, 1);
    bad = bad || out == NULL || fake_kron_multiply(&w, &x, &to, 0);
    for (int64_t v = 0; v < p.n && !bad; v++)
        for (int64_t g = 0; g < p.groups; g++)
            for (int64_t j = 0; j < p.b; j++)
                p.y[v * p.y_vector + (join ? j * p.groups + g
                                           : g * p.group_step + j / p.run * p.run_step +
                                                 j % p.run)] = out[v * width + g * p.b + j];
    free(out);
    return bad;
}

// Whole chains again, of vectors of blocks that lie one behind the other.
int fake_kron_rank(const void *argument, wn_dtype dtype, int rank8) {
    wn__gpu_kron_rank p;
    fake_map map;
    memcpy(&p, argument, sizeof p);
    memcpy(&map, &p.x, sizeof map);
    const int64_t rank = rank8 ? 8 : 16 * (int64_t)p.share, middle = rank * p.s * p.t;
    const packed at = {rank, p.steps};
    const wn_tensor x =
        matrix(map.address, dtype, p.n, 64 * (int64_t)p.s, (int64_t)map.stride / 2, 1);
    const wn_tensor y = matrix(p.y, dtype, p.n, 64 * (int64_t)p.t, p.y_vector, 1);
    if (map.size[0] != 64 * (uint64_t)p.s || map.size[1] != (uint64_t)p.n || map.box[0] != 64 ||
        map.box[1] != WN_KRON_RANK_VECTORS || !whole_rows(&y) || p.across != (p.t + 7) / 8 ||
        p.tiles != (p.n + WN_KRON_RANK_VECTORS - 1) / WN_KRON_RANK_VECTORS * p.across ||
        p.steps != (rank * p.s + 15) / 16)
        return 1;
    // between: block t, then s, then rank; so both factors have blocks one behind the other
    wn_tensor first = wn__tensor4(calloc((size_t)(middle * 64), 2), dtype, p.s, rank * p.t, 64, 1);
    wn_tensor second = wn__tensor4(calloc((size_t)(middle * 64), 2), dtype, 1, 64, rank * p.s, p.t);
    wn_tensor between = wn__tensor2(calloc((size_t)(p.n * middle), 2), dtype, p.n, middle);
    wn_tensor to = wn__tensor2(calloc((size_t)(p.n * 64 * p.t), 2), dtype, p.n, 64 * (int64_t)p.t);
    uint16_t *f = first.data, *g = second.data, *out = to.data;
    const uint16_t *from = (const uint16_t *)(const void *)p.factors;
    int bad = f == NULL || g == NULL || out == NULL || between.data == NULL;
    for (int64_t t = 0; t < p.t && !bad; t++)
        for (int64_t s = 0; s < p.s; s++)
            for (int64_t r = 0; r < rank; r++)
                for (int64_t k = 0; k < 64; k++) {
                    f[((s * rank + r) * p.t + t) * 64 + k] = from[first_at(&at, s, t, r, k)];
                    g[(k * rank * p.s + rank * s + r) * p.t + t] = from[second_at(&at, t, k, s, r)];
                }
    bad = bad || fake_kron_multiply(&first, &x, &between, 0) ||
          fake_kron_multiply(&second, &between, &to, 0);
    for (int64_t v = 0; v < p.n && !bad; v++)
        for (int64_t t = 0; t < p.t; t++)
            for (int64_t j = 0; j < 64; j++)
                p.y[v * p.y_vector + 64 * t + j] = out[(v * 64 + j) * p.t + t];
    free(first.data);
    free(second.data);
    free(between.data);
    free(to.data);
    return bad;
}

// Every sum is in the first part, [a d][b][c]; the others are zeros.
int fake_kron_grad(const void *argument, wn_dtype dtype, int lanes) {
    wn__gpu_kron_grad p;
    memcpy(&p, argument, sizeof p);
    const size s = {p.a, p.b, p.c, p.d};
    wn__kron_grad g = {.x = matrix(p.x, dtype, p.n, s.a * s.c * s.d, p.x_vector, p.x_feature),
                       .dy = matrix(p.dy, dtype, p.n, s.a * s.b * s.d, p.dy_vector, p.dy_feature),
                       .dw = wn__tensor4(p.sums, WN_DTYPE_F32, s.a, s.b, s.c, s.d)};
    const int64_t step = lanes ? 256 / p.lanes : 64, sets = lanes ? 16 / p.lanes : 1;
    wn__exec e = {0};
    g.dw.stride[0] = s.d * s.b * s.c;
    g.dw.stride[1] = s.c;
    g.dw.stride[2] = 1;
    g.dw.stride[3] = s.b * s.c;
    if ((p.wide_x && (!whole_rows(&g.x) || s.d != 1 || s.c % 8 != 0)) ||
        (p.wide_dy && (!whole_rows(&g.dy) || s.d != 1 || s.b % 8 != 0)) ||
        (lanes &&
         (!side_by_side(&s, s.c, &g.x, p.lanes) || !side_by_side(&s, s.b, &g.dy, p.lanes))) ||
        p.vectors % step != 0 || p.parts != (p.n + p.vectors - 1) / p.vectors * sets)
        return 1;
    memset(p.sums, 0, (size_t)(p.parts * s.a * s.b * s.c * s.d) * sizeof(float));
    (void)!wn__kron_grad_ref(&g, &e);
    return 0;
}

// Pieces of 16 bytes: numbers of a block, or of four that lie side by side.
static int pieces(const wn__gpu_kron_side *s, int64_t n, int64_t d, int quads) {
    return (uintptr_t)s->at % 16 == 0 && s->feature == 1 && (n < 2 || s->vector % 4 == 0) &&
           (quads ? d % 4 == 0 : d == 1 && s->count % 4 == 0);
}

unsigned long fake_kron_grad_f32_bytes(int sum) {
    return sum ? sizeof(wn__gpu_kron_grad_sum) : sizeof(wn__gpu_kron_grad_f32);
}

// Every sum is in the first part, as above.
int fake_kron_grad_f32(const void *argument, const char *name) {
    wn__gpu_kron_grad_f32 p;
    memcpy(&p, argument, sizeof p);
    const int quads = strstr(name, "quads") != NULL, side = quads ? 4 : 8;
    const int64_t b = p.dy.count, c = p.x.count, a = p.a, d = p.d;
    const int parts = (p.n + p.each - 1) / p.each;
    wn__kron_grad g = {.x = matrix(p.x.at, WN_DTYPE_F32, p.n, a * c * d, p.x.vector, p.x.feature),
                       .dy =
                           matrix(p.dy.at, WN_DTYPE_F32, p.n, a * b * d, p.dy.vector, p.dy.feature),
                       .dw = wn__tensor4(p.sums, WN_DTYPE_F32, a, b, c, d)};
    wn__exec e = {0};
    if (strstr(name, "small") != NULL) {
        const int most = name[strlen("wn_kron_grad_small")] - '0';
        if (b > most || c > most) return 1;
    } else if (strstr(name, "tf32") != NULL) {
        if (p.n < 16 || p.each % 8 != 0 || p.down != (b + 63) / 64 || p.across != (c + 63) / 64)
            return 1;
    } else {
        const int64_t units = a * (quads ? (d + 3) / 4 : d);
        if ((p.dy.wide && !pieces(&p.dy, p.n, d, quads)) ||
            (p.x.wide && !pieces(&p.x, p.n, d, quads)) || (p.groups << p.units) < units ||
            (p.down * side << p.outputs) < b || (p.across * side << p.inputs) < c ||
            p.each % (1 << p.vectors) != 0)
            return 1;
    }
    if (!(p.step_j == c && p.step_k == 1) && !(p.step_j == 1 && p.step_k == b)) return 1;
    g.dw.stride[0] = d * b * c;
    g.dw.stride[1] = p.step_j;
    g.dw.stride[2] = p.step_k;
    g.dw.stride[3] = b * c;
    memset(p.sums, 0, (size_t)parts * (size_t)(a * b * c * d) * sizeof(float));
    (void)!wn__kron_grad_ref(&g, &e);
    return 0;
}

int fake_kron_grad_sum_f32(const void *argument) {
    wn__gpu_kron_grad_sum p;
    memcpy(&p, argument, sizeof p);
    if (p.split != (p.parts >= WN_KRON_GRAD_F32_MANY)) return 1;
    for (int64_t i = 0; i < p.numbers; i++) {
        const int64_t fast = i % p.fast, slow = i / p.fast % p.slow, g = i / p.fast / p.slow;
        const int64_t j = p.turned ? fast : slow, k = p.turned ? slow : fast;
        float *dw = p.dw + g / p.d * p.stride[0] + j * p.stride[1] + k * p.stride[2] +
                    g % p.d * p.stride[3];
        double sum = p.accumulate ? (double)*dw : 0;
        for (int64_t part = 0; part < p.parts; part++)
            sum += (double)p.sums[part * p.numbers + i];
        *dw = (float)sum;
    }
    return 0;
}

int fake_kron_grad_sum(const void *argument, wn_dtype dtype) {
    wn__gpu_kron_grad p;
    memcpy(&p, argument, sizeof p);
    const int64_t all = (int64_t)p.a * p.b * p.c * p.d;
    const wn_tensor dw = wn__tensor4(p.dw, p.f32 ? WN_DTYPE_F32 : dtype, p.a, p.b, p.c, p.d);
    for (int64_t i = 0; i < all; i++) {
        const int64_t k = i % p.c, j = i / p.c % p.b, g = i / p.c / p.b;
        const int64_t at =
            g / p.d * p.stride[0] + j * p.stride[1] + k * p.stride[2] + g % p.d * p.stride[3];
        double sum = 0;
        for (int64_t part = 0; part < p.parts; part++)
            sum += (double)p.sums[part * all + i];
        wn__set(&dw, at, sum + (p.accumulate ? wn__get(&dw, at) : 0));
    }
    return 0;
}

// ---- factors alone

static int64_t at4(const int64_t *stride, int64_t i, int64_t j, int64_t k, int64_t l) {
    return i * stride[0] + j * stride[1] + k * stride[2] + l * stride[3];
}

static double number(wn_dtype dtype, const void *data, int64_t at) {
    const wn_tensor t = wn__tensor2((void *)(uintptr_t)data, dtype, 1, 1);
    return wn__get(&t, at);
}

// Number (row, column) of a factor, 0 where it has none.
static double entry(const uint16_t *w, const int *sizes, const int64_t *stride, wn_dtype dtype,
                    int64_t row, int64_t column) {
    const int64_t b = sizes[1], c = sizes[2], d = sizes[3];
    if (row % d != column % d || row / d / b != column / d / c) return 0;
    return number(dtype, w, at4(stride, row / d / b, row / d % b, column / d % c, row % d));
}

int fake_kron_merge(const void *argument, wn_dtype dtype) {
    wn__gpu_kron_merge p;
    memcpy(&p, argument, sizeof p);
    const int64_t between = (int64_t)p.size[0][0] * p.size[0][2] * p.size[0][3];
    if (between != (int64_t)p.size[1][0] * p.size[1][1] * p.size[1][3]) return 1;
    const int64_t b = p.size[2][1], c = p.size[2][2], d = p.size[2][3];
    const wn_tensor to = wn__tensor2(p.to, dtype, 1, 1);
    for (int64_t at = 0; at < p.size[2][0] * b * c * d; at++) {
        const int64_t i = at / (b * c * d), l = at / (b * c) % d;
        const int64_t row = (i * b + at / c % b) * d + l, column = (i * c + at % c) * d + l;
        double sum = 0;
        for (int64_t m = row % p.size[0][3]; m < between; m += p.size[0][3])
            sum += entry(p.left, p.size[0], p.left_stride, dtype, row, m) *
                   entry(p.right, p.size[1], p.right_stride, dtype, m, column);
        wn__set(&to, at, sum);
    }
    return 0;
}

static void add_to(const wn__gpu_kron_dense *p, wn_dtype dtype, void *dw, int64_t at, double v) {
    const wn_tensor t = wn__tensor2(dw, p->f32 ? WN_DTYPE_F32 : dtype, 1, 1);
    wn__set(&t, at, v + (p->accumulate ? wn__get(&t, at) : 0));
}

int fake_kron_dense(const void *argument, wn_dtype dtype) {
    wn__gpu_kron_dense p;
    memcpy(&p, argument, sizeof p);
    const int64_t width = (int64_t)p.s * p.c;
    if (p.b > WN_KRON_DENSE_SIDE || p.c > WN_KRON_DENSE_SIDE) return 1;
    for (int64_t s = 0; s < p.s; s++)
        for (int64_t t = 0; t < p.t; t++)
            for (int64_t r = 0; r < p.r; r++) {
                const float *g = p.dense + t * width + s * p.c;
                const int64_t between = r * p.t + t;
                for (int64_t j = 0; j < p.b; j++) {
                    double sum = 0;
                    for (int64_t k = 0; k < p.c; k++)
                        sum += (double)g[j * p.t * width + k] *
                               number(dtype, p.w0, at4(p.w0_stride, s, between, k, 0));
                    add_to(&p, dtype, p.dw1, at4(p.dw1_stride, 0, j, s * p.r + r, t), sum);
                }
                for (int64_t k = 0; k < p.c; k++) {
                    double sum = 0;
                    for (int64_t j = 0; j < p.b; j++)
                        sum += (double)g[j * p.t * width + k] *
                               number(dtype, p.w1, at4(p.w1_stride, 0, j, s * p.r + r, t));
                    add_to(&p, dtype, p.dw0, at4(p.dw0_stride, s, between, k, 0), sum);
                }
            }
    return 0;
}
