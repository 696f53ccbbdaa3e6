// SPDX-License-Identifier: MIT
// A whole MLP on a GPU, forward and backward: h = x U^T, a = relu(h)^2, y = a D^T, and the
// gradients of x, U [out,in] and D [in,out]. Dense products are cuBLASLt's best; 2:4 weights are
// packed anew in every run, both ways under transposable masks that stay.
#include "base/fail.h"
#include "bench/gpu.h"
#include "kernels/block24.h"
#include "kernels/mask24.h"
#include "kernels/mlp.h"
#include "kernels/mvue24_blocks.h"
#include "kernels/spmm24_blocks.h"
#include "kernels/spmm24_blocks_rows.h"

#include <stdlib.h>
#include <string.h>

enum { ACTIONS = 16, MATRICES = 32 };

// One op with its arguments; a dense product has a choice of cuBLASLt's instead of a kernel.
typedef struct action {
    wn__op op;
    const wn__kernel *kernel;
    const char *way;
    wn__gpu_best best;
    union {
        wn__matmul matmul;
        wn__block24 block;
        wn__spmm24_blocks product;
        wn__spmm24_blocks_rows gradient;
        wn__mvue24_blocks draw;
        wn__relu2 relu2;
        wn__relu2_grad relu2_grad;
    } p;
} action;

// How a run goes: `packed` weights, relu^2 inside of products (`fused`), gradients of weights from
// `drawn` gradients.
typedef struct form {
    const char *name;
    bool packed, fused, drawn;
} form;

typedef struct mlp {
    wn__suite *s;
    form form;
    wn_dtype dtype;
    int64_t T, out, in;
    wn__arena memory[MATRICES], work;
    int matrices;
    action action[ACTIONS];
    int actions;
    wn__exec x;
    void *workspace; // of cuBLASLt
    wn_tensor input, h, a, y, dy, da, dx;
    wn_tensor up, down, dup, ddown;
    wn_tensor blocks[2], blocks_t[2]; // of up and down
} mlp;

static void release(void *ctx) {
    mlp *j = ctx;
    for (int i = 0; i < j->matrices; i++)
        wn__arena_free(&j->memory[i]);
    wn__arena_free(&j->work);
    free(j);
}

static wn_status run(void *ctx) {
    mlp *j = ctx;
    for (int i = 0; i < j->actions; i++) {
        action *a = &j->action[i];
        if (a->op == WN__OP_mvue24_blocks) a->p.draw.counter++;
        j->x.way = a->way;
        WN_TRY(a->kernel != NULL ? wn__run_kernel(&j->x, a->kernel, &a->p)
                                 : wn__gpu_best_run(&a->best, &a->p.matmul, j->workspace));
    }
    return WN_OK;
}

static wn_status room(mlp *j, size_t bytes, void **out) {
    wn__arena *a = &j->memory[j->matrices];
    if (j->matrices == MATRICES) return wn__fail(WN_BUG, "more than %d matrices", MATRICES);
    WN_TRY(wn__cuda_arena(j->s->gpu->d, "an MLP", bytes + WN_CUDA_ALIGN, a));
    j->matrices++;
    return wn__arena_alloc(a, bytes, out);
}

static wn_status matrix(mlp *j, int64_t rows, int64_t columns, uint64_t seed, wn_tensor *out) {
    void *p;
    *out = wn__tensor2(NULL, j->dtype, rows, columns);
    WN_TRY(room(j, wn__tensor_bytes(out), &p));
    out->data = p;
    out->device.kind = WN_DEVICE_CUDA;
    return seed == 0 ? WN_OK : wn__gpu_random(j->s->gpu, p, j->dtype, rows * columns, seed);
}

static wn_status bytes_of(mlp *j, wn_tensor t, wn_tensor *out) {
    void *p;
    *out = t;
    WN_TRY(room(j, wn__tensor_bytes(&t), &p));
    out->data = p;
    out->device.kind = WN_DEVICE_CUDA;
    return WN_OK;
}

static wn_tensor transposed(wn_tensor t) {
    wn_tensor r = t;
    r.shape[0] = t.shape[1];
    r.shape[1] = t.shape[0];
    r.stride[0] = t.stride[1];
    r.stride[1] = t.stride[0];
    return r;
}

static action *next(mlp *j, wn__op op) {
    action *a = &j->action[j->actions++];
    *a = (action){.op = op};
    return a;
}

static void multiply(mlp *j, wn_tensor a, wn_tensor b, wn_tensor c) {
    next(j, WN__OP_matmul)->p.matmul = (wn__matmul){.a = a, .b = b, .c = c};
}

static void multiply24(mlp *j, wn_tensor x, wn_tensor blocks, wn_tensor y, bool relu2,
                       const wn_tensor *gate) {
    wn__spmm24_blocks *p = &next(j, WN__OP_spmm24_blocks)->p.product;
    *p = (wn__spmm24_blocks){
        .x = x, .blocks = blocks, .y = y, .values = j->dtype, .relu2 = relu2, .gate = gate != NULL};
    if (gate != NULL) p->residual = *gate;
}

// A mask for good, and packing at every run.
static wn_status pack(mlp *j, int which, wn_tensor w) {
    wn_tensor mask;
    WN_TRY(bytes_of(j, wn__tensor2(NULL, WN_DTYPE_U8, w.shape[0], w.shape[1] / 4), &mask));
    const wn__mask24 choose = {.w = w, .mask = mask, .method = WN_MASK24_TILE};
    WN_TRY(wn__gpu_run_op(j->s, WN__OP_mask24, &choose));
    WN_TRY(bytes_of(j, wn__block24_tensor(w.shape[0], w.shape[1]), &j->blocks[which]));
    WN_TRY(bytes_of(j, wn__block24_tensor(w.shape[1], w.shape[0]), &j->blocks_t[which]));
    next(j, WN__OP_block24)->p.block = (wn__block24){
        .w = w, .mask = mask, .blocks = j->blocks[which], .blocks_t = j->blocks_t[which]};
    return WN_OK;
}

// dw = dy^T x.
static wn_status weight_gradient(mlp *j, wn_tensor dy, wn_tensor x, wn_tensor dw, uint64_t stream) {
    wn_tensor blocks;
    if (!j->form.drawn) {
        multiply(j, transposed(dy), x, dw);
        return WN_OK;
    }
    WN_TRY(bytes_of(j, wn__block24_tensor(dy.shape[1], dy.shape[0]), &blocks));
    next(j, WN__OP_mvue24_blocks)->p.draw =
        (wn__mvue24_blocks){.x = dy, .blocks = blocks, .seed = 1, .stream = stream};
    next(j, WN__OP_spmm24_blocks_rows)->p.gradient =
        (wn__spmm24_blocks_rows){.b = x, .blocks = blocks, .c = dw, .values = j->dtype};
    return WN_OK;
}

static wn_status build(mlp *j) {
    const bool packed = j->form.packed, fused = j->form.fused;
    if (packed) {
        WN_TRY(pack(j, 0, j->up));
        WN_TRY(pack(j, 1, j->down));
    }
    if (packed)
        multiply24(j, j->input, j->blocks[0], fused ? j->a : j->h, fused, NULL);
    else
        multiply(j, j->input, transposed(j->up), j->h);
    if (!fused) next(j, WN__OP_relu2)->p.relu2 = (wn__relu2){.x = j->h, .y = j->a};
    if (packed)
        multiply24(j, j->a, j->blocks[1], j->y, false, NULL);
    else
        multiply(j, j->a, transposed(j->down), j->y);
    if (packed)
        multiply24(j, j->dy, j->blocks_t[1], j->da, false, fused ? &j->a : NULL);
    else
        multiply(j, j->dy, j->down, j->da);
    if (!fused)
        next(j, WN__OP_relu2_grad)->p.relu2_grad =
            (wn__relu2_grad){.x = j->h, .dy = j->da, .dx = j->da};
    if (packed)
        multiply24(j, j->da, j->blocks_t[0], j->dx, false, NULL);
    else
        multiply(j, j->da, j->up, j->dx);
    WN_TRY(weight_gradient(j, j->dy, j->a, j->ddown, 1));
    return weight_gradient(j, j->da, j->input, j->dup, 2);
}

static wn_status matrices(mlp *j) {
    WN_TRY(matrix(j, j->T, j->in, 1, &j->input));
    WN_TRY(matrix(j, j->T, j->out, 0, &j->h));
    WN_TRY(matrix(j, j->T, j->out, 2, &j->a));
    WN_TRY(matrix(j, j->T, j->in, 0, &j->y));
    WN_TRY(matrix(j, j->T, j->in, 3, &j->dy));
    WN_TRY(matrix(j, j->T, j->out, 0, &j->da));
    WN_TRY(matrix(j, j->T, j->in, 0, &j->dx));
    WN_TRY(matrix(j, j->out, j->in, 4, &j->up));
    WN_TRY(matrix(j, j->in, j->out, 5, &j->down));
    WN_TRY(matrix(j, j->out, j->in, 0, &j->dup));
    return matrix(j, j->in, j->out, 0, &j->ddown);
}

// Kernels and choices for all, and the workspace of the largest.
static wn_status plan(mlp *j) {
    void *p;
    WN_TRY(room(j, WN__GPU_BEST_WORKSPACE, &j->workspace));
    j->x = (wn__exec){.gpu = j->s->gpu->gpu,
                      .device = {.kind = WN_DEVICE_CUDA},
                      .force = j->s->force,
                      .tuned = &j->s->gpu->tuned,
                      .planning = true};
    for (int i = 0; i < j->actions; i++) {
        action *a = &j->action[i];
        if (a->op == WN__OP_matmul) {
            WN_TRY(wn__gpu_best_find(j->s->gpu, &a->p.matmul, j->workspace, &a->best));
            continue;
        }
        WN_TRY(wn__plan(&j->x, a->op, &a->p, &a->kernel));
        a->way = wn__plan_way(&j->x, a->kernel, &a->p);
        WN_TRY(wn__run_kernel(&j->x, a->kernel, &a->p));
    }
    WN_TRY(wn__cuda_arena(j->s->gpu->d, "workspace", j->x.need + WN_CUDA_ALIGN, &j->work));
    WN_TRY(wn__arena_alloc(&j->work, j->x.need, &p));
    j->x.scratch = p;
    j->x.scratch_size = j->x.need;
    j->x.planning = false;
    return WN_OK;
}

static wn_status add(wn__cell *c, form f) {
    mlp *j = calloc(1, sizeof *j);
    if (j == NULL) return wn__fail(WN_NOMEM, "no memory for an MLP");
    j->s = c->suite;
    j->form = f;
    j->dtype = strcmp(c->suite->dtype, "f16") == 0 ? WN_DTYPE_F16 : WN_DTYPE_BF16;
    j->T = c->rows;
    j->out = c->shape.out;
    j->in = c->shape.in;
    wn_status status = matrices(j);
    if (status == WN_OK) status = build(j);
    if (status == WN_OK) status = plan(j);
    if (status != WN_OK) {
        release(j);
        if (status != WN_UNSUPPORTED) return status;
        return wn__suite_note(c->suite, "%s: %s", f.name, wn_last_error());
    }
    wn__entry *e;
    WN_TRY(wn__cell_add(c, f.name, f.packed ? WN_BENCH_STRUCTURE : WN_BENCH_DENSE, run, j, release,
                        &e));
    e->flops = 12 * (double)c->rows * (double)c->shape.out * (double)c->shape.in;
    return WN_OK;
}

static wn_status cell(wn__suite *s, wn__shape shape, int64_t rows) {
    static const form forms[] = {
        {"dense, cuBLASLt's best", false, false, false},
        {"2:4 weights", true, true, false},
        {"2:4 weights, relu2 apart", true, false, false},
        {"2:4 weights and weight gradients", true, true, true},
    };
    wn__cell c = {.suite = s, .work = "forward and backward", .shape = shape, .rows = rows};
    wn_status status = WN_OK;
    for (size_t i = 0; i < sizeof forms / sizeof *forms && status == WN_OK; i++)
        status = add(&c, forms[i]);
    if (status == WN_OK && c.count > 0) return wn__cell_measure(&c);
    wn__cell_free(&c);
    return status;
}

wn_status wn__gpu_bench_mlp(wn__suite *s) {
    if (strcmp(s->dtype, "bf16") != 0 && strcmp(s->dtype, "f16") != 0)
        return wn__fail(WN_INVALID, "mlp: dtype bf16 or f16, not %s", s->dtype);
    for (int i = 0; i < s->shapes; i++) {
        if (s->shape[i].out % 8 != 0 || s->shape[i].in % 8 != 0)
            return wn__fail(WN_INVALID, "mlp: shapes of multiples of 8, not %lldx%lld",
                            (long long)s->shape[i].out, (long long)s->shape[i].in);
        for (int r = 0; r < s->row_counts; r++)
            WN_TRY(cell(s, s->shape[i], s->rows[r]));
    }
    return WN_OK;
}
