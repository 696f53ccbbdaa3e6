// SPDX-License-Identifier: MIT
// One pass over a tensor in blocks converted to double.
#include "infer/statistics.h"

#include "base/half.h"
#include "tensor/tensor.h"
#include <math.h>
#include <string.h>

#define BLOCK 4096

// 8-bit floats by their parts; bias 7 with 3 mantissa bits (E4M3: no infinity, all ones are NaN) or
// 15 with 2 (E5M2: as IEEE).
static double from_f8(uint8_t b, int mantissa_bits, int bias) {
    int exponent = (b & 0x7f) >> mantissa_bits, mantissa = b & ((1 << mantissa_bits) - 1);
    double sign = b & 0x80 ? -1 : 1;
    if (mantissa_bits == 3 && (b & 0x7f) == 0x7f) return NAN;
    if (mantissa_bits == 2 && exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
    double scale = ldexp(1.0, (exponent > 0 ? exponent : 1) - bias - mantissa_bits);
    return sign * scale * (exponent > 0 ? mantissa + (1 << mantissa_bits) : mantissa);
}

#define LOAD(type)                                                                                 \
    {                                                                                              \
        type v;                                                                                    \
        memcpy(&v, p, sizeof v);                                                                   \
        return (double)v;                                                                          \
    }

static double load(const unsigned char *p, wn_dtype dtype) {
    uint16_t h;
    switch (dtype) {
    case WN_DTYPE_F64:
        LOAD(double)
    case WN_DTYPE_F32:
        LOAD(float)
    case WN_DTYPE_BF16:
        memcpy(&h, p, sizeof h);
        return (double)wn__bf16_to_f32(h);
    case WN_DTYPE_F16:
        memcpy(&h, p, sizeof h);
        return (double)wn__f16_to_f32(h);
    case WN_DTYPE_I64:
        LOAD(int64_t)
    case WN_DTYPE_I32:
        LOAD(int32_t)
    case WN_DTYPE_I16:
        LOAD(int16_t)
    case WN_DTYPE_I8:
        LOAD(int8_t)
    case WN_DTYPE_U8:
    case WN_DTYPE_BOOL:
        return (double)*p;
    case WN_DTYPE_U16:
        LOAD(uint16_t)
    case WN_DTYPE_U32:
        LOAD(uint32_t)
    case WN_DTYPE_U64:
        LOAD(uint64_t)
    case WN_DTYPE_F8_E4M3:
        return from_f8(*p, 3, 7);
    case WN_DTYPE_F8_E5M2:
        return from_f8(*p, 2, 15);
    case WN_DTYPE_NONE:
        break;
    }
    return 0;
}

// Count, mean and sum of squared deviations of finite values.
typedef struct moments {
    double n, mean, m2;
} moments;

static void add_block(const double *x, int n, moments *total) {
    double sum = 0, m2 = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    if (n == 0) return;
    double mean = sum / n, delta = mean - total->mean, all = total->n + n;
    for (int i = 0; i < n; i++)
        m2 += (x[i] - mean) * (x[i] - mean);
    total->m2 += m2 + delta * delta * total->n * n / all;
    total->mean += delta * n / all;
    total->n = all;
}

// Where an element is, in row-major order of the shape.
typedef struct place {
    int64_t index[WN_MAX_DIMS], at;
} place;

static void advance(const wn_tensor *t, place *p) {
    for (int d = t->ndim - 1; d >= 0; d--) {
        p->at += t->stride[d];
        if (++p->index[d] < t->shape[d]) return;
        p->at -= t->stride[d] * t->shape[d];
        p->index[d] = 0;
    }
}

// Moments of values times scale, a power of two.
static moments look(const wn_tensor *t, double scale, wn__statistics *s) {
    size_t width = wn_dtype_size(t->dtype);
    const unsigned char *p = t->data;
    moments total = {0};
    place now = {.at = 0};
    for (int64_t at = 0; at < s->count; at += BLOCK) {
        double x[BLOCK];
        int n = 0;
        for (int64_t i = at; i < s->count && i < at + BLOCK; i++, advance(t, &now)) {
            double v = load(p + (size_t)now.at * width, t->dtype);
            s->zeros += v == 0;
            if (isfinite(v)) {
                x[n++] = v * scale;
                if (v < s->min) s->min = v;
                if (v > s->max) s->max = v;
            } else {
                s->nonfinite++;
            }
        }
        add_block(x, n, &total);
    }
    return total;
}

// Doubles may have squares and sums that are not finite: those are made of smaller ones then.
void wn__statistics_of(const wn_tensor *t, wn__statistics *out) {
    const wn__statistics none = {.count = wn__tensor_count(t), .min = INFINITY, .max = -INFINITY};
    double scale = 1;
    wn__statistics s = none;
    moments total = look(t, scale, &s);
    if (!isfinite(total.m2)) {
        scale = 0x1p-600;
        s = none;
        total = look(t, scale, &s);
    }
    if (total.n == 0) s.min = s.max = 0;
    s.mean = total.mean / scale;
    s.std = total.n > 0 ? sqrt(total.m2 / total.n) / scale : 0;
    *out = s;
}
