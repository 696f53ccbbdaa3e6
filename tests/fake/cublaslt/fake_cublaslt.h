// SPDX-License-Identifier: MIT
/* What tests ask of the library that stands in for cuBLASLt. */
#ifndef WN_TESTS_FAKE_CUBLASLT_H
#define WN_TESTS_FAKE_CUBLASLT_H

#include <stddef.h>

typedef struct fake_cublaslt_state {
    int asked;      /* calls of the heuristic */
    int alive;      /* handles and descriptions that nobody destroyed */
    int run;        /* products queued */
    int found;      /* choices that the heuristic gives, at most what is wanted: 8 to begin with */
    size_t version; /* 130100 to begin with */
    int fast;       /* the choice whose products take no time, others 3 ms; -1,
                       to begin with: all take none */
    int wrong;      /* the choice whose products are wrong; -1, to begin with: none */
    int ran;        /* the choice of the product that was queued last */
    int fail_product; /* not 0: the status that the next product returns */
} fake_cublaslt_state;

#endif
