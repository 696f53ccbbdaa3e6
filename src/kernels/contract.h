// SPDX-License-Identifier: MIT
/* What every contract check is made of: the operands of an op with their rules, and the sizes that
 * must agree. Messages have the form "matmul: a is F32 [3, 4], b is F32 [5, 6]: inner sizes 4 and 5
 * differ". */
#ifndef WN_KERNELS_CONTRACT_H
#define WN_KERNELS_CONTRACT_H

#include "tensor/tensor.h"

enum {
    WN__OPTIONAL = 1, /* may be absent (dtype NONE) */
    WN__PACKED = 2,   /* row-major without gaps */
    WN__UNIT = 4,     /* unit stride along the last dimension */
    WN__WRITTEN = 8   /* overlaps no other operand but those in may_be */
};

#define WN__ANY_RANK  (-1)
#define WN__MAY_BE(i) (1u << (i))

typedef struct wn__operand {
    const char *name;
    const wn_tensor *t;
    int ndim;        /* or WN__ANY_RANK */
    wn_dtype dtype;  /* NONE: float, the same one for all operands that say so */
    unsigned flags;  /* of the enum above */
    unsigned may_be; /* WN__MAY_BE of operands that this written one may be: the same memory,
                        element by element */
} wn__operand;

/* The rules of single operands and their overlap, which is only known where data is not NULL. */
WN_NODISCARD wn_status wn__check_operands(const char *op, const wn__operand *operands, int count);
/* The dtype rule of what a product writes or adds: NONE, the operands' own, or F32 where they are
 * BF16 and the sums are kept whole. */
static inline wn_dtype wn__sums_dtype(const wn_tensor *operand, const wn_tensor *sums) {
    bool whole = operand->dtype == WN_DTYPE_BF16 && sums->dtype == WN_DTYPE_F32;
    return whole ? WN_DTYPE_F32 : WN_DTYPE_NONE;
}
/* what: "inner", "row", ...: dimension i of a and dimension j of b are one size. */
WN_NODISCARD wn_status wn__check_same(const char *op, const char *what, const wn__operand *a, int i,
                                      const wn__operand *b, int j);
/* A dimension is a stated size; `of` says why: "2 ceil(k/4) with k = 7". */
WN_NODISCARD wn_status wn__check_size(const char *op, const wn__operand *a, int i, int64_t size,
                                      const char *of);
/* The whole shape is that of b. */
WN_NODISCARD wn_status wn__check_shapes(const char *op, const wn__operand *a, const wn__operand *b);

/* Whether any byte belongs to an element of both. False where either has no data. Views of
 * interleaved columns or slices of one buffer are told apart when a common row length explains
 * both; other views that interleave count as overlapping. */
bool wn__overlap(const wn_tensor *a, const wn_tensor *b);
/* Whether no two elements of t share memory. */
bool wn__injective(const wn_tensor *t);

static inline int64_t wn__ceil_div(int64_t a, int64_t b) {
    return a / b + (a % b != 0);
}

#endif
