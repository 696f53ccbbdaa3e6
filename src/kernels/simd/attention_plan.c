// SPDX-License-Identifier: MIT
// The cut of attention, from its shapes alone, and the workspace that follows from it.
#include "kernels/simd/attention_plan.h"
#include "kernels/contract.h"
#include "kernels/simd/accepts.h"

#define ENOUGH     64  // spans of keys to share out
#define LEAST_SPAN 512 // keys of a span
#define FEW_HEADS  8   // (batch, key/value head) pairs, below which two passes are better

static int64_t round_up(int64_t a, int64_t b) {
    return wn__ceil_div(a, b) * b;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static wn__attention_sizes sizes_of(const wn_tensor *q, const wn_tensor *k, int64_t lanes) {
    wn__attention_sizes z = {.B = q->shape[0],
                             .T = q->shape[1],
                             .S = k->shape[1],
                             .H = q->shape[2],
                             .Hk = k->shape[2],
                             .D = q->shape[3]};
    z.group = z.H / z.Hk;
    z.depth = round_up(z.D, lanes);
    z.queries = least(WN_ATTENTION_VECS * lanes, round_up(z.T, lanes));
    z.blocks = wn__ceil_div(z.T, z.queries);
    return z;
}

// Runs of keys for few queries: enough of them to share out, none too short.
static void plan_few(wn__attention_plan *plan) {
    const wn__attention_sizes *z = &plan->z;
    plan->row_sets = wn__ceil_div(z->T * z->group, WN_ATTENTION_FEW_ROWS);
    int64_t items = z->B * z->Hk * plan->row_sets;
    int64_t spans = least(z->S / LEAST_SPAN, items > 0 ? ENOUGH / items : 1);
    plan->span_keys = round_up(wn__ceil_div(z->S, spans > 0 ? spans : 1), WN_ATTENTION_FEW_KEYS);
    plan->spans = wn__ceil_div(z->S, plan->span_keys);
    plan->partials = (size_t)(items * plan->spans * WN_ATTENTION_FEW_ROWS * (z->depth + 16));
    plan->worker_floats = WN_ATTENTION_FEW_ROWS * WN_ATTENTION_FEW_KEYS;
}

wn__attention_plan wn__attention_plan_for(const wn__attention *p, int64_t lanes) {
    wn__attention_plan plan = {.z = sizes_of(&p->q, &p->k, lanes)};
    plan.few = plan.z.T <= lanes / 2;
    if (plan.few) {
        plan_few(&plan);
        return plan;
    }
    // the block of q and the sums of the output, across; the scores
    plan.worker_floats = (size_t)((2 * plan.z.depth + WN_ATTENTION_KEYS) * plan.z.queries);
    return plan;
}

wn__attention_grad_plan wn__attention_grad_plan_for(const wn__attention_grad *p, int64_t lanes) {
    wn__attention_grad_plan plan = {.z = sizes_of(&p->q, &p->k, lanes)};
    const wn__attention_sizes *z = &plan.z;
    plan.two_passes = z->B * z->Hk < FEW_HEADS;
    plan.kept_keys = plan.two_passes ? WN_ATTENTION_KEYS : round_up(z->S, WN_ATTENTION_KEYS);
    // q and dout both ways, dq across; lse and delta; weights and their gradients; dk and dv
    plan.worker_floats = (size_t)((5 * z->depth + 2 + 2 * WN_ATTENTION_KEYS) * z->queries +
                                  2 * plan.kept_keys * z->depth);
    return plan;
}

static size_t workspace(const wn__attention *p, int threads, int64_t lanes) {
    wn__attention_plan plan = wn__attention_plan_for(p, lanes);
    return (plan.partials + (size_t)threads * plan.worker_floats) * sizeof(float);
}

static size_t grad_workspace(const wn__attention_grad *p, int threads, int64_t lanes) {
    return (size_t)threads * wn__attention_grad_plan_for(p, lanes).worker_floats * sizeof(float);
}

size_t wn__workspace_attention_avx2(const void *args, int threads) {
    return workspace(args, threads, 8);
}

size_t wn__workspace_attention_avx512(const void *args, int threads) {
    return workspace(args, threads, 16);
}

size_t wn__workspace_attention_grad_avx2(const void *args, int threads) {
    return grad_workspace(args, threads, 8);
}

size_t wn__workspace_attention_grad_avx512(const void *args, int threads) {
    return grad_workspace(args, threads, 16);
}
