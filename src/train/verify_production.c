// SPDX-License-Identifier: MIT
// The production suite: shapes of a real model at their full size. What is judged is a rounding
// bound against float64, exact integers and bits that must be equal; the oracles are written here,
// from the mask and the dense weights, and share nothing with the kernels or the packed form.
#include "base/cpu.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/philox.h"
#include "kernels/elementwise.h"
#include "kernels/mask24.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "sparse/pattern24.h"
#include "train/verify.h"
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES INT64_C(16)  // rows compared with float64
#define SLAB    INT64_C(256) // rows unpacked at a time
#define DETAIL  1400

static const wn__production_shape production[] = {
    {512, 512, 512},     {1024, 1024, 1024}, {2048, 2048, 2048},  {4096, 4096, 4096},
    {128, 4096, 4096},   {512, 4096, 4096},  {2048, 4096, 4096},  {512, 11008, 4096},
    {2048, 11008, 4096}, {512, 4096, 11008}, {2048, 4096, 11008},
};

typedef struct bench {
    wn__verify *v;
    wn__runtime *one; // of one thread
    int64_t T, N, K;
    wn__arena arena;
    wn_tensor x, w, y, again;
    wn__pack24 pack; // of w, by rows
    // of at most SLAB rows of w
    wn_tensor plain, plain_t;
    wn__pack24 tile;
    wn_production_result r;
    char detail[DETAIL];
} bench;

// ---- buffers ----

static int64_t slab_rows(const bench *b) {
    return b->N < SLAB ? b->N : SLAB;
}

static wn_status build(bench *b, wn__arena *a) {
    int64_t T = b->T, N = b->N, K = b->K, S = slab_rows(b), g = wn__groups24(K);
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, T, K, &b->x));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, N, K, &b->w));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, T, N, &b->y));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, T, N, &b->again));
    b->pack = (wn__pack24){.w = b->w};
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_U8, N, g, &b->pack.mask));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, N, 2 * g, &b->pack.values));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_U8, N, (g + 1) / 2, &b->pack.index));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, S, K, &b->plain));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, K, S, &b->plain_t));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_U8, S, g, &b->tile.mask));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, S, 2 * g, &b->tile.values));
    return wn__tensor_alloc2(a, WN_DTYPE_U8, S, (g + 1) / 2, &b->tile.index);
}

static wn_status alloc(bench *b) {
    wn__arena counting;
    wn__arena_measure("production suite", &counting);
    WN_TRY(build(b, &counting));
    WN_TRY(wn__arena_create("production suite", counting.used, &b->arena));
    return build(b, &b->arena);
}

// ---- verdicts ----

static void blame(bench *b, const char *fmt, ...) WN_PRINTF(2, 3);
static void blame(bench *b, const char *fmt, ...) {
    size_t used = strlen(b->detail);
    va_list args;
    va_start(args, fmt);
    if (used > 0 && used + 2 < DETAIL) {
        memcpy(b->detail + used, "; ", 3);
        used += 2;
    }
    (void)vsnprintf(b->detail + used, DETAIL - used, fmt, args);
    va_end(args);
}

static wn_status run(bench *b, wn__runtime *rt, wn__op op, const void *args) {
    return b->v->run(b->v->ctx, rt, op, args);
}

// ---- masks and packing ----

static wn_status fill_normal(bench *b) {
    const wn__normal x = {.x = b->x, .seed = 11, .stream = WN_STREAM_TEST + 30, .std = 1};
    const wn__normal w = {.x = b->w, .seed = 11, .stream = WN_STREAM_TEST + 31, .std = 1};
    WN_TRY(run(b, b->v->rt, WN__OP_normal, &x));
    return run(b, b->v->rt, WN__OP_normal, &w);
}

static wn_status prune(bench *b) {
    const wn__mask24 choose = {.w = b->w, .mask = b->pack.mask, .method = WN_MASK24_ROW};
    WN_TRY(run(b, b->v->rt, WN__OP_mask24, &choose));
    return run(b, b->v->rt, WN__OP_pack24, &b->pack);
}

static void check_pattern(bench *b) {
    b->r.pattern = wn__pattern24_check_mask(&b->pack.mask, b->K, WN_PATTERN24_EXACT) == WN_OK;
    if (!b->r.pattern) blame(b, "mask: %s", wn_last_error());
}

static bool keeps(const wn_tensor *mask, int64_t row, int64_t col) {
    const uint8_t *bits = mask->data;
    return bits[row * mask->shape[1] + col / 4] >> (col % 4) & 1;
}

typedef struct difference {
    const wn_tensor *w, *mask, *out;
    bool across;    // out is the transpose
    int64_t *first; // a row's first column that differs; -1: none
} difference;

static void compare_slab(void *ctx, int64_t begin, int64_t end, int worker) {
    const difference *d = ctx;
    int64_t step = d->out->stride[d->across ? 0 : 1];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const uint8_t *bits = wn__tensor_at(d->mask, i, 0);
        const float *w = wn__tensor_at(d->w, i, 0),
                    *out = d->across ? wn__tensor_at(d->out, 0, i) : wn__tensor_at(d->out, i, 0);
        d->first[i] = -1;
        for (int64_t j = 0; j < d->w->shape[1] && d->first[i] < 0; j++) {
            float want = bits[j / 4] >> (j % 4) & 1 ? w[j] : 0.0F;
            if (wn__f32_bits(out[j * step]) != wn__f32_bits(want)) d->first[i] = j;
        }
    }
}

// Row and column, in one number, of the first entry of out that is not w's where the mask keeps it,
// +0 elsewhere, bit for bit; -1: none.
static int64_t first_difference(const bench *b, const wn_tensor *w, const wn_tensor *mask,
                                const wn_tensor *out, bool across) {
    int64_t first[SLAB];
    const difference d = {w, mask, out, across, first};
    wn__parallel_for(b->v->rt->pool, w->shape[0], 8, compare_slab, (void *)(uintptr_t)&d);
    for (int64_t i = 0; i < w->shape[0]; i++)
        if (first[i] >= 0) return i * w->shape[1] + first[i];
    return -1;
}

static bool same(bench *b, const char *what, int64_t first_row, int64_t at) {
    if (at < 0) return true;
    blame(b, "%s: weight at row %" PRId64 ", column %" PRId64 " does not come back", what,
          first_row + at / b->K, at % b->K);
    return false;
}

static wn_status unpack(bench *b, const wn_tensor *values, const wn_tensor *index,
                        const wn_tensor *out) {
    const wn__unpack24 args = {.values = *values, .index = *index, .w = *out};
    return run(b, b->v->rt, WN__OP_unpack24, &args);
}

// The packed rows begin .. begin + n.
static wn_status check_rows(bench *b, int64_t begin, int64_t n, bool *right) {
    const wn_tensor w = wn__tensor_slice(&b->w, 0, begin, n),
                    mask = wn__tensor_slice(&b->pack.mask, 0, begin, n),
                    values = wn__tensor_slice(&b->pack.values, 0, begin, n),
                    index = wn__tensor_slice(&b->pack.index, 0, begin, n),
                    plain = wn__tensor_slice(&b->plain, 0, 0, n);
    WN_TRY(unpack(b, &values, &index, &plain));
    *right = same(b, "pack", begin, first_difference(b, &w, &mask, &plain, false));
    return WN_OK;
}

// The same rows with a transposable mask, packed along rows and along columns.
static wn_status check_tiles(bench *b, int64_t begin, int64_t n, bool *right) {
    int64_t g = wn__groups24(n);
    wn__pack24 p = {.w = wn__tensor_slice(&b->w, 0, begin, n),
                    .mask = wn__tensor_slice(&b->tile.mask, 0, 0, n),
                    .values = wn__tensor_slice(&b->tile.values, 0, 0, n),
                    .index = wn__tensor_slice(&b->tile.index, 0, 0, n)};
    const wn__mask24 choose = {.w = p.w, .mask = p.mask, .method = WN_MASK24_TILE};
    const wn_tensor plain = wn__tensor_slice(&b->plain, 0, 0, n),
                    plain_t = wn__tensor2(b->plain_t.data, WN_DTYPE_F32, b->K, n);
    wn__arena arena;
    wn_status status;
    WN_TRY(wn__arena_create("transposed packs", (size_t)b->K * (size_t)(8 * g + (g + 1) / 2) + 256,
                            &arena));
    WN_TRY_OUT(wn__tensor_alloc2(&arena, WN_DTYPE_F32, b->K, 2 * g, &p.values_t));
    WN_TRY_OUT(wn__tensor_alloc2(&arena, WN_DTYPE_U8, b->K, (g + 1) / 2, &p.index_t));
    WN_TRY_OUT(run(b, b->v->rt, WN__OP_mask24, &choose));
    WN_TRY_OUT(run(b, b->v->rt, WN__OP_pack24, &p));
    WN_TRY_OUT(unpack(b, &p.values, &p.index, &plain));
    *right = same(b, "pack of tiles", begin, first_difference(b, &p.w, &p.mask, &plain, false));
    WN_TRY_OUT(unpack(b, &p.values_t, &p.index_t, &plain_t));
    *right = *right &&
             same(b, "transposed pack", begin, first_difference(b, &p.w, &p.mask, &plain_t, true));
out:
    wn__arena_free(&arena);
    return status;
}

static wn_status check_round_trip(bench *b) {
    bool right = true;
    for (int64_t i = 0; i < b->N && right; i += SLAB) {
        int64_t n = b->N - i < SLAB ? b->N - i : SLAB;
        WN_TRY(check_rows(b, i, n, &right));
        if (right) WN_TRY(check_tiles(b, i, n, &right));
    }
    b->r.round_trip = right;
    return WN_OK;
}

// ---- the product: the same bits again, and by one thread ----

static wn_status multiply(bench *b, wn__runtime *rt, const wn_tensor *y) {
    const wn__spmm24 args = {.x = b->x, .values = b->pack.values, .index = b->pack.index, .y = *y};
    return run(b, rt, WN__OP_spmm24, &args);
}

static bool same_bits(bench *b, const char *what) {
    const uint32_t *y = b->y.data, *again = b->again.data;
    int64_t count = b->T * b->N, i = 0;
    if (memcmp(y, again, (size_t)count * sizeof *y) == 0) return true;
    while (y[i] == again[i])
        i++;
    blame(b, "%s: token %" PRId64 ", output %" PRId64 " is %.9g, then %.9g", what, i / b->N,
          i % b->N, (double)((const float *)b->y.data)[i],
          (double)((const float *)b->again.data)[i]);
    return false;
}

static wn_status check_product(bench *b) {
    WN_TRY(multiply(b, b->v->rt, &b->y));
    WN_TRY(multiply(b, b->v->rt, &b->again));
    b->r.repeat = same_bits(b, "repeated");
    WN_TRY(multiply(b, b->one, &b->again));
    b->r.threads = same_bits(b, "by one thread");
    return WN_OK;
}

// ---- against float64 ----

typedef struct row_error {
    double worst, most, sum;
    int64_t bad; // sampled row that is beyond the bound, -1: none
} row_error;

typedef struct reference {
    const bench *b;
    double *xt; // [K][SAMPLES]
    row_error *row;
} reference;

// The sampled tokens: from the first to the last.
static int64_t sample(const bench *b, int64_t s) {
    return s * (b->T - 1) / (SAMPLES - 1);
}

// All samples of one output at once.
static void multiply_row(const reference *f, int64_t o, double sum[SAMPLES], double size[SAMPLES]) {
    const bench *b = f->b;
    const float *w = wn__tensor_at(&b->w, o, 0);
    for (int64_t s = 0; s < SAMPLES; s++)
        sum[s] = size[s] = 0;
    for (int64_t k = 0; k < b->K; k++) {
        if (!keeps(&b->pack.mask, o, k)) continue;
        double weight = (double)w[k];
        const double *x = f->xt + k * SAMPLES;
        for (int64_t s = 0; s < SAMPLES; s++) {
            double product = weight * x[s];
            sum[s] += product;
            size[s] += fabs(product);
        }
    }
}

static void compare_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const reference *f = ctx;
    const bench *b = f->b;
    (void)worker;
    for (int64_t o = begin; o < end; o++) {
        double sum[SAMPLES], size[SAMPLES];
        row_error *e = &f->row[o];
        *e = (row_error){.bad = -1};
        multiply_row(f, o, sum, size);
        for (int64_t s = 0; s < SAMPLES; s++) {
            double y = (double)*(const float *)wn__tensor_at(&b->y, sample(b, s), o);
            double error = fabs(y - sum[s]);
            double bound = 0x1p-24 * fabs(y) + (double)b->K * (0x1p-24 * size[s] + 0x1p-126);
            if (error > e->most) e->most = error;
            if (bound > 0 && error / bound > e->worst) e->worst = error / bound;
            if (!(error <= bound) && e->bad < 0) e->bad = s;
            e->sum += error;
        }
    }
}

static void judge_errors(bench *b, const row_error *row) {
    double sum = 0;
    int64_t bad = -1;
    for (int64_t o = 0; o < b->N; o++) {
        if (row[o].worst > b->r.worst) b->r.worst = row[o].worst;
        if (row[o].most > b->r.max_error) b->r.max_error = row[o].most;
        if (row[o].bad >= 0 && bad < 0) bad = o;
        sum += row[o].sum;
    }
    b->r.mean_error = sum / (double)(b->N * SAMPLES);
    b->r.guide = b->r.max_error < 0.2 && b->r.mean_error < 0.01;
    b->r.bound = bad < 0;
    if (bad >= 0)
        blame(b, "float64: token %" PRId64 ", output %" PRId64 " is beyond its rounding bound",
              sample(b, row[bad].bad), bad);
}

static wn_status check_bound(bench *b) {
    reference f = {.b = b,
                   .xt = malloc((size_t)(b->K * SAMPLES) * sizeof *f.xt),
                   .row = calloc((size_t)b->N, sizeof *f.row)};
    if (f.xt == NULL || f.row == NULL) {
        free(f.xt);
        free(f.row);
        return wn__fail(WN_NOMEM, "no memory for float64 products");
    }
    for (int64_t s = 0; s < SAMPLES; s++) {
        const float *x = wn__tensor_at(&b->x, sample(b, s), 0);
        for (int64_t k = 0; k < b->K; k++)
            f.xt[k * SAMPLES + s] = (double)x[k];
    }
    wn__parallel_for(b->v->rt->pool, b->N, 16, compare_rows, &f);
    judge_errors(b, f.row);
    free(f.xt);
    free(f.row);
    return WN_OK;
}

// ---- exact integers ----

typedef struct integers {
    const wn_tensor *t;
    uint64_t stream;
} integers;

// -3 .. 3: products of them sum up to less than 2^24 over 11008 inputs.
static void fill_rows(void *ctx, int64_t begin, int64_t end, int worker) {
    const integers *f = ctx;
    int64_t width = f->t->shape[1];
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        float *row = wn__tensor_at(f->t, i, 0);
        for (int64_t j = 0; j < width; j++) {
            uint32_t word[4];
            if (j % 4 == 0) wn__philox_draw(12, f->stream, (uint64_t)(i * width + j), word);
            row[j] = (float)((int)(word[j % 4] % 7) - 3);
        }
    }
}

static void fill_integers(bench *b) {
    const integers x = {&b->x, WN_STREAM_TEST + 32}, w = {&b->w, WN_STREAM_TEST + 33};
    wn__parallel_for(b->v->rt->pool, b->T, 16, fill_rows, (void *)(uintptr_t)&x);
    wn__parallel_for(b->v->rt->pool, b->N, 16, fill_rows, (void *)(uintptr_t)&w);
}

// A vector of integers other than 0: no single wrong output is lost in the product with it.
static int64_t probe(int64_t o) {
    uint32_t word[4];
    wn__philox_draw(12, WN_STREAM_TEST + 34, (uint64_t)o, word);
    int64_t size = 1 + word[0] % 509;
    return word[1] % 2 ? size : -size;
}

typedef struct freivalds {
    const bench *b;
    int64_t *r, *z; // [N] the vector, [K] W^T of it
    int64_t *wrong; // [T] 1: this token's outputs are not those of the product
} freivalds;

static void multiply_columns(void *ctx, int64_t begin, int64_t end, int worker) {
    const freivalds *f = ctx;
    (void)worker;
    for (int64_t k = begin; k < end; k++)
        f->z[k] = 0;
    for (int64_t o = 0; o < f->b->N; o++) {
        const float *w = wn__tensor_at(&f->b->w, o, 0);
        for (int64_t k = begin; k < end; k++)
            if (keeps(&f->b->pack.mask, o, k)) f->z[k] += f->r[o] * (int64_t)w[k];
    }
}

static void check_tokens(void *ctx, int64_t begin, int64_t end, int worker) {
    const freivalds *f = ctx;
    const bench *b = f->b;
    (void)worker;
    for (int64_t t = begin; t < end; t++) {
        const float *x = wn__tensor_at(&b->x, t, 0), *y = wn__tensor_at(&b->y, t, 0);
        int64_t want = 0, have = 0;
        bool whole = true;
        for (int64_t k = 0; k < b->K; k++)
            want += (int64_t)x[k] * f->z[k];
        for (int64_t o = 0; o < b->N; o++) {
            bool fits = fabsf(y[o]) < 0x1p24F && y[o] == rintf(y[o]);
            whole = whole && fits;
            have += fits ? f->r[o] * (int64_t)y[o] : 0;
        }
        f->wrong[t] = !whole || have != want;
    }
}

static void blame_integer(bench *b, int64_t t) {
    const float *x = wn__tensor_at(&b->x, t, 0), *y = wn__tensor_at(&b->y, t, 0);
    for (int64_t o = 0; o < b->N; o++) {
        const float *w = wn__tensor_at(&b->w, o, 0);
        int64_t want = 0;
        for (int64_t k = 0; k < b->K; k++)
            want += keeps(&b->pack.mask, o, k) ? (int64_t)x[k] * (int64_t)w[k] : 0;
        if ((double)y[o] == (double)want) continue;
        blame(b, "integers: token %" PRId64 ", output %" PRId64 " is %.9g, not %" PRId64, t, o,
              (double)y[o], want);
        return;
    }
}

static void judge_integers(bench *b, freivalds *f) {
    wn__pool *pool = b->v->rt->pool;
    for (int64_t o = 0; o < b->N; o++)
        f->r[o] = probe(o);
    wn__parallel_for(pool, b->K, 64, multiply_columns, f);
    wn__parallel_for(pool, b->T, 16, check_tokens, f);
    int64_t t = 0;
    while (t < b->T && !f->wrong[t])
        t++;
    b->r.exact = t == b->T;
    if (t < b->T) blame_integer(b, t);
}

static wn_status check_integers(bench *b) {
    fill_integers(b);
    WN_TRY(prune(b));
    WN_TRY(multiply(b, b->v->rt, &b->y));
    size_t count = (size_t)(b->N + b->K + b->T);
    int64_t *all = calloc(count, sizeof *all);
    if (all == NULL) return wn__fail(WN_NOMEM, "no memory for exact products");
    freivalds f = {.b = b, .r = all, .z = all + b->N, .wrong = all + b->N + b->K};
    judge_integers(b, &f);
    free(all);
    return WN_OK;
}

// ---- all of it ----

static wn_status check_all(bench *b) {
    WN_TRY(alloc(b));
    WN_TRY(fill_normal(b));
    WN_TRY(prune(b));
    check_pattern(b);
    WN_TRY(check_round_trip(b));
    WN_TRY(check_product(b));
    WN_TRY(check_bound(b));
    return check_integers(b);
}

// An op that fails fails the shape; a machine that is too small fails the suite.
static wn_status check_shape(bench *b) {
    double started = wn__clock();
    wn_status status = check_all(b);
    wn__arena_free(&b->arena);
    if (status == WN_NOMEM) return status;
    if (status != WN_OK) blame(b, "%s", wn_last_error());
    wn_production_result *r = &b->r;
    r->tokens = b->T;
    r->out = b->N;
    r->in = b->K;
    r->passed = status == WN_OK && r->pattern && r->round_trip && r->repeat && r->threads &&
                r->bound && r->exact;
    r->detail = b->detail;
    r->seconds = wn__clock() - started;
    return WN_OK;
}

wn_status wn__verify_production(wn__verify *v, const wn__production_shape *shapes, size_t count,
                                int64_t most_tokens, wn_production_fn *fn, void *ctx,
                                int64_t *passed) {
    wn__runtime *one;
    wn_status status = WN_OK;
    *passed = 0;
    WN_TRY(wn__runtime_create(1, v->kernels, false, &one));
    for (size_t i = 0; i < count && status == WN_OK; i++) {
        int64_t T = shapes[i].tokens < most_tokens ? shapes[i].tokens : most_tokens;
        bench b = {.v = v, .one = one, .T = T, .N = shapes[i].out, .K = shapes[i].in};
        status = check_shape(&b);
        if (status != WN_OK) break;
        *passed += b.r.passed;
        if (fn != NULL) fn(ctx, &b.r);
    }
    wn__runtime_free(one);
    return status;
}

wn_status wn_verify_production(int threads, const char *kernels, bool quick, wn_production_fn *fn,
                               void *ctx, int64_t *shapes, int64_t *passed) {
    wn__verify v = {.run = wn__verify_run, .threads = threads, .kernels = kernels};
    size_t count = sizeof production / sizeof *production;
    *shapes = (int64_t)count;
    *passed = 0;
    WN_TRY(wn__runtime_create(threads, kernels, false, &v.rt));
    wn_status status =
        wn__verify_production(&v, production, count, quick ? 16 : INT64_MAX, fn, ctx, passed);
    wn__runtime_free(v.rt);
    return status;
}
