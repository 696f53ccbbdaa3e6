// SPDX-License-Identifier: MIT
/* Initial factors of W = M N^T, M [out,r], N [in,r]. Entries are normal unless said otherwise.
 *
 *   mode      standard deviation of a factor [d,r]       of W
 *   xavier    sqrt(2/(d+r))                              sqrt(4r/((in+r)(out+r)))
 *   auto      (std^2/r)^(1/4)                            std, what a dense weight would have
 *   kaiming   sqrt(2/r)                                  2/sqrt(r)
 *   orth      orthonormal columns (rows where d < r)     sqrt(k/(in out)) for r <= in, out, k = r
 *   xavorth   orth, scaled so that its entries have xavier's root mean square
 *   randn_S   S, as in randn_0.02                        S^2 sqrt(r)
 *   const_C   every entry C                              every entry r C^2: rank 1, for experiments
 *
 * Signs of orthonormal columns are those of the QR of a normal matrix with R's diagonal positive,
 * so they are uniformly distributed (Mezzadri 2007). */
#ifndef WN_NN_LOWRANK_INIT_H
#define WN_NN_LOWRANK_INIT_H

#include "kernels/op.h"
#include "winnow/status.h"

typedef enum wn__lowrank_init_kind {
    WN_LOWRANK_XAVIER,
    WN_LOWRANK_AUTO,
    WN_LOWRANK_KAIMING,
    WN_LOWRANK_ORTH,
    WN_LOWRANK_XAVORTH,
    WN_LOWRANK_RANDN,
    WN_LOWRANK_CONST
} wn__lowrank_init_kind;

typedef struct wn__lowrank_init {
    wn__lowrank_init_kind kind;
    double value; /* S or C */
} wn__lowrank_init;

/* NULL: xavier. INVALID lists the modes. */
WN_NODISCARD wn_status wn__lowrank_init_parse(const char *text, wn__lowrank_init *out);
/* Standard deviation (CONST: value) of the entries of a factor of d x r. std: of a dense weight. */
double wn__lowrank_factor_std(const wn__lowrank_init *init, int64_t d, int64_t r, double std);
/* Fills factor (packed, [r,d] when `transposed`, else [d,r]) from the stream. */
WN_NODISCARD wn_status wn__lowrank_factor_init(const wn__lowrank_init *init, wn__exec *x,
                                               const wn_tensor *factor, bool transposed, double std,
                                               uint64_t seed, uint64_t stream);

#endif
