// SPDX-License-Identifier: MIT
// Fits whose gradients run on a GPU that is stood in for: they follow the processor's within what
// rounding to 16 bits may do, go on bit for bit, and say where the processor runs instead.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/philox.h"
#include "fake/cublaslt/open.h"
#include "fake/cuda/open.h"
#include "formats/pth.h"
#include "kernels/cuda/images.h"
#include "tensor/tensor.h"
#include "unit/base/scratch.h"
#include "unit/prune/ks_stop.h"
#include "winnow/ks.h"

enum { OUT = 24, IN = 16, EPOCHS = 4, UPDATES = EPOCHS * 3 };

static fake_cuda_state *fake;
static fake_cublaslt_state *library;
static char said[2048];

static void hear(void *ctx, wn_log_level level, const char *line) {
    (void)ctx;
    (void)level;
    (void)snprintf(said + strlen(said), sizeof said - strlen(said), "%s\n", line);
}

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void assert_said(const char *words) {
    if (!strstr(said, words)) fail_msg("\"%s\" lacks \"%s\"", said, words);
    said[0] = '\0';
}

static const char *write_matrix(void **state, const char *name, int64_t out, int64_t in) {
    const char *path = scratch_path(state, name);
    float *w = malloc((size_t)(out * in) * sizeof *w);
    wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, out, in);
    wn__pth_writer *writer;
    for (int64_t i = 0; i < out * in; i++) {
        float z[4];
        wn__philox_normal(4, WN_STREAM_TEST, (uint64_t)(i + in), z);
        w[i] = z[0];
    }
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    free(w);
    return path;
}

// 75 vectors in batches of 32: two whole ones and one of 11.
static wn_ks_options options_for(void **state, const char *folder) {
    return (wn_ks_options){.chain = "monarch:4:2",
                           .method = "sgd",
                           .dtype = "float16",
                           .device = "cuda",
                           .rank = 2,
                           .data_std = 0.02,
                           .samples = 100,
                           .val_split = 0.25,
                           .batch_size = 32,
                           .epochs = EPOCHS,
                           .lr = 1e-2,
                           .weight_decay = 1e-4,
                           .patience = 10,
                           .factor = 0.5,
                           .step_size = 3,
                           .gamma = 0.1,
                           .max_grad_norm = 1,
                           .output_dir = scratch_path(state, folder),
                           .seed = 3,
                           .threads = 1};
}

// A result of L factors is off by (L + 1) u of the magnitudes it is made of: vectors, what lies
// between, itself. Differences are as large as those here, losses twice as far off; and an update
// moves a factor by its gradient's relative error, 2 (L + 1) u, of at most as much as it moves it,
// so U of them add as much each. Sums are of float32 whatever the dtype: of their at most IN terms
// for each factor, and a batch's for its gradient, each adds its u.
static double tolerance(int factors, double u, int64_t batch) {
    return 4 * ((factors + 1) * u + (double)(factors * IN + batch) * 0x1p-24) * (1 + UPDATES);
}

static void assert_near(double a, double b, double share) {
    if (!(fabs(a - b) <= share * fabs(b))) fail_msg("%.9g is not %.9g to %.3g", a, b, share);
}

static void compare(const char *path, wn_ks_options o, int factors, double u) {
    wn_ks_result here, there;
    const int launches = fake->launches;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &there));
    assert_true(fake->launches > launches);
    assert_int_equal(fake->alive, 0);
    o.device = "cpu";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &here));
    assert_near(there.val_loss, here.val_loss, tolerance(factors, u, o.batch_size));
    assert_near(there.relative_error, here.relative_error, tolerance(factors, u, o.batch_size));
    assert_true(there.val_loss != here.val_loss);
}

// Both dtypes of 16 bits, float32, every rule, all three kinds of vectors, chains of two factors
// and more, both ways of making gradients of two.
static void test_near(void **state) {
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    const char *square = write_matrix(state, "square.pth", IN, IN);
    static const char *const rules[] = {"adamw", "adam", "sgd"};
    wn_ks_options o = options_for(state, "near");
    for (int i = 0; i < 3; i++) {
        o.optimizer = rules[i];
        compare(path, o, 2, 0x1p-11);
    }
    o.optimizer = NULL;
    o.dtype = "bfloat16";
    compare(path, o, 2, 0x1p-8);
    o.dtype = "float32"; // products of the dtype itself, nothing rounded to another
    for (int i = 0; i < 3; i++) {
        o.optimizer = rules[i];
        compare(path, o, 2, 0x1p-24);
    }
    o.optimizer = NULL;
    o.dtype = NULL; // float16 there, float32 here
    o.data = "exact";
    compare(path, o, 2, 0x1p-11);
    o.calib = write_matrix(state, "x.pth", 50, IN);
    compare(path, o, 2, 0x1p-11);
    o.calib = NULL;
    o.chain = "butterfly";
    o.method = "auto";
    compare(square, o, 4, 0x1p-11);
    o.dtype = "float32";
    compare(square, o, 4, 0x1p-24);
    o = options_for(state, "pair");
    o.samples = 500;
    o.batch_size = 256;
    o.val_split = 0.25;
    compare(path, o, 2, 0x1p-11);
    o.dtype = "float32";
    compare(path, o, 2, 0x1p-24);
}

// Permuted and batched products: in place of the fused kernels, of gradients of two factors at once
// too, and as near.
static void test_batched(void **state) {
    static const char *const dtypes[] = {"float16", "bfloat16", "float32"};
    static const double units[] = {0x1p-11, 0x1p-8, 0x1p-24};
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    const char *square = write_matrix(state, "square.pth", IN, IN);
    const int run = library->run;
    wn_ks_options o = options_for(state, "batched");
    o.impl = "bmm";
    for (int i = 0; i < 3; i++) {
        o.dtype = dtypes[i];
        compare(path, o, 2, units[i]);
    }
    // updates of whole batches and of the last one, each once as it is and once in a graph: two
    // products forward, two gradients, one back
    assert_true(library->run - run >= 3 * 4 * 5);
    o.chain = "butterfly";
    compare(square, o, 4, 0x1p-24);
    o = options_for(state, "batched pair");
    o.impl = "bmm";
    o.samples = 500;
    o.batch_size = 256; // from which on two factors are taken at once
    const int before = library->run;
    compare(path, o, 2, 0x1p-11);
    assert_true(library->run - before >= 4 * 5);
}

// Two epochs and two more are four, and the file is one that the processor goes on from.
static void test_resume(void **state) {
    static const char *const kinds[][3] = {{"adamw", "plateau", "float16"},
                                           {"adam", "step", "float32"},
                                           {"sgd", "cosine", "float16"},
                                           {"adamw", "cosine", "float32"}};
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    char middle[1200], final[1200];
    for (int i = 0; i < 4; i++) {
        wn_ks_options o = options_for(state, "whole");
        wn_ks_result r;
        o.optimizer = kinds[i][0];
        o.scheduler = kinds[i][1];
        o.dtype = kinds[i][2];
        o.save_interval = 2;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        (void)snprintf(final, sizeof final, "%s", r.final_path);
        (void)snprintf(middle, sizeof middle, "%s/ks_chain_epoch_2.pth", o.output_dir);
        o.resume = middle;
        o.output_dir = scratch_path(state, "parts");
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_same_files(final, r.final_path);
        o.device = "cpu";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_ok(wn__dir_remove(scratch_path(state, "whole")));
        assert_ok(wn__dir_remove(scratch_path(state, "parts")));
    }
}

// Of the first epoch nothing is left, and the GPU has nothing either; after the others there is a
// checkpoint to go on from.
static void test_stop(void **state) {
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    wn_ks_options o = options_for(state, "stop");
    assert_stops(path, &o);
    assert_int_equal(fake->alive, 0);
}

// What the processor does instead is said; what nothing does is refused.
static void test_says(void **state) {
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    wn_ks_options o = options_for(state, "says");
    wn_ks_result r;
    const int launches = fake->launches;
    o.epochs = 1;
    o.method = "svd";
    said[0] = '\0';
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_said("closed forms and alternating least squares run on the CPU");
    assert_int_equal(fake->launches, launches);
    o.method = "sgd";
    o.dtype = "float32";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_said("fit on Fake GPU 0 in float32");
    o.dtype = "float16";
    o.batch_last = true;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_said("fit on Fake GPU 0 in float16");
    o.device = "cuda:7";
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
    o.device = "cuda:x";
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
    assert_int_equal(fake->alive, 0);
}

// Every call that fails ends the fit with its name and leaves nothing behind.
static void test_failures(void **state) {
    static const char *const calls[] = {
        "cuMemAlloc_v2",       "cuMemAllocHost_v2",           "cuMemcpyHtoDAsync_v2",
        "cuLaunchKernelEx",    "cuGraphInstantiateWithFlags", "cuGraphLaunch",
        "cuMemcpyDtoHAsync_v2"};
    const char *path = write_matrix(state, "w.pth", OUT, IN);
    wn_ks_options o = options_for(state, "fails");
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int nth = 2; nth < 40; nth += 18) {
            wn_ks_result r;
            fake->fail_symbol = calls[i];
            fake->fail_nth = nth;
            fake->fail_code = i < 2 ? 2 : 700;
            wn_status status = wn_ks_fit(path, &o, NULL, NULL, &r);
            if (fake->fail_nth == 0 && status == WN_OK) fail_msg("%s was let pass", calls[i]);
            fake->fail_nth = 0;
            assert_int_equal(fake->alive, 0);
        }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

static void test_no_device_code(void **state) {
    (void)state;
    skip();
}

int main(void) {
    const struct CMUnitTest tests[] = {TEST(test_near), TEST(test_batched), TEST(test_resume),
                                       TEST(test_stop), TEST(test_says),    TEST(test_failures)};
    const struct CMUnitTest none[] = {cmocka_unit_test(test_no_device_code)};
    if (!wn__device_code_built()) return cmocka_run_group_tests(none, NULL, NULL);
    fake = fake_cuda_open();
    if (fake == NULL) return 1;
    fake->memory_bytes = (size_t)256 << 20;
    library = fake_cublaslt_open();
    if (library == NULL) return 1;
    wn_log_set(hear, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
