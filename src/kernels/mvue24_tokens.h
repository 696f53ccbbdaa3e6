// SPDX-License-Identifier: MIT
/* mvue24_tokens: mvue24 of soft24.h along axis 0 in groups of 4, and then pack24_tokens, in one
 * pass over x[r,c]: the packed form of the transpose of what is drawn, for the weight gradient of
 * spmm24_rows.h.
 *
 * The same bits as the two one after the other (NaN payloads aside): see soft24.h for the draws,
 * pack24_tokens.h for the form. counter < 2^32. r, c may be 0. Outputs overlap no input. F32, F64
 * (ref and GPUs also F16, BF16). */
#ifndef WN_KERNELS_MVUE24_TOKENS_H
#define WN_KERNELS_MVUE24_TOKENS_H

#include "kernels/soft24.h"

typedef struct wn__mvue24_tokens {
    wn_tensor x;      /* [r, c], unit stride along c */
    wn_tensor values; /* [c, 2 ceil(r/4)] packed */
    wn_tensor index;  /* U8 [c, ceil(ceil(r/4)/2)] packed */
    wn__mvue24_method method;
    uint64_t seed, stream, counter;
} wn__mvue24_tokens;

#endif
