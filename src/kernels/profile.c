// SPDX-License-Identifier: MIT
// Sums of a profile, and what an op costs by its arguments.
#include "kernels/profile.h"

#include "base/fail.h"
#include "kernels/contracts.h"
#include "kernels/stream.h"

#include <stddef.h>
#include <stdlib.h>

// Ops that share the arguments of another.
typedef wn__reduce wn__sum;
typedef wn__reduce wn__sumsq;
typedef wn__reduce wn__nonfinite;

static const struct {
    wn__op op;
    int times;
    size_t offset; // of the operand in the arguments
} moves[] = {
#define MOVES(op, operand, times) {WN__OP_##op, times, offsetof(wn__##op, operand)},
#include "kernels/costs.def"
#undef MOVES
};

static double bytes_of(wn__op op, const void *args) {
    double bytes = 0;
    for (size_t i = 0; i < sizeof moves / sizeof moves[0]; i++) {
        if (moves[i].op != op) continue;
        const wn_tensor *t = (const void *)((const char *)args + moves[i].offset);
        bytes += wn__given(t) ? moves[i].times * (double)wn__tensor_bytes(t) : 0;
    }
    // A sum that goes on is read as well.
    if (op == WN__OP_matmul && ((const wn__matmul *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__matmul *)args)->c);
    if (op == WN__OP_spmm24_rows && ((const wn__spmm24_rows *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__spmm24_rows *)args)->c);
    if (op == WN__OP_spmm24_blocks_rows && ((const wn__spmm24_blocks_rows *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__spmm24_blocks_rows *)args)->c);
    if (op == WN__OP_sddmm24 && ((const wn__sddmm24 *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__sddmm24 *)args)->v);
    if (op == WN__OP_spmm24_columns && ((const wn__spmm24_columns *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__spmm24_columns *)args)->y);
    if (op == WN__OP_spmm24 && ((const wn__spmm24 *)args)->accumulate)
        bytes += (double)wn__tensor_bytes(&((const wn__spmm24 *)args)->y);
    return bytes;
}

// Pairs of a query and a key it sees, times the width of a head.
static double attention_pairs(const wn_tensor *q, const wn_tensor *k) {
    double T = (double)q->shape[1], past = (double)(k->shape[1] - q->shape[1]);
    return (double)(q->shape[0] * q->shape[2] * q->shape[3]) * T * (past + (T + 1) / 2);
}

double wn__op_flops(wn__op op, const void *args) {
    const wn__matmul *dense = args;
    const wn__spmm24 *sparse = args;
    const wn__spmm24_blocks *blocks = args;
    const wn__spmm24_blocks_columns *blocks_columns = args;
    const wn__spmm24_blocks_rows *blocks_rows = args;
    const wn__spmm24_rows *rows = args;
    const wn__spmm24_columns *columns = args;
    const wn__sddmm24 *kept = args;
    const wn__stream *stream = args;
    const wn__attention *attention = args;
    const wn__attention_grad *grad = args;
    switch (op) {
    case WN__OP_matmul:
        return 2 * (double)wn__tensor_count(&dense->c) * (double)dense->a.shape[1];
    case WN__OP_spmm24:
        return 2 * (double)wn__tensor_count(&sparse->values) * (double)sparse->x.shape[0];
    case WN__OP_spmm24_blocks:
        return (double)wn__tensor_count(&blocks->y) * (double)blocks->x.shape[1];
    case WN__OP_spmm24_blocks_columns:
        return (double)wn__tensor_count(&blocks_columns->x) * (double)blocks_columns->y.shape[1];
    case WN__OP_spmm24_blocks_rows:
        return (double)wn__tensor_count(&blocks_rows->c) * (double)blocks_rows->b.shape[0];
    case WN__OP_spmm24_rows:
        return 2 * (double)wn__tensor_count(&rows->values) * (double)rows->c.shape[1];
    case WN__OP_spmm24_columns: // half of each row is kept
        return (double)wn__tensor_count(&columns->x) * (double)columns->y.shape[1];
    case WN__OP_sddmm24:
        return 2 * (double)wn__tensor_count(&kept->v) * (double)kept->x.shape[0];
    case WN__OP_stream:
        return (stream->format.sparse ? 1.0 : 2.0) * (double)wn__tensor_count(&stream->y) *
               (double)stream->format.k;
    case WN__OP_attention:
        return 4 * attention_pairs(&attention->q, &attention->k);
    case WN__OP_attention_grad:
        return 10 * attention_pairs(&grad->q, &grad->k);
    default:
        return 0;
    }
}

wn_status wn__profile_create(wn__profile **out) {
    *out = NULL;
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    wn__profile *p = calloc(1, sizeof *p);
    if (p != NULL) p->cell = calloc(WN_PROFILE_PARTS * rows, sizeof *p->cell);
    if (p == NULL || p->cell == NULL) {
        wn__profile_free(p);
        return wn__fail(WN_NOMEM, "no memory for a profile");
    }
    p->rows = rows;
    for (size_t i = 0; i < WN_PROFILE_PARTS * rows; i++)
        p->cell[i] =
            (wn__profile_cell){.part = (wn__profile_part)(i / rows), .kernel = table + i % rows};
    *out = p;
    return WN_OK;
}

void wn__profile_free(wn__profile *p) {
    if (p == NULL) return;
    free(p->cell);
    free(p);
}

const char *wn__profile_part_name(wn__profile_part part) {
    static const char *const names[WN_PROFILE_PARTS] = {"forward", "head", "backward", "update"};
    return names[part];
}

void wn__profile_add(wn__profile *p, size_t row, const void *args, double seconds) {
    wn__profile_cell *c = &p->cell[(size_t)p->part * p->rows + row];
    c->calls++;
    c->seconds += seconds;
    c->flops += wn__op_flops(c->kernel->op, args);
    c->bytes += bytes_of(c->kernel->op, args);
}

static int most_seconds_first(const void *a, const void *b) {
    double x = (*(const wn__profile_cell *const *)a)->seconds,
           y = (*(const wn__profile_cell *const *)b)->seconds;
    return (x < y) - (x > y);
}

size_t wn__profile_list(const wn__profile *p, const wn__profile_cell **out, size_t n) {
    size_t count = 0;
    for (size_t i = 0; i < WN_PROFILE_PARTS * p->rows && count < n; i++)
        if (p->cell[i].calls > 0) out[count++] = &p->cell[i];
    qsort(out, count, sizeof *out, most_seconds_first);
    return count;
}
