// SPDX-License-Identifier: MIT
// Fits of whole chains: closed forms and training reach what theory says, checkpoints are read
// back, runs go on bit for bit, and what cannot be is refused.
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
#include "formats/pth.h"
#include "formats/safetensors.h"
#include "sparse/kron.h"
#include "sparse/kron_inputs.h"
#include "unit/base/scratch.h"
#include "unit/prune/ks_stop.h"
#include "winnow/ks.h"

enum { OUT = 24, IN = 16 };

static void assert_ok(wn_status status) {
    if (status != WN_OK) fail_msg("%s: %s", wn_status_name(status), wn_last_error());
}

static void draw(float *w, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float z[4];
        wn__philox_normal(4, WN_STREAM_TEST, (uint64_t)i, z);
        w[i] = z[0];
    }
}

static const char *write_weight(void **state, int64_t out, int64_t in, float *w) {
    const char *path = scratch_path(state, "w.pth");
    wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, out, in);
    wn__pth_writer *writer;
    draw(w, out * in);
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    return path;
}

static wn_ks_options options_for(void **state, const char *folder) {
    return (wn_ks_options){.rank = 2,
                           .data_std = 2,
                           .samples = 100,
                           .val_split = 0.2,
                           .batch_size = 32,
                           .epochs = 4,
                           .lr = 1e-2,
                           .weight_decay = 1e-4,
                           .patience = 10,
                           .factor = 0.5,
                           .step_size = 30,
                           .gamma = 0.1,
                           .max_grad_norm = 1,
                           .output_dir = scratch_path(state, folder),
                           .seed = 3,
                           .threads = 1};
}

// ||W - product||_F / ||W||_F of what a checkpoint holds, by dense matrices in double.
static double error_of(const char *path, const float *w, int64_t out, int64_t in) {
    wn__pth p;
    assert_ok(wn__pth_open(path, &p));
    const wn__pickle_value *patterns = wn__pickle_get(p.root, "patterns");
    int count = (int)wn__pickle_count(patterns);
    wn_tensor factor[WN__KRON_MAX];
    float *copy[WN__KRON_MAX];
    for (int t = 0; t < count; t++) {
        const wn__pickle_value *list = wn__pickle_at(patterns, (size_t)t);
        char name[64];
        (void)snprintf(name, sizeof name, "model_state_dict.weights.%d", t);
        const wn__kron k = {wn__pickle_at(list, 0)->integer, wn__pickle_at(list, 1)->integer,
                            wn__pickle_at(list, 2)->integer, wn__pickle_at(list, 3)->integer};
        copy[t] = malloc((size_t)wn__kron_params(&k) * sizeof(float));
        wn__pth_copy(&wn__pth_find(&p, name)->view, copy[t]);
        factor[t] = wn__kron_view(&k, WN__KRON_COLUMNS, copy[t], WN_DTYPE_F32);
    }
    double *dense = calloc((size_t)(out * in), sizeof *dense), error = 0, norm = 0;
    wn_tensor d = wn__tensor2(dense, WN_DTYPE_F64, out, in);
    assert_ok(wn__kron_chain_dense(factor, count, NULL, NULL, &d));
    for (int64_t i = 0; i < out * in; i++) {
        error += ((double)w[i] - dense[i]) * ((double)w[i] - dense[i]);
        norm += (double)w[i] * (double)w[i];
    }
    for (int t = 0; t < count; t++)
        free(copy[t]);
    free(dense);
    wn__pth_close(&p);
    return sqrt(error / norm);
}

// A closed form says what it left over, and the loss is s^2 ||W - product||^2 / out.
static void test_closed(void **state) {
    float w[OUT * IN];
    const char *path = write_weight(state, OUT, IN, w);
    wn_ks_options o = options_for(state, "closed");
    wn_ks_result r;
    o.method = "svd";
    double norm = 0;
    for (int i = 0; i < OUT * IN; i++)
        norm += (double)w[i] * (double)w[i];
    static const char *const chains[] = {"legacy", "monarch:4", "monarch:4x2", "monarch:4x8:2"};
    for (int c = 0; c < 4; c++) {
        o.chain = chains[c];
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        double error = error_of(r.final_path, w, OUT, IN);
        assert_true(fabs(error - r.relative_error) < 1e-5);
        assert_true(fabs(r.least - error) < 1e-5);
        assert_true(fabs(r.val_loss - 4 * error * error * norm / OUT) < 1e-4 * r.val_loss);
        assert_int_equal(r.out, OUT);
        assert_int_equal(r.dense, OUT * IN);
    }
}

static const char *in_folder(void **state, const char *folder, const char *name) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    return scratch_path(state, path);
}

// Gradients of exact data reach, from random factors, the optimum that the closed form has: of two
// factors, and of the seven of a small chain with bottlenecks, whose product has rank 2 and no
// more. (Long chains do not get there in so few epochs: with 24 x 16 and fourteen factors some end
// a third of a percent above.)
static void test_reaches(void **state) {
    static const struct {
        const char *chain;
        int64_t out, in;
    } runs[] = {{"monarch:4", OUT, IN}, {"legacy", 6, 4}};
    for (int i = 0; i < 2; i++) {
        float w[OUT * IN];
        const char *path = write_weight(state, runs[i].out, runs[i].in, w);
        wn_ks_options o = options_for(state, "reaches");
        wn_ks_result best, r;
        o.chain = runs[i].chain;
        o.method = "svd";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &best));
        o.method = "sgd";
        o.data = "exact";
        o.epochs = 600;
        o.lr = 3e-2;
        o.batch_size = 2 * runs[i].in; // the exact gradient
        o.weight_decay = 0;
        o.save_interval = 0;
        o.scheduler = "cosine";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        if (!(fabs(r.relative_error - best.relative_error) < 1e-4 * best.relative_error))
            fail_msg("%s: %.9g, the optimum is %.9g", runs[i].chain, r.relative_error,
                     best.relative_error);
    }
}

// Inputs whose numbers have very different sizes and are correlated: [n, in] into a file.
static const char *write_inputs(void **state, int64_t n, int64_t in, float *x) {
    const char *path = scratch_path(state, "x.pth");
    for (int64_t i = 0; i < n; i++) {
        float common[4];
        wn__philox_normal(8, WN_STREAM_TEST, (uint64_t)i, common);
        for (int64_t c = 0; c < in; c++) {
            float z[4];
            wn__philox_normal(9, WN_STREAM_TEST, (uint64_t)(i * in + c), z);
            x[i * in + c] = (z[0] + common[c % 4]) / (float)(1 + c);
        }
    }
    wn_tensor t = wn__tensor2(x, WN_DTYPE_F32, n, in);
    wn__pth_writer *writer;
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    return path;
}

// Alternating least squares: nothing to gain on two factors, which start at their optimum; on
// deeper chains from the closed form down, never below what no chain can reach; with a calibration
// at least as far as many epochs of gradients, and a whole sweep changes nothing any more.
static void test_als(void **state) {
    static float w[OUT * IN], square[16 * 16], x[200 * IN];
    const char *path = write_weight(state, OUT, IN, w), *inputs = write_inputs(state, 200, IN, x);
    wn_ks_options o = options_for(state, "als");
    wn_ks_result start, r, trained;
    o.epochs = 200;
    o.weight_decay = 0;
    o.scheduler = "cosine";
    o.save_interval = 0;
    static const char *const pairs[] = {"monarch:4", "monarch:4x8:2"};
    for (int c = 0; c < 2; c++) {
        o.chain = pairs[c];
        o.calib = NULL;
        o.method = "svd";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &start));
        o.method = "als";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_true(fabs(r.relative_error - start.relative_error) < 1e-5);
        o.calib = inputs;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_true(r.sweeps > 1 && r.sweeps < o.epochs);
        o.method = "auto"; // which is the same, where inputs are known
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &trained));
        assert_true(trained.sweeps == r.sweeps && trained.activation_error == r.activation_error);
        o.method = "sgd";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &trained));
        if (r.activation_error > trained.activation_error * 1.02)
            fail_msg("%g, by gradients %g", r.activation_error, trained.activation_error);
    }
    o.calib = NULL;
    o.chain = "butterfly";
    path = write_weight(state, 16, 16, square);
    o.method = "svd";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &start));
    o.method = "als";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_true(r.relative_error < start.relative_error && r.relative_error >= start.least);
    assert_true(fabs(error_of(r.final_path, square, 16, 16) - r.relative_error) < 1e-5);
    for (int half = 0; half < 2; half++) { // rounded weights of the same solution
        o.dtype = half ? "float16" : "bfloat16";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &start));
        assert_true(fabs(start.relative_error - r.relative_error) < 1e-3);
    }
}

// A matrix of cos(i^2) * scale.
static const char *write_scaled(void **state, double scale, float *w) {
    const char *path = scratch_path(state, "scaled.pth");
    for (int i = 0; i < 16 * 16; i++)
        w[i] = (float)(scale * cos((double)i * i));
    wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, 16, 16);
    wn__pth_writer *writer;
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    return path;
}

// Numbers at the ends of float32: what goes on from a closed form is never above it; what float16
// has no numbers for is refused, with nothing written.
static void test_far(void **state) {
    static const double scales[] = {1e30, 1e-30, 60000};
    static const char *const methods[] = {"als", "auto"}, *const chains[] = {"butterfly",
                                                                             "monarch:4"};
    float w[16 * 16];
    wn_ks_options o = options_for(state, "far");
    wn_ks_result closed, r;
    o.optimizer = "sgd"; // with a rate that leads nowhere
    o.max_grad_norm = 0;
    o.lr = 1e-3;
    for (int i = 0; i < 12; i++) {
        const char *path = write_scaled(state, scales[i / 4], w);
        o.chain = chains[i % 2];
        o.method = "svd";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &closed));
        o.method = methods[i / 2 % 2];
        wn_status status = wn_ks_fit(path, &o, NULL, NULL, &r);
        assert_true(status == WN_OK || (i / 2 % 2 == 1 && status == WN_INVALID));
        double best = error_of(in_folder(state, "far", "ks_chain_best.pth"), w, 16, 16);
        if (!(best <= closed.relative_error * (1 + 1e-5)))
            fail_msg("%s of numbers of %g: %g, closed %g", o.method, scales[i / 4], best,
                     closed.relative_error);
    }
    const char *path = write_scaled(state, 1e30, w);
    o.dtype = "float16";
    o.method = "svd";
    o.output_dir = scratch_path(state, "nowhere");
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "are too large for float16"));
    assert_false(wn__file_exists(in_folder(state, "nowhere", "ks_chain_best.pth")));
}

// Two epochs and two more are four, on any number of threads, with every optimizer and schedule.
static void test_resume(void **state) {
    static const char *const kinds[][2] = {
        {"adamw", "plateau"}, {"adam", "step"}, {"sgd", "none"}, {"adamw", "cosine"}};
    float w[OUT * IN];
    const char *path = write_weight(state, OUT, IN, w);
    for (int i = 0; i < 4; i++) {
        wn_ks_options o = options_for(state, "whole");
        wn_ks_result r;
        o.method = "sgd";
        o.optimizer = kinds[i][0];
        o.scheduler = kinds[i][1];
        o.save_interval = 2;
        o.step_size = 3;
        o.threads = 2;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        o.threads = 1;
        o.output_dir = scratch_path(state, "parts");
        assert_ok(wn__dir_make(o.output_dir));
        wn__names names;
        assert_ok(wn__dir_list(scratch_path(state, "whole"), &names));
        wn__names_free(&names);
        o.resume = in_folder(state, "whole", "ks_chain_epoch_2.pth");
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_same_files(in_folder(state, "whole", "ks_chain_final.pth"), r.final_path);
        assert_same_files(in_folder(state, "whole", "ks_chain_epoch_4.pth"),
                          in_folder(state, "parts", "ks_chain_epoch_4.pth"));
        o.optimizer = i == 0 ? "adam" : "adamw";
        if (strcmp(kinds[i][0], o.optimizer) != 0)
            assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
        assert_ok(wn__dir_remove(scratch_path(state, "whole")));
        assert_ok(wn__dir_remove(scratch_path(state, "parts")));
    }
}

static void refuse(const char *path, wn_ks_options o, const char *words);

// Squares of W - U V - K_{n-1} ... K_0 over those of W, of what a checkpoint holds.
static double error_with_head(const char *path, const float *w, int64_t rank) {
    wn__pth p;
    float v[8 * IN], u[OUT * 8], rest[OUT * IN];
    double whole = 0, left = 0;
    assert_ok(wn__pth_open(path, &p));
    wn__pth_copy(&wn__pth_find(&p, "head.in")->view, v);
    wn__pth_copy(&wn__pth_find(&p, "head.out")->view, u);
    wn__pth_close(&p);
    for (int64_t i = 0; i < OUT * IN; i++) {
        double sum = (double)w[i];
        for (int64_t q = 0; q < rank; q++)
            sum -= (double)u[i / IN * rank + q] * (double)v[q * IN + i % IN];
        rest[i] = (float)sum;
        left += sum * sum;
        whole += (double)w[i] * (double)w[i];
    }
    return error_of(path, rest, OUT, IN) * sqrt(left / whole);
}

// Gaussian numbers and two directions that stand out.
static const char *write_with_two(void **state, float *w) {
    const char *path = scratch_path(state, "two.pth");
    const wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, OUT, IN);
    wn__pth_writer *writer;
    draw(w, OUT * IN);
    for (int r = 0; r < OUT; r++)
        for (int c = 0; c < IN; c++)
            w[r * IN + c] += (float)(3 * cos(r) * sin(c) + 2 * sin(2.0 * r) * cos(3.0 * c));
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    return path;
}

// w with one number more.
static const char *other_weight(void **state, const float *w) {
    const char *path = scratch_path(state, "other.pth");
    float v[OUT * IN];
    wn__pth_writer *writer;
    const wn_tensor t = wn__tensor2(v, WN_DTYPE_F32, OUT, IN);
    memcpy(v, w, sizeof v);
    v[OUT * IN - 1] += 1;
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    return path;
}

// The file without a name of its pickle, or with another last number of a tensor; checksums are
// taken out.
static void change(const char *path, const char *name, const char *tensor) {
    wn__map map;
    wn__pth p;
    size_t found = 0;
    assert_ok(wn__map_open(path, &map));
    const size_t n = map.size;
    char *bytes = malloc(n);
    memcpy(bytes, map.data, n);
    wn__map_close(&map);
    if (tensor != NULL) {
        assert_ok(wn__pth_open(path, &p));
        const wn_tensor *t = &wn__pth_find(&p, tensor)->view;
        const ptrdiff_t last = (const char *)t->data - (const char *)p.map.data +
                               4 * (ptrdiff_t)(wn__tensor_count(t) - 1);
        float v;
        memcpy(&v, bytes + last, sizeof v);
        v += 1;
        memcpy(bytes + last, &v, sizeof v);
        wn__pth_close(&p);
    }
    for (size_t i = 0; i + 20 < n; i++) {
        if (memcmp(bytes + i, "PK\1\2", 4) == 0) memset(bytes + i + 16, 0, 4);
        if (name == NULL || memcmp(bytes + i, name, strlen(name)) != 0) continue;
        bytes[i] = 'x';
        found++;
    }
    assert_int_equal(found, name != NULL);
    assert_ok(wn__file_write(path, bytes, n));
    free(bytes);
}

// What winnow[key] of a checkpoint says.
static int64_t own_of(const char *path, const char *key) {
    wn__pth p;
    assert_ok(wn__pth_open(path, &p));
    const wn__pickle_value *v = wn__pickle_get(wn__pickle_get(p.root, "winnow"), key);
    const int64_t said = v != NULL && v->type == WN__PICKLE_INT ? v->integer : -1;
    wn__pth_close(&p);
    return said;
}

// A checkpoint without a head says of which weight it is too; one that does not is from before.
static void test_other_weight(void **state) {
    float w[OUT * IN];
    const char *path = write_with_two(state, w);
    wn_ks_options o = options_for(state, "one");
    wn_ks_result r;
    o.method = "sgd";
    o.save_interval = 2;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    o.resume = in_folder(state, "one", "ks_chain_epoch_2.pth");
    assert_int_equal(own_of(o.resume, "weight_crc"), wn__crc32(0, w, sizeof w));
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    refuse(other_weight(state, w), o, "is of another weight than ");
    change(o.resume, "weight_crc", NULL);
    assert_ok(wn_ks_fit(other_weight(state, w), &o, NULL, NULL, &r));
}

// The inputs themselves tell one calibration from another: what is computed of them may differ from
// one processor to the next.
static void test_calibration_crc(void **state) {
    static float w[OUT * IN], x[200 * IN];
    const char *path = write_weight(state, OUT, IN, w);
    wn_ks_options o = options_for(state, "inputs");
    wn_ks_result r;
    o.calib = write_inputs(state, 200, IN, x);
    o.method = "sgd";
    o.save_interval = 2;
    o.chain = "monarch:8+lowrank:2";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    o.resume = in_folder(state, "inputs", "ks_chain_epoch_2.pth");
    assert_int_equal(own_of(o.resume, "calib_crc"), wn__crc32(0, x, sizeof x));
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
}

// A head beside the chain: saved, in the errors and the counts, the same when a fit goes on; nearer
// than more of the chain where two directions stand out.
static void test_head(void **state) {
    float w[OUT * IN];
    const char *path = write_with_two(state, w);
    wn_ks_options o = options_for(state, "head");
    wn_ks_result alone, r, again;
    o.method = "svd";
    o.chain = "monarch:8:2";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &alone));
    o.chain = "monarch:8+lowrank:2";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_int_equal(r.params, alone.params / 2 + 2 * (OUT + IN));
    assert_true(r.params < alone.params && r.relative_error < alone.relative_error);
    assert_true(fabs(error_with_head(r.final_path, w, 2) - r.relative_error) < 1e-5);
    o.method = "als";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &again));
    assert_true(again.relative_error <= r.relative_error * (1 + 1e-6));
    o.method = "sgd";
    o.chain = "legacy+lowrank:2";
    o.save_interval = 2;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    o.output_dir = scratch_path(state, "on");
    o.resume = in_folder(state, "head", "ks_chain_epoch_2.pth");
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &again));
    assert_same_files(again.final_path, r.final_path);
    refuse(other_weight(state, w), o, "its head is of another weight than ");
    o.calib = other_weight(state, w);
    refuse(path, o, "its head is of another calibration than ");
    o.calib = NULL;
    change(o.resume, "weight_crc", NULL);
    refuse(path, o, "does not say what its head is of (winnow.weight_crc)");
    o.resume = in_folder(state, "head", "ks_chain_epoch_4.pth");
    change(o.resume, NULL, "head.out");
    refuse(path, o, "its head is not the one that was saved (winnow.head_crc)");
    o.chain = "legacy+lowrank:3";
    refuse(path, o, "its head has rank 2, here 3");
    o.chain = "legacy";
    refuse(path, o, "its head has rank 2, here 0");
    o.resume = NULL;
    o.chain = "butterfly+lowrank:2";
    refuse(path, o, "a butterfly is square");
    o.chain = "legacy+lowrank:17";
    refuse(path, o, "a head of rank 17 beside 24 x 16: from 1 to 16");
    o.chain = "monarch:4+lowrank:";
    refuse(path, o, "perhaps with +lowrank:K");
    o.chain = "monarch:4:2:2+lowrank:1";
    refuse(path, o, "perhaps with +lowrank:K");
}

// A checkpoint of the original, made by torch: run as it is, and gone on with, from its moments,
// rate and epoch; both kinds of file.
static void test_original(void **state) {
    enum { N = 8 };
    static const char *const files[] = {"chain.pth", "chain_legacy.pth"};
    float w[N * N];
    const char *path = write_weight(state, N, N, w);
    double norm = 0;
    for (int i = 0; i < N * N; i++)
        norm += (double)w[i] * (double)w[i];
    for (int i = 0; i < 2; i++) {
        char file[512];
        wn_ks_options o = options_for(state, "original");
        wn_ks_result r;
        wn__pth p;
        float bias[N];
        double square = 0, error;
        (void)snprintf(file, sizeof file, "%s/formats/pth/%s", WN_FIXTURES, files[i]);
        o.resume = file;
        o.chain = "butterfly";
        o.method = "svd"; // nothing is changed then
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_ok(wn__pth_open(file, &p));
        wn__pth_copy(&wn__pth_find(&p, "model_state_dict.bias")->view, bias);
        for (int j = 0; j < N; j++)
            square += (double)bias[j] * (double)bias[j] / norm;
        wn__pth_close(&p);
        error = error_of(file, w, N, N);
        assert_true(fabs(error_of(r.final_path, w, N, N) - error) < 1e-12);
        assert_true(fabs(r.relative_error - sqrt(error * error + square)) < 1e-5);
        assert_true(fabs(r.val_loss - 4 * (error * error + square / 4) * norm / N) <
                    1e-4 * r.val_loss);
        o.method = "sgd";
        o.epochs = 7;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
        assert_ok(wn__pth_open(r.final_path, &p));
        assert_int_equal(wn__pickle_get(p.root, "epoch")->integer, 7);
        float step = 0; // one of the file's, and three batches twice
        wn__pth_copy(&wn__pth_find(&p, "optimizer_state_dict.state.0.step")->view, &step);
        assert_true(step == 7);
        assert_true(wn__pickle_get(p.root, "learning_rate")->real == 1e-3); // of the file
        wn__pth_close(&p);
        assert_true(r.best_val_loss <= 1.25);
        o.chain = "legacy";
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r)); // the same one
        o.chain = "monarch:4:2";
        refuse(path, o, "its factor 0 is (4,2,2,1), here (2,4,4,1)");
        o.chain = "butterfly";
        o.optimizer = "sgd";
        refuse(path, o, "optimizer_state_dict.state.0.momentum_buffer' is missing");
        o.optimizer = NULL;
        o.epochs = 5;
        refuse(path, o, "5 epochs are over, 5 were asked for");
        o.resume = path;
        refuse(path, o, "no checkpoint of winnow ks fit");
    }
}

// What such a file may say that no run can begin from: a dictionary of an 8 x 8 butterfly.
static const char *write_original(void **state, int64_t epoch, double loss, double first) {
    double number[16] = {first, 1};
    const wn_tensor factor = wn__tensor(number, WN_DTYPE_F64, 3, (const int64_t[]){4, 2, 2});
    const wn_tensor bias = wn__tensor(number + 8, WN_DTYPE_F64, 1, (const int64_t[]){8});
    const char *path = scratch_path(state, "written.pth");
    static const char *const name[] = {"weights.0", "weights.1", "weights.2"};
    wn__pth_writer *p;
    assert_ok(wn__pth_create(path, &p));
    wn__pth_begin(p, WN__PICKLE_DICT);
    wn__pth_put_text(p, "epoch");
    wn__pth_put_int(p, epoch);
    wn__pth_put_text(p, "val_loss");
    wn__pth_put_real(p, loss);
    wn__pth_put_text(p, "patterns");
    wn__pth_begin(p, WN__PICKLE_LIST);
    for (int t = 0; t < 3; t++) {
        const int64_t pattern[] = {4 >> t, 2, 2, 1 << t};
        wn__pth_begin(p, WN__PICKLE_TUPLE);
        for (int i = 0; i < 4; i++)
            wn__pth_put_int(p, pattern[i]);
        wn__pth_end(p);
    }
    wn__pth_end(p);
    wn__pth_put_text(p, "model_state_dict");
    wn__pth_begin_ordered(p);
    wn__pth_put_text(p, "bias");
    wn__pth_put_tensor(p, &bias);
    for (int t = 0; t < 3; t++) {
        wn__pth_put_text(p, name[t]);
        wn__pth_put_tensor(p, &factor);
    }
    wn__pth_end(p);
    wn__pth_end(p);
    assert_ok(wn__pth_commit(p));
    return path;
}

static void test_original_limits(void **state) {
    float w[64];
    const char *path = write_weight(state, 8, 8, w);
    wn_ks_options o = options_for(state, "limits");
    wn_ks_result r;
    o.chain = "butterfly";
    o.method = "sgd";
    o.epochs = 4;
    o.resume = write_original(state, 2, NAN, 0.5); // the epochs here are better than none
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_true(isfinite(r.best_val_loss));
    assert_true(r.best_epoch > 2);
    o.resume = write_original(state, (int64_t)1 << 62, 1.25, 0.5);
    refuse(path, o, "written.pth: epoch is an integer, a count below 2^31 expected");
    o.resume = write_original(state, 2, 1.25, 1e300);
    refuse(path, o, "'model_state_dict.weights.0': number 0 is not finite in float32");
}

typedef struct seen {
    int epochs, best;
    double last;
} seen;

static void see(void *ctx, const wn_ks_epoch *e) {
    seen *s = ctx;
    s->epochs++;
    s->best += e->best;
    s->last = e->val_loss;
    assert_int_equal(e->epoch, s->epochs);
    double square = 0;
    for (int t = 0; t < e->factors; t++)
        square += e->factor_norm[t] * e->factor_norm[t];
    assert_true(e->grad_norm > 0 && square > 0);
}

// Batch last, rounded weights and batched products are the same run but for rounding.
static void test_ways(void **state) {
    float w[OUT * IN];
    const char *path = write_weight(state, OUT, IN, w);
    wn_ks_options o = options_for(state, "ways");
    wn_ks_result plain, r;
    seen s = {0};
    o.method = "sgd";
    assert_ok(wn_ks_fit(path, &o, see, &s, &plain));
    assert_int_equal(s.epochs, 4);
    assert_true(s.best >= 1 && s.last == plain.val_loss);
    o.batch_last = true;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_true(fabs(r.val_loss - plain.val_loss) < 1e-3 * plain.val_loss);
    o.dtype = "float16";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    assert_true(fabs(r.val_loss - plain.val_loss) < 5e-2 * plain.val_loss);
    assert_true(r.val_loss != plain.val_loss);
}

// The same matrix out of a safetensors file, by name.
static void test_sources(void **state) {
    float w[OUT * IN], bias[3] = {0};
    const char *path = write_weight(state, OUT, IN, w);
    const char *other = scratch_path(state, "w.safetensors");
    const wn__st_item items[2] = {
        {.name = "layer.weight", .view = wn__tensor2(w, WN_DTYPE_F32, OUT, IN)},
        {.name = "layer.bias", .view = wn__tensor1(bias, WN_DTYPE_F32, 3)}};
    assert_ok(wn__safetensors_write(other, items, 2, NULL, 0, NULL, NULL));
    wn_ks_options o = options_for(state, "sources");
    wn_ks_result a, b;
    o.method = "svd";
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &a));
    assert_ok(wn_ks_fit(other, &o, NULL, NULL, &b));
    assert_true(a.relative_error == b.relative_error);
    o.tensor = "layer.weight";
    assert_ok(wn_ks_fit(other, &o, NULL, NULL, &b));
    o.tensor = "layer.bias";
    assert_int_equal(wn_ks_fit(other, &o, NULL, NULL, &b), WN_INVALID);
    assert_non_null(
        strstr(wn_last_error(), "'layer.bias' is F32 [3], a matrix of floats expected"));
    o.tensor = "layer";
    assert_int_equal(wn_ks_fit(other, &o, NULL, NULL, &b), WN_INVALID);
    w[5] = NAN;
    wn__pth_writer *writer;
    wn_tensor t = wn__tensor2(w, WN_DTYPE_F32, OUT, IN);
    assert_ok(wn__pth_create(path, &writer));
    wn__pth_put_tensor(writer, &t);
    assert_ok(wn__pth_commit(writer));
    o.tensor = NULL;
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &b), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "at row 0, column 5: numbers must be finite"));
}

// The relative error of the outputs of the closed form that is whitened by H's blocks.
static double closed_outputs(const float *w, const float *x, int64_t n) {
    static double h[IN * IN], wide[OUT * IN];
    double mean = 0, *factor[WN__KRON_MAX];
    wn__kron_chain chain;
    wn__kron_inputs report;
    wn__exec exec = {0};
    for (int64_t i = 0; i < OUT * IN; i++)
        wide[i] = (double)w[i];
    memset(h, 0, sizeof h);
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < IN * IN; i++)
            h[i] += (double)x[r * IN + i / IN] * (double)x[r * IN + i % IN] / (double)n;
    for (int64_t i = 0; i < IN; i++)
        mean += h[i * IN + i] / IN;
    for (int64_t i = 0; i < IN; i++)
        h[i * IN + i] += 0.01 * mean;
    assert_ok(wn__kron_chain_monarch(OUT, IN, 4, 4, 1, &chain));
    for (int t = 0; t < chain.count; t++)
        factor[t] = calloc((size_t)wn__kron_params(&chain.factor[t]), sizeof(double));
    assert_ok(wn__kron_fit_inputs(NULL, &exec, &chain, wide, h, 0, factor, &report));
    for (int t = 0; t < chain.count; t++)
        free(factor[t]);
    return report.outputs;
}

// With a calibration the outputs come closer than by the plain fit; a bottleneck's closed form is
// the optimum, which gradients do not beat.
static void test_calibrated(void **state) {
    static float w[OUT * IN], x[200 * IN];
    const char *path = write_weight(state, OUT, IN, w), *inputs = write_inputs(state, 200, IN, x);
    wn_ks_options o = options_for(state, "calibrated");
    static const char *const chains[] = {"legacy", "monarch:4", "monarch:4x8:2"};
    for (int c = 0; c < 3; c++) {
        wn_ks_result plain, start, after;
        o.chain = chains[c];
        o.method = "svd";
        o.calib = NULL;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &plain));
        assert_true(plain.activation_error == 0);
        o.calib = inputs;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &start));
        if (c == 1) // factors are rounded to float32
            assert_true(fabs(start.activation_error - closed_outputs(w, x, 200)) < 1e-6);
        o.method = "auto";
        o.epochs = 100;
        o.lr = 1e-2;
        o.scheduler = "cosine";
        o.weight_decay = 0;
        assert_ok(wn_ks_fit(path, &o, NULL, NULL, &after));
        assert_true(start.relative_error >= plain.relative_error);
        assert_true(start.activation_error < plain.relative_error); // H weighs few directions
        if (c == 0)
            assert_true(after.activation_error > start.activation_error * (1 - 1e-4));
        else
            assert_true(after.activation_error < start.activation_error);
    }
    o.calib = path; // [24, 16]: as many numbers as the weight takes
    o.method = "svd";
    wn_ks_result r;
    assert_ok(wn_ks_fit(path, &o, NULL, NULL, &r));
    o.calib = WN_FIXTURES "/formats/pth/bare.pth";
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
    assert_non_null(strstr(wn_last_error(), "inputs of 3 numbers, the weight takes 16"));
}

static void refuse(const char *path, wn_ks_options o, const char *words) {
    wn_ks_result r;
    assert_int_equal(wn_ks_fit(path, &o, NULL, NULL, &r), WN_INVALID);
    if (!strstr(wn_last_error(), words)) fail_msg("\"%s\" lacks \"%s\"", wn_last_error(), words);
}

static void test_refusals(void **state) {
    float w[OUT * IN];
    const char *path = write_weight(state, OUT, IN, w);
    wn_ks_options o = options_for(state, "refusals"), p;
    p = o, p.method = "lbfgs";
    refuse(path, p, "method 'lbfgs': svd, als, sgd or auto expected");
    p = o, p.chain = "monarch:5";
    refuse(path, p, "blocks of 5 do not divide 24 outputs; the nearest that do: 6");
    p = o, p.chain = "monarch:4x:2";
    refuse(path, p, "monarch:B[xC][:R] expected");
    p = o, p.chain = "butterfly";
    refuse(path, p, "a butterfly is square, not 24 x 16");
    p = o, p.optimizer = "adafactor";
    refuse(path, p, "adamw, adam or sgd expected");
    p = o, p.scheduler = "linear";
    refuse(path, p, "plateau, cosine, step or none");
    p = o, p.dtype = "int8";
    refuse(path, p, "float32, float16 or bfloat16 expected");
    p = o, p.impl = "cuda";
    refuse(path, p, "triton or bmm expected");
    p = o, p.data = "text", p.method = "sgd";
    refuse(path, p, "exact or random expected");
    p = o, p.method = "sgd", p.samples = 2, p.val_split = 0.9;
    refuse(path, p, "leave none");
    p = o, p.prefix = "a/b";
    refuse(path, p, "no file name begins with 'a/b'");
    p = o, p.resume = path;
    refuse(path, p, "no checkpoint of winnow ks fit");
}

// Within the first epoch there is nothing to save; a later one goes to its end, and is saved.
static void test_stop(void **state) {
    float w[OUT * IN];
    const char *path = write_weight(state, OUT, IN, w);
    wn_ks_options o = options_for(state, "stop");
    o.method = "sgd";
    assert_stops(path, &o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_setup, scratch_teardown)

static const struct CMUnitTest tests[] = {
    TEST(test_closed),          TEST(test_als),      TEST(test_reaches),
    TEST(test_resume),          TEST(test_ways),     TEST(test_sources),
    TEST(test_calibrated),      TEST(test_refusals), TEST(test_original),
    TEST(test_original_limits), TEST(test_head),     TEST(test_other_weight),
    TEST(test_calibration_crc), TEST(test_stop),     TEST(test_far),
};

int main(void) {
    return cmocka_run_group_tests(tests, NULL, NULL);
}
