// SPDX-License-Identifier: MIT
/* What the registry's own files share: the list of forced variants, and the text of a machine's
 * features. */
#ifndef WN_KERNELS_REGISTRY_H
#define WN_KERNELS_REGISTRY_H

#include "kernels/op.h"

/* The row that a list "op:variant,op_variant" (NULL: empty) states for op, NULL if none and with
 * WN__OP_COUNT; the last one of an op counts. INVALID names an entry that is not in the table and
 * the nearest one that is. */
WN_NODISCARD wn_status wn__force_find(const char *force, wn__op op, const wn__kernel **out);

/* The one of count names that takes the fewest edits to become text[0..length). NULL when there are
 * no names. */
const char *wn__nearest(const char *text, size_t length, const char *const *names, size_t count);

/* INVALID names the nearest op. */
WN_NODISCARD wn_status wn__op_find(const char *name, size_t length, wn__op *out);

/* "avx2+avx512", "-" for none, into out[n]; returns out. */
const char *wn__needs_text(uint32_t needs, char *out, size_t n);

/* Whether this machine lacks what row k needs, and what, into why[n]. */
bool wn__kernel_lacking(const wn__kernel *k, char *why, size_t n);

/* The rank by which row k is chosen on this processor. */
int wn__kernel_rank(const wn__kernel *k);

/* Why row k cannot run on x or with these (checked) arguments, "" if it can, into why[n]. Returns
 * whether it can. */
bool wn__kernel_fits(const wn__exec *x, const wn__kernel *k, const void *args, char *why, size_t n);

#endif
