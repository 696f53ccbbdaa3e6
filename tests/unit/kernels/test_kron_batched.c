// SPDX-License-Identifier: MIT
// Kronecker-sparse factors on a GPU by permutations and batched products, over a driver and a
// library that stand in for NVIDIA's: the harness on every case, which permutations and launches
// there are, graphs, refusals.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/cublaslt/open.h"
#include "fake/cuda/open.h"
#include "kernels/cuda/images.h"
#include "kernels/cuda/kron_permute.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/op.h"
#include "kernels/registry.h"
#include "unit/kernels/gpu_scene.h"
#include <stdlib.h>
#include <string.h>

static fake_cuda_state *fake;
static fake_cublaslt_state *library;

static void on_result(void *ctx, const wn_check_result *r) {
    (void)ctx;
    if (!r->passed) print_error("%s %s: %s\n", r->name, r->problem, r->message);
}

static void test_cases(void **state) {
    static const char *const ops[] = {"kron_mul", "kron_grad"};
    (void)state;
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (int i = 0; i < 2; i++) {
        const wn_check_options o = {.op = ops[i], .variant = "cublaslt", .seed = 5, .quick = true};
        int64_t cases = 0, failed = 1;
        assert_int_equal(wn_kernels_check(&o, on_result, NULL, &cases, &failed), WN_OK);
        assert_true(cases > 100);
        assert_int_equal(failed, 0);
        assert_int_equal(fake->alive, 0);
        assert_int_equal(library->alive, 0);
    }
}

static void begin(scene *s) {
    scene_begin(s, 8 << 20);
    s->x.force = "kron_mul:cublaslt,kron_grad:cublaslt";
}

static void end(scene *s) {
    scene_end(s);
    assert_int_equal(fake->alive, 0);
    assert_int_equal(library->alive, 0);
}

// [rows, columns] of ones, with unit stride along rows where `last`.
static wn_tensor place(scene *s, wn_dtype dtype, int64_t rows, int64_t columns, bool last) {
    wn_tensor t;
    assert_int_equal(
        wn__tensor_alloc2(&s->memory, dtype, last ? columns : rows, last ? rows : columns, &t),
        WN_OK);
    const size_t count = (size_t)(rows * columns), size = wn_dtype_size(dtype);
    const uint32_t one = dtype == WN_DTYPE_F32 ? 0x3F800000U : 0x3F80U; // BF16
    char *data = malloc(count * size);
    assert_non_null(data);
    for (size_t i = 0; i < count; i++)
        memcpy(data + i * size, &one, size);
    assert_int_equal(wn__cuda_copy_in(wn__gpu_device(s->gpu), t.data, data, count * size), WN_OK);
    assert_int_equal(wn__gpu_finish(s->gpu), WN_OK);
    free(data);
    t.device.kind = WN_DEVICE_CUDA;
    return last ? wn__tensor_transpose(&t) : t;
}

// [a,b,c,d], or blocks one behind the other.
static wn_tensor factor(scene *s, wn_dtype dtype, wn__kron_size k, bool blocks) {
    const wn_tensor t = place(s, dtype, 1, k.a * k.b * k.c * k.d, false);
    wn_tensor w = wn__tensor4(t.data, dtype, k.a, k.b, k.c, k.d);
    w.device = t.device;
    if (!blocks) return w;
    w.stride[0] = k.d * k.b * k.c;
    w.stride[1] = k.c;
    w.stride[2] = 1;
    w.stride[3] = k.b * k.c;
    return w;
}

// Room for what a plan asks for.
static void plan(scene *s, wn__op op, const void *args) {
    const wn__kernel *k;
    wn_tensor room;
    assert_int_equal(wn__plan(&s->x, op, args, &k), WN_OK);
    assert_string_equal(k->variant, "cublaslt");
    const size_t bytes = k->workspace(args, 1);
    assert_int_equal(wn__tensor_alloc1(&s->memory, WN_DTYPE_U8, (int64_t)bytes, &room), WN_OK);
    s->x.scratch = room.data;
    s->x.scratch_size = bytes;
}

typedef struct counts {
    int permutations, products;
} counts;

static counts run(scene *s, wn__op op, const void *args) {
    const int launches = fake->launches, products = library->run;
    plan(s, op, args);
    assert_int_equal(wn__run(&s->x, op, args), WN_OK);
    assert_int_equal(wn__gpu_finish(s->gpu), WN_OK);
    const int ran = library->run - products;
    return (counts){fake->launches - launches - ran, ran}; // the driver counts the library's too
}

// One factor: what is permuted, and into how many products its blocks go.
static void test_needed(void **state) {
    static const struct {
        wn__kron_size size;
        bool last, blocks, accumulate, gradient;
        wn_dtype dtype;
        counts want;
    } row[] = {
        // d = 1: nothing
        {{3, 4, 5, 1}, false, false, false, false, WN_DTYPE_F32, {0, 1}},
        {{3, 4, 5, 1}, false, false, true, false, WN_DTYPE_F32, {0, 1}},
        {{3, 4, 5, 1}, false, false, false, true, WN_DTYPE_F32, {0, 1}},
        // sums of 16 bits are added to in float32
        {{3, 4, 5, 1}, false, false, true, false, WN_DTYPE_BF16, {1, 1}},
        // x, w and y; w lies in blocks
        {{3, 4, 5, 2}, false, false, false, false, WN_DTYPE_F32, {3, 1}},
        {{3, 4, 5, 2}, false, true, false, false, WN_DTYPE_F32, {2, 1}},
        {{3, 4, 5, 2}, false, true, false, true, WN_DTYPE_BF16, {2, 1}},
        // one input, one output: w, which is neither
        {{3, 1, 5, 2}, false, true, false, false, WN_DTYPE_F32, {1, 1}},
        {{3, 4, 1, 2}, false, true, false, false, WN_DTYPE_F32, {1, 1}},
        // batch last: w alone; as many products as there are i, or l, where they are fewer
        {{3, 4, 5, 2}, true, false, false, false, WN_DTYPE_F32, {1, 2}},
        {{3, 4, 5, 2}, true, true, false, false, WN_DTYPE_F32, {0, 2}},
        {{1, 4, 5, 6}, true, true, true, false, WN_DTYPE_F32, {0, 1}},
        {{2, 4, 5, 6}, true, true, false, true, WN_DTYPE_F32, {0, 2}},
    };
    (void)state;
    if (!wn__device_code_built()) skip();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const wn__kron_size k = row[i].size;
        scene s;
        begin(&s);
        const wn_tensor w = factor(&s, row[i].dtype, k, row[i].blocks);
        const wn_tensor x = place(&s, row[i].dtype, 7, k.a * k.c * k.d, row[i].last);
        const wn_tensor y = place(&s, row[i].dtype, 7, k.a * k.b * k.d, row[i].last);
        const wn__kron_mul m = {
            .x = x, .y = y, .w = {w}, .count = 1, .accumulate = row[i].accumulate};
        const wn__kron_grad g = {.x = x, .dy = y, .dw = w, .accumulate = row[i].accumulate};
        const counts got =
            row[i].gradient ? run(&s, WN__OP_kron_grad, &g) : run(&s, WN__OP_kron_mul, &m);
        if (got.permutations != row[i].want.permutations || got.products != row[i].want.products)
            fail_msg("row %zu: %d permutations and %d products", i, got.permutations, got.products);
        end(&s);
    }
}

// A chain is planned and asked about once, then captured: nothing is made on the way.
static void test_graph(void **state) {
    const wn__kron_size first = {2, 6, 4, 2}, second = {1, 4, 6, 4};
    wn__cuda_graph *g;
    scene s;
    float y[16];
    (void)state;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__cuda *d = wn__gpu_device(s.gpu);
    const wn__kron_mul p = {
        .x = place(&s, WN_DTYPE_F32, 1, 16, false),
        .y = place(&s, WN_DTYPE_F32, 1, 16, false),
        .w = {factor(&s, WN_DTYPE_F32, first, false), factor(&s, WN_DTYPE_F32, second, false)},
        .count = 2,
        .accumulate = true};
    (void)run(&s, WN__OP_kron_mul, &p);
    const int asked = library->asked;
    assert_int_equal(wn__cuda_capture_begin(d), WN_OK);
    assert_int_equal(wn__run(&s.x, WN__OP_kron_mul, &p), WN_OK);
    assert_int_equal(wn__cuda_capture_end(d, &g), WN_OK);
    assert_int_equal(library->asked, asked);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wn__cuda_graph_run(d, g), WN_OK);
    assert_int_equal(wn__cuda_copy_out(d, y, p.y.data, sizeof y), WN_OK);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
    for (int i = 0; i < 16; i++)
        assert_true(y[i] == 1 + 3 * 24); // ones: 4 inputs, then 6, three times
    wn__cuda_graph_free(d, g);
    end(&s);
}

// What it cannot do is refused, with the reason; errors of the library are told.
static void test_refusals(void **state) {
    const wn__kron_size k = {2, 3, 4, 2};
    const wn__kernel *found;
    scene s;
    (void)state;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__kron_grad g = {.x = place(&s, WN_DTYPE_F32, 7, 16, false),
                       .dy = place(&s, WN_DTYPE_F32, 7, 12, false),
                       .dw = factor(&s, WN_DTYPE_F32, k, false)};
    plan(&s, WN__OP_kron_grad, &g);
    library->fail_product = 14;
    assert_int_equal(wn__run(&s.x, WN__OP_kron_grad, &g), WN_DEVICE);
    assert_non_null(strstr(wn_last_error(), "CUBLAS_STATUS_INTERNAL_ERROR"));
    g.x.shape[0] = g.dy.shape[0] = 0;
    assert_int_equal(wn__plan(&s.x, WN__OP_kron_grad, &g, &found), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "a batch of none"));
    g.x.shape[0] = g.dy.shape[0] = 7;
    g.x.data = g.dy.data = g.dw.data = NULL; // which would lie in each other
    g.x.dtype = g.dy.dtype = g.dw.dtype = WN_DTYPE_F64;
    assert_int_equal(wn__plan(&s.x, WN__OP_kron_grad, &g, &found), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "dtype F64 is not F32, BF16 or F16"));
    wn__kron_mul m = {.x = g.x, .y = g.dy, .w = {g.dw}, .count = 1};
    assert_int_equal(wn__plan(&s.x, WN__OP_kron_mul, &m, &found), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "dtype F64 is not F32, BF16 or F16"));
    end(&s);
}

#ifdef WN_HAVE_DEVICE_CODE

// Tiles of every kind, and strides that no piece of 16 bytes is had with: numbers arrive once each.
static void test_permute(void **state) {
    static const int64_t sizes[][4] = {{3, 5, 7, 9},     {1, 1, 200, 300}, {2, 1, 5, 4096},
                                       {1, 2, 4096, 5},  {40, 9, 2, 2},    {1, 1, 1, 20000},
                                       {1, 3, 20000, 1}, {2, 2, 64, 128},  {1, 1, 1000, 8}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int shift = 0; shift < 2; shift++) {
            const int64_t *z = sizes[i], matrix = z[2] * z[3], all = z[0] * z[1] * matrix;
            scene s;
            begin(&s);
            uint32_t *data = malloc((size_t)all * sizeof *data);
            assert_non_null(data);
            const wn_tensor from = place(&s, WN_DTYPE_F32, 1, all + shift, false);
            const wn_tensor to = place(&s, WN_DTYPE_F32, 1, all + shift, false);
            wn__permute p = {
                .in = {(float *)from.data + shift, WN_DTYPE_F32, {z[1] * matrix, matrix}, z[3], 1},
                .out = {(float *)to.data + shift, WN_DTYPE_F32, {z[1] * matrix, matrix}, 1, z[2]},
                .outer = {z[0], z[1]},
                .rows = z[2],
                .columns = z[3]};
            for (int64_t j = 0; j < all; j++)
                data[j] = (uint32_t)j;
            wn__cuda *d = wn__gpu_device(s.gpu);
            assert_int_equal(wn__cuda_copy_in(d, p.in.data, data, (size_t)all * 4), WN_OK);
            assert_int_equal(wn__gpu_permute(s.gpu, &p), WN_OK);
            assert_int_equal(wn__cuda_copy_out(d, data, p.out.data, (size_t)all * 4), WN_OK);
            assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
            for (int64_t j = 0; j < all; j++) {
                const int64_t in = j % matrix;
                assert_int_equal(data[j], j - in + in % z[2] * z[3] + in / z[2]);
            }
            free(data);
            end(&s);
        }
}

#else

static void test_permute(void **state) {
    (void)state;
    skip(); // nothing to launch
}

#endif

static int set_up(void **state) {
    (void)state;
    fake = fake_cuda_open();
    library = fake_cublaslt_open();
    return fake == NULL || library == NULL ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),   cmocka_unit_test(test_needed),
        cmocka_unit_test(test_graph),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_permute),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
