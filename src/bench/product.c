// SPDX-License-Identifier: MIT
// The dense products of a linear layer, by other libraries, on data of their own.
#include "base/block.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/philox.h"
#include "bench/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A library's threads look for work that long before they sleep (OpenBLAS 2^26 clock ticks), on the
// processors the next sample is to have.
#define SETTLE 0.04

enum { MOST = 3 };

// All products of one entry; each has arrays of its own.
typedef struct product {
    const wn__peer *peer;
    int threads;
    wn__read_rate *stream; // NULL: caches stay as they are
    wn__gemm gemm[MOST];
    void *a[MOST], *b[MOST], *job[MOST];
    int count;
} product;

static void release(void *ctx) {
    product *p = ctx;
    for (int i = 0; i < MOST; i++) {
        if (p->job[i]) p->peer->type->release(p->job[i]);
        free(p->a[i]);
        free(p->b[i]);
        free(p->gemm[i].c);
    }
    free(p);
}

static wn_status run(void *ctx) {
    product *p = ctx;
    for (int i = 0; i < p->count; i++)
        WN_TRY(p->peer->type->run(p->job[i]));
    return WN_OK;
}

static void before(void *around) {
    product *p = around;
    wn__peer_threads(p->peer, p->threads);
    if (p->stream) wn__read_rate_read(p->stream);
}

static void after(void *around) {
    product *p = around;
    wn__peer_threads(p->peer, 1);
}

// Uniform values in [-1,1).
static wn_status random_array(wn_dtype dtype, int64_t count, uint64_t number, void **out) {
    size_t size = wn_dtype_size(dtype);
    void *block = wn__block_alloc((size_t)(count + 4) * size);
    if (!block) return wn__fail(WN_NOMEM, "no memory for %lld elements", (long long)count);
    *out = block;
    for (int64_t i = 0; i < count; i += 4) {
        uint32_t word[4];
        wn__philox_draw(1, WN_STREAM_BENCH + number, (uint64_t)i, word);
        for (int64_t j = 0; j < 4; j++) {
            float x = 2 * wn__philox_uniform(word[j]) - 1;
            if (dtype == WN_DTYPE_F32)
                ((float *)block)[i + j] = x;
            else
                ((uint16_t *)block)[i + j] = wn__bf16_from_f32(x);
        }
    }
    return WN_OK;
}

// Sizes and layouts: x [T,in], dy [T,out], W [out,in], row by row.
static wn__gemm gemm_of(const wn__cell *c, wn__product what, wn_dtype dtype) {
    int64_t T = c->rows, out = c->shape.out, in = c->shape.in;
    switch (what) {
    case WN__FORWARD:
        return (wn__gemm){.dtype = dtype,
                          .m = T,
                          .n = out,
                          .k = in,
                          .a_row = in,
                          .a_column = 1,
                          .b_row = 1,
                          .b_column = in,
                          .constant_b = true};
    case WN__INPUT:
        return (wn__gemm){.dtype = dtype,
                          .m = T,
                          .n = in,
                          .k = out,
                          .a_row = out,
                          .a_column = 1,
                          .b_row = in,
                          .b_column = 1,
                          .constant_b = true};
    default:
        return (wn__gemm){.dtype = dtype,
                          .m = out,
                          .n = in,
                          .k = T,
                          .a_row = 1,
                          .a_column = out,
                          .b_row = in,
                          .b_column = 1};
    }
}

static wn_status open_one(const wn__cell *c, product *p, wn__product what, wn_dtype dtype) {
    int i = p->count++;
    wn__gemm *g = p->gemm + i;
    *g = gemm_of(c, what, dtype);
    WN_TRY(random_array(dtype, g->m * g->k, 2 * (uint64_t)i, &p->a[i]));
    WN_TRY(random_array(dtype, g->k * g->n, 2 * (uint64_t)i + 1, &p->b[i]));
    g->a = p->a[i];
    g->b = p->b[i];
    g->c = wn__block_alloc((size_t)(g->m * g->n) * sizeof(float));
    if (!g->c) return wn__fail(WN_NOMEM, "no memory for a product");
    return p->peer->type->prepare(p->peer, g, &p->job[i]);
}

static double bytes_of(const product *p) {
    double bytes = 0;
    for (int i = 0; i < p->count; i++) {
        const wn__gemm *g = p->gemm + i;
        bytes += (double)wn_dtype_size(g->dtype) * (double)(g->m * g->k + g->k * g->n) +
                 4.0 * (double)(g->m * g->n);
    }
    return bytes;
}

static wn_status add(wn__cell *c, product *p) {
    char name[96];
    wn__entry *e;
    (void)snprintf(name, sizeof name, "%s %s", p->peer->type->name, p->peer->version);
    WN_TRY(wn__cell_add(c, name, WN_BENCH_PEER, run, p, release, &e));
    e->peer = p->peer;
    e->flops = 2.0 * p->count * (double)c->rows * (double)c->shape.out * (double)c->shape.in;
    e->bytes = bytes_of(p);
    e->lane.before = before;
    e->lane.after = after;
    e->lane.around = p;
    e->lane.cold = p->stream != NULL;
    e->lane.settle = SETTLE;
    return WN_OK;
}

wn_status wn__product_add(wn__cell *c, const wn__product *what, int count, bool cold) {
    wn__suite *s = c->suite;
    bool f32 = strcmp(s->dtype, "f32") == 0, bf16 = strcmp(s->dtype, "bf16") == 0;
    if (!f32 && !bf16) return WN_OK;
    for (int i = 0; i < WN__PEERS; i++) {
        const wn__peer *peer = s->peers.peer + i;
        if (!peer->handle) continue;
        product *p = calloc(1, sizeof *p);
        if (!p) return wn__fail(WN_NOMEM, "no memory for a product");
        *p = (product){.peer = peer, .threads = wn__pool_threads(s->pool)};
        if (cold) p->stream = &s->stream;
        wn__peer_threads(peer, p->threads);
        wn_status status = WN_OK;
        for (int j = 0; status == WN_OK && j < count; j++)
            status = open_one(c, p, what[j], f32 ? WN_DTYPE_F32 : WN_DTYPE_BF16);
        after(p);
        if (status == WN_OK) {
            WN_TRY(add(c, p));
            continue;
        }
        release(p);
        if (status != WN_UNSUPPORTED) return status;
        WN_TRY(wn__suite_note(s, "%s, %s: %s", peer->type->name, s->dtype, wn_last_error()));
    }
    return WN_OK;
}
