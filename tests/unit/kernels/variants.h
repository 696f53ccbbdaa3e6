// SPDX-License-Identifier: MIT
/* Runs an op through a stated row of the table, with the workspace that it plans, and through all
 * rows that fit. */
#ifndef WN_TESTS_VARIANTS_H
#define WN_TESTS_VARIANTS_H

#include "kernels/registry.h"
#include "ref_test.h"

__attribute__((unused)) static wn_status run_row(const wn__kernel *k, const void *args,
                                                 wn__pool *pool) {
    wn__exec x = {.pool = pool, .planning = true};
    WN_TRY(wn__run_kernel(&x, k, args));
    x.scratch = NULL;
    if (x.need > 0 && posix_memalign((void **)&x.scratch, 64, x.need) != 0) x.scratch = NULL;
    x.scratch_size = x.need;
    x.planning = false;
    wn_status status = wn__run_kernel(&x, k, args);
    free(x.scratch);
    return status;
}

/* The n-th row of op that takes the arguments, NULL beyond the last; the first is ref. */
__attribute__((unused)) static const wn__kernel *variant(wn__op op, const void *args, int n) {
    size_t rows;
    const wn__kernel *table = wn__kernel_table(&rows);
    const wn__exec x = {0};
    char why[160];
    for (size_t i = 0; i < rows; i++)
        if (table[i].op == op && wn__kernel_fits(&x, table + i, args, why, sizeof why) && n-- == 0)
            return table + i;
    return NULL;
}

/* The variant that would be chosen. */
__attribute__((unused)) static wn_status run_best(wn__op op, const void *args, wn__pool *pool) {
    const wn__exec x = {0};
    const wn__kernel *k;
    WN_TRY(wn__plan(&x, op, args, &k));
    return run_row(k, args, pool);
}

#endif
