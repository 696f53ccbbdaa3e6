// SPDX-License-Identifier: MIT
// Initial factors of low-rank layers.
#include "nn/lowrank_init.h"

#include "base/arena.h"
#include "base/fail.h"
#include "kernels/elementwise.h"
#include "sparse/linalg.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *text;
    wn__lowrank_init_kind kind;
    bool value; // a number follows
} modes[] = {
    {"xavier", WN_LOWRANK_XAVIER, false},   {"auto", WN_LOWRANK_AUTO, false},
    {"kaiming", WN_LOWRANK_KAIMING, false}, {"orth", WN_LOWRANK_ORTH, false},
    {"xavorth", WN_LOWRANK_XAVORTH, false}, {"randn_", WN_LOWRANK_RANDN, true},
    {"const_", WN_LOWRANK_CONST, true},
};

// A finite number that is not 0 and ends the text; a standard deviation is also positive.
static bool read_value(const char *text, wn__lowrank_init_kind kind, double *out) {
    char *end;
    if (*text == '\0' || strchr("+-.0123456789", *text) == NULL) return false;
    *out = strtod(text, &end);
    if (*end != '\0' || !isfinite(*out) || *out == 0) return false;
    return kind == WN_LOWRANK_CONST || *out > 0;
}

wn_status wn__lowrank_init_parse(const char *text, wn__lowrank_init *out) {
    *out = (wn__lowrank_init){.kind = WN_LOWRANK_XAVIER};
    if (text == NULL) return WN_OK;
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        size_t n = strlen(modes[i].text);
        if (strncmp(text, modes[i].text, n) != 0) continue;
        out->kind = modes[i].kind;
        if (modes[i].value ? read_value(text + n, out->kind, &out->value) : text[n] == '\0')
            return WN_OK;
    }
    return wn__fail(WN_INVALID,
                    "initial factors '%s' are unknown; legal: xavier, auto, kaiming, orth, "
                    "xavorth, randn_S with S above 0, const_C with C other than 0",
                    text);
}

double wn__lowrank_factor_std(const wn__lowrank_init *init, int64_t d, int64_t r, double std) {
    switch (init->kind) {
    case WN_LOWRANK_XAVIER:
    case WN_LOWRANK_XAVORTH:
        return sqrt(2.0 / (double)(d + r));
    case WN_LOWRANK_AUTO:
        return sqrt(std / sqrt((double)r));
    case WN_LOWRANK_KAIMING:
        return sqrt(2.0 / (double)r);
    case WN_LOWRANK_ORTH: // what orthonormal columns (or rows) come to
        return 1 / sqrt((double)(d > r ? d : r));
    case WN_LOWRANK_RANDN:
    case WN_LOWRANK_CONST:
        break;
    }
    return init->value;
}

// Each column of Q [m,n] times the sign of R's diagonal, so that Q follows from the normal matrix
// alone, and all of it times scale.
static void fix_signs(double *q, const double *r, int64_t m, int64_t n, double scale) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            q[i * n + j] *= r[j * n + j] < 0 ? -scale : scale;
}

typedef struct orthonormal {
    int64_t m, n;   // m >= n
    wn_tensor q, r; // F64 [m,n], [n,n]
    void *scratch;
} orthonormal;

static wn_status orthonormal_alloc(orthonormal *o, wn__arena *arena) {
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, o->m, o->n, &o->q));
    WN_TRY(wn__tensor_alloc2(arena, WN_DTYPE_F64, o->n, o->n, &o->r));
    return wn__arena_alloc(arena, wn__linalg_qr_scratch(NULL, o->m, o->n), &o->scratch);
}

static wn_status orthonormal_draw(orthonormal *o, wn__exec *x, double scale, uint64_t seed,
                                  uint64_t stream) {
    const wn__normal normal = {.x = o->q, .seed = seed, .stream = stream, .std = 1};
    WN_TRY(wn__run(x, WN__OP_normal, &normal));
    if (x->planning) return WN_OK;
    WN_TRY(wn__linalg_qr(NULL, x, o->m, o->n, o->q.data, o->q.data, o->r.data, o->scratch));
    fix_signs(o->q.data, o->r.data, o->m, o->n, scale);
    return WN_OK;
}

// factor [d,r] = Q, or Q^T of the larger by the smaller size, with entries of root mean square
// `std`.
static wn_status orthonormal_init(wn__exec *x, const wn_tensor *factor, double std, uint64_t seed,
                                  uint64_t stream) {
    int64_t d = factor->shape[0], r = factor->shape[1];
    orthonormal o = {.m = d > r ? d : r, .n = d > r ? r : d};
    wn__arena arena;
    wn_status status;
    wn__arena_measure("orthonormal factor", &arena);
    WN_TRY(orthonormal_alloc(&o, &arena));
    if (!x->planning) {
        WN_TRY(wn__arena_create("orthonormal factor", arena.used, &arena));
        WN_TRY_OUT(orthonormal_alloc(&o, &arena));
    }
    WN_TRY_OUT(orthonormal_draw(&o, x, std * sqrt((double)o.m), seed, stream));
    const wn__copy copy = {.src = d >= r ? o.q : wn__tensor_transpose(&o.q), .dst = *factor};
    status = wn__run(x, WN__OP_copy, &copy);
out:
    if (!x->planning) wn__arena_free(&arena);
    return status;
}

wn_status wn__lowrank_factor_init(const wn__lowrank_init *init, wn__exec *x,
                                  const wn_tensor *factor, bool transposed, double std,
                                  uint64_t seed, uint64_t stream) {
    const wn_tensor f = transposed ? wn__tensor_transpose(factor) : *factor;
    double own = wn__lowrank_factor_std(init, f.shape[0], f.shape[1], std);
    const wn__normal normal = {.x = *factor, .seed = seed, .stream = stream, .std = own};
    const wn__fill fill = {.x = *factor, .value = own};
    switch (init->kind) {
    case WN_LOWRANK_ORTH:
    case WN_LOWRANK_XAVORTH:
        return orthonormal_init(x, &f, own, seed, stream);
    case WN_LOWRANK_CONST:
        return wn__run(x, WN__OP_fill, &fill);
    default:
        return wn__run(x, WN__OP_normal, &normal);
    }
}
