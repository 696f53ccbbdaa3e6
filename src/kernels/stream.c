// SPDX-License-Identifier: MIT
// The contract checks of stream_pack, stream_unpack and stream. Streams themselves are trusted.
#include "kernels/stream.h"
#include "base/fail.h"
#include "kernels/contract.h"
#include "kernels/declare.h"
#include "kernels/stream_layout.h"

static wn_status check_format(const char *op, const wn__stream_format *f) {
    if (f->type < WN_STREAM_F32 || f->type > WN_STREAM_INT4)
        return wn__fail(WN_INVALID, "%s: type %d, expected 0 to %d", op, (int)f->type,
                        WN_STREAM_INT4);
    if (f->n < 0 || f->k < 0)
        return wn__fail(WN_INVALID, "%s: sizes %lld x %lld, expected at least 0", op,
                        (long long)f->n, (long long)f->k);
    if (wn__stream_quantised(f) && f->k > WN_STREAM_MOST)
        return wn__fail(WN_INVALID, "%s: %lld columns of %s, whose sums are exact up to %lld", op,
                        (long long)f->k, wn__stream_name(f), (long long)WN_STREAM_MOST);
    return WN_OK;
}

static wn_status check_bytes(const char *op, const wn__operand *stream,
                             const wn__stream_format *f) {
    return wn__check_size(op, stream, 0, (int64_t)wn__stream_bytes(f), "the bytes of the format");
}

// Dense rows, or values o[0] and index o[1]: exactly one of the two, and the second of a 2:4 weight
// only.
static wn_status check_form(const char *op, const wn__stream_format *f, const wn_tensor *w,
                            const wn__operand *o) {
    bool packed = wn__given(o[0].t);
    if (packed != wn__given(o[1].t))
        return wn__fail(WN_INVALID, "%s: values and index must both be given or both absent", op);
    if (packed == wn__given(w))
        return wn__fail(WN_INVALID, "%s: expected either w or values and index", op);
    if (packed && !f->sparse)
        return wn__fail(WN_INVALID, "%s: values and index of a dense format", op);
    int64_t groups = wn__ceil_div(f->k, 4);
    WN_TRY(wn__check_size(op, o, 1, 2 * groups, "2 ceil(k/4)"));
    WN_TRY(wn__check_size(op, o + 1, 1, wn__ceil_div(groups, 2), "ceil(ceil(k/4)/2)"));
    return wn__check_same(op, "row", o, 0, o + 1, 0);
}

wn_status wn__check_stream_pack(const void *args) {
    const wn__stream_pack *p = args;
    const wn__operand o[] = {
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__UNIT, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__OPTIONAL | WN__PACKED, 0},
        {"stream", &p->stream, 1, WN_DTYPE_U8, WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(check_format("stream_pack", &p->format));
    WN_TRY(wn__check_operands("stream_pack", o, 4));
    WN_TRY(check_form("stream_pack", &p->format, &p->w, o + 1));
    if (p->format.sparse && wn__given(&p->w))
        return wn__fail(WN_INVALID, "stream_pack: w of a 2:4 format, which takes values and index");
    WN_TRY(wn__check_size("stream_pack", o, 0, p->format.n, "n of the format"));
    WN_TRY(wn__check_size("stream_pack", o, 1, p->format.k, "k of the format"));
    WN_TRY(wn__check_size("stream_pack", o + 1, 0, p->format.n, "n of the format"));
    return check_bytes("stream_pack", o + 3, &p->format);
}

wn_status wn__check_stream_unpack(const void *args) {
    const wn__stream_unpack *p = args;
    const wn__operand o[] = {
        {"stream", &p->stream, 1, WN_DTYPE_U8, WN__PACKED, 0},
        {"w", &p->w, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__UNIT | WN__WRITTEN, 0},
        {"values", &p->values, 2, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED | WN__WRITTEN, 0},
        {"index", &p->index, 2, WN_DTYPE_U8, WN__OPTIONAL | WN__PACKED | WN__WRITTEN, 0},
    };
    WN_TRY(check_format("stream_unpack", &p->format));
    WN_TRY(wn__check_operands("stream_unpack", o, 4));
    WN_TRY(check_form("stream_unpack", &p->format, &p->w, o + 2));
    WN_TRY(check_bytes("stream_unpack", o, &p->format));
    WN_TRY(wn__check_size("stream_unpack", o + 1, 1, p->format.k, "k of the format"));
    const wn_tensor *out = wn__given(&p->w) ? &p->w : &p->values;
    if (p->row >= 0 && p->row <= p->format.n - out->shape[0]) return WN_OK;
    return wn__fail(WN_INVALID, "stream_unpack: rows %lld to %lld of %lld", (long long)p->row,
                    (long long)(p->row + out->shape[0] - 1), (long long)p->format.n);
}

wn_status wn__check_stream(const void *args) {
    const wn__stream *p = args;
    const wn__operand o[] = {
        {"x", &p->x, 2, WN_DTYPE_NONE, WN__UNIT, 0},
        {"stream", &p->stream, 1, WN_DTYPE_U8, WN__PACKED, 0},
        {"bias", &p->bias, 1, WN_DTYPE_NONE, WN__OPTIONAL | WN__PACKED, 0},
        {"y", &p->y, 2, WN_DTYPE_NONE, WN__UNIT | WN__WRITTEN, 0},
    };
    WN_TRY(check_format("stream", &p->format));
    WN_TRY(wn__check_operands("stream", o, 4));
    if (p->x.dtype != WN_DTYPE_F32 && p->x.dtype != WN_DTYPE_F64)
        return wn__fail(WN_INVALID, "stream: x is %s, expected F32 or F64",
                        wn_dtype_name(p->x.dtype));
    WN_TRY(check_bytes("stream", o + 1, &p->format));
    WN_TRY(wn__check_size("stream", o, 1, p->format.k, "k of the format"));
    WN_TRY(wn__check_size("stream", o + 2, 0, p->format.n, "n of the format"));
    WN_TRY(wn__check_size("stream", o + 3, 1, p->format.n, "n of the format"));
    return wn__check_same("stream", "row", o, 0, o + 3, 0);
}
