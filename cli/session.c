// SPDX-License-Identifier: MIT
/* See session.h. */
#include "session.h"
#include "command.h"
#include <stdio.h>
#include <string.h>

const char *describe_weights(const wn_model_info *m, char *out, size_t n) {
    char read[40], dense[40];
    (void)snprintf(out, n,
                   "weights in %s (%zu of %zu layers): %s of %s dense in f32, %zu layers 2:4; one "
                   "token by %s",
                   m->weights, m->stored_layers, m->linear_layers,
                   bytes_text((double)m->weight_bytes, read, sizeof read),
                   bytes_text((double)m->dense_bytes, dense, sizeof dense), m->sparse_layers,
                   m->kernel);
    return out;
}

void put_weights(json_out *j, const wn_model_info *m) {
    put_text(j, "weights", m->weights);
    put_text(j, "weights_kernel", m->kernel);
    put_int(j, "stored_layers", (int64_t)m->stored_layers);
    put_int(j, "weight_bytes", (int64_t)m->weight_bytes);
    put_int(j, "dense_bytes", (int64_t)m->dense_bytes);
    put_int(j, "resident_bytes", (int64_t)m->resident_bytes);
}

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
                            .strict_kernels = opt_flag(o, O_strict_kernels),
                            .weights = opt_text(o, O_weights)};
    return wn_session_open(o->argument[0], &s, out);
}

const char *numerics(const options *o) {
    bool fp8 = opt_flag(o, O_fp8);
    if (strcmp(opt_text(o, O_dtype), "bfloat16") == 0)
        return fp8 ? "bfloat16, products in simulated FP8" : "bfloat16";
    return fp8 ? "float32, products in simulated FP8" : NULL;
}
