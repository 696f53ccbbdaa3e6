// SPDX-License-Identifier: MIT
// The workspace of stream, and what its variants take.
#include "kernels/simd/stream_plan.h"
#include "kernels/contract.h"
#include "kernels/simd/accepts.h"
#include "kernels/stream_layout.h"

#include <stdio.h>

static int64_t whole(int64_t n, int64_t step) {
    return wn__ceil_div(n, step) * step;
}

// Bytes of a column of x: floats; bytes; of INT4 2:4 tables.
static int64_t bytes_of_column(const wn__stream *p, bool plain, int64_t tables) {
    const wn__stream_format *f = &p->format;
    if (!wn__stream_quantised(f)) return 4;
    if (f->type != WN_STREAM_INT4 || !f->sparse) return 1;
    return !plain || p->x.shape[0] <= WN_STREAM_TABLES ? tables : 1;
}

// Bytes of x: of floats a line more, so that tokens do not meet in the same places of a cache; of
// 256 bits INT8 dense twice, as q and |q|.
static int64_t bytes_of_x(const wn__stream *p, const wn__stream_plan *plan, bool plain) {
    const wn__stream_format *f = &p->format;
    int64_t bytes = plan->column * plan->columns;
    if (!wn__stream_quantised(f)) return bytes + 64;
    return f->type == WN_STREAM_INT8 && !f->sparse && !plain ? 2 * bytes : bytes;
}

// Behind x a scale for each group and a dword with the offset of dense weights.
wn__stream_plan wn__stream_plan_of(const wn__stream *p, bool plain, int64_t tables) {
    const wn__stream_format *f = &p->format;
    wn__stream_plan plan = {.columns = wn__stream_blocks(f) * wn__stream_block_columns(f)};
    if (wn__stream_quantised(f)) plan.groups = f->type == WN_STREAM_INT4 ? wn__stream_blocks(f) : 1;
    plan.column = bytes_of_column(p, plain, tables);
    plan.scales = whole(bytes_of_x(p, &plan, plain), 64);
    plan.row = whole(plan.scales + 8 * plan.groups, 64);
    int64_t T = p->x.shape[0];
    plan.tokens = T < WN_STREAM_LAID ? T : WN_STREAM_LAID;
    return plan;
}

static size_t workspace_of(const wn__stream *p, bool plain, int64_t tables) {
    wn__stream_plan plan = wn__stream_plan_of(p, plain, tables);
    return (size_t)(plan.tokens * plan.row);
}

size_t wn__workspace_stream_avx2(const void *args, int threads) {
    (void)threads;
    return workspace_of(args, false, 4);
}

size_t wn__workspace_stream_avx512(const void *args, int threads) {
    (void)threads;
    return workspace_of(args, true, 8);
}

size_t wn__workspace_stream_avx512vbmi(const void *args, int threads) {
    (void)threads;
    return workspace_of(args, true, 4);
}

static bool has_floats(const wn__stream_format *f, char *why, size_t n) {
    if (!wn__stream_quantised(f)) return true;
    snprintf(why, n, "weights are %s, not floats", wn__stream_name(f));
    return false;
}

bool wn__accepts_stream_float(const void *args, char *why, size_t n) {
    const wn__stream *p = args;
    return wn__accepts_f32(args, why, n) && has_floats(&p->format, why, n);
}

bool wn__accepts_stream_integer(const void *args, char *why, size_t n) {
    const wn__stream *p = args;
    if (!wn__accepts_f32(args, why, n)) return false;
    if (wn__stream_quantised(&p->format)) return true;
    snprintf(why, n, "weights are %s, not integers", wn__stream_name(&p->format));
    return false;
}

bool wn__accepts_stream_quads(const void *args, char *why, size_t n) {
    const wn__stream *p = args;
    if (!wn__accepts_f32(args, why, n)) return false;
    if (p->format.type == WN_STREAM_INT4 && p->format.sparse) return true;
    snprintf(why, n, "weights are %s, not int4 2:4", wn__stream_name(&p->format));
    return false;
}

bool wn__accepts_stream_pack(const void *args, char *why, size_t n) {
    const wn__stream_pack *p = args;
    return wn__accepts_f32_bf16(p->format.sparse ? &p->values : &p->w, why, n);
}

bool wn__accepts_stream_unpack(const void *args, char *why, size_t n) {
    const wn__stream_unpack *p = args;
    const wn_tensor *to = wn__given(&p->w) ? &p->w : &p->values;
    if (!wn__accepts_f32(to, why, n) || !has_floats(&p->format, why, n)) return false;
    if (p->format.sparse && wn__given(&p->w)) {
        snprintf(why, n, "2:4 rows are wanted dense");
        return false;
    }
    if (p->row % WN_STREAM_LANES == 0) return true;
    snprintf(why, n, "row %lld is not a multiple of %lld", (long long)p->row,
             (long long)WN_STREAM_LANES);
    return false;
}
