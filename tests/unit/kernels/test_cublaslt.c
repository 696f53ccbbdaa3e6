// SPDX-License-Identifier: MIT
// Dense products on a GPU by cuBLASLt, over a driver and a library that stand in for NVIDIA's: the
// harness on every case, choices asked for once a shape, graphs, errors in the library's words.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/cublaslt/open.h"
#include "fake/cuda/open.h"
#include "kernels/block24.h"
#include "kernels/block8.h"
#include "kernels/cuda/images.h"
#include "kernels/matmul.h"
#include "kernels/op.h"
#include "kernels/registry.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/tuned.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fake_cuda_state *fake;
static fake_cublaslt_state *library;

static void on_result(void *ctx, const wn_check_result *r) {
    (void)ctx;
    if (!r->passed) print_error("%s %s: %s\n", r->name, r->problem, r->message);
}

static void check(const char *op, int64_t least) {
    const wn_check_options o = {.op = op, .variant = "cublaslt", .seed = 5, .quick = true};
    int64_t cases = 0, failed = 1;
    assert_int_equal(wn_kernels_check(&o, on_result, NULL, &cases, &failed), WN_OK);
    assert_true(cases > least);
    assert_int_equal(failed, 0);
    assert_int_equal(fake->alive, 0);
    assert_int_equal(library->alive, 0);
}

static void test_cases(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    check("matmul", 20);
    check("spmm24_blocks", 20);
    check("spmm24_blocks8", 10); // most want scales or a k that it does not take
}

typedef struct scene {
    wn__gpu *gpu;
    wn__arena memory, scratch;
    wn__exec x;
} scene;

static void begin(scene *s) {
    *s = (scene){0};
    assert_int_equal(wn__gpu_create(0, &s->gpu), WN_OK);
    assert_int_equal(wn__cuda_arena(wn__gpu_device(s->gpu), "test", 1 << 16, &s->memory), WN_OK);
    assert_int_equal(wn__cuda_arena(wn__gpu_device(s->gpu), "space", 4 << 20, &s->scratch), WN_OK);
    s->x = (wn__exec){.gpu = s->gpu,
                      .device = {.kind = WN_DEVICE_CUDA},
                      .scratch = s->scratch.base,
                      .scratch_size = s->scratch.size};
}

static void end(scene *s) {
    wn__arena_free(&s->memory);
    wn__arena_free(&s->scratch);
    wn__gpu_free(s->gpu);
    assert_int_equal(fake->alive, 0);
    assert_int_equal(library->alive, 0);
}

static wn_tensor place(scene *s, int64_t rows, int64_t columns, float value) {
    wn_tensor t;
    float data[256];
    assert_int_equal(wn__tensor_alloc2(&s->memory, WN_DTYPE_F32, rows, columns, &t), WN_OK);
    t.device.kind = WN_DEVICE_CUDA;
    for (int64_t i = 0; i < rows * columns; i++)
        data[i] = value;
    assert_int_equal(wn__cuda_copy_in(wn__gpu_device(s->gpu), t.data, data, wn__tensor_bytes(&t)),
                     WN_OK);
    return t;
}

static float first(scene *s, const wn_tensor *t) {
    float f = 0;
    assert_int_equal(wn__cuda_copy_out(wn__gpu_device(s->gpu), &f, t->data, sizeof f), WN_OK);
    assert_int_equal(wn__gpu_finish(s->gpu), WN_OK);
    return f;
}

// The library is asked once about a shape, and never while a graph is captured.
static void test_plans(void **state) {
    (void)state;
    scene s;
    wn__cuda_graph *g;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__cuda *d = wn__gpu_device(s.gpu);
    const wn__matmul p = {
        .a = place(&s, 4, 8, 1), .b = place(&s, 8, 4, 2), .c = place(&s, 4, 4, 0)};
    wn__matmul other = p;
    other.b = place(&s, 8, 3, 2);
    other.c = place(&s, 4, 3, 0);
    const int asked = library->asked;
    for (int i = 0; i < 3; i++)
        assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_OK);
    assert_int_equal(library->asked, asked + 1);
    assert_true(first(&s, &p.c) == 16);

    wn__matmul more = p;
    more.accumulate = true; // the same shape
    assert_int_equal(wn__cuda_capture_begin(d), WN_OK);
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &more), WN_OK);
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &other), WN_BUG);
    assert_non_null(strstr(wn_last_error(), "asking cuBLASLt about a product"));
    assert_int_equal(wn__cuda_capture_end(d, &g), WN_OK);
    assert_int_equal(library->asked, asked + 1);
    assert_true(first(&s, &p.c) == 16);
    for (int i = 0; i < 2; i++)
        assert_int_equal(wn__cuda_graph_run(d, g), WN_OK);
    assert_true(first(&s, &p.c) == 48);
    wn__cuda_graph_free(d, g);
    end(&s);
}

static void test_errors(void **state) {
    (void)state;
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__matmul p = {.a = place(&s, 4, 8, 1), .b = place(&s, 8, 4, 2), .c = place(&s, 4, 4, 0)};
    assert_int_equal(wn__plan(&s.x, WN__OP_matmul, &p, &k), WN_OK);
    assert_string_equal(k->name, "matmul_cublaslt");
    library->fail_product = 14;
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_DEVICE);
    assert_string_equal(wn_last_error(), "cublasLtMatmul: CUBLAS_STATUS_INTERNAL_ERROR (14)");
    library->found = 0;
    p.a.shape[0] = p.c.shape[0] = 3;
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_UNSUPPORTED);
    assert_string_equal(wn_last_error(), "cuBLASLt has no way to multiply [3, 8] by [8, 4]");
    library->found = 8;
    p.a.shape[1] = p.b.shape[0] = 0;
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "cublaslt: k=0 leaves nothing to multiply"));
    p.a.shape[1] = p.b.shape[0] = 8;
    p.a.dtype = p.b.dtype = p.c.dtype = WN_DTYPE_BF16;
    assert_int_equal(wn__plan(&s.x, WN__OP_matmul, &p, &k), WN_OK);
    p.accumulate = true;
    assert_int_equal(wn__plan(&s.x, WN__OP_matmul, &p, &k), WN_UNSUPPORTED);
    assert_non_null(
        strstr(wn_last_error(), "cublaslt: cuBLASLt may round a 16-bit product before"));
    end(&s);
}

static wn_tensor planned(wn_tensor t) {
    t.device.kind = WN_DEVICE_CUDA;
    return t;
}

static void refuses(const wn__exec *x, const wn__spmm24_blocks8 *p, const char *why) {
    const wn__kernel *k;
    assert_int_equal(wn__plan(x, WN__OP_spmm24_blocks8, p, &k), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), why));
}

// What the library cannot do with 8-bit numbers is said before it is asked.
static void test_eights(void **state) {
    (void)state;
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    const wn__exec x = {
        .gpu = s.gpu, .device = {.kind = WN_DEVICE_CUDA}, .force = "spmm24_blocks8:cublaslt"};
    const wn_tensor one = planned(wn__tensor1(NULL, WN_DTYPE_F32, 1));
    const wn__spmm24_blocks8 good = {.x = planned(wn__tensor2(NULL, WN_DTYPE_U8, 3, 48)),
                                     .x_scale = planned(wn__tensor1(NULL, WN_DTYPE_F32, 3)),
                                     .blocks = planned(wn__block8_tensor(72, 48)),
                                     .w_scale = planned(wn__tensor1(NULL, WN_DTYPE_F32, 72)),
                                     .dense = planned(wn__tensor2(NULL, WN_DTYPE_U8, 72, 48)),
                                     .y = planned(wn__tensor2(NULL, WN_DTYPE_BF16, 3, 72))};
    wn__spmm24_blocks8 p = good;
    assert_int_equal(wn__plan(&x, WN__OP_spmm24_blocks8, &p, &k), WN_OK);
    p.dense = (wn_tensor){0};
    refuses(&x, &p, "W is not given written out");
    p = good;
    p.x_scale = one;
    refuses(&x, &p, "scales of rows on both sides or on neither");
    p = good;
    p.w_scale = one;
    refuses(&x, &p, "scales of rows on both sides or on neither");
    p = good;
    p.dense.stride[0] = 56;
    refuses(&x, &p, "rows of whole 16 bytes");
    p = good;
    p.x.stride[0] = 56;
    refuses(&x, &p, "rows of whole 16 bytes");
    p = good;
    p.y.stride[0] = 76;
    refuses(&x, &p, "rows of whole 16 bytes");
    p = good;
    p.x.shape[1] = p.dense.shape[1] = 40;
    refuses(&x, &p, "rows of whole 16 bytes");
    p = good;
    library->version = 120800;
    refuses(&x, &p, "cuBLASLt before 12.9 has no scales of rows");
    p.x_scale = p.w_scale = one;
    assert_int_equal(wn__plan(&x, WN__OP_spmm24_blocks8, &p, &k), WN_OK);
    library->version = 130100;
    end(&s);
}

// W that is given takes no room to be written out.
static void test_room(void **state) {
    (void)state;
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    const wn__exec x = {
        .gpu = s.gpu, .device = {.kind = WN_DEVICE_CUDA}, .force = "spmm24_blocks:cublaslt"};
    wn__spmm24_blocks p = {.x = planned(wn__tensor2(NULL, WN_DTYPE_BF16, 3, 100)),
                           .blocks = planned(wn__block24_tensor(72, 100)),
                           .y = planned(wn__tensor2(NULL, WN_DTYPE_BF16, 3, 72)),
                           .values = WN_DTYPE_BF16};
    assert_int_equal(wn__plan(&x, WN__OP_spmm24_blocks, &p, &k), WN_OK);
    const size_t without = k->workspace(&p, 1);
    p.dense = planned(wn__tensor2(NULL, WN_DTYPE_BF16, 72, 100));
    assert_int_equal(wn__plan(&x, WN__OP_spmm24_blocks, &p, &k), WN_OK);
    assert_int_equal(without - k->workspace(&p, 1), 2 * 128 * 128);
    end(&s);
}

typedef struct heard {
    int lines;
    char last[256];
} heard;

static void on_line(void *ctx, wn_log_level level, const char *line) {
    heard *h = ctx;
    assert_int_equal(level, WN_LOG_WARN);
    h->lines++;
    (void)snprintf(h->last, sizeof h->last, "%s", line);
}

// A way is what it was on another start: by its text. What is none is said once, and the product
// is what it would be without.
static void test_ways(void **state) {
    (void)state;
    static const char *const none[] = {
        "cublaslt/130000/3/%s", // of another version
        "cublaslt/130100/3/0123456789abcdef",
        "cublaslt/130100/3/%s0",
        "cublaslt/130100/3",
        "fastest",
    };
    scene s;
    wn__ways ways = {0};
    heard h = {0};
    char third[WN__WAY_TEXT];
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__matmul p = {.a = place(&s, 4, 8, 1), .b = place(&s, 8, 4, 2), .c = place(&s, 4, 4, 0)};
    const wn__kernel *k;
    assert_int_equal(wn__plan(&s.x, WN__OP_matmul, &p, &k), WN_OK);
    s.x.ways = &ways;
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    assert_int_equal(library->ran, 0);
    assert_int_equal(ways.taken, -1);
    assert_int_equal(ways.count, 8);
    assert_int_equal(strncmp(ways.text[3], "cublaslt/130100/3/", 18), 0);
    strcpy(third, ways.text[3]);
    s.x.way = third;
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    assert_int_equal(ways.taken, 3);
    s.x.ways = NULL;
    const int asked = library->asked;
    for (int i = 0; i < 2; i++)
        assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    assert_int_equal(library->ran, 3);
    assert_int_equal(library->asked, asked); // its answer was kept
    assert_true(first(&s, &p.c) == 16);
    // found wherever it stands among them
    char other[WN__WAY_TEXT];
    (void)snprintf(other, sizeof other, "cublaslt/130100/5/%s", third + 18);
    s.x.way = other;
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    assert_int_equal(library->ran, 3);
    end(&s);

    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char way[WN__WAY_TEXT];
        (void)snprintf(way, sizeof way, none[i], third + 18);
        begin(&s);
        p = (wn__matmul){.a = place(&s, 4, 8, 1), .b = place(&s, 8, 4, 2), .c = place(&s, 4, 4, 0)};
        s.x.way = way;
        h = (heard){0};
        wn_log_set(on_line, &h);
        for (int j = 0; j < 2; j++)
            assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
        wn_log_set(NULL, NULL);
        assert_int_equal(library->ran, 0);
        assert_true(first(&s, &p.c) == 16);
        assert_int_equal(h.lines, 1);
        assert_non_null(strstr(h.last, way));
        assert_non_null(strstr(h.last, "what it chooses itself is taken"));
        end(&s);
    }
}

// Scales are those of the way that runs.
static void test_ways8(void **state) {
    (void)state;
    scene s;
    wn__ways ways = {0};
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    begin(&s);
    wn_tensor t[3];
    const float scale[] = {2, 0.5F};
    uint8_t codes[16 * 16], result[2];
    memset(codes, 0x38, sizeof codes); // 1
    for (int i = 0; i < 2; i++) {
        assert_int_equal(wn__tensor_alloc2(&s.memory, WN_DTYPE_U8, i == 0 ? 3 : 8, 16, &t[i]),
                         WN_OK);
        assert_int_equal(
            wn__cuda_copy_in(wn__gpu_device(s.gpu), t[i].data, codes, wn__tensor_bytes(&t[i])),
            WN_OK);
    }
    assert_int_equal(wn__tensor_alloc2(&s.memory, WN_DTYPE_BF16, 3, 8, &t[2]), WN_OK);
    const wn_tensor xs = planned(place(&s, 1, 1, scale[0])),
                    ws = planned(place(&s, 1, 1, scale[1]));
    const wn__spmm24_blocks8 p = {.x = planned(t[0]),
                                  .x_scale = planned(wn__tensor1(xs.data, WN_DTYPE_F32, 1)),
                                  .blocks = planned(wn__block8_tensor(8, 16)),
                                  .w_scale = planned(wn__tensor1(ws.data, WN_DTYPE_F32, 1)),
                                  .dense = planned(t[1]),
                                  .y = planned(t[2])};
    const wn__kernel *k;
    s.x.force = "spmm24_blocks8:cublaslt";
    assert_int_equal(wn__plan(&s.x, WN__OP_spmm24_blocks8, &p, &k), WN_OK);
    s.x.ways = &ways;
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    s.x.ways = NULL;
    s.x.way = ways.text[6];
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    assert_int_equal(library->ran, 6);
    assert_int_equal(wn__cuda_copy_out(wn__gpu_device(s.gpu), result, t[2].data, 2), WN_OK);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
    assert_int_equal(result[1] << 8 | result[0], 0x4180); // 16
    end(&s);
}

static void on_tuned(void *ctx, const wn_tune_result *r) {
    heard *h = ctx;
    if (strcmp(r->refused, "") != 0 && strstr(r->way, "cublaslt/130100/5/") != NULL) h->lines++;
    if (r->chosen) (void)snprintf(h->last, sizeof h->last, "%s %s", r->name, r->way);
}

// The fastest way is kept, not one that is wrong however fast; what is kept is what runs.
static void tune(const char *op, const char *problem, const char *variant, int wrong) {
    const wn_tune_options o = {
        .op = op, .problem = problem, .variant = variant, .device = "cuda", .repeats = 2};
    heard h = {0};
    char *text, expected[96];
    library->fast = 5;
    library->wrong = wrong;
    assert_int_equal(wn_kernels_tune(&o, on_tuned, &h, &text), WN_OK);
    (void)snprintf(expected, sizeof expected, "%s_cublaslt cublaslt/130100/", op);
    assert_int_equal(strncmp(h.last, expected, strlen(expected)), 0);
    assert_int_equal(h.last[strlen(expected)] == '5', wrong != 5);
    assert_int_equal(h.lines, wrong == 5);
    library->fast = library->wrong = -1;

    wn__tuned t = {0};
    assert_int_equal(wn__tuned_parse(&t, text, "f"), WN_OK);
    assert_int_equal(t.count, 1);
    assert_string_equal(t.line[0].variant, "cublaslt");
    assert_string_equal(t.line[0].way, h.last + strlen(op) + 10);
    assert_true(wn__tuned_seconds(&t.line[0], "cublaslt") == t.line[0].seconds);
    wn__tuned_free(&t);
    free(text);
}

static void test_tune(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    tune("matmul", "m=16,n=64,k=64,dtype=bf16,bt=1", NULL, -1);
    tune("matmul", "m=1,n=64,k=64,dtype=bf16,bt=1", NULL, 5);
    tune("spmm24_blocks", "T=16,n=64,k=64,dtype=bf16,dense=given", "cublaslt", 5);
    tune("spmm24_blocks8", "T=16,n=64,k=64,dense=given", "cublaslt", -1);
}

// What a file says is how the plan's variant runs, unless it is forced.
static void test_replay(void **state) {
    (void)state;
    scene s;
    wn__tuned t = {0};
    wn__ways ways = {0};
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__matmul p = {.a = place(&s, 4, 8, 1), .b = place(&s, 8, 4, 2), .c = place(&s, 4, 4, 0)};
    assert_int_equal(wn__plan(&s.x, WN__OP_matmul, &p, &k), WN_OK);
    s.x.ways = &ways;
    assert_int_equal(wn__run_kernel(&s.x, k, &p), WN_OK);
    s.x.ways = NULL;
    wn__tuned_line l = {.op = "matmul", .variant = "cublaslt", .seconds = 1e-6, .checked = "-"};
    wn__tuned_device(&s.x, &l);
    wn__class_of(WN__OP_matmul, &p, l.class);
    strcpy(l.way, ways.text[2]);
    assert_int_equal(wn__tuned_put(&t, &l), WN_OK);
    s.x.tuned = &t;
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_OK);
    assert_int_equal(library->ran, 2);
    s.x.force = "matmul:cublaslt";
    assert_int_equal(wn__run(&s.x, WN__OP_matmul, &p), WN_OK);
    assert_int_equal(library->ran, 0);
    s.x.force = NULL;
    assert_string_equal(wn__plan_way(&s.x, k, &p), ways.text[2]);
    strcpy(t.line[0].variant, "ref"); // of another variant
    assert_null(wn__plan_way(&s.x, k, &p));
    wn__tuned_free(&t);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
    end(&s);
}

static int set_up(void **state) {
    (void)state;
    fake = fake_cuda_open();
    library = fake_cublaslt_open();
    return fake == NULL || library == NULL ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_plans), cmocka_unit_test(test_errors),
        cmocka_unit_test(test_eights), cmocka_unit_test(test_room),  cmocka_unit_test(test_ways),
        cmocka_unit_test(test_ways8),  cmocka_unit_test(test_tune),  cmocka_unit_test(test_replay),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
