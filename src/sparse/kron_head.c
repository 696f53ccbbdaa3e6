// SPDX-License-Identifier: MIT
// A chain and a low-rank head, each fitted to what the other one leaves.
#include "sparse/kron_head.h"

#include "base/fail.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__kron_head_chain(int64_t out, int64_t in, int64_t rank, wn__kron_chain *chain) {
    int64_t most = out < in ? out : in;
    *chain = (wn__kron_chain){0};
    if (rank < 1 || rank > most)
        return wn__fail(WN_INVALID, "a head of rank %lld beside %lld x %lld: from 1 to %lld",
                        (long long)rank, (long long)out, (long long)in, (long long)most);
    chain->factor[0] = (wn__kron){1, rank, in, 1};
    chain->factor[1] = (wn__kron){1, out, rank, 1};
    chain->count = 2;
    return WN_OK;
}

// A chain and its numbers, and those before the last turn.
typedef struct part {
    wn__kron_chain chain;
    double *const *factor;
    double *kept[WN__KRON_MAX];
} part;

typedef struct fit {
    const wn__linalg *family;
    wn__exec *x;
    int64_t out, in;
    const double *w, *h;
    part head, chain;
    double *rest; // [out, in] of W that one part leaves to the other
    double least; // squared error of what is kept
} fit;

static wn_status keep(part *p, bool back) {
    for (int t = 0; t < p->chain.count; t++) {
        size_t bytes = (size_t)wn__kron_params(&p->chain.factor[t]) * sizeof(double);
        if (p->kept[t] == NULL) p->kept[t] = malloc(bytes);
        if (p->kept[t] == NULL) return wn__fail(WN_NOMEM, "out of memory for %zu bytes", bytes);
        memcpy(back ? p->factor[t] : p->kept[t], back ? p->kept[t] : p->factor[t], bytes);
    }
    return WN_OK;
}

static wn_status keep_both(fit *f, bool back) {
    WN_TRY(keep(&f->head, back));
    return keep(&f->chain, back);
}

static void view(const part *p, wn_tensor *w) {
    for (int t = 0; t < p->chain.count; t++)
        w[t] = wn__kron_view(&p->chain.factor[t], WN__KRON_CANONICAL, p->factor[t], WN_DTYPE_F64);
}

// rest = W - that part.
static wn_status leave(const fit *f, const part *p) {
    const wn_tensor rest = wn__tensor2(f->rest, WN_DTYPE_F64, f->out, f->in);
    wn_tensor w[WN__KRON_MAX];
    view(p, w);
    WN_TRY(wn__kron_chain_dense(w, p->chain.count, NULL, NULL, &rest));
    for (int64_t i = 0; i < f->out * f->in; i++)
        f->rest[i] = f->w[i] - f->rest[i];
    return WN_OK;
}

// A part of the rest, by the moments h.
static wn_status fit_part(const fit *f, const part *p, const double *h, int rounds) {
    wn__kron_inputs by_inputs;
    wn__kron_fit plain;
    return h != NULL
               ? wn__kron_fit_inputs(f->family, f->x, &p->chain, f->rest, h, rounds, p->factor,
                                     &by_inputs)
               : wn__kron_fit_dense(f->family, f->x, &p->chain, f->rest, p->factor, false, &plain);
}

// Squared errors of both parts together: of the weight, and under the moments.
static wn_status errors(const fit *f, double *weight, double *outputs) {
    const wn_tensor rest = wn__tensor2(f->rest, WN_DTYPE_F64, f->out, f->in);
    int64_t rank = f->head.chain.factor[0].b;
    const wn_tensor v = wn__tensor2(f->head.factor[0], WN_DTYPE_F64, rank, f->in);
    const wn_tensor u = wn__tensor2(f->head.factor[1], WN_DTYPE_F64, f->out, rank);
    wn_tensor w[WN__KRON_MAX];
    view(&f->chain, w);
    WN_TRY(wn__kron_chain_dense(w, f->chain.chain.count, &u, &v, &rest));
    for (int64_t i = 0; i < f->out * f->in; i++)
        f->rest[i] = f->w[i] - f->rest[i];
    WN_TRY(wn__kron_inputs_square(f->x, f->out, f->in, f->rest, NULL, weight));
    return wn__kron_inputs_square(f->x, f->out, f->in, f->rest, f->h, outputs);
}

// Turns by the moments h, from W itself on; what is kept stays where they end no nearer.
static wn_status take_turns(fit *f, const double *h, int turns, int rounds, wn__kron_inputs *r) {
    double weight, outputs;
    memcpy(f->rest, f->w, (size_t)(f->out * f->in) * sizeof *f->rest);
    for (int turn = 0; turn < turns; turn++) {
        if (turn > 0) WN_TRY(leave(f, &f->chain));
        WN_TRY(fit_part(f, &f->head, h, 0)); // the closed form is the optimum
        WN_TRY(leave(f, &f->head));
        WN_TRY(fit_part(f, &f->chain, h, rounds));
        WN_TRY(errors(f, &weight, &outputs));
        if (!(outputs < f->least)) return keep_both(f, true);
        double gain = sqrt(outputs / f->least);
        f->least = outputs;
        WN_TRY(keep_both(f, false));
        r->rounds++;
        if (gain > 0.998) break;
    }
    return WN_OK;
}

static wn_status fit_all(fit *f, int turns, int rounds, wn__kron_inputs *r) {
    double norm, whole, weight, outputs;
    WN_TRY(wn__kron_inputs_square(f->x, f->out, f->in, f->w, NULL, &norm));
    WN_TRY(wn__kron_inputs_square(f->x, f->out, f->in, f->w, f->h, &whole));
    f->least = INFINITY;
    WN_TRY(take_turns(f, NULL, f->h == NULL ? turns : 1, 0, r));
    if (norm == 0) return WN_OK; // zeros are exact, and no error is relative to them
    WN_TRY(errors(f, &weight, &outputs));
    r->plain_weight = sqrt(weight / norm);
    r->plain_outputs = sqrt(fmax(outputs, 0) / whole);
    r->rounds = f->h == NULL ? r->rounds : 0;
    if (f->h != NULL) WN_TRY(take_turns(f, f->h, turns, rounds, r));
    WN_TRY(errors(f, &weight, &outputs));
    r->weight = sqrt(weight / norm);
    r->outputs = sqrt(fmax(outputs, 0) / whole);
    return WN_OK;
}

wn_status wn__kron_fit_head(const wn__linalg *family, wn__exec *x, const wn__kron_chain *c,
                            int64_t rank, const double *w, const double *h, int turns, int rounds,
                            double *const *factor, double *const *head, wn__kron_inputs *report) {
    fit f = {.family = family, .x = x, .w = w, .h = h, .chain = {.chain = *c, .factor = factor}};
    *report = (wn__kron_inputs){0};
    WN_TRY(wn__kron_chain_check(c));
    f.out = wn__kron_chain_rows(c);
    f.in = wn__kron_chain_columns(c);
    f.head.factor = head;
    WN_TRY(wn__kron_head_chain(f.out, f.in, rank, &f.head.chain));
    f.rest = malloc((size_t)(f.out * f.in) * sizeof *f.rest);
    wn_status status = f.rest != NULL ? fit_all(&f, turns < 1 ? 1 : turns, rounds, report)
                                      : wn__fail(WN_NOMEM, "out of memory for a fit");
    for (int t = 0; t < WN__KRON_MAX; t++) {
        free(f.head.kept[t]);
        free(f.chain.kept[t]);
    }
    free(f.rest);
    return status;
}
