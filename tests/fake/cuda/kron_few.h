// SPDX-License-Identifier: MIT
/* What the device code of factors on few vectors does, in plain C. Results: 0, or 1 where an
 * argument is not what the device code takes for granted. */
#ifndef WN_TESTS_FAKE_KRON_FEW_H
#define WN_TESTS_FAKE_KRON_FEW_H

#include "winnow/tensor.h"

/* The product, the sum of its parts, the product of few inputs and the gradient of small blocks, by
 * their names. */
#define FAKE_KRON_FEW(NAME)                                                                        \
    NAME("wn_kron_few") NAME("wn_kron_few_sum") NAME("wn_kron_short") NAME("wn_kron_short_grad")
unsigned long fake_kron_few_bytes(void);
int fake_kron_few(const void *argument, wn_dtype dtype, const char *name);

#endif
