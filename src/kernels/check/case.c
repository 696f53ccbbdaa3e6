// SPDX-License-Identifier: MIT
// Cases: arguments, and data drawn as a pure function of (problem, seed).
#include "base/fail.h"
#include "base/philox.h"
#include "kernels/check/harness.h"
#include "kernels/element.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

bool wn__is_float(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64 || dtype == WN_DTYPE_F32 || dtype == WN_DTYPE_BF16 ||
           dtype == WN_DTYPE_F16;
}

double wn__unit(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64    ? 0x1p-53
           : dtype == WN_DTYPE_F32  ? 0x1p-24
           : dtype == WN_DTYPE_BF16 ? 0x1p-8
                                    : 0x1p-11;
}

double wn__smallest(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64    ? 0x1p-1074
           : dtype == WN_DTYPE_F32  ? 0x1p-149
           : dtype == WN_DTYPE_BF16 ? 0x1p-133
                                    : 0x1p-24;
}

double wn__largest(wn_dtype dtype) {
    return dtype == WN_DTYPE_F64    ? 0x1.fffffffffffffp1023
           : dtype == WN_DTYPE_F32  ? 0x1.fffffep127
           : dtype == WN_DTYPE_BF16 ? 0x1.fep127
                                    : 65504;
}

wn_tensor wn__view2(wn_dtype dtype, int64_t a, int64_t b, int64_t pad) {
    wn_tensor t = wn__tensor2(NULL, dtype, a, b);
    t.stride[0] = b + pad;
    return t;
}

wn_tensor wn__view2_transposed(wn_dtype dtype, int64_t a, int64_t b, int64_t pad) {
    wn_tensor t = wn__view2(dtype, b, a, pad);
    return wn__tensor_transpose(&t);
}

// Padded as a slice of wider heads and longer rows would be.
wn_tensor wn__view4(wn_dtype dtype, const int64_t shape[4], int64_t pad) {
    wn_tensor t = wn__tensor(NULL, dtype, 4, shape);
    t.stride[2] = shape[3] + pad;
    t.stride[1] = shape[2] * t.stride[2] + 2 * pad;
    t.stride[0] = shape[1] * t.stride[1] + 3 * pad;
    return t;
}

wn__part *wn__case_part(wn__case *c, const char *name, wn_tensor *slot, wn__role role,
                        wn_tensor view) {
    wn__part *p = &c->part[c->parts++];
    *p = (wn__part){.name = name,
                    .offset = (size_t)((char *)slot - (char *)c->args),
                    .role = role,
                    .same = -1,
                    .view = view,
                    .count = wn__tensor_count(&view)};
    *slot = view;
    return p;
}

void wn__part_share(wn__case *c, wn__part *p, const wn__part *with) {
    p->same = (int)(with - c->part);
}

int64_t wn__case_draw(wn__case *c, int64_t low, int64_t high) {
    return low +
           (int64_t)wn__philox_below(c->key, WN_STREAM_TEST, c->next++, (uint64_t)(high - low) + 1);
}

double wn__case_draw_normal(wn__case *c) {
    float four[4];
    wn__philox_normal(c->key, WN_STREAM_TEST, c->next++, four);
    return (double)four[0];
}

void wn__part_set(wn__part *p, int64_t i, double value) {
    wn_tensor t = p->view;
    t.data = p->image;
    wn__set(&t, i, value);
}

double wn__part_get(const wn__part *p, int64_t i) {
    wn_tensor t = p->view;
    t.data = p->image;
    return wn__get(&t, i);
}

static double wild(wn__case *c, wn_dtype dtype) {
    int64_t binades = dtype == WN_DTYPE_F16 ? 8 : 20;
    double fraction = (double)wn__case_draw(c, 1 << 24, (1 << 25) - 1) * 0x1p-24;
    double magnitude = ldexp(fraction, (int)wn__case_draw(c, -binades, binades));
    return wn__case_draw(c, 0, 1) ? magnitude : -magnitude;
}

// Subnormals of the dtype, zeros of both signs, and ordinary values that make some products
// visible.
static double tiny(wn__case *c, wn_dtype dtype) {
    double sign = wn__case_draw(c, 0, 1) ? 1 : -1;
    switch (wn__case_draw(c, 0, 5)) {
    case 0:
        return sign * 0.0;
    case 1:
        return wn__case_draw_normal(c);
    default:
        return sign * wn__smallest(dtype) * (double)wn__case_draw(c, 1, 1000);
    }
}

static double special(wn__case *c, bool infinities) {
    int64_t roll = wn__case_draw(c, 0, 63);
    if (roll == 0) return NAN;
    if (infinities && roll < 4) return roll == 1 ? -INFINITY : INFINITY;
    return wn__case_draw_normal(c);
}

double wn__case_value(wn__case *c, wn__data kind, wn_dtype dtype) {
    static const double ties[] = {1, -1, 0.0, -0.0, 2, -2, 1.5, -1};
    switch (kind) {
    case WN__DATA_INTEGERS:
        return (double)wn__case_draw(c, -4, 4);
    case WN__DATA_WILD:
        return wild(c, dtype);
    case WN__DATA_TINY:
        return tiny(c, dtype);
    case WN__DATA_INFINITE:
        return special(c, true);
    case WN__DATA_NAN:
        return special(c, false);
    case WN__DATA_TIES:
        return ties[wn__case_draw(c, 0, 7)];
    case WN__DATA_NORMAL:
        break;
    }
    return wn__case_draw_normal(c);
}

// Normal data is the common one and the one that is timed: four values from each draw.
static void fill_normal(wn__case *c, wn__part *p) {
    float four[4] = {0};
    for (int64_t i = 0; i < p->count; i++) {
        if (i % 4 == 0) wn__philox_normal(c->key, WN_STREAM_TEST, c->next++, four);
        wn__part_set(p, i, (double)four[i % 4]);
    }
}

void wn__part_fill(wn__case *c, wn__part *p, wn__data kind) {
    if (kind == WN__DATA_NORMAL) {
        fill_normal(c, p);
        return;
    }
    for (int64_t i = 0; i < p->count; i++)
        wn__part_set(p, i, wn__case_value(c, kind, p->view.dtype));
}

void wn__bound_sum(wn__part *p, const wn__round *r, double terms, bool integers) {
    for (int64_t i = 0; i < p->count; i++) {
        bool exact = integers && p->sum[i] * r->acc <= 0.5;
        if (exact && fabs(p->want[i]) * r->out <= 1)
            p->bound[i] = 0;
        else if (exact)
            p->bound[i] = wn__stored(r, p->want[i]);
        else
            p->bound[i] = wn__stored(r, p->want[i]) + 2 * terms * (r->acc * p->sum[i] + r->eta);
    }
}

wn__round wn__round_stored(const wn__round *r, const wn__part *p) {
    return (wn__round){wn__unit(p->view.dtype), r->acc, r->eta}; // of the smaller dtype, or flushed
}

// The sum of the finite magnitudes of a vector.
static double magnitude(const wn__vectors *v, int64_t i) {
    double sum = 0;
    for (int64_t l = 0; l < v->k; l++) {
        double a = fabs(v->part->before[i * v->next + l * v->step]);
        if (isfinite(a)) sum += a;
    }
    return sum;
}

void wn__bound_flushed(wn__part *p, const wn__round *r, const wn__vectors *rows,
                       const wn__vectors *columns, double terms) {
    int64_t n = p->view.shape[1];
    if (r->acc < wn__unit(WN_DTYPE_F32)) return;
    for (int64_t i = 0; i < p->view.shape[0]; i++) {
        double row = magnitude(rows, i) + 2 * terms;
        for (int64_t j = 0; j < n; j++)
            p->bound[i * n + j] += 0x1p-126 * (row + magnitude(columns, j));
    }
}

void wn__part_round16(wn__part *p) {
    for (int64_t i = 0; i < p->count; i++)
        wn__part_set(p, i, (double)wn__bf16_to_f32(wn__bf16_from_f64(wn__part_get(p, i))));
}

void wn__case_fill(wn__case *c, wn__data kind) {
    for (int i = 0; i < c->parts; i++) {
        wn__part *p = c->part + i;
        if (p->role != WN__WRITE && p->same < 0 && p->before) wn__part_fill(c, p, kind);
    }
}

wn__part *wn__case_find(wn__case *c, const char *name) {
    for (int i = 0; i < c->parts; i++)
        if (strcmp(c->part[i].name, name) == 0) return c->part + i;
    return NULL;
}

// FNV-1a.
static uint64_t hash(const char *text) {
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return h;
}

static bool allocate(double **out, int64_t count) {
    *out = calloc((size_t)count + 1, sizeof **out);
    return *out != NULL;
}

// All arrays of a part; outputs start as NaN (0xFF in every byte).
static wn_status allocate_part(const wn__case *c, wn__part *p) {
    size_t bytes;
    if (!wn__shape_bytes(p->view.dtype, p->view.ndim, p->view.shape, &bytes))
        return wn__fail(WN_INVALID, "%s: %s is too large", wn__op_name(c->type->op), p->name);
    bool written = p->role != WN__READ, ok = true;
    p->image = malloc(bytes + 1);
    if (p->image) memset(p->image, 0xFF, bytes + 1);
    if (wn__is_float(p->view.dtype)) ok = allocate(&p->before, p->count);
    if (written && (c->compare != WN__WITHIN_BOUND || !wn__is_float(p->view.dtype))) {
        p->exact = calloc(bytes + 1, 1);
        ok = ok && p->exact;
    } else if (written) {
        ok = ok && allocate(&p->want, p->count) && allocate(&p->sum, p->count) &&
             allocate(&p->bound, p->count);
    }
    if (p->image && ok) return WN_OK;
    return wn__fail(WN_NOMEM, "no memory for %s of a case of %s", p->name,
                    wn__op_name(c->type->op));
}

static wn_status fill(wn__case *c) {
    for (int i = 0; i < c->parts; i++)
        WN_TRY(allocate_part(c, c->part + i));
    c->type->fill(c);
    for (int i = 0; i < c->parts; i++) {
        wn__part *p = c->part + i;
        if (p->same >= 0)
            memcpy(p->image, c->part[p->same].image,
                   (size_t)p->count * wn_dtype_size(p->view.dtype));
        for (int64_t j = 0; p->before && j < p->count; j++)
            p->before[j] = wn__part_get(p, j);
    }
    return WN_OK;
}

wn_status wn__case_create(const wn__case_type *type, const wn__problem *p, uint64_t seed,
                          bool with_data, wn__case **out) {
    *out = NULL;
    wn__case *c = calloc(1, sizeof *c);
    void *args = calloc(1, type->args_size);
    if (!c || !args) {
        free(c);
        free(args);
        return wn__fail(WN_NOMEM, "no memory for a case of %s", wn__op_name(type->op));
    }
    *c = (wn__case){.type = type, .problem = *p, .seed = seed, .args = args};
    c->compare = type->compare;
    wn__problem_format(type, p, c->text, sizeof c->text);
    c->key = seed ^ hash(c->text);
    type->declare(c);
    wn_status status = with_data ? fill(c) : WN_OK;
    if (status != WN_OK) {
        wn__case_free(c);
        return status;
    }
    *out = c;
    return WN_OK;
}

void wn__case_free(wn__case *c) {
    if (!c) return;
    for (int i = 0; i < c->parts; i++) {
        wn__part *p = c->part + i;
        free(p->image);
        free(p->before);
        free(p->exact);
        free(p->want);
        free(p->sum);
        free(p->bound);
    }
    free(c->args);
    free(c);
}
