// SPDX-License-Identifier: MIT
/* The three matrix products of a linear layer, plain or in simulated FP8, and the unbiased pruning
 * of what a weight's gradient is made of. The one place that knows either; structures only say what
 * they multiply by.
 *
 *   forward   y  (+)= x W^T (+ bias)      FP8: both operands in E4M3
 *   input     dx (+)= dy W                FP8: E5M2
 *   weight    g   +=  T(dy)^T x           FP8: E5M2; T: MVUE 2:4 along tokens (Chmiel et al. 2022);
 *                                         a fresh g counts as zeros, is overwritten, and is fresh
 * no more
 *
 * FP8 (l->structure.fp8): each operand is rounded as it is now, one scale a tensor (kernels/
 * numeric.h), the product is in the dtype, then divided by both scales; a bias is added last. MVUE
 * prunes groups of four consecutive rows of dy, before any rounding, and what is left is multiplied
 * packed; drawn from stream
 * WN_STREAM_MVUE + 8 number + factor with the pass's seed and counter: every training pass draws
 * anew, and a pass made again draws the same.
 *
 * A weight of BF16 (l->store16) is multiplied by BF16, sums are floats: x and dy that come as
 * floats are narrowed into the shared block. No bit of them is lost: they were rounded. MVUE draws
 * from the floats, and its draws are rounded like dy (an expectation moves by at most 2^-9 of it).
 *
 * Operands that are 2:4 (wn__operands24) are packed into the shared block and multiplied by
 * spmm24_rows: x and dy of a dense weight along their features, what a weight's gradient is made of
 * along tokens unless T prunes it. Elements have the same terms, which are added in another order.
 */
#ifndef WN_NN_PRODUCT_H
#define WN_NN_PRODUCT_H

#include "nn/linear.h"
#include "sparse/lists24.h"

/* A weight [out,in] as products read it. */
typedef struct wn__weight_view {
    wn_tensor dense;             /* [out,in]; absent where the packs serve every product */
    wn_tensor values, index;     /* its 2:4 pack, for forward; absent: dense */
    wn_tensor values_t, index_t; /* that of the transpose, for input */
    wn__lists24 lists;           /* column lists, for input where there is none; absent: dense */
    wn__mvue mvue;               /* T */
    wn_tensor
        kept; /* mask: the weight gradient is made where it keeps, zero elsewhere; or absent */
    wn__operands24 operands; /* what of x and dy is 2:4 */
    int factor;              /* 0: the layer's weight, or M; 1: N */
    int64_t scratch;         /* elements of the shared block that the caller has in use */
    wn_tensor dy16; /* what wn__product_narrow made of the output gradient; absent: nothing */
} wn__weight_view;

/* Before the two products of a backward pass: dy is narrowed once for both. */
WN_NODISCARD wn_status wn__product_narrow(const wn__linear *l, wn__exec *x, wn__weight_view *w,
                                          const wn_tensor *dy);
WN_NODISCARD wn_status wn__product_forward(const wn__linear *l, wn__exec *x,
                                           const wn__weight_view *w, const wn_tensor *in,
                                           const wn_tensor *bias, const wn_tensor *out,
                                           bool accumulate); /* bias may be absent */
WN_NODISCARD wn_status wn__product_input(const wn__linear *l, wn__exec *x, const wn__weight_view *w,
                                         const wn_tensor *dy, const wn_tensor *dx, bool accumulate);
WN_NODISCARD wn_status wn__product_weight(const wn__linear *l, wn__exec *x,
                                          const wn__weight_view *w, const wn_tensor *in,
                                          const wn_tensor *dy, wn__param *p);
/* c += bias, where there is one. */
WN_NODISCARD wn_status wn__product_bias(wn__exec *x, const wn_tensor *bias, const wn_tensor *c);
/* FLOPs of the products of a dense weight for a row of x, where a dense product does `dense`. */
void wn__product_flops(const wn__structure *s, const wn__operands24 *o, double dense,
                       wn__linear_flops *out);
/* Elements of the shared block that products of a weight [out,in] take at most. */
int64_t wn__product_scratch(const wn__structure *s, const wn__build *b, int64_t out, int64_t in);

/* Whether products of l with something 2:4 like t[N,width] should read a pack of it: *why is NULL
 * where they should, else says why its dense form is multiplied. other: the layer's size that is
 * not `width`. */
WN_NODISCARD wn_status wn__product_packs24(const wn__linear *l, const wn__exec *x,
                                           const wn_tensor *t, int64_t other, const char **why);
/* What packs of N = b->rows tokens of that width take, along features or along tokens with so many
 * dense features: for b->packs24. */
int64_t wn__product_packs24_scratch(const wn__build *b, int64_t width, int64_t marked);

#endif
