// SPDX-License-Identifier: MIT
// Permutations in memory as args_kron_permute.h describes them, tile by tile: pieces of 16 bytes
// must be where they are promised, tiles where shared memory has room.
#include "kron_permute.h"

#include "base/half.h"
#include "kernels/cuda/args_kron_permute.h"
#include <string.h>

unsigned long fake_kron_permute_bytes(void) {
    return sizeof(wn__gpu_kron_permute);
}

static int divides(const wn__gpu_divide *d, uint32_t below) {
    for (uint32_t x = 0; x < below; x++)
        if ((d->magic ? (uint32_t)((uint64_t)x * d->magic >> 32) : x) != x / d->by) return 0;
    return d->by > 0;
}

static int64_t at(const wn__gpu_permute_side *s, const wn__gpu_kron_permute *p, int64_t m,
                  int64_t row, int64_t column) {
    return m / p->outer[1] * s->matrix[0] + m % p->outer[1] * s->matrix[1] + row * s->row +
           column * s->column;
}

typedef struct tile {
    int64_t m, row, column, rows, columns;
} tile;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Every piece of a tile lies at a multiple of 16 bytes and is in one piece, which ends in the tile.
static int pieces(const wn__gpu_kron_permute *p, const tile *t, int written, int64_t size,
                  const void *data) {
    const wn__gpu_permute_side *s = written ? &p->out : &p->in;
    const int64_t each = 16 / size, lines = written ? t->columns : t->rows;
    const int64_t length = written ? t->rows : t->columns;
    const int64_t whole = written ? p->row.by : p->column.by, all = lines * length;
    if (!s->wide) return 1;
    if ((uintptr_t)data % 16 != 0 || p->plane.by % each != 0) return 0;
    for (int64_t line = 0; line < lines; line++)
        for (int64_t i = 0; i < length; i++) {
            const int64_t linear = line * whole + i, piece = linear / each * each;
            const int64_t l = piece / whole, k = piece % whole;
            const int64_t here = written ? at(s, p, t->m, t->row + i, t->column + line)
                                         : at(s, p, t->m, t->row + line, t->column + i);
            const int64_t there = written ? at(s, p, t->m, t->row + k, t->column + l)
                                          : at(s, p, t->m, t->row + l, t->column + k);
            if (there % each != 0 || here != there + linear - piece) return 0;
            if (length == whole ? piece + each > all : k + each > length) return 0;
        }
    return 1;
}

static float sum_of(const char *name, const void *to, float v) {
    uint16_t half;
    float f;
    if (strstr(name, "f32") != NULL) {
        memcpy(&f, to, sizeof f);
        return f + v;
    }
    memcpy(&half, to, sizeof half);
    return (strstr(name, "bf16") ? wn__bf16_to_f32(half) : wn__f16_to_f32(half)) + v;
}

// One number of `in` bytes, moved or added.
static void move(const char *name, const char *from, char *to, int64_t size) {
    float f;
    if (strstr(name, "add") == NULL) {
        memcpy(to, from, (size_t)size);
        return;
    }
    memcpy(&f, from, sizeof f);
    f = sum_of(name, to, f);
    const uint16_t half = strstr(name, "bf16") ? wn__bf16_from_f32(f) : wn__f16_from_f32(f);
    if (strstr(name, "f32") != NULL)
        memcpy(to, &f, sizeof f);
    else
        memcpy(to, &half, sizeof half);
}

int fake_kron_permute(const void *argument, const char *name) {
    wn__gpu_kron_permute p;
    memcpy(&p, argument, sizeof p);
    const int64_t in = strstr(name, "_2") ? 2 : 4, out = strstr(name, "f16") ? 2 : in;
    const int64_t taken = p.matrices * (int64_t)p.row.by * p.pitch * in;
    if (p.plane.by != p.row.by * p.column.by || p.pitch < (int64_t)p.column.by ||
        taken > WN_KRON_PERMUTE_SHARED || p.matrices > WN_KRON_PERMUTE_THREADS ||
        !divides(&p.plane, 32768) || !divides(&p.row, 32768) || !divides(&p.column, 32768))
        return 1;
    tile t = {0};
    for (t.m = 0; t.m < p.outer[0] * p.outer[1]; t.m++)
        for (t.row = 0; t.row < p.rows; t.row += p.row.by)
            for (t.column = 0; t.column < p.columns; t.column += p.column.by) {
                t.rows = least(p.rows - t.row, p.row.by);
                t.columns = least(p.columns - t.column, p.column.by);
                if (!pieces(&p, &t, 0, in, p.from) || !pieces(&p, &t, 1, out, p.to)) return 1;
                for (int64_t i = 0; i < t.rows; i++)
                    for (int64_t j = 0; j < t.columns; j++)
                        move(name,
                             (const char *)p.from +
                                 in * at(&p.in, &p, t.m, t.row + i, t.column + j),
                             (char *)p.to + out * at(&p.out, &p, t.m, t.row + i, t.column + j), in);
            }
    return 0;
}
