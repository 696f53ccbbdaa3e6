// SPDX-License-Identifier: MIT
/* Chains with a low-rank head beside them, W ~ U V + K_{n-1} ... K_0: the head takes the few
 * directions that stand out, which no pattern of blocks holds cheaply, the chain what is left. */
#ifndef WN_SPARSE_KRON_HEAD_H
#define WN_SPARSE_KRON_HEAD_H

#include "sparse/kron_inputs.h"

enum { WN__KRON_HEAD_TURNS = 8 }; /* enough for any weight that was looked at */

/* The head is itself a chain of two factors of one block each: V [rank, in] is factor 0, (1, rank,
 * in, 1), U [out, rank] factor 1, (1, out, rank, 1). INVALID: a rank that is not from 1 to
 * min(out, in). */
WN_NODISCARD wn_status wn__kron_head_chain(int64_t out, int64_t in, int64_t rank,
                                           wn__kron_chain *chain);

/* w[rows, columns] and h[columns, columns] packed, h NULL for the identity: what of W the chain
 * leaves goes to the head, what the head leaves to the chain, in turn, at most `turns` times, at
 * least once, the head first; each is fitted in closed form, or with h by wn__kron_fit_inputs in at
 * most `rounds`. Ends where a turn improves the error by less than a five-hundredth, and a turn
 * that makes it worse is taken back. factor[t] and head[0], head[1] receive numbers in canonical
 * order. With h the result is never above the one without, which report->plain_* is of. Same bits
 * for any number of threads. INVALID, NOMEM: as wn__kron_fit_inputs and wn__kron_head_chain. */
WN_NODISCARD wn_status wn__kron_fit_head(const wn__linalg *family, wn__exec *x,
                                         const wn__kron_chain *c, int64_t rank, const double *w,
                                         const double *h, int turns, int rounds,
                                         double *const *factor, double *const *head,
                                         wn__kron_inputs *report);

#endif
