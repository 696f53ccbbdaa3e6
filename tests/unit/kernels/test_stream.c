// SPDX-License-Identifier: MIT
// Streams: what goes in comes out, rounded as the contract says; sizes are those of its table;
// every variant's product agrees with one in double by the weights that come out, whatever the
// tokens.
#include "base/cpu.h"
#include "kernels/pack24.h"
#include "kernels/registry.h"
#include "kernels/stream.h"
#include "ref_test.h"

enum { N = 35, K = 203, GROUPS = 51, T = 21 };

// A weight in every form.
typedef struct source {
    wn_tensor w, values, index; // w: with the zeros of what is not kept
} source;

static const uint8_t pairs[6] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC};

static double drawn(uint64_t i) {
    float four[4];
    wn__philox_normal(7, WN_STREAM_TEST, i, four);
    return (double)four[0];
}

static void mask_out(wn_tensor *w, const uint8_t *mask) {
    for (int64_t i = 0; i < N; i++)
        for (int64_t c = 0; c < K; c++)
            if (!(mask[i * GROUPS + c / 4] >> (c % 4) & 1)) ((float *)w->data)[i * K + c] = 0;
}

static source make_source(bool sparse) {
    source s = {.w = make2(WN_DTYPE_F32, N, K)};
    wn_tensor mask = make2(WN_DTYPE_U8, N, GROUPS);
    for (int64_t i = 0; i < N * K; i++)
        ((float *)s.w.data)[i] = (float)drawn((uint64_t)i);
    for (int64_t i = 0; i < N * GROUPS; i++) // the last group has three columns
        ((uint8_t *)mask.data)[i] = i % GROUPS == GROUPS - 1 ? pairs[i % 2] : pairs[i % 6];
    if (sparse) {
        wn__exec x = one_thread();
        s.values = make2(WN_DTYPE_F32, N, 2 * GROUPS);
        s.index = make2(WN_DTYPE_U8, N, (GROUPS + 1) / 2);
        const wn__pack24 pack = {.w = s.w, .mask = mask, .values = s.values, .index = s.index};
        assert_ok(wn__pack24_ref(&pack, &x));
        mask_out(&s.w, mask.data);
    }
    free(mask.data);
    return s;
}

static void free_source(source *s) {
    free(s->w.data);
    free(s->values.data);
    free(s->index.data);
}

static wn_status pack(const source *s, const wn__stream_format *f, wn_tensor *stream) {
    wn__exec x = one_thread();
    wn__stream_pack args = {.format = *f, .stream = *stream};
    if (f->sparse) {
        args.values = s->values;
        args.index = s->index;
    } else {
        args.w = s->w;
    }
    return wn__run(&x, WN__OP_stream_pack, &args);
}

static wn_tensor packed(const source *s, const wn__stream_format *f) {
    wn_tensor stream = make1(WN_DTYPE_U8, (int64_t)wn__stream_bytes(f));
    memset(stream.data, 0xA5, wn__stream_bytes(f));
    assert_ok(pack(s, f, &stream));
    return stream;
}

static wn_tensor unpacked(const wn__stream_format *f, const wn_tensor *stream) {
    wn__exec x = one_thread();
    const wn__stream_unpack args = {
        .format = *f, .stream = *stream, .w = make2(WN_DTYPE_F32, f->n, f->k)};
    assert_ok(wn__run(&x, WN__OP_stream_unpack, &args));
    return args.w;
}

// The largest error of an element: half a step, and for INT4 what lies beyond 7 steps since their
// size is rounded to 8 bits.
static double allowed(const wn__stream_format *f, const float *row, int64_t c) {
    int64_t begin = f->type == WN_STREAM_INT4 ? c / 64 * 64 : 0, end = begin + 64;
    double amax = 0, most = f->type == WN_STREAM_INT4 ? 7 : 127;
    if (f->type == WN_STREAM_F32) return 0;
    if (f->type == WN_STREAM_BF16) return fabs((double)row[c]) * 0x1p-8;
    if (f->type != WN_STREAM_INT4 || end > K) end = K;
    for (int64_t i = begin; i < end; i++)
        amax = fmax(amax, fabs((double)row[i]));
    return amax / most * 0.5 * (1 + 0x1p-8) + (f->type == WN_STREAM_INT4 ? amax * 0x1p-8 : 0);
}

static void for_all(void (*check)(const source *, const wn__stream_format *)) {
    for (int sparse = 0; sparse < 2; sparse++) {
        source s = make_source(sparse);
        for (int type = 0; type < 4; type++) {
            const wn__stream_format f = {(wn__stream_type)type, sparse, N, K};
            check(&s, &f);
        }
        free_source(&s);
    }
}

static void check_round_trip(const source *s, const wn__stream_format *f) {
    wn_tensor stream = packed(s, f), back = unpacked(f, &stream);
    for (int64_t i = 0; i < N * K; i++) {
        const float *row = (const float *)s->w.data + i / K * K;
        double want = (double)((const float *)s->w.data)[i];
        double got = (double)((const float *)back.data)[i];
        if (!(fabs(got - want) <= allowed(f, row, i % K)))
            fail_msg("%s [%d, %d]: %g, was %g", wn__stream_name(f), (int)(i / K), (int)(i % K), got,
                     want);
        if (want == 0 && got != 0) fail_msg("%s: a zero became %g", wn__stream_name(f), got);
    }
    free(stream.data);
    free(back.data);
}

static void test_round_trip(void **state) {
    (void)state;
    for_all(check_round_trip);
}

// Rows in the packed form, from the middle on: the same numbers and the same index.
static void test_packed_rows(void **state) {
    (void)state;
    source s = make_source(true);
    const wn__stream_format f = {WN_STREAM_F32, true, N, K};
    wn_tensor stream = packed(&s, &f);
    for (int64_t row = 0; row < N; row += 16) {
        wn__exec x = one_thread();
        const wn__stream_unpack args = {.format = f,
                                        .stream = stream,
                                        .row = row,
                                        .values = make2(WN_DTYPE_F32, N - row, 2 * GROUPS),
                                        .index = make2(WN_DTYPE_U8, N - row, (GROUPS + 1) / 2)};
        assert_ok(wn__run(&x, WN__OP_stream_unpack, &args));
        assert_memory_equal(args.values.data, (float *)s.values.data + row * 2 * GROUPS,
                            wn__tensor_bytes(&args.values));
        assert_memory_equal(args.index.data, (uint8_t *)s.index.data + row * ((GROUPS + 1) / 2),
                            wn__tensor_bytes(&args.index));
        free(args.values.data);
        free(args.index.data);
    }
    free(stream.data);
    free_source(&s);
}

// |y - x W^T| of an element: rounding of floats, and where x is quantised half a step of it.
static double error_bound(const wn__stream_format *f, const float *x, const float *w, double *y) {
    double sum = 0, size = 0, amax = 0, weights = 0;
    for (int64_t c = 0; c < K; c++) {
        sum += (double)x[c] * (double)w[c];
        size += fabs((double)x[c] * (double)w[c]);
        weights += fabs((double)w[c]);
        amax = fmax(amax, fabs((double)x[c]));
    }
    *y = sum;
    double floats = 2 * (K + 4) * 0x1p-24 * (size + amax * weights);
    return f->type < WN_STREAM_INT8 ? floats : floats + amax / 127 * 0.5 * (1 + 1e-6) * weights;
}

static void check_variant(const wn__kernel *k, const wn__stream_format *f, const wn_tensor *stream,
                          const wn_tensor *w) {
    static char scratch[1 << 20] __attribute__((aligned(64)));
    wn_tensor x = make2(WN_DTYPE_F32, T, K), y = make2(WN_DTYPE_F32, T, N);
    wn__exec exec = {.scratch = scratch, .scratch_size = sizeof scratch};
    for (int64_t i = 0; i < T * K; i++)
        ((float *)x.data)[i] = (float)drawn((uint64_t)(100000 + i));
    for (int64_t tokens = 1; tokens <= T; tokens++) {
        const wn__stream args = {.x = wn__first_rows(&x, tokens),
                                 .stream = *stream,
                                 .y = wn__first_rows(&y, tokens),
                                 .format = *f};
        assert_ok(wn__run_kernel(&exec, k, &args));
        for (int64_t i = 0; i < tokens * N; i++) {
            double want, got = (double)((const float *)y.data)[i];
            double bound = error_bound(f, (const float *)x.data + i / N * K,
                                       (const float *)w->data + i % N * K, &want);
            if (!(fabs(got - want) <= bound))
                fail_msg("%s, %s, %d tokens: %g, not %g", k->name, wn__stream_name(f), (int)tokens,
                         got, want);
        }
    }
    free(x.data);
    free(y.data);
}

static void check_product(const source *s, const wn__stream_format *f) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    wn_tensor stream = packed(s, f), w = unpacked(f, &stream);
    const wn__stream args = {.x = wn__tensor2(NULL, WN_DTYPE_F32, 1, K),
                             .stream = stream,
                             .y = wn__tensor2(NULL, WN_DTYPE_F32, 1, N),
                             .format = *f};
    for (size_t i = 0; i < rows; i++) {
        wn__exec x = one_thread();
        char why[160];
        if (table[i].op == WN__OP_stream && wn__kernel_fits(&x, table + i, &args, why, sizeof why))
            check_variant(table + i, f, &stream, &w);
    }
    free(stream.data);
    free(w.data);
}

static void test_product(void **state) {
    (void)state;
    for_all(check_product);
}

// Bytes of 64 x 256: four tiles of 256 columns.
static wn_tensor one_row(const wn__stream_format *f, const wn_tensor *x, const wn_tensor *stream) {
    static char scratch[1 << 13] __attribute__((aligned(64)));
    wn__exec exec = {.scratch = scratch, .scratch_size = sizeof scratch};
    const wn__stream args = {
        .x = *x, .stream = *stream, .y = make2(WN_DTYPE_F32, 1, f->n), .format = *f};
    assert_ok(wn__run(&exec, WN__OP_stream, &args));
    return args.y;
}

// Copies of the tiles of a weight, more than a cache keeps, have the weight's outputs bit for bit.
static void check_past_caches(const source *s, const wn__stream_format *f) {
    const int64_t rows = (N + 15) / 16 * 16, bytes = (int64_t)wn__stream_bytes(f);
    const int64_t most = (int64_t)wn__cpu_last_cache();
    const int64_t copies = most < 32 << 20 ? most / bytes + 1 : 2;
    const wn__stream_format large = {f->type, f->sparse, rows * copies, K};
    wn_tensor x = make2(WN_DTYPE_F32, 1, K), stream = packed(s, f);
    wn_tensor tiles = make1(WN_DTYPE_U8, bytes * copies);
    for (int64_t i = 0; i < copies; i++)
        memcpy((char *)tiles.data + i * bytes, stream.data, (size_t)bytes);
    for (int64_t c = 0; c < K; c++)
        ((float *)x.data)[c] = (float)drawn((uint64_t)(N * K + c));
    wn_tensor y = one_row(f, &x, &stream), all = one_row(&large, &x, &tiles);
    for (int64_t i = 0; i < copies; i++)
        assert_memory_equal((float *)all.data + i * rows, y.data, N * sizeof(float));
    free(x.data);
    free(stream.data);
    free(tiles.data);
    free(y.data);
    free(all.data);
}

static void test_past_caches(void **state) {
    (void)state;
    for_all(check_past_caches);
}

static void test_sizes(void **state) {
    (void)state;
    static const size_t dense[] = {65536, 32768, 16384 + 256, 8192 + 512};
    static const size_t sparse[] = {34816, 18432, 10240 + 256, 6144};
    for (int type = 0; type < 4; type++) {
        wn__stream_format f = {(wn__stream_type)type, false, 64, 256};
        assert_int_equal(wn__stream_bytes(&f), dense[type]);
        f.sparse = true;
        assert_int_equal(wn__stream_bytes(&f), sparse[type]);
        f.n = 0;
        assert_int_equal(wn__stream_bytes(&f), 0);
    }
}

static void test_refusals(void **state) {
    (void)state;
    source s = make_source(false);
    ((float *)s.w.data)[3 * K + 5] = INFINITY;
    wn__stream_format f = {WN_STREAM_INT8, false, N, K};
    wn_tensor stream = make1(WN_DTYPE_U8, (int64_t)wn__stream_bytes(&f));
    assert_refused(pack(&s, &f, &stream), "row 3 has inf at column 5");
    free(stream.data);
    f.type = WN_STREAM_F32; // takes it
    stream = packed(&s, &f);
    f.type = WN_STREAM_BF16;
    assert_refused(pack(&s, &f, &stream), "the bytes of the format");
    f.sparse = true;
    assert_refused(pack(&s, &f, &stream), "either w or values and index");
    f = (wn__stream_format){WN_STREAM_INT4, false, 1, ((int64_t)1 << 17) + 1};
    assert_refused(pack(&s, &f, &stream), "131072");
    free(stream.data);
    free_source(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_packed_rows),
        cmocka_unit_test(test_product),    cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_past_caches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
