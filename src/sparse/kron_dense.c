// SPDX-License-Identifier: MIT
// The dense matrix of a chain of Kronecker-sparse factors.
#include "base/fail.h"
#include "kernels/element.h"
#include "sparse/kron.h"

#include <stdlib.h>

// to[rows of K] = K from[columns of K], vectors of `width` numbers in place of scalars.
static void apply(const wn_tensor *w, const double *from, int64_t width, double *to) {
    int64_t a = w->shape[0], b = w->shape[1], c = w->shape[2], d = w->shape[3];
    for (int64_t i = 0; i < a; i++)
        for (int64_t j = 0; j < b; j++)
            for (int64_t l = 0; l < d; l++) {
                double *out = to + ((i * b + j) * d + l) * width;
                for (int64_t m = 0; m < width; m++)
                    out[m] = 0;
                for (int64_t k = 0; k < c; k++) {
                    const double *in = from + ((i * c + k) * d + l) * width;
                    double x = wn__get(w, i * w->stride[0] + j * w->stride[1] + k * w->stride[2] +
                                              l * w->stride[3]);
                    for (int64_t m = 0; m < width; m++)
                        out[m] += x * in[m];
                }
            }
}

static wn_status check_out(const wn__kron_chain *c, const wn_tensor *out) {
    char text[160];
    int64_t rows = wn__kron_chain_rows(c), columns = wn__kron_chain_columns(c);
    if (out->ndim == 2 && out->shape[0] == rows && out->shape[1] == columns &&
        out->dtype >= WN_DTYPE_F64 && out->dtype <= WN_DTYPE_F16)
        return WN_OK;
    return wn__fail(WN_INVALID, "the dense matrix is floats [%lld, %lld], not %s", (long long)rows,
                    (long long)columns, wn__tensor_describe(out, text, sizeof text));
}

static wn_status check_head(const wn_tensor *u, const wn_tensor *v, const wn_tensor *out) {
    char a[160], b[160];
    if (u == NULL && v == NULL) return WN_OK;
    if (u != NULL && v != NULL && u->ndim == 2 && v->ndim == 2 && u->shape[0] == out->shape[0] &&
        v->shape[1] == out->shape[1] && u->shape[1] == v->shape[0])
        return WN_OK;
    return wn__fail(WN_INVALID, "a head is [%lld, k] and [k, %lld], not %s and %s",
                    (long long)out->shape[0], (long long)out->shape[1],
                    u ? wn__tensor_describe(u, a, sizeof a) : "none",
                    v ? wn__tensor_describe(v, b, sizeof b) : "none");
}

// STRIP columns at a time: the identity's go through all factors between two buffers.
enum { STRIP = 64 };

typedef struct strip {
    const wn_tensor *w, *u, *v, *out;
    int count;
    double *now, *next;
    int64_t columns;
} strip;

static void run_strip(strip *s, int64_t begin) {
    int64_t width = s->columns - begin < STRIP ? s->columns - begin : STRIP;
    for (int64_t r = 0; r < s->columns; r++)
        for (int64_t m = 0; m < width; m++)
            s->now[r * width + m] = r == begin + m;
    for (int t = 0; t < s->count; t++) {
        apply(&s->w[t], s->now, width, s->next);
        double *swap = s->now;
        s->now = s->next;
        s->next = swap;
    }
    for (int64_t r = 0; r < s->out->shape[0]; r++)
        for (int64_t m = 0; m < width; m++) {
            double sum = s->now[r * width + m];
            for (int64_t q = 0; s->u != NULL && q < s->u->shape[1]; q++)
                sum +=
                    wn__get(s->u, wn__at(s->u, r, q)) * wn__get(s->v, wn__at(s->v, q, begin + m));
            wn__set(s->out, wn__at(s->out, r, begin + m), sum);
        }
}

wn_status wn__kron_chain_dense(const wn_tensor *w, int count, const wn_tensor *head_u,
                               const wn_tensor *head_v, const wn_tensor *out) {
    wn__kron_chain c = {.count = count};
    for (int t = 0; t < count && t < WN__KRON_MAX; t++)
        WN_TRY(wn__kron_of(&w[t], &c.factor[t]));
    WN_TRY(wn__kron_chain_check(&c));
    WN_TRY(check_out(&c, out));
    WN_TRY(check_head(head_u, head_v, out));
    int64_t most = wn__kron_chain_columns(&c);
    for (int t = 0; t < count; t++)
        if (wn__kron_rows(&c.factor[t]) > most) most = wn__kron_rows(&c.factor[t]);
    size_t bytes = (size_t)most * STRIP * sizeof(double);
    double *one = malloc(bytes), *two = malloc(bytes);
    wn_status status = WN_OK;
    if (one == NULL || two == NULL) {
        status = wn__fail(WN_NOMEM, "out of memory for twice %zu bytes", bytes);
    } else {
        strip s = {w, head_u, head_v, out, count, one, two, wn__kron_chain_columns(&c)};
        for (int64_t begin = 0; begin < s.columns; begin += STRIP)
            run_strip(&s, begin);
    }
    free(one);
    free(two);
    return status;
}

wn_status wn__kron_merge_all(const wn_tensor *w, int count, const wn_tensor *out) {
    wn_tensor so_far = w[0];
    double *held = NULL;
    wn_status status = count == 1 ? wn__kron_copy(&w[0], out) : WN_OK;
    for (int t = 1; t < count && status == WN_OK; t++) {
        wn__kron left, right, product;
        wn_tensor to = *out;
        double *next = NULL;
        WN_TRY_OUT(wn__kron_of(&w[t], &left));
        WN_TRY_OUT(wn__kron_of(&so_far, &right));
        WN_TRY_OUT(wn__kron_product(&left, &right, &product, NULL));
        if (t < count - 1) {
            next = malloc((size_t)wn__kron_params(&product) * sizeof *next);
            if (next == NULL) {
                status = wn__fail(WN_NOMEM, "out of memory for a product of factors");
                break;
            }
            to = wn__kron_view(&product, WN__KRON_CANONICAL, next, WN_DTYPE_F64);
        }
        status = wn__kron_merge(&w[t], &so_far, &to);
        free(held);
        held = next;
        so_far = to;
    }
out:
    free(held);
    return status;
}
