// SPDX-License-Identifier: MIT
// The contract checks of round16, round8 and rescale, and the scale that all variants of round8
// share.
#include "kernels/numeric.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/element.h"

// Rows of a matrix may lie apart.
static unsigned layout(const wn_tensor *t) {
    return t->ndim == 2 ? WN__UNIT : WN__PACKED;
}

static wn_status check_pair(const char *op, const wn__operand *o, int count) {
    WN_TRY(wn__check_operands(op, o, count));
    return wn__check_shapes(op, o + 0, o + 1);
}

wn_status wn__check_round16(const void *args) {
    const wn__round16 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->x), 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->y) | WN__WRITTEN, WN__MAY_BE(0)},
    };
    return check_pair("round16", o, 2);
}

wn_status wn__check_round8(const void *args) {
    const wn__round8 *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->x), 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->y) | WN__WRITTEN, WN__MAY_BE(0)},
        {"scale", &p->scale, 1, WN_DTYPE_F64, WN__PACKED | WN__WRITTEN, 0},
    };
    if (p->format != WN_FP8_E4M3 && p->format != WN_FP8_E5M2)
        return wn__fail(WN_INVALID, "round8: format %d; 0 is E4M3, 1 is E5M2", (int)p->format);
    WN_TRY(check_pair("round8", o, 3));
    return wn__check_size("round8", o + 2, 0, 1, "one scale a tensor");
}

wn_status wn__check_rescale(const void *args) {
    const wn__rescale *p = args;
    const wn__operand o[] = {
        {"x", &p->x, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->x), 0},
        {"y", &p->y, WN__ANY_RANK, WN_DTYPE_NONE, layout(&p->y) | WN__WRITTEN, WN__MAY_BE(0)},
        {"a", &p->a, 1, WN_DTYPE_F64, WN__PACKED, 0},
        {"b", &p->b, 1, WN_DTYPE_F64, WN__PACKED, 0},
    };
    WN_TRY(check_pair("rescale", o, 4));
    WN_TRY(wn__check_size("rescale", o + 2, 0, 1, "one scale a tensor"));
    return wn__check_size("rescale", o + 3, 0, 1, "one scale a tensor");
}

static double largest_scale(wn_dtype dtype) {
    switch (dtype) {
    case WN_DTYPE_F64:
        return 0x1p1000; // its inverse is a normal number
    case WN_DTYPE_F32:
        return 0x1.fffffep127;
    case WN_DTYPE_BF16:
        return 0x1.fep127;
    default:
        return 65504;
    }
}

double wn__round8_scale(wn__fp8 format, wn_dtype dtype, double amax) {
    if (amax == 0) return 1;
    double s = wn__fp8_of(format).largest / amax, most = largest_scale(dtype);
    if (s >= most) return most;
    switch (dtype) {
    case WN_DTYPE_F64:
        return s;
    case WN_DTYPE_F32:
        return (double)(float)s;
    case WN_DTYPE_BF16:
        return (double)wn__bf16_to_f32(wn__bf16_from_f64(s));
    default:
        return (double)wn__f16_to_f32(wn__f16_from_f64(s));
    }
}
