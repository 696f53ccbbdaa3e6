// SPDX-License-Identifier: MIT
// What the harness is too small to reach in the matmul variants: tiles of tokens that one worker
// keeps and tiles that several share, several chunks of them, products of few rows beside the same
// rows in a large one, and CBLAS on every alignment. Whole numbers make every sum exact, so
// variants must agree with ref bit for bit.
#include "base/cpu.h"
#include "kernels/matmul.h"
#include "kernels/pack24.h"
#include "kernels/spmm24.h"
#include "ref_test.h"

static const wn__kernel *kernel(wn__op op, const char *variant) {
    size_t count;
    const wn__kernel *table = wn__kernel_table(&count);
    for (size_t i = 0; i < count; i++)
        if (table[i].op == op && strcmp(table[i].variant, variant) == 0) return table + i;
    return NULL;
}

// Whether it is built and this processor may run it.
static bool available(wn__op op, const char *variant) {
    const wn__kernel *k = kernel(op, variant);
    return k && (k->needs & wn__cpu_flags()) == k->needs;
}

// Runs with exactly the workspace that is asked for, full of NaN.
static void run(wn__op op, const char *variant, const void *args, int threads) {
    const wn__kernel *k = kernel(op, variant);
    wn__pool *pool = NULL;
    void *scratch = NULL;
    if (threads > 1) assert_ok(wn__pool_create(threads, &pool));
    size_t need = k->workspace ? k->workspace(args, threads) : 0;
    assert_int_equal(posix_memalign(&scratch, 64, need > 0 ? need : 64), 0);
    memset(scratch, 0xFF, need);
    wn__exec x = {.pool = pool, .scratch = scratch, .scratch_size = need};
    assert_ok(wn__run_kernel(&x, k, args));
    wn__pool_free(pool);
    free(scratch);
}

// A packed matrix [n, k] whose groups keep the pairs of columns in turn.
typedef struct packed {
    wn_tensor values, index;
} packed;

static packed pack(int64_t n, int64_t k, int whole, uint64_t seed) {
    static const uint8_t pairs[] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC};
    int64_t groups = (k + 3) / 4;
    wn_tensor w = make2(WN_DTYPE_F32, n, k), mask = make2(WN_DTYPE_U8, n, groups);
    packed p = {make2(WN_DTYPE_F32, n, 2 * groups), make2(WN_DTYPE_U8, n, (groups + 1) / 2)};
    if (whole)
        fill_whole(&w, 3, seed);
    else
        fill_normal(&w, seed);
    for (int64_t i = 0; i < n * groups; i++) {
        uint8_t columns = (uint8_t)(k - i % groups * 4 < 4 ? (1 << (k % 4)) - 1 : 15);
        ((uint8_t *)mask.data)[i] = pairs[(i * 5 + (int64_t)seed) % 6] & columns;
    }
    wn__pack24 args = {.w = w, .mask = mask, .values = p.values, .index = p.index};
    run(WN__OP_pack24, "ref", &args, 1);
    free(w.data);
    free(mask.data);
    return p;
}

static void check_spmm24(const char *variant, int64_t T, int64_t n, int64_t k, int whole) {
    packed w = pack(n, k, whole, 7);
    wn_tensor x = make2(WN_DTYPE_F32, T, k), y = make2(WN_DTYPE_F32, T, n);
    wn_tensor expected = make2(WN_DTYPE_F32, T, n);
    if (whole)
        fill_whole(&x, 4, 8);
    else
        fill_normal(&x, 8);
    wn__spmm24 args = {.x = x, .values = w.values, .index = w.index, .y = expected};
    run(WN__OP_spmm24, whole ? "ref" : variant, &args, 1);
    args.y = y;
    for (int threads = 1; threads <= 7; threads += 3) {
        memset(y.data, 0xFF, wn__tensor_bytes(&y));
        run(WN__OP_spmm24, variant, &args, threads);
        assert_bits(&y, &expected);
    }
    free(w.values.data);
    free(w.index.data);
    free(x.data);
    free(y.data);
    free(expected.data);
}

// 4 tiles for each thread and one worker keeps each; fewer and they are shared, 16 tiles at a time:
// 2100 tokens are 17 or 22 tiles, which 1 and 4 threads keep and 7 share.
static void test_spmm24_tiles(void **state) {
    (void)state;
    static const int64_t tokens[] = {9, 100, 391, 515, 1100, 2100};
    for (int v = 0; v < 2; v++) {
        const char *variant = v ? "avx512" : "avx2";
        if (!available(WN__OP_spmm24, variant)) continue;
        for (int64_t i = 0; i < LENGTH(tokens); i++) {
            check_spmm24(variant, tokens[i], 19, 53, 1);
            check_spmm24(variant, tokens[i], 70, 130, 0);
        }
    }
}

// Nothing is kept or nothing exists: zeros.
static void test_spmm24_without_columns(void **state) {
    (void)state;
    for (int v = 0; v < 2; v++) {
        const char *variant = v ? "avx512" : "avx2";
        if (!available(WN__OP_spmm24, variant)) continue;
        check_spmm24(variant, 3, 5, 0, 1);
        check_spmm24(variant, 600, 5, 0, 1);
    }
}

static wn_tensor transposed(wn_tensor t) {
    return wn__tensor_transpose(&t);
}

static wn_tensor in_dtype(const wn_tensor *t, wn_dtype dtype) {
    wn_tensor to = make2(dtype, t->shape[0], t->shape[1]);
    for (int64_t i = 0; i < wn__tensor_count(t); i++)
        wn__set(&to, i, wn__get(t, i));
    return to;
}

// Whole numbers of a few bits are bfloat16 numbers, and so are their sums kept in floats: the same
// values in either dtype give the very bits of ref. Sizes are beyond a slice of k and a block of c.
static void check_bf16(const char *variant, int64_t T, int64_t n, int64_t k, bool rounded16) {
    wn_tensor xf = make2(WN_DTYPE_F32, T, k), wf = make2(WN_DTYPE_F32, n, k);
    wn_tensor expected = make2(WN_DTYPE_F32, T, n), y = make2(WN_DTYPE_F32, T, n);
    packed w = pack(n, k, 1, 7);
    fill_whole(&xf, 4, 8);
    fill_whole(&wf, 4, 9);
    wn_dtype dtype = rounded16 ? WN_DTYPE_F32 : WN_DTYPE_BF16;
    wn_tensor x = in_dtype(&xf, dtype), dense = in_dtype(&wf, dtype),
              values = in_dtype(&w.values, dtype);
    wn__matmul p = {.a = xf, .b = transposed(wf), .c = expected};
    run(WN__OP_matmul, "ref", &p, 1);
    p = (wn__matmul){.a = x, .b = transposed(dense), .c = y, .rounded16 = rounded16};
    for (int threads = 1; threads <= 5; threads += 2) {
        memset(y.data, 0xFF, wn__tensor_bytes(&y));
        run(WN__OP_matmul, variant, &p, threads);
        assert_bits(&y, &expected);
    }
    wn__spmm24 q = {.x = xf, .values = w.values, .index = w.index, .y = expected};
    run(WN__OP_spmm24, "ref", &q, 1);
    q = (wn__spmm24){.x = x, .values = values, .index = w.index, .y = y, .rounded16 = rounded16};
    for (int threads = 1; threads <= 5; threads += 2) {
        memset(y.data, 0xFF, wn__tensor_bytes(&y));
        run(WN__OP_spmm24, variant, &q, threads);
        assert_bits(&y, &expected);
    }
    const wn_tensor all[] = {xf, wf, expected, y, w.values, w.index, x, dense, values};
    for (int64_t i = 0; i < LENGTH(all); i++)
        free(all[i].data);
}

static void test_bf16(void **state) {
    (void)state;
    static const char *const variants[] = {"avx2", "avx512", "amx"};
    for (int64_t v = 0; v < LENGTH(variants); v++) {
        if (!available(WN__OP_spmm24, variants[v])) continue;
        for (int rounded16 = 0; rounded16 < 2; rounded16++) {
            check_bf16(variants[v], 391, 70, 1130, rounded16);
            check_bf16(variants[v], 33, 530, 515, rounded16);
        }
    }
}

// c (+)= a b by `variant` and any number of threads, against ref.
static void check_matmul(const char *variant, wn_dtype dtype, int64_t m, int64_t n, int64_t k,
                         bool accumulate) {
    wn_tensor af = make2(WN_DTYPE_F32, m, k), bf = make2(WN_DTYPE_F32, n, k);
    wn_tensor expected = make2(WN_DTYPE_F32, m, n), c = make2(WN_DTYPE_F32, m, n);
    fill_whole(&af, 4, 10);
    fill_whole(&bf, 4, 11);
    fill_whole(&expected, 4, 12);
    wn__matmul p = {.a = af, .b = transposed(bf), .c = expected, .accumulate = accumulate};
    run(WN__OP_matmul, "ref", &p, 1);
    wn_tensor a = in_dtype(&af, dtype), b = in_dtype(&bf, dtype);
    p = (wn__matmul){.a = a, .b = transposed(b), .c = c, .accumulate = accumulate};
    for (int threads = 1; threads <= 4; threads *= 2) {
        if (accumulate)
            fill_whole(&c, 4, 12);
        else
            memset(c.data, 0xFF, wn__tensor_bytes(&c));
        run(WN__OP_matmul, variant, &p, threads);
        assert_bits(&c, &expected);
    }
    const wn_tensor all[] = {af, bf, expected, c, a, b};
    for (int64_t i = 0; i < LENGTH(all); i++)
        free(all[i].data);
}

// Several parts along k, along n, and columns that are narrowed for several threads.
static void test_matmul_parts(void **state) {
    (void)state;
    static const char *const variants[] = {"avx2", "avx512", "avx512bf16"};
    for (int v = 0; v < LENGTH(variants); v++) {
        if (!available(WN__OP_matmul, variants[v])) continue;
        for (int half = v == 2; half < 2; half++) {
            wn_dtype dtype = half ? WN_DTYPE_BF16 : WN_DTYPE_F32;
            check_matmul(variants[v], dtype, 30, 300, 4500, false);
            check_matmul(variants[v], dtype, 40, 130, 8193, true);
            check_matmul(variants[v], dtype, 23, 2200, 1100, false);
            check_matmul(variants[v], dtype, 20, 4300, 515, true);
            check_matmul(variants[v], dtype, 250, 500, 130, false);
        }
    }
}

// The first rows of a product alone, which takes the path of few rows, against all of them.
static void test_matmul_few_rows(void **state) {
    (void)state;
    int64_t m = 40, n = 133, k = 301;
    wn_tensor a = make2(WN_DTYPE_F32, m, k), b = make2(WN_DTYPE_F32, k, n),
              bt = make2(WN_DTYPE_F32, n, k);
    wn_tensor c = make2(WN_DTYPE_F32, m, n), few = make2(WN_DTYPE_F32, m, n);
    fill_whole(&a, 3, 1);
    fill_whole(&b, 3, 2);
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < n; j++)
            wn__set(&bt, j * k + i, wn__get(&b, i * n + j));
    wn__matmul all = {.a = a, .b = b, .c = c};
    run(WN__OP_matmul, "ref", &all, 1);
    static const char *const variants[] = {"avx2", "avx512", "cblas"};
    for (int v = 0; v < 3; v++)
        for (int64_t rows = 1; rows <= m && available(WN__OP_matmul, variants[v]); rows++) {
            wn__matmul p = {.b = rows % 2 ? b : transposed(bt)};
            p.a = wn__tensor_slice(&a, 0, 0, rows);
            p.c = wn__tensor_slice(&few, 0, 0, rows);
            memset(few.data, 0xFF, wn__tensor_bytes(&few));
            run(WN__OP_matmul, variants[v], &p, 3);
            assert_memory_equal(few.data, c.data, wn__tensor_bytes(&p.c));
        }
    free(a.data);
    free(b.data);
    free(bt.data);
    free(c.data);
    free(few.data);
}

static wn_tensor moved(const wn_tensor *t, char *room, int64_t elements) {
    wn_tensor copy = *t;
    copy.data = room + (size_t)elements * wn_dtype_size(t->dtype);
    if (t->data) memcpy(copy.data, t->data, wn__tensor_bytes(t));
    return copy;
}

// A library that aligned its loops to the data would round differently from one address to the
// next, and runs would not repeat.
static void test_cblas_ignores_alignment(void **state) {
    (void)state;
    if (!available(WN__OP_matmul, "cblas")) return;
    int64_t m = 67, n = 130, k = 259;
    for (int type = 0; type < 2; type++) {
        wn_dtype dtype = type ? WN_DTYPE_F64 : WN_DTYPE_F32;
        wn_tensor a = make2(dtype, m, k), b = make2(dtype, n, k), c = make2(dtype, m, n);
        fill_normal(&a, 3);
        fill_normal(&b, 4);
        wn__matmul p = {.a = a, .b = transposed(b), .c = c};
        run(WN__OP_matmul, "cblas", &p, 1);
        char *room[3];
        for (int i = 0; i < 3; i++)
            assert_int_equal(posix_memalign((void **)&room[i], 64, (size_t)(n * k + 32) * 8), 0);
        for (int64_t shift = 0; shift < 17; shift++) {
            wn_tensor none = {.dtype = dtype, .ndim = 2, .shape = {m, n}, .stride = {n, 1}};
            wn_tensor b2 = moved(&b, room[1], shift * 5 % 17);
            wn__matmul q = {.a = moved(&a, room[0], shift), .b = transposed(b2)};
            q.c = moved(&none, room[2], shift * 3 % 17);
            run(WN__OP_matmul, "cblas", &q, 1 + (int)shift % 3);
            assert_memory_equal(q.c.data, c.data, wn__tensor_bytes(&c));
        }
        for (int i = 0; i < 3; i++)
            free(room[i]);
        free(a.data);
        free(b.data);
        free(c.data);
    }
}

// Rows that overlap are a view like any other to us; the library has no name for them.
static void test_cblas_refuses_overlapping_rows(void **state) {
    (void)state;
    if (!available(WN__OP_matmul, "cblas")) return;
    char why[160] = "";
    wn_tensor a = wn__tensor2(NULL, WN_DTYPE_F32, 8, 5), c = wn__tensor2(NULL, WN_DTYPE_F32, 8, 3);
    wn__matmul p = {.a = a, .b = wn__tensor2(NULL, WN_DTYPE_F32, 5, 3), .c = c};
    const wn__kernel *k = kernel(WN__OP_matmul, "cblas");
    assert_true(k->accepts(&p, why, sizeof why));
    p.a.stride[0] = 2;
    assert_false(k->accepts(&p, why, sizeof why));
    assert_string_equal(why, "a has rows that overlap (stride 2)");
    p.a.shape[0] = p.c.shape[0] = 1; // with one row there is nothing to overlap
    assert_true(k->accepts(&p, why, sizeof why));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spmm24_tiles),
        cmocka_unit_test(test_spmm24_without_columns),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_matmul_parts),
        cmocka_unit_test(test_matmul_few_rows),
        cmocka_unit_test(test_cblas_ignores_alignment),
        cmocka_unit_test(test_cblas_refuses_overlapping_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
