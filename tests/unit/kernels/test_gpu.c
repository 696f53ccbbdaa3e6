// SPDX-License-Identifier: MIT
// Planning and launching on a GPU, over a driver that stands in for NVIDIA's: which rows run where,
// what is launched, and that refused data are named as on the host.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake/cuda/open.h"
#include "kernels/block24.h"
#include "kernels/cuda/args_few.h"
#include "kernels/cuda/few_plan.h"
#include "kernels/cuda/images.h"
#include "kernels/kron_grad.h"
#include "kernels/kron_mul.h"
#include "kernels/mask24.h"
#include "kernels/op.h"
#include "kernels/pack24.h"
#include "kernels/spmm24_blocks.h"
#include "unit/kernels/gpu_scene.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static fake_cuda_state *fake;

static void begin(scene *s) {
    scene_begin(s, 1 << 16);
}

static void end(scene *s) {
    scene_end(s);
    assert_int_equal(fake->alive, 0);
}

static wn_tensor place(scene *s, wn_dtype dtype, int64_t rows, int64_t columns, const void *data) {
    wn_tensor t;
    assert_int_equal(wn__tensor_alloc2(&s->memory, dtype, rows, columns, &t), WN_OK);
    t.device.kind = WN_DEVICE_CUDA;
    if (data != NULL)
        assert_int_equal(
            wn__cuda_copy_in(wn__gpu_device(s->gpu), t.data, data, wn__tensor_bytes(&t)), WN_OK);
    return t;
}

static void test_flags(void **state) {
    (void)state;
    if (!wn__device_code_built()) skip();
    assert_int_equal(wn__gpu_flags_of(75), 0);
    assert_int_equal(wn__gpu_flags_of(80), WN_GPU_SM80);
    assert_int_equal(wn__gpu_flags_of(90), WN_GPU_ANY);
    assert_int_equal(wn__gpu_flags_of(100), WN_GPU_SM80);
    assert_int_equal(wn__gpu_flags(), WN_GPU_ANY);
}

// Rows of the other device are refused with the reason.
static void test_plan(void **state) {
    (void)state;
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__mask24 m = {.w = place(&s, WN_DTYPE_F32, 8, 8, NULL),
                    .mask = place(&s, WN_DTYPE_U8, 8, 2, NULL)};
    assert_int_equal(wn__plan(&s.x, WN__OP_mask24, &m, &k), WN_OK);
    assert_string_equal(k->name, "mask24_sm80");
    m.method = WN_MASK24_GREEDY;
    assert_int_equal(wn__plan(&s.x, WN__OP_mask24, &m, &k), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "ref: runs on the cpu only"));
    assert_non_null(strstr(wn_last_error(), "sm80: greedy choices follow from each other"));
    const wn__exec cpu = {.force = "mask24:sm80"};
    m.method = WN_MASK24_ROW;
    assert_int_equal(wn__plan(&cpu, WN__OP_mask24, &m, &k), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "runs on a GPU only"));
    end(&s);
}

// What device code would leave behind, left by hand.
static void fault(wn__gpu *gpu, unsigned number) {
    static const wn__gpu_refusal none = {0};
    wn__gpu_fault f;
    assert_int_equal(wn__gpu_guard(gpu, &none, "", &f), WN_OK);
    assert_int_equal(wn__cuda_copy_in(wn__gpu_device(gpu), f.word, &number, sizeof number), WN_OK);
}

static void test_refused_data(void **state) {
    (void)state;
    scene s;
    float w[64] = {0};
    uint8_t mask[16] = {0};
    const float zeros[64] = {0};
    if (!wn__device_code_built()) skip();
    begin(&s);
    w[3 * 8 + 5] = NAN;
    mask[2 * 2 + 1] = 7;
    const wn__mask24 m = {.w = place(&s, WN_DTYPE_F32, 8, 8, w),
                          .mask = place(&s, WN_DTYPE_U8, 8, 2, NULL)};
    const wn__pack24 p = {.w = m.w,
                          .mask = place(&s, WN_DTYPE_U8, 8, 2, mask),
                          .values = place(&s, WN_DTYPE_F32, 8, 4, NULL),
                          .index = place(&s, WN_DTYPE_U8, 8, 1, NULL)};
    const int launches = fake->launches;
    assert_int_equal(wn__run(&s.x, WN__OP_pack24, &p), WN_OK);
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK);
    assert_int_equal(fake->launches, launches + 2);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_INVALID); // the first of the two
    assert_string_equal(wn_last_error(),
                        "mask at row 2, group 1 keeps 3 of 4 columns; at most 2 fit");
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK); // and forgotten
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_INVALID);
    assert_string_equal(wn_last_error(), "NaN at row 3, column 5");
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK);
    assert_int_equal(wn__cuda_copy_in(wn__gpu_device(s.gpu), m.w.data, zeros, sizeof zeros), WN_OK);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "have changed since"));
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
    fault(s.gpu, 77);
    assert_int_equal(wn__gpu_finish(s.gpu), WN_BUG);
    end(&s);
}

// A graph refuses by its own numbers, however often it runs.
static void test_graph(void **state) {
    (void)state;
    scene s;
    float w[64] = {0};
    wn__cuda_graph *g;
    if (!wn__device_code_built()) skip();
    begin(&s);
    wn__cuda *d = wn__gpu_device(s.gpu);
    const wn__mask24 m = {.w = place(&s, WN_DTYPE_F32, 8, 8, w),
                          .mask = place(&s, WN_DTYPE_U8, 8, 2, NULL)};
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK); // loads the code
    assert_int_equal(wn__cuda_capture_begin(d), WN_OK);
    assert_int_equal(wn__run(&s.x, WN__OP_mask24, &m), WN_OK);
    assert_int_equal(wn__cuda_capture_end(d, &g), WN_OK);
    for (int i = 0; i < 4; i++) {
        w[10] = i % 2 != 0 ? NAN : 1;
        assert_int_equal(wn__cuda_copy_in(d, m.w.data, w, sizeof w), WN_OK);
        assert_int_equal(wn__cuda_graph_run(d, g), WN_OK);
        assert_int_equal(wn__gpu_finish(s.gpu), i % 2 != 0 ? WN_INVALID : WN_OK);
        if (i % 2 != 0) assert_string_equal(wn_last_error(), "NaN at row 1, column 2");
    }
    wn__cuda_graph_free(d, g);
    end(&s);
}

// The harness on the stand-in's own kernels: what is launched, with what, and what travels.
static void on_result(void *ctx, const wn_check_result *r) {
    (void)ctx;
    if (!r->passed) print_error("%s %s: %s\n", r->name, r->problem, r->message);
}

static void test_launch_path(void **state) {
    (void)state;
    // every op's own choice, and of the tiles that are to be forced some of each kind
    static const char *const variants[] = {"sm80",
                                           "sm80_few",
                                           "sm90a",
                                           "sm90a_tf32",
                                           "sm90a_parts",
                                           "sm90a_parts_few",
                                           "sm90a_256x208x2",
                                           "sm90a_256x192x2",
                                           "sm90a_256x192x2r64",
                                           "sm90a_256x176x2",
                                           "sm90a_256x200x2",
                                           "sm90a_128x232x2",
                                           "sm90a_192x128x2",
                                           "sm90a_128x208",
                                           "sm90a_128x160",
                                           "sm90a_128x128s2",
                                           "sm90a_128x64s4",
                                           "sm90a_fused",
                                           "sm90a_rank",
                                           "sm90a_wide",
                                           "sm90a_merged"};
    int64_t all = 0;
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const wn_check_options o = {.op = "*", .variant = variants[i], .seed = 3, .quick = true};
        int64_t cases = 0, failed = 1;
        assert_int_equal(wn_kernels_check(&o, on_result, NULL, &cases, &failed), WN_OK);
        assert_int_equal(failed, 0);
        assert_true(cases > 0);
        all += cases;
    }
    assert_true(all > 200);
    assert_int_equal(fake->alive, 0);
}

static void check_problem(const char *op, const char *variant, const char *problem, int variants) {
    const wn_check_options o = {.op = op, .variant = variant, .problem = problem, .seed = 3};
    int64_t cases = 0, failed = 1;
    assert_int_equal(wn_kernels_check(&o, on_result, NULL, &cases, &failed), WN_OK);
    assert_int_equal(cases, variants);
    assert_int_equal(failed, 0);
}

// The last tile of tokens has maps of its own, of x by halves of a cluster and of a residual.
static void test_last_tile(void **state) {
    (void)state;
    static const char *const tiles[][2] = {
        {"spmm24_blocks", "sm90a_256x192x2"},   {"spmm24_blocks", "sm90a_256x176"},
        {"spmm24_blocks", "sm90a_128x64s4"},    {"spmm24_blocks", "sm90a_128x160x2"},
        {"spmm24_blocks8", "sm90a_192x128"},    {"spmm24_blocks8", "sm90a_128x160"},
        {"spmm24_blocks8", "sm90a_256x176x2"},  {"spmm24_blocks8", "sm90a_256x208x2"},
        {"spmm24_blocks8", "sm90a_256x192r64"}, {"spmm24_blocks8", "sm90a_256x200x2"},
        {"spmm24_blocks", "sm90a_256x200x2"},   {"spmm24_blocks", "sm90a_128x232"}};
    // 13, 3 and 45 tokens of a last tile of 192; all that there are
    static const int tokens[] = {205, 195, 237, 37};
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++)
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
            char problem[64];
            (void)snprintf(problem, sizeof problem, "T=%d,n=264,k=128,residual=other", tokens[t]);
            check_problem(tiles[i][0], tiles[i][1], problem, 1);
        }
}

// Float32 factors of wide blocks: four side by side or one behind the other, one alone, turned;
// sides that fill no tile; numbers that are not finite; a chain of both and of one that is not wide
// between.
static void test_tf32(void **state) {
    (void)state;
    static const char *const problems[] = {
        "n=131,a=2,s=1,t=65,r=1,c=20,d=4,count=1,dtype=f32",
        "n=5,a=1,s=2,t=35,r=2,c=48,d=8,count=1,dtype=f32,layout=groups-cb,accumulate=1",
        "n=3,a=1,s=1,t=34,r=1,c=324,d=16,count=1,dtype=f32,data=infinite",
        "n=130,a=2,s=1,t=260,r=1,c=36,d=1,count=1,dtype=f32,accumulate=1",
        "n=2,a=1,s=1,t=136,r=1,c=136,d=1,count=1,dtype=f32,form=turned,data=infinite",
        "n=129,a=8,s=1,t=36,r=1,c=52,d=1,count=1,dtype=f32,layout=groups-bc,accumulate=1",
        "n=3,a=4,s=1,t=68,r=1,c=64,d=1,count=1,dtype=f32,data=infinite",
        "n=129,a=1,s=2,t=8,r=20,b=140,c=40,d=1,count=2,dtype=f32",
        "n=4,a=1,s=2,t=8,r=20,b=140,c=40,d=1,count=2,dtype=f32,form=turned",
        "n=9,a=1,s=2,t=4,r=40,b=36,c=24,d=2,count=4,dtype=f32"};
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        check_problem("kron_mul", "sm90a_tf32", problems[i], 1);
}

// A gradient's outputs go down a grid, which holds no more than so many tiles of them.
static void test_kron_grad_few(void **state) {
    (void)state;
    enum { N = 32, C = 32, MOST = 65535 * 32 };
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    begin(&s);
    const wn__exec planning = {
        .gpu = s.gpu, .device = {.kind = WN_DEVICE_CUDA}, .force = "kron_grad:sm80_few"};
    for (int64_t b = MOST; b <= MOST + 1; b++) {
        wn__kron_grad p = {.x = wn__tensor2(NULL, WN_DTYPE_BF16, N, C),
                           .dy = wn__tensor2(NULL, WN_DTYPE_BF16, N, b),
                           .dw = wn__tensor4(NULL, WN_DTYPE_BF16, 1, b, C, 1)};
        p.x.device.kind = p.dy.device.kind = p.dw.device.kind = WN_DEVICE_CUDA;
        assert_int_equal(wn__plan(&planning, WN__OP_kron_grad, &p, &k),
                         b > MOST ? WN_UNSUPPORTED : WN_OK);
    }
    assert_non_null(strstr(wn_last_error(), "2097121 outputs of a block are more than a grid"));
    end(&s);
}

// Views that begin between two pieces of 16 bytes are taken number by number: each operand in turn.
static void test_kron_few_views(void **state) {
    (void)state;
    enum { N = 2, B = 8, C = 32, D = 8 };
    if (!wn__device_code_built()) skip();
    for (int which = 0; which < 4; which++) {
        scene s;
        begin(&s);
        wn_tensor x = place(&s, WN_DTYPE_F32, N, C * D + 4, NULL);
        wn_tensor y = place(&s, WN_DTYPE_F32, N, B * D + 4, NULL);
        const wn_tensor room = place(&s, WN_DTYPE_F32, B, C * D + 4, NULL);
        x.shape[1] = C * D;
        y.shape[1] = B * D;
        wn_tensor w = wn__tensor4(room.data, WN_DTYPE_F32, 1, B, C, D);
        w.device = room.device;
        wn_tensor *one = which == 1 ? &x : which == 2 ? &w : &y;
        if (which > 0) one->data = (float *)one->data + 1;
        wn__kron_mul p = {.x = x, .y = y, .w = {w}, .count = 1};
        s.x.force = "kron_mul:sm80_few";
        assert_int_equal(wn__run(&s.x, WN__OP_kron_mul, &p), WN_OK);
        assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
        end(&s);
    }
}

// Blocks whose numbers are no whole pieces, and vectors that do not lie so, are not taken.
static void test_tf32_refused(void **state) {
    (void)state;
    static const char *const problems[] = {
        "n=1,a=4,s=1,t=131,r=1,c=20,d=1,count=1,dtype=f32", // pairs of outputs
        "n=1,a=4,s=1,t=132,r=1,c=21,d=1,count=1,dtype=f32", // fours of inputs
        "n=5,a=1,s=1,t=65,r=1,c=20,d=6,count=1,dtype=f32",
        "n=5,a=1,s=1,t=65,r=1,c=15,d=4,count=1,dtype=f32",
        "n=5,a=1,s=1,t=65,r=1,c=20,d=4,count=1,dtype=f32,batch=in",
        "n=5,a=1,s=1,t=65,r=1,c=20,d=4,count=1,dtype=f32,batch=out"};
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        check_problem("kron_mul", "sm90a_tf32", problems[i], 0);
}

// So has that of what is sparse along its rows, b lying along k, and of choosing tokens; where b
// lies along its columns there are boxes of 64.
static void test_last_tile_of_rows(void **state) {
    (void)state;
    static const char *const problems[][2] = {{"spmm24_blocks_rows", "n=72,m=%d,k=136,bt=1"},
                                              {"spmm24_blocks_rows", "n=72,m=%d,k=136,bt=1,sums=1"},
                                              {"spmm24_blocks_rows", "n=264,m=%d,k=72,bt=0"},
                                              {"relu24_blocks", "n=136,T=%d,k=72"}};
    static const int columns[] = {8, 128, 136, 200, 256, 264, 400};
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++)
        for (size_t t = 0; t < sizeof columns / sizeof *columns; t++) {
            char problem[64];
            const char *at = strstr(problems[i][1], "%d");
            (void)snprintf(problem, sizeof problem, "%.*s%d%s", (int)(at - problems[i][1]),
                           problems[i][1], columns[t], at + 2);
            check_problem(problems[i][0], "sm90a", problem, 1);
        }
}

// Products of few tokens: clusters divide the inputs of narrow matrices, launches overlap.
static void test_few(void **state) {
    (void)state;
    scene s;
    const wn__kernel *k;
    if (!wn__device_code_built()) skip();
    fake->memory_bytes = (size_t)1 << 30;
    static const char *const problems[][2] = {
        {"spmm24_blocks", "T=3,n=61,k=200,bias=1,residual=y,relu2=1"},
        {"spmm24_blocks", "T=70,n=72,k=96,dtype=f16,residual=other"},
        {"spmm24_blocks", "T=1,n=8,k=1030,onehot=1"},
        {"spmm24_blocks", "T=5,n=9,k=0,bias=1"},
        {"spmm24_blocks8", "T=3,n=64,k=300,bias=1,residual=y,relu2=1,scales=rows"},
        {"spmm24_blocks", "T=200,n=72,k=136"}, // tiles of 104 and 96 tokens, of 200, of 8
        {"spmm24_blocks8", "T=70,n=72,k=96,dtype=f16,scales=one"}};
    for (size_t i = 0; i < sizeof problems / sizeof *problems; i++) {
        check_problem(problems[i][0], "sm90a_few*", problems[i][1], wn__few_shape_count + 1);
    }
    // so few outputs of so many inputs are a cluster's
    check_problem("spmm24_blocks", "sm90a_few", "T=2,n=8,k=2048", 1);
    assert_int_equal(wn__few_plan_of(2, 8, 2048, 2, WN_FEW_ANY).split, 4);
    assert_int_equal(fake->last_cluster, 4);
    begin(&s);
    wn__spmm24_blocks p = {.x = place(&s, WN_DTYPE_BF16, 3, 256, NULL),
                           .blocks = wn__block24_tensor(64, 256),
                           .y = place(&s, WN_DTYPE_BF16, 3, 64, NULL),
                           .values = WN_DTYPE_BF16};
    const wn_tensor blocks = place(&s, WN_DTYPE_U8, 4, 4608, NULL);
    p.blocks.data = blocks.data;
    p.blocks.device = blocks.device;
    assert_false(wn__gpu_lets_next_begin(s.gpu));
    assert_int_equal(wn__run(&s.x, WN__OP_spmm24_blocks, &p), WN_OK);
    assert_int_equal(fake->last_overlap, 1);
    assert_true(wn__gpu_lets_next_begin(s.gpu));
    assert_int_equal(wn__gpu_finish(s.gpu), WN_OK);
    p.x.shape[0] = p.y.shape[0] = WN_FEW_TOKENS_MOST + 1;
    p.x.data = p.y.data = p.blocks.data = NULL;
    const wn__exec planning = {
        .gpu = s.gpu, .device = {.kind = WN_DEVICE_CUDA}, .force = "spmm24_blocks:sm90a_few"};
    assert_int_equal(wn__plan(&planning, WN__OP_spmm24_blocks, &p, &k), WN_UNSUPPORTED);
    assert_non_null(strstr(wn_last_error(), "tiles are faster for 1537 tokens and 64 outputs"));
    p.y.shape[1] = p.y.stride[0] = 60; // which tiles cannot store
    p.blocks = wn__block24_tensor(60, 256);
    p.blocks.device = blocks.device;
    assert_int_equal(wn__plan(&planning, WN__OP_spmm24_blocks, &p, &k), WN_OK);
    end(&s);
}

static int set_up(void **state) {
    (void)state;
    fake = fake_cuda_open();
    return fake == NULL ? -1 : 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flags),        cmocka_unit_test(test_plan),
        cmocka_unit_test(test_refused_data), cmocka_unit_test(test_graph),
        cmocka_unit_test(test_launch_path),  cmocka_unit_test(test_last_tile),
        cmocka_unit_test(test_tf32),         cmocka_unit_test(test_last_tile_of_rows),
        cmocka_unit_test(test_few),          cmocka_unit_test(test_kron_grad_few),
        cmocka_unit_test(test_tf32_refused), cmocka_unit_test(test_kron_few_views),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
