// SPDX-License-Identifier: MIT
// The model whose probabilities a run learns: dense, read once, on the runtime of the run.
#include "base/fail.h"
#include "formats/hf_sparsity.h"
#include "train/trainer.h"
#include <inttypes.h>

// Chains and pruned activations are not what its weights alone say; 2:4 weights are.
static wn_status check_dense(const char *dir, const wn__model_config *c) {
    wn__hf_sparsity said;
    wn_status status = WN_OK;
    WN_TRY(wn__hf_sparsity_read(dir, c, &said));
    const char *layer = said.krons > 0   ? said.kron[0].layer
                        : said.count > 0 ? said.item[0].layer
                                         : NULL;
    if (layer != NULL)
        status = wn__fail(WN_UNSUPPORTED, "%s: a teacher is dense, %s is not", dir, layer);
    wn__hf_sparsity_free(&said);
    return status;
}

static wn_status load(wn__trainer *t, const char *dir) {
    wn__hf_weights *weights;
    WN_TRY(wn__hf_weights_open(dir, &weights));
    wn_status status = wn__model_load(t->teacher, weights);
    wn__hf_weights_close(weights);
    return status == WN_OK ? wn__model_prepare(t->teacher, 0) : status;
}

wn_status wn__setup_teacher(wn__trainer *t) {
    char dir[WN_PATH_MAX];
    const wn_train_options *o = &t->o;
    if (o->teacher == NULL || o->teacher[0] == '\0') return WN_OK;
    wn__model_spec spec = {.dtype = WN_DTYPE_F32, .batch = o->batch_size, .seq = o->seq_len};
    WN_TRY(wn__model_dir(o->teacher, dir));
    WN_TRY(wn__hf_config_read(dir, &spec.config));
    WN_TRY(check_dense(dir, &spec.config));
    if (o->seq_len > spec.config.max_positions)
        return wn__fail(WN_INVALID, "%s: a teacher of %" PRId64 " positions, seq_len is %" PRId64,
                        dir, spec.config.max_positions, o->seq_len);
    WN_TRY(wn__model_create(&spec, t->runtime, &t->teacher));
    WN_TRY(load(t, dir));
    wn_status status =
        wn__model_distil(t->model, t->teacher, o->distill_weight, o->distill_temperature);
    return status == WN_OK ? WN_OK : wn__fail_in(status, "%s", dir);
}
