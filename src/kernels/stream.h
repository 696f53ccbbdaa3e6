// SPDX-License-Identifier: MIT
/* stream_pack, stream_unpack, stream: weights that lie in memory in the order in which a product of
 * few tokens reads them. A stream is a private layout: it lives in memory only, never on disk.
 *
 *   stream         y[t,o] = (accumulate ? y : 0) + sum_i x[t,i] W[o,i] (+ bias[o])
 *   stream_pack    a stream from a dense W[n,k], or from the canonical packed form (pack24.h)
 *   stream_unpack  rows of W, dense with zeros written out or in the canonical packed form
 *
 * Sixteen outputs are the lanes of a tile; tiles follow each other, rows beyond n are zeros. A tile
 * is a sequence of blocks of columns, columns beyond k are zeros. Of a 2:4 weight every group of
 * four columns keeps two slots, zeros of short groups among them. Bytes of a block of 16 outputs:
 *
 *   type   columns  dense                    columns  2:4                                 2:4/dense
 *   F32       4     256                         32    64 index + 1024 values               17/32
 *   BF16      4     128                         32    64 index + 512 values                 9/16
 *   INT8      4     64                          32    64 index + 256 values                 5/8
 *   INT4     64     32 scales + 512             64    32 scales + 96 pairs + 256           12/17
 *
 * and 64 bytes of scales before the blocks of a tile of INT8. stream_layout.h says where everything
 * stands.
 *
 * Weights. F32 keeps the values, BF16 rounds them to nearest even. INT8 has a scale for each row, s
 * = amax/127 in float; INT4 one for each row and 64 columns of W, s = amax/7 rounded to bfloat16.
 * Both are symmetric: q = w/s rounded to nearest even, within +-127 and +-7; amax is over the kept
 * values, and what lies below 2^-56 throughout is stored as zeros. W is q s from then on, in every
 * op. NaN, infinities and what lies above 2^120 are INVALID for INT8
 * and INT4, named by row and place in it (2:4: of the kept values).
 *
 * Activations. F32 and BF16 multiply by x as it is. INT8 and INT4 quantise x to 8 bits, a token as
 * a whole for INT8 and in the weights' groups of 64 columns for INT4: s = amax/127 and r = 127/amax
 * in float, q = x r in float rounded to nearest even; below an amax of 2^-56: zeros. A group with a
 * NaN or an infinity makes y of its token NaN. The sum over a group of products of integers is
 * exact; y is the sum over groups of that times both scales. Hence a token's y of these two types
 * is a function of its x alone, whatever T is.
 *
 * x, bias and y: F32, or F64 in ref (which rounds x to F32 before quantising). x and y have unit
 * stride along k and n. y overlaps no input. n, k, T may be 0; k of INT8 and INT4 is at most 2^17.
 * The stream is trusted: it came from stream_pack. Accuracy as matmul, with the terms of a row
 * (2 ceil(k/4) when 2:4) for F32 and BF16, and of its groups for INT8 and INT4. The same bits for
 * any number of threads. */
#ifndef WN_KERNELS_STREAM_H
#define WN_KERNELS_STREAM_H

#include "tensor/tensor.h"

typedef enum wn__stream_type {
    WN_STREAM_F32,
    WN_STREAM_BF16,
    WN_STREAM_INT8,
    WN_STREAM_INT4
} wn__stream_type;

typedef struct wn__stream_format {
    wn__stream_type type;
    bool sparse; /* 2:4 along k */
    int64_t n, k;
} wn__stream_format;

/* Bytes of a stream, scales and padding included. */
size_t wn__stream_bytes(const wn__stream_format *f);
/* "bf16 2:4" without n and k; static storage. */
const char *wn__stream_name(const wn__stream_format *f);
/* "f32", "bf16", "int8", "int4", NULL. */
extern const char *const wn__stream_words[];

typedef struct wn__stream_pack {
    wn__stream_format format;
    wn_tensor w;             /* dense: [n, k] of any float dtype, unit stride along k */
    wn_tensor values, index; /* 2:4: as in pack24.h */
    wn_tensor stream;        /* U8 [bytes] */
} wn__stream_pack;

typedef struct wn__stream_unpack {
    wn__stream_format format;
    wn_tensor stream;        /* U8 [bytes] */
    int64_t row;             /* the first one */
    wn_tensor w;             /* [rows, k] float, unit stride along k; absent with the others */
    wn_tensor values, index; /* 2:4 only: the packed form of these rows; absent with w */
} wn__stream_unpack;

typedef struct wn__stream {
    wn_tensor x;      /* [T, k] */
    wn_tensor stream; /* U8 [bytes] */
    wn_tensor bias;   /* [n] or absent */
    wn_tensor y;      /* [T, n] */
    wn__stream_format format;
    bool accumulate;
} wn__stream;

#endif
