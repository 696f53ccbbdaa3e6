// SPDX-License-Identifier: MIT
// A fit on a GPU: whether there is one, its memory, and what goes there and back.
#include "prune/ks_gpu.h"

#include "base/fail.h"
#include "base/half.h"
#include "base/log.h"
#include "kernels/cuda/images.h"
#include "kernels/matmul.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- whether

static bool wants_gpu(const char *device, int *index, wn_status *status) {
    char *end = NULL;
    *status = WN_OK;
    *index = 0;
    if (device == NULL || strcmp(device, "cpu") == 0) return false;
    if (strcmp(device, "cuda") == 0) return true;
    if (strncmp(device, "cuda:", 5) == 0 && device[5] >= '0' && device[5] <= '9') {
        long n = strtol(device + 5, &end, 10);
        *index = (int)n;
        if (*end == 0 && n < 1024) return true;
    }
    *status = wn__fail(WN_INVALID, "device '%s': cpu, cuda or cuda:N expected", device);
    return false;
}

static wn_status open_gpu(wn__ks *k, int index) {
    wn__ks_gpu *g = k->gpu;
    int compute = 0, count = 0;
    wn_status status = WN_OK;
    if (!wn__device_code_built())
        status = wn__fail(WN_UNSUPPORTED, "this build has no device code");
    if (status == WN_OK) status = wn__cuda_count(&count);
    if (count > 0 && index >= count)
        return wn__fail(WN_INVALID, "device 'cuda:%d': GPUs are 0 to %d", index, count - 1);
    if (status == WN_OK) status = wn__cuda_compute(index, &compute);
    if (status == WN_OK && wn__gpu_flags_of(compute) == 0)
        status = wn__fail(WN_UNSUPPORTED, "compute capability %d.%d, 8.0 or later is needed",
                          compute / 10, compute % 10);
    if (status == WN_UNSUPPORTED) {
        wn__log(WN_LOG_WARN, "no GPU: %s; the fit runs on the CPU", wn_last_error());
        wn__ks_gpu_free(k);
        return WN_OK;
    }
    if (status == WN_OK) status = wn__gpu_create(index, &g->gpu);
    g->scale = 1;
    g->x = (wn__exec){.gpu = g->gpu, .device = {.kind = WN_DEVICE_CUDA, .index = index}};
    return status;
}

static bool is_wide(const wn__ks_gpu *g) {
    return g->dtype == WN_DTYPE_F32;
}

// float16 where nothing is asked for.
static void take_dtype(wn__ks *k) {
    const char *name = wn__cuda_info(wn__gpu_device(k->gpu->gpu))->name;
    const bool wide = k->o->dtype != NULL && strcmp(k->o->dtype, "float32") == 0;
    k->half = !wide && !k->brain;
    k->gpu->dtype = wide ? WN_DTYPE_F32 : k->brain ? WN_DTYPE_BF16 : WN_DTYPE_F16;
    if (wide)
        wn__log(WN_LOG_INFO, "fit on %s in float32", name);
    else
        wn__log(WN_LOG_INFO, "fit on %s in %s, masters and sums float32", name,
                k->brain ? "bfloat16" : "float16");
}

wn_status wn__ks_gpu_choose(wn__ks *k, bool closed) {
    wn_status status;
    int index;
    if (!wants_gpu(k->o->device, &index, &status)) return status;
    if (closed) {
        wn__log(WN_LOG_WARN,
                "closed forms and alternating least squares run on the CPU; gradients (--method "
                "sgd, or auto where the closed form is not the optimum) run on a GPU");
        return WN_OK;
    }
    k->gpu = calloc(1, sizeof *k->gpu);
    if (k->gpu == NULL) return wn__fail(WN_NOMEM, "out of memory");
    WN_TRY(open_gpu(k, index));
    if (k->gpu == NULL) return WN_OK;
    k->gpu->batched = k->o->impl != NULL && strcmp(k->o->impl, "bmm") == 0;
    if (k->gpu->batched) k->gpu->x.force = "kron_mul:cublaslt,kron_grad:cublaslt";
    if (k->batch_last) {
        wn__log(WN_LOG_WARN, "activations on the GPU lie [batch, features]: its kernels read "
                             "whole rows");
        k->batch_last = false;
    }
    take_dtype(k);
    return WN_OK;
}

void wn__ks_gpu_free(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    if (g == NULL) return;
    if (g->gpu != NULL) {
        wn__cuda *d = wn__gpu_device(g->gpu);
        wn__cuda_graph_free(d, g->whole.graph);
        wn__cuda_graph_free(d, g->left.graph);
    }
    wn__arena_free(&g->memory);
    wn__arena_free(&g->pinned);
    wn__gpu_free(g->gpu);
    free(g);
    k->gpu = NULL;
}

// ---- numbers of 16 bits; float32 has the vectors as they are, at no scale

static uint16_t bits(const wn__ks_gpu *g, float x) {
    return g->dtype == WN_DTYPE_BF16 ? wn__bf16_from_f32(x) : wn__f16_from_f32(x);
}
static float number(const wn__ks_gpu *g, uint16_t b) {
    return g->dtype == WN_DTYPE_BF16 ? wn__bf16_to_f32(b) : wn__f16_to_f32(b);
}

// The power of two nearest to 1 / rms of numbers whose squares have this mean.
static double power(double mean) {
    return mean > 0 && isfinite(mean) ? exp2(-round(log2(mean) / 2)) : 1;
}

void wn__ks_gpu_vectors(wn__ks *k, float *x, int64_t count) {
    wn__ks_gpu *g = k->gpu;
    double square = 0;
    if (is_wide(g)) return;
    for (int64_t i = 0; !g->scaled && i < count; i++)
        square += (double)x[i] * (double)x[i];
    if (!g->scaled) g->scale = power(square / (double)(count > 0 ? count : 1));
    g->scaled = true;
    const float scale = (float)g->scale, back = (float)(1 / g->scale);
    for (int64_t i = 0; i < count; i++)
        x[i] = number(g, bits(g, x[i] * scale)) * back;
}

double wn__ks_gpu_unit(wn__ks *k, double scale) {
    wn__ks_gpu *g = k->gpu;
    if (is_wide(g)) return scale;
    g->scale = power(scale * scale / (double)k->in);
    g->scaled = true;
    return (double)number(g, bits(g, (float)(scale * g->scale))) / g->scale;
}

// ---- targets

typedef struct target_memory {
    wn_tensor w, x, y;
} target_memory;

static wn_status aim_carve(const wn__ks *k, int64_t rows, wn__arena *a, target_memory *t) {
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, k->out, k->in, &t->w));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, rows, k->in, &t->x));
    WN_TRY(wn__tensor_alloc2(a, WN_DTYPE_F32, rows, k->out, &t->y));
    t->w.device = t->x.device = t->y.device = k->gpu->x.device;
    return WN_OK;
}

static wn__matmul aim_product(const target_memory *t, int64_t n) {
    wn__matmul p = {.a = t->x, .b = wn__tensor_transpose(&t->w), .c = t->y};
    p.a.shape[0] = p.c.shape[0] = n;
    return p;
}

wn_status wn__ks_gpu_aim(wn__ks *k, const wn__ks_data *d, bool *done) {
    enum { ROWS = 8192 };
    wn__ks_gpu *g = k->gpu;
    wn__cuda *device = wn__gpu_device(g->gpu);
    const int64_t rows = d->rows < ROWS ? d->rows : ROWS, in = k->in, out = k->out;
    wn__exec x = {.gpu = g->gpu, .device = g->x.device, .planning = true};
    target_memory t = {0};
    wn__arena measured, a = {0};
    void *scratch;
    wn__arena_measure_by("targets", WN_CUDA_ALIGN, &measured);
    WN_TRY(aim_carve(k, rows, &measured, &t));
    wn__matmul p = aim_product(&t, rows), last = aim_product(&t, d->rows % rows);
    wn_status status = wn__run(&x, WN__OP_matmul, &p);
    *done = status != WN_UNSUPPORTED;
    if (!*done) {
        wn__log(WN_LOG_WARN, "no cuBLASLt: targets are computed on the CPU");
        return WN_OK;
    }
    if (status == WN_OK && d->rows % rows > 0) status = wn__run(&x, WN__OP_matmul, &last);
    WN_TRY(status);
    x.planning = false;
    x.scratch_size = x.need;
    WN_TRY(wn__cuda_arena(device, "targets", measured.used + x.need + WN_CUDA_ALIGN, &a));
    WN_TRY_OUT(aim_carve(k, rows, &a, &t));
    WN_TRY_OUT(wn__arena_alloc(&a, x.need, &scratch));
    x.scratch = scratch;
    WN_TRY_OUT(wn__cuda_copy_in(device, t.w.data, k->w, (size_t)(out * in) * sizeof(float)));
    for (int64_t i = 0; i < d->rows; i += rows) {
        const int64_t n = d->rows - i < rows ? d->rows - i : rows;
        p = aim_product(&t, n);
        WN_TRY_OUT(wn__cuda_copy_in(device, t.x.data, d->input + i * in,
                                    (size_t)(n * in) * sizeof(float)));
        WN_TRY_OUT(wn__run(&x, WN__OP_matmul, &p));
        WN_TRY_OUT(wn__cuda_copy_out(device, d->target + i * out, t.y.data,
                                     (size_t)(n * out) * sizeof(float)));
        WN_TRY_OUT(wn__gpu_finish(g->gpu));
    }
out:
    wn__arena_free(&a);
    return status;
}

// ---- memory

static wn_status tensor(wn__ks_gpu *g, wn__arena *a, wn_dtype dtype, int64_t n, wn_tensor *out) {
    WN_TRY(wn__tensor_alloc1(a, dtype, n, out));
    out->device = g->x.device;
    return WN_OK;
}

// Rows that begin at multiples of 16 bytes where `pitched`, else one behind the other.
static wn_status rows_of(wn__ks_gpu *g, wn__arena *a, wn_dtype dtype, int64_t n, int64_t width,
                         bool pitched, wn_tensor *out) {
    const int64_t pitch = pitched ? (width + 7) / 8 * 8 : width;
    WN_TRY(wn__tensor_alloc2(a, dtype, n, pitch, out));
    out->shape[1] = width;
    out->device = g->x.device;
    return WN_OK;
}

// The numbers behind n of F64; NULL where memory is only measured.
static double *behind(const wn_tensor *t, int64_t n) {
    return t->data != NULL ? (double *)t->data + n : NULL;
}

static int64_t width_of(const wn__ks *k, int t) {
    return t == 0 ? k->in : wn__kron_rows(&k->chain.factor[t - 1]);
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

// Vectors of an evaluation together: whole batches.
static int64_t seen_rows(const wn__ks *k) {
    const int64_t most = k->train.rows > k->val.rows ? k->train.rows : k->val.rows;
    const int64_t some = WN__KS_EVAL / k->batch * k->batch;
    return least(some > k->batch ? some : k->batch, most);
}

static wn_status carve_data(wn__ks *k, wn__arena *a) {
    wn__ks_gpu *g = k->gpu;
    const wn__ks_data *from[2] = {&k->train, &k->val};
    wn__ks_gpu_data *to[2] = {&g->train, &g->val};
    for (int i = 0; i < 2; i++) {
        if (i == 1 && k->val.exact) { // the training's own
            g->val = g->train;
            break;
        }
        if (from[i]->rows == 0) continue;
        WN_TRY(rows_of(g, a, g->dtype, from[i]->rows, k->in, false, &to[i]->x));
        WN_TRY(rows_of(g, a, WN_DTYPE_F32, from[i]->rows, k->out, false, &to[i]->target));
    }
    return WN_OK;
}

static wn_status carve(wn__ks *k, wn__arena *a) {
    enum { PART = 128 }; // numbers, 512 bytes of float32
    wn__ks_gpu *g = k->gpu;
    const int count = (int)k->params.count;
    int64_t widest = k->in > k->out ? k->in : k->out;
    g->at[0] = 0;
    for (int p = 0; p < count; p++) {
        const int64_t n = wn__tensor_count(&k->params.item[p].w);
        g->at[p + 1] = g->at[p] + (n + PART - 1) / PART * PART;
    }
    const int64_t all = g->at[count];
    WN_TRY(carve_data(k, a));
    WN_TRY(tensor(g, a, WN_DTYPE_F32, all, &g->w));
    WN_TRY(tensor(g, a, WN_DTYPE_F32, all, &g->g));
    WN_TRY(tensor(g, a, WN_DTYPE_F32, all, &g->m));
    if (k->kind != WN_OPTIMIZER_SGD) WN_TRY(tensor(g, a, WN_DTYPE_F32, all, &g->v));
    if (is_wide(g))
        g->rounded = g->w;
    else
        WN_TRY(tensor(g, a, g->dtype, all, &g->rounded));
    // one copy brings both: step, then rows
    WN_TRY(tensor(g, a, WN_DTYPE_F64, 8 + (k->batch + 1) / 2, &g->step));
    g->rows = wn__tensor1(behind(&g->step, 8), WN_DTYPE_I32, k->batch);
    g->rows.device = g->x.device;
    g->step.shape[0] = 3;
    g->record_bytes = 64 + (size_t)((k->batch + 1) / 2) * sizeof(double);
    WN_TRY(tensor(g, a, WN_DTYPE_F64, count + 2, &g->loss));
    g->norms = wn__tensor1(behind(&g->loss, 1), WN_DTYPE_F64, count + 1);
    g->norms.device = g->x.device;
    g->loss.shape[0] = 1;
    WN_TRY(tensor(g, a, WN_DTYPE_F64, 1, &g->factor));
    for (int t = 0; t <= k->chain.count; t++) {
        const int64_t width = width_of(k, t);
        WN_TRY(rows_of(g, a, g->dtype, k->batch, width, t > 0, &g->h[t]));
        if (width > widest) widest = width;
    }
    for (int i = 0; i < 2; i++)
        WN_TRY(rows_of(g, a, g->dtype, k->batch, widest, true, &g->back[i]));
    WN_TRY(rows_of(g, a, WN_DTYPE_F32, k->batch, k->out, false, &g->wanted));
    WN_TRY(rows_of(g, a, g->dtype, seen_rows(k), k->out, true, &g->seen));
    void *scratch;
    WN_TRY(wn__arena_alloc(a, g->x.need, &scratch));
    g->x.scratch = scratch;
    g->x.scratch_size = g->x.need;
    return WN_OK;
}

// Numbers as the GPU has them, at `to` where they are rounded.
static const void *shown(const wn__ks_gpu *g, const float *x, int64_t n, float scale,
                         uint16_t *to) {
    if (is_wide(g)) return x;
    for (int64_t i = 0; i < n; i++)
        to[i] = bits(g, x[i] * scale);
    return to;
}

// Vectors and targets of the host's buffers, batch after batch; *squares: of the targets there.
static wn_status send(wn__ks *k, const wn__ks_data *d, const wn__ks_gpu_data *to, double *squares) {
    wn__ks_gpu *g = k->gpu;
    wn__cuda *device = wn__gpu_device(g->gpu);
    const size_t size = wn_dtype_size(g->dtype);
    const float scale = (float)g->scale;
    wn_status status = WN_OK;
    uint16_t *narrow = NULL;
    if (!is_wide(g)) {
        narrow = malloc((size_t)(k->batch * k->in) * sizeof *narrow);
        if (narrow == NULL) return wn__fail(WN_NOMEM, "out of memory for a batch");
    }
    for (int64_t i = 0; i < d->rows; i += k->batch) {
        const int64_t n = least(k->batch, d->rows - i);
        for (int64_t j = 0; j < n; j++)
            k->order[j] = i + j;
        wn__ks_bring(k, d, k->order, n);
        for (int64_t j = 0; j < n * k->out; j++) {
            k->wanted[j] *= scale;
            *squares += (double)k->wanted[j] * (double)k->wanted[j];
        }
        WN_TRY_OUT(wn__cuda_copy_in(device, (char *)to->x.data + (size_t)(i * k->in) * size,
                                    shown(g, k->h[0], n * k->in, scale, narrow),
                                    (size_t)(n * k->in) * size));
        WN_TRY_OUT(wn__cuda_copy_in(device, (float *)to->target.data + i * k->out, k->wanted,
                                    (size_t)(n * k->out) * sizeof(float)));
        WN_TRY_OUT(wn__cuda_wait(device));
    }
out:
    free(narrow);
    return status;
}

static wn_status pin(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    const size_t updates = (size_t)((k->train.rows + k->batch - 1) / k->batch);
    const size_t sums = (k->params.count + 2) * sizeof(double);
    void *p;
    WN_TRY(wn__cuda_pinned(wn__gpu_device(g->gpu), "updates of an epoch",
                           updates * g->record_bytes + sums + 1024, &g->pinned));
    WN_TRY(wn__arena_alloc(&g->pinned, updates * g->record_bytes, &p));
    g->record = p;
    WN_TRY(wn__arena_alloc(&g->pinned, sums, &p));
    g->sums = p;
    return WN_OK;
}

wn_status wn__ks_gpu_build(wn__ks *k) {
    wn__ks_gpu *g = k->gpu;
    wn__arena measured;
    double squares = 0, none = 0;
    g->difference = 1;
    wn__arena_measure_by("a fit on a GPU", WN_CUDA_ALIGN, &measured);
    WN_TRY(carve(k, &measured));
    WN_TRY(wn__ks_gpu_plan(k));
    wn__arena_measure_by("a fit on a GPU", WN_CUDA_ALIGN, &measured);
    WN_TRY(carve(k, &measured));
    WN_TRY(wn__cuda_arena(wn__gpu_device(g->gpu), "a fit on a GPU", measured.used, &g->memory));
    WN_TRY(carve(k, &g->memory));
    WN_TRY(pin(k));
    WN_TRY(send(k, &k->train, &g->train, &squares));
    if (k->val.rows > 0 && !k->val.exact) WN_TRY(send(k, &k->val, &g->val, &none));
    if (!is_wide(g)) g->difference = power(squares / (double)(k->train.rows * k->out));
    return WN_OK;
}

// ---- parameters

// Copies the numbers of one kind, of all parameters: in, or out.
static wn_status move(const wn__ks *k, const wn_tensor *there, int state, bool in) {
    const wn__ks_gpu *g = k->gpu;
    wn__cuda *d = wn__gpu_device(g->gpu);
    for (size_t p = 0; p < k->params.count; p++) {
        const wn__param *param = &k->params.item[p];
        const wn_tensor *here = state < 0 ? &param->w : &param->state[state];
        float *to = (float *)there->data + g->at[p];
        WN_TRY(in ? wn__cuda_copy_in(d, to, here->data, wn__tensor_bytes(here))
                  : wn__cuda_copy_out(d, here->data, to, wn__tensor_bytes(here)));
    }
    return WN_OK;
}

static wn_status move_all(const wn__ks *k, bool in) {
    const wn__ks_gpu *g = k->gpu;
    WN_TRY(move(k, &g->w, -1, in));
    WN_TRY(move(k, &g->m, 0, in));
    if (wn__given(&g->v)) WN_TRY(move(k, &g->v, 1, in));
    return wn__cuda_wait(wn__gpu_device(g->gpu));
}

wn_status wn__ks_gpu_push(wn__ks *k) {
    const wn__ks_gpu *g = k->gpu;
    wn__cuda *d = wn__gpu_device(g->gpu);
    WN_TRY(move_all(k, true));
    for (size_t p = 0; !is_wide(g) && p < k->params.count; p++) {
        const wn_tensor *w = &k->params.item[p].w;
        const int64_t n = wn__tensor_count(w);
        uint16_t *narrow = malloc((size_t)n * sizeof *narrow + 1);
        if (narrow == NULL) return wn__fail(WN_NOMEM, "out of memory for a factor");
        wn_status status =
            wn__cuda_copy_in(d, (uint16_t *)g->rounded.data + g->at[p],
                             shown(g, w->data, n, 1, narrow), (size_t)n * sizeof *narrow);
        if (status == WN_OK) status = wn__cuda_wait(d);
        free(narrow);
        WN_TRY(status);
    }
    return WN_OK;
}

wn_status wn__ks_gpu_pull(const wn__ks *k) {
    return move_all(k, false);
}
