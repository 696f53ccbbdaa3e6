// SPDX-License-Identifier: MIT
// Outputs against outputs, bit for bit, and against ref, within the derived bound.
#include "base/fail.h"
#include "kernels/check/harness.h"
#include "kernels/element.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

wn_status wn__outputs_take(const wn__stage *s, wn__outputs *out) {
    *out = (wn__outputs){0};
    for (int i = 0; i < s->c->parts; i++) {
        const wn__part *p = s->c->part + i;
        if (p->role == WN__READ) continue;
        out->part[i] = malloc((size_t)p->count * wn_dtype_size(p->view.dtype) + 1);
        if (!out->part[i]) {
            wn__outputs_free(out);
            return wn__fail(WN_NOMEM, "no memory for the outputs of a case");
        }
        wn__stage_gather(s, i, out->part[i]);
    }
    return WN_OK;
}

void wn__outputs_free(wn__outputs *o) {
    for (int i = 0; i < WN__MAX_PARTS; i++)
        free(o->part[i]);
    *o = (wn__outputs){0};
}

// "c[3,5]" of the i-th element.
static const char *place(const wn__part *p, int64_t i, char *out, size_t n) {
    int64_t index[WN_MAX_DIMS] = {0};
    for (int d = p->view.ndim - 1; d >= 0; d--) {
        index[d] = i % p->view.shape[d];
        i /= p->view.shape[d];
    }
    size_t used = (size_t)snprintf(out, n, "%s[", p->name);
    for (int d = 0; d < p->view.ndim && used < n; d++)
        used += (size_t)snprintf(out + used, n - used, "%s%lld", d ? "," : "", (long long)index[d]);
    if (used < n) (void)snprintf(out + used, n - used, "]");
    return out;
}

// The i-th of packed elements: a float as a number, everything else as its bytes.
static const char *value_text(const wn__part *p, const void *data, int64_t i, char *out, size_t n) {
    size_t size = wn_dtype_size(p->view.dtype), used = 0;
    const unsigned char *bytes = (const unsigned char *)data + (size_t)i * size;
    if (n > 0) out[0] = '\0';
    if (wn__is_float(p->view.dtype)) {
        wn_tensor t = p->view;
        t.data = (void *)(uintptr_t)data;
        used = (size_t)snprintf(out, n, "%.9g = ", wn__get(&t, i));
    }
    if (used < n) used += (size_t)snprintf(out + used, n - used, "0x");
    for (size_t b = size; b-- > 0 && used + 3 < n;)
        used += (size_t)snprintf(out + used, n - used, "%02x", bytes[b]);
    return out;
}

static bool both_nan(const wn__part *p, const void *a, const void *b, int64_t i) {
    if (!wn__is_float(p->view.dtype)) return false;
    wn_tensor ta = p->view, tb = p->view;
    ta.data = (void *)(uintptr_t)a;
    tb.data = (void *)(uintptr_t)b;
    return isnan(wn__get(&ta, i)) && isnan(wn__get(&tb, i));
}

// Whether packed elements are equal; if not, says which "is" and what the other "is not".
static bool same_elements(const wn__part *p, const void *a, const void *b, bool any_nan,
                          const char *other, char *why, size_t n) {
    size_t size = wn_dtype_size(p->view.dtype);
    if (memcmp(a, b, (size_t)p->count * size) == 0) return true;
    for (int64_t i = 0; i < p->count; i++) {
        const char *pa = (const char *)a + (size_t)i * size;
        const char *pb = (const char *)b + (size_t)i * size;
        if (memcmp(pa, pb, size) == 0 || (any_nan && both_nan(p, a, b, i))) continue;
        char at[80], x[64], y[64];
        (void)snprintf(why, n, "%s is %s, %s %s", place(p, i, at, sizeof at),
                       value_text(p, a, i, x, sizeof x), other, value_text(p, b, i, y, sizeof y));
        return false;
    }
    return true;
}

bool wn__outputs_same(const wn__case *c, const wn__outputs *a, const wn__outputs *b, char *why,
                      size_t n) {
    for (int i = 0; i < c->parts; i++)
        if (a->part[i] &&
            !same_elements(c->part + i, a->part[i], b->part[i], false, "before it was", why, n))
            return false;
    return true;
}

// |got - want| as a fraction of the bound: 0 when they agree, infinite when one is not finite and
// the other is not the same. A result may overflow where the bound reaches past the largest finite
// value. A bound with the sign of a negative number lets a NaN pass.
static double error_of(double got, double want, double bound, double largest) {
    if (signbit(bound)) {
        if (isnan(got)) return 0;
        bound = -bound;
    }
    if (isnan(want) || isnan(got)) return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (got == want) return 0;
    if (isinf(got))
        return !isinf(want) && copysign(want, got) == want && fabs(want) + bound > largest
                   ? 0
                   : INFINITY;
    if (isinf(want)) return INFINITY;
    return fabs(got - want) / bound;
}

static bool within_bound(const wn__part *p, const void *data, double *worst, char *why, size_t n) {
    wn_tensor t = p->view;
    t.data = (void *)(uintptr_t)data;
    double largest = wn__largest(t.dtype);
    for (int64_t i = 0; i < p->count; i++) {
        double error = error_of(wn__get(&t, i), p->want[i], p->bound[i], largest);
        if (error > *worst || isnan(error)) *worst = error;
        if (error <= 1) continue;
        char at[80];
        (void)snprintf(why, n, "%s is %.9g, ref %.17g, error allowed %.3g, %.3g times that",
                       place(p, i, at, sizeof at), wn__get(&t, i), p->want[i], p->bound[i], error);
        return false;
    }
    return true;
}

// ref computes in double whatever the dtype; others at least in float. Where an op flushes, a
// rounding may lose the smallest normal number.
static wn__round round_of(wn__op op, wn_dtype dtype, bool is_ref) {
    double acc = dtype == WN_DTYPE_F64 || is_ref ? 0x1p-53 : 0x1p-24;
    double normal = dtype == WN_DTYPE_F64 ? 0x1p-1022 : 0x1p-126;
    double eta = wn__op_flushes(op) ? fmax(wn__smallest(dtype), normal) : wn__smallest(dtype);
    return (wn__round){wn__unit(dtype), acc, eta};
}

bool wn__outputs_right(wn__case *c, const wn__outputs *o, bool is_ref, double *worst, char *why,
                       size_t n) {
    *worst = 0;
    const int bounds = is_ref ? 2 : 1;
    if (c->compare == WN__WITHIN_BOUND && c->bounded != bounds) {
        c->bounded = bounds;
        wn_dtype dtype = WN_DTYPE_F64;
        for (int i = 0; i < c->parts; i++)
            if (c->part[i].before && wn_dtype_size(c->part[i].view.dtype) < wn_dtype_size(dtype))
                dtype = c->part[i].view.dtype;
        wn__round r = round_of(c->type->op, dtype, is_ref);
        c->type->bound(c, &r);
    }
    for (int i = 0; i < c->parts; i++) {
        const wn__part *p = c->part + i;
        if (!o->part[i]) continue;
        bool right = p->exact ? same_elements(p, o->part[i], p->exact,
                                              c->compare == WN__SAME_VALUES, "ref", why, n)
                              : within_bound(p, o->part[i], worst, why, n);
        if (!right) return false;
    }
    return true;
}
