// SPDX-License-Identifier: MIT
/* See session.h. */
#include "session.h"
#include <string.h>

wn_status open_session(const options *o, wn_session **out) {
    const option_value *sparsity = &o->value[O_sparsity];
    wn_session_options s = {.threads = (int)opt_int(o, O_threads),
                            .sparsity = sparsity->list,
                            .sparsity_count = sparsity->count,
                            .auto_sparsity = opt_flag(o, O_auto_sparsity) && sparsity->count == 0,
                            .context = opt_int(o, O_context),
                            .batch = o->value[O_batch_size].given ? opt_int(o, O_batch_size) : 0,
                            .dtype = opt_text(o, O_dtype),
                            .fp8 = opt_flag(o, O_fp8),
                            .kernels = opt_text(o, O_kernels),
                            .strict_kernels = opt_flag(o, O_strict_kernels)};
    return wn_session_open(o->argument[0], &s, out);
}

const char *numerics(const options *o) {
    bool fp8 = opt_flag(o, O_fp8);
    if (strcmp(opt_text(o, O_dtype), "bfloat16") == 0)
        return fp8 ? "bfloat16, products in simulated FP8" : "bfloat16";
    return fp8 ? "float32, products in simulated FP8" : NULL;
}
