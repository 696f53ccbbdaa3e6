// SPDX-License-Identifier: MIT
// The kernels of packed blocks, from block24.h's picture and spmm24_blocks.h's formula, one number
// after the other.
#include "device_blocks.h"

#include "fake_cuda.h"
#include "fake_map.h"
#include "kernels/cuda/args_blocks.h"
#include "kernels/cuda/args_rows.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double number(uint16_t h, int bf16) {
    const int exponent = bf16 ? h >> 7 & 255 : h >> 10 & 31, most = bf16 ? 255 : 31;
    const int bits = bf16 ? 7 : 10, bias = bf16 ? 127 : 15;
    const double fraction = (double)(h & ((1 << bits) - 1));
    const double sign = h >> 15 != 0 ? -1 : 1;
    if (exponent == most) return fraction != 0 ? (double)NAN : sign * (double)INFINITY;
    if (exponent == 0) return sign * ldexp(fraction, 1 - bias - bits);
    return sign * ldexp(fraction + ldexp(1, bits), exponent - bias - bits);
}

// To nearest, ties to even.
static uint16_t stored(double v, int bf16) {
    const int bits = bf16 ? 7 : 10, bias = bf16 ? 127 : 15, most = bf16 ? 255 : 31;
    const unsigned sign = signbit(v) ? 0x8000U : 0;
    int exponent;
    if (isnan(v)) return (uint16_t)(sign | (unsigned)most << bits | 1U << (bits - 1));
    (void)frexp(v, &exponent); // 0.5 <= |v| / 2^exponent < 1
    const unsigned infinity = (unsigned)most << bits;
    if (isinf(v) || exponent > bias + 1) return (uint16_t)(sign | infinity);
    if (exponent < 2 - bias) exponent = 2 - bias;
    // a carry out of the fraction counts the exponent up, to infinity at last
    const double units = nearbyint(ldexp(fabs(v), bits + 1 - exponent));
    const unsigned field = (unsigned)(exponent - 2 + bias) << bits;
    return (uint16_t)(sign | (v == 0 ? 0 : field + (unsigned)units));
}

// Numbers kept of group g (of 16) in row r (of 64) of a block, and their columns in the group.
static void kept_of(const uint8_t *block, int r, int g, int column[2], uint16_t value[2]) {
    uint32_t word;
    memcpy(&word, block + 4096 + 4 * (r / 16 * 32 + r % 8 * 4 + g / 4), sizeof word);
    for (int i = 0; i < 2; i++) {
        const int c = 2 * g + i, chunk = c / 8 ^ (r / 2 % 4);
        column[i] = (int)(word >> (16 * (r / 8 % 2) + 4 * (g % 4) + 2 * i) & 3);
        memcpy(&value[i], block + r * 64 + chunk * 16 + c % 8 * 2, sizeof value[i]);
    }
}

// A matrix of 16-bit numbers as the product sees it.
typedef struct matrix {
    char *data;
    int64_t stride; // bytes
} matrix;

static uint16_t *at(const matrix *m, int64_t i, int64_t j) {
    return (uint16_t *)(void *)(m->data + i * m->stride + 2 * j);
}

// A kept number of a row of S.
typedef struct kept_number {
    int64_t place;
    double value;
} kept_number;

// Row i of S: both slots of every group, but places beyond the depth.
static int64_t row_of(const uint8_t *blocks, int64_t steps, int64_t depth, int64_t i, int bf16,
                      kept_number *row) {
    int64_t count = 0;
    for (int64_t g = 0; g < 16 * steps; g++) {
        int place[2];
        uint16_t value[2];
        kept_of(blocks + (i / 64 * steps + g / 16) * 4608, (int)(i % 64), (int)(g % 16), place,
                value);
        for (int s = 0; s < 2; s++)
            if (4 * g + place[s] < depth)
                row[count++] = (kept_number){4 * g + place[s], number(value[s], bf16)};
    }
    return count;
}

static void finish(const wn__gpu_spmm24_blocks *p, const matrix *y, const matrix *residual,
                   int64_t t, int64_t o, double z, int bf16) {
    if (p->bias != NULL) z += number(p->bias[o], bf16);
    if (p->relu2) z = z <= 0 ? 0 : z * z;
    if (p->residual_given) {
        const double r = number(*at(residual, t, o), bf16);
        z = p->gate ? z * 2 * sqrt(r) : z + r;
    }
    *at(y, t, o) = stored(z, bf16);
}

static int multiply(const wn__gpu_spmm24_blocks *p, const matrix *x, const matrix *y,
                    const matrix *residual, int bf16) {
    kept_number *row = calloc(32 * (size_t)p->steps + 1, sizeof *row);
    double *all = calloc((size_t)p->tokens * (size_t)p->columns + 1, sizeof *all);
    const int bad = row == NULL || all == NULL;
    for (int64_t t = 0; t < p->tokens && !bad; t++)
        for (int64_t l = 0; l < p->columns; l++)
            all[t * p->columns + l] = number(*at(x, t, l), bf16);
    for (int64_t o = 0; o < p->rows && !bad; o++) {
        const int64_t count = row_of(p->blocks, p->steps, p->columns, o, bf16, row);
        for (int64_t t = 0; t < p->tokens; t++) {
            double sum = 0;
            for (int64_t l = 0; l < count; l++)
                sum += row[l].value * all[t * p->columns + row[l].place];
            finish(p, y, residual, t, o, sum, bf16);
        }
    }
    free(row);
    free(all);
    return bad;
}

// The matrix of a map, 0 if its box or its size is not what the tile asks for.
static int open_map(const wn__cu_tensor_map *map, const wn__gpu_spmm24_blocks *p, int64_t columns,
                    int64_t box, int bf16, matrix *out) {
    fake_map m;
    memcpy(&m, map, sizeof m);
    *out = (matrix){m.address, (int64_t)m.stride};
    return m.size[0] == (uint64_t)columns && m.size[1] == (uint64_t)p->tokens && m.box[0] == 64 &&
           m.box[1] == box && m.type == (bf16 ? 9 : 6);
}

// What the device code takes for granted: tiles that cover the result, room for parts, zeros.
int fake_blocks_sound(const wn__gpu_spmm24_blocks *p, int rows, int tokens, int block) {
    const int64_t all = (int64_t)p->tiles_m * p->tiles_n * p->cluster;
    const int64_t narrow = p->rest > 0 ? (int64_t)p->rest_tiles_n * p->rest : 0;
    const size_t room = sizeof(float) * (size_t)(all * p->split) * (size_t)(rows * tokens);
    // features of a tile beyond the last panel are read from it
    if (p->panels != (p->rows + 63) / 64) return 0;
    if (p->rest != 0 && (p->rest < 0 || p->rest >= tokens || p->rest_tiles_m != p->tiles_m ||
                         p->split > 1 || p->shared > 1))
        return 0;
    if ((int64_t)p->tiles_m * p->cluster * rows < p->rows ||
        (int64_t)p->tiles_n * tokens + narrow < p->tokens || p->group < 1 || p->split < 1 ||
        p->split > p->steps || p->cluster < 1 || p->cluster > 2 || p->shared < 1 ||
        p->shared > p->steps || (p->shared > 1 && p->split * p->cluster > 1))
        return 0;
    if (p->split == 1) return 1;
    if (WN_SPMM24_WHOLE(rows, tokens, block) || !fake_cuda_holds(p->partial, room)) return 0;
    memset(p->partial, 0xA5, room);
    for (int64_t i = 0; i < (rows == 192 ? 3 : 2) * all; i++)
        if (p->arrived[i] != 0) return 0;
    return 1;
}

void fake_blocks_last(const wn__gpu_spmm24_blocks *p, int tokens, int chunk, int64_t out[3]) {
    const int64_t wide = (int64_t)p->tiles_n * tokens;
    const int64_t end = p->rest > 0 ? wide + (int64_t)p->rest_tiles_n * p->rest : wide;
    const int64_t left = p->tokens - (end - (p->rest > 0 ? p->rest : tokens));
    const int64_t half = p->cluster == 1 ? left : (left + 15) / 16 * 8;
    const int none = end <= p->tokens;
    out[0] = none ? 0 : left < half ? left : half;
    out[1] = none ? 0 : left - out[0];
    out[2] = none ? 0 : left % chunk == 0 ? chunk : left % chunk;
}

// Whether a map with another box is of that very matrix.
static int same_map(const wn__cu_tensor_map *map, const wn__gpu_spmm24_blocks *p, int64_t columns,
                    int64_t box, int bf16, const matrix *whole) {
    matrix m;
    return open_map(map, p, columns, box, bf16, &m) && m.data == whole->data &&
           m.stride == whole->stride;
}

// Whether the maps of a last tile that has fewer tokens are what the device code takes.
static int last_maps_fit(const wn__gpu_spmm24_blocks *p, int tokens, int chunk, int bf16,
                         const matrix *x, const matrix *residual) {
    int64_t rows[3];
    fake_blocks_last(p, tokens, chunk, rows);
    for (int i = 0; i < 2; i++)
        if (rows[i] > 0 && !same_map(&p->x_last[i], p, p->columns, rows[i], bf16, x)) return 0;
    return rows[2] == 0 || !p->residual_given ||
           same_map(&p->residual_last, p, p->rows, rows[2], bf16, residual);
}

int fake_blocks_multiply_maps(const void *argument, const char *name) {
    const wn__gpu_spmm24_blocks *p = argument;
    matrix x, y, residual = {0};
    int rows, tokens;
    char type[8];
    if (sscanf(name, "wn_spmm24_blocks_%dx%d_%7s", &rows, &tokens, type) != 3) return 1;
    const int bf16 = strcmp(type, "bf16") == 0,
              chunk = WN_SPMM24_CHUNK(rows, tokens, WN_BLOCK24_BYTES);
    const int tail = WN_SPMM24_TAIL(rows, tokens, WN_BLOCK24_BYTES),
              own = WN_SPMM24_PART(tokens, p->cluster);
    if (!fake_blocks_sound(p, rows, tokens, WN_BLOCK24_BYTES) ||
        !open_map(&p->x, p, p->columns, own, bf16, &x) ||
        !open_map(&p->y, p, p->rows, chunk, bf16, &y) ||
        (p->residual_given && !open_map(&p->residual, p, p->rows, chunk, bf16, &residual)))
        return 1;
    if ((p->cluster * own > tokens &&
         !same_map(&p->x_second, p, p->columns, tokens - own, bf16, &x)) ||
        (p->rest > 0 && !same_map(&p->x_rest, p, p->columns, p->rest / p->cluster, bf16, &x)) ||
        (tail < chunk && !same_map(&p->y_tail, p, p->rows, tail, bf16, &y)) ||
        (tail < chunk && p->residual_given &&
         !same_map(&p->residual_tail, p, p->rows, tail, bf16, &residual)) ||
        !last_maps_fit(p, tokens, chunk, bf16, &x, &residual))
        return 1;
    return multiply(p, &x, &y, &residual, bf16);
}

int fake_blocks_multiply(const void *argument, int bf16) {
    const wn__gpu_spmm24_blocks *p = argument;
    const matrix x = {(char *)(uintptr_t)p->x_data, 2 * p->x_stride};
    const matrix y = {(char *)p->y_data, 2 * p->y_stride};
    const matrix residual = {(char *)(uintptr_t)p->residual_data, 2 * p->residual_stride};
    if (!fake_blocks_sound(p, 128, 128, WN_BLOCK24_BYTES)) return 1;
    return multiply(p, &x, &y, &residual, bf16);
}

// Element (l,j) of b, wherever it lies.
static uint16_t b_at(const matrix *b, int across, int64_t l, int64_t j) {
    return across ? *at(b, l, j) : *at(b, j, l);
}

// c (+)= S b; c has 16 or 32 bits.
static void multiply_rows(const wn__gpu_blocks_rows *p, const matrix *b, const matrix *c,
                          int across, int bf16) {
    kept_number *row = calloc(32 * (size_t)p->steps + 1, sizeof *row);
    double *all = calloc((size_t)p->depth * (size_t)p->columns + 1, sizeof *all);
    for (int64_t l = 0; l < p->depth && all != NULL; l++)
        for (int64_t j = 0; j < p->columns; j++)
            all[l * p->columns + j] = number(b_at(b, across, l, j), bf16);
    for (int64_t i = 0; i < p->rows && row != NULL && all != NULL; i++) {
        const int64_t count = row_of(p->blocks, p->steps, p->depth, i, bf16, row);
        for (int64_t j = 0; j < p->columns; j++) {
            float *whole = (float *)(void *)(c->data + i * c->stride + 4 * j);
            double sum = p->accumulate ? (double)*whole : 0;
            for (int64_t l = 0; l < count; l++)
                sum += row[l].value * all[row[l].place * p->columns + j];
            if (p->whole)
                *whole = (float)sum;
            else
                *at(c, i, j) = stored(sum, bf16);
        }
    }
    free(row);
    free(all);
}

// A matrix through its map: 0 unless the map is of that size, with boxes of that many rows.
static int open_lines(const wn__cu_tensor_map *map, int64_t rows, int64_t columns, int box,
                      int bf16, matrix *out) {
    fake_map m;
    memcpy(&m, map, sizeof m);
    *out = (matrix){m.address, (int64_t)m.stride};
    return m.size[0] == (uint64_t)columns && m.size[1] == (uint64_t)rows && m.box[0] == 64 &&
           m.box[1] == (uint32_t)box && m.type == (bf16 ? 9 : 6);
}

int fake_last_map_fits(const wn__gpu_blocks_rows *p, int64_t width, int64_t columns, int bf16) {
    fake_map whole;
    matrix last;
    memcpy(&whole, &p->b, sizeof whole);
    if (p->last != p->columns % columns) return 0;
    return p->last == 0 || (open_lines(&p->b_last, p->columns, width, p->last, bf16, &last) &&
                            last.data == whole.address && last.stride == (int64_t)whole.stride);
}

int fake_blocks_rows(const void *argument, const char *name, int bf16) {
    const wn__gpu_blocks_rows *p = argument;
    const int across = strstr(name, "_across") != NULL, size = p->whole ? 4 : 2;
    matrix b = {(char *)(uintptr_t)p->b_data, 2 * p->b_stride};
    matrix c = {p->c_data, size * p->c_stride};
    int rows = 128, columns = 128;
    const int maps = sscanf(name, "wn_blocks_rows_%dx%d", &rows, &columns) == 2;
    const int64_t all = (int64_t)p->tiles_m * p->tiles_n;
    if (p->tiles_m * rows < p->rows || p->tiles_n * columns < p->columns || p->group < 1 ||
        p->split < 1 || p->split > p->steps)
        return 1;
    if (p->split > 1) { // room for parts, zeros
        memset(p->partial, 0xA5,
               sizeof(float) * (size_t)(all * p->split) * (size_t)(rows * columns));
        for (int64_t i = 0; i < 2 * all; i++)
            if (p->arrived[i] != 0) return 1;
    }
    if (maps && !open_lines(&p->b, across ? p->depth : p->columns, across ? p->columns : p->depth,
                            across ? 64 : columns, bf16, &b))
        return 1;
    if (maps && (across ? p->last != p->columns % columns
                        : !fake_last_map_fits(p, p->depth, columns, bf16)))
        return 1;
    if (maps && !p->whole && !open_lines(&p->c, p->rows, p->columns, 16, bf16, &c)) return 1;
    multiply_rows(p, &b, &c, across, bf16);
    return 0;
}

// What row r of the matrix (or of its transpose) keeps of group g: columns and numbers; 0: too
// much.
static int choose(const wn__gpu_block24 *p, int transposed, int64_t r, int64_t g, int column[2],
                  uint16_t value[2]) {
    const int64_t rows = transposed ? p->columns : p->rows;
    const int64_t columns = transposed ? p->rows : p->columns;
    uint16_t v[4] = {0};
    int kept[4] = {0}, n = 0, there = 0, count = 0, slot = 0;
    for (; r < rows && there < 4 && 4 * g + there < columns; there++) {
        const int64_t i = transposed ? 4 * g + there : r, j = transposed ? r : 4 * g + there;
        v[there] = p->w[i * p->stride + j];
        if (p->mask != NULL) kept[there] = p->mask[i * p->groups + j / 4] >> (j % 4) & 1;
    }
    for (int i = 0; p->mask == NULL && i < there; i++) {
        if ((v[i] & 0x7FFF) > p->infinity) return 0;
        int before = 0;
        for (int j = 0; j < there; j++)
            before +=
                (v[j] & 0x7FFF) > (v[i] & 0x7FFF) || ((v[j] & 0x7FFF) == (v[i] & 0x7FFF) && j < i);
        kept[i] = before < 2;
    }
    if (p->mask != NULL && !transposed && there > 0 && p->mask[r * p->groups + g] >> there != 0)
        return 0;
    for (int i = 0; i < 4; i++)
        count += kept[i];
    if (count > 2) return 0;
    for (int i = 0; i < 4; i++) { // free slots are the last places that still ascend
        const int free_left = 2 - count - (slot - n);
        if (!kept[i] && (free_left == 0 || i < 4 - (2 - slot))) continue;
        column[slot] = i;
        value[slot++] = kept[i] ? v[i] : 0;
        n += kept[i];
        if (slot == 2) break;
    }
    return 1;
}

static int pack(const wn__gpu_block24 *p, int transposed, uint8_t *blocks) {
    const int64_t down = ((transposed ? p->columns : p->rows) + 63) / 64;
    const int64_t across = ((transposed ? p->rows : p->columns) + 63) / 64;
    int good = 1;
    for (int64_t b = 0; b < down * across; b++) {
        uint32_t words[128] = {0};
        uint8_t *block = blocks + b * 4608;
        for (int r = 0; r < 64; r++)
            for (int g = 0; g < 16; g++) {
                int column[2] = {2, 3};
                uint16_t value[2] = {0};
                good &=
                    choose(p, transposed, b / across * 64 + r, b % across * 16 + g, column, value);
                for (int i = 0; i < 2; i++) {
                    const int c = 2 * g + i, chunk = c / 8 ^ (r / 2 % 4);
                    memcpy(block + r * 64 + chunk * 16 + c % 8 * 2, &value[i], sizeof value[i]);
                    words[r / 16 * 32 + r % 8 * 4 + g / 4] |=
                        (uint32_t)column[i] << (16 * (r / 8 % 2) + 4 * (g % 4) + 2 * i);
                }
            }
        memcpy(block + 4096, words, sizeof words);
    }
    return good;
}

int fake_blocks_pack(const void *argument, int both) {
    const wn__gpu_block24 *p = argument;
    int good = 1;
    if (p->blocks != NULL) good &= pack(p, 0, p->blocks);
    if (both) good &= pack(p, 1, p->blocks_t);
    // a mask is looked at although only the transpose is written
    for (int64_t i = 0; p->blocks == NULL && i < p->rows * p->groups; i++) {
        int column[2];
        uint16_t value[2];
        good &= choose(p, 0, i / p->groups, i % p->groups, column, value);
    }
    if (!good && p->number < *p->fault) *p->fault = p->number;
    return 0;
}

// Element (row, 16 q + 4 group + j) of a block, as its header describes it.
void fake_unblock24(const void *argument) {
    const wn__gpu_unblock24 *p = argument;
    for (int64_t i = 0; i < 64 * p->panels; i++)
        for (int64_t j = 0; j < 64 * p->across; j++) {
            const uint8_t *block = p->blocks + (i / 64 * p->across + j / 64) * 4608;
            const int row = (int)(i % 64), q = (int)(j % 64 / 16), group = (int)(j % 16 / 4);
            uint32_t word;
            uint16_t w = 0;
            memcpy(&word, block + 4096 + 4 * (row / 16 * 32 + row % 8 * 4 + q), sizeof word);
            for (int s = 0; s < 2; s++)
                if ((int64_t)(word >> (16 * (row / 8 % 2) + 4 * group + 2 * s) & 3) == j % 4)
                    memcpy(&w, block + row * 64 + (q ^ (row / 2 % 4)) * 16 + (2 * group + s) * 2,
                           sizeof w);
            p->w[i * 64 * p->across + j] = w;
        }
}
