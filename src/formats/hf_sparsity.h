// SPDX-License-Identifier: MIT
/* What config.json says of activations and inputs that are pruned 2:4, which no weight shows, and
 * what it claims of weights, which anyone can check. A member of our own, unknown to other tools,
 * which compute the dense model:
 *
 *   "winnow": {
 *     "activation_sparsity": [{"layer": "model.layers.0.mlp.act", "method": "soft",
 * "scale": 1.37}], "input_sparsity": [{"layer": "model.layers.0.mlp.up_proj", "method": "mvue"}],
 *     "weight_sparsity": [{"layer": "model.layers.0.mlp.down_proj", "method": "tile"}],
 *     "kron": [{"layer": "model.layers.0.mlp.up_proj", "chain": "monarch:32:4"}]
 *   }
 *
 * Under "kron" are layers whose files have the factors of a chain, "LAYER.factor_0" (the rightmost)
 * and so on, in place of "LAYER.weight": butterfly or monarch:B[xC][:R], and, behind it, perhaps
 * +lowrank:K for "LAYER.head_in" [K, in] and "LAYER.head_out" [out, K] (nn/structure.h).
 *
 * Methods are those of act2:4 (naive, mvue, soft, soft_weights, soft_dynamic), of in2:4 (soft,
 * mvue) and of weights: row (at most two non-zeros in every group of four along a row) and tile
 * (along columns too). The soft ones have a scale, the others none. Activations and inputs that are
 * listed are what an evaluation prunes: nothing while a run is still dense. */
#ifndef WN_FORMATS_HF_SPARSITY_H
#define WN_FORMATS_HF_SPARSITY_H

#include "formats/hf_config.h"
#include "tensor/param.h"

typedef struct wn__hf_sparse {
    char layer[WN_NAME_MAX]; /* the activation's name, or the linear layer's */
    bool input;              /* of a linear layer */
    const char *method;      /* static storage */
    double scale;            /* 0: the method has none */
} wn__hf_sparse;

#define WN_HF_CHAIN 64
typedef struct wn__hf_kron {
    char layer[WN_NAME_MAX], chain[WN_HF_CHAIN];
} wn__hf_kron;

typedef struct wn__hf_sparsity {
    wn__hf_sparse *item; /* in the order of the model, activations first; no layer twice */
    size_t count;
    wn__hf_sparse *weight; /* linear layers in the order of the file; input is set, no scale */
    size_t weights;
    wn__hf_kron *kron; /* in the order of the file; no layer twice */
    size_t krons;
} wn__hf_sparsity;

/* Reads the member from dir/config.json, whose other members mean `config`; nothing is listed where
 * there is none. FORMAT names the file, the key and the value found: a layer that the model does
 * not have or that is there twice, a method that is unknown, a scale that is missing, zero or not
 * wanted. UNSUPPORTED names a key that is unknown: it would change the result. Free with
 * wn__hf_sparsity_free. */
WN_NODISCARD wn_status wn__hf_sparsity_read(const char *dir, const wn__model_config *config,
                                            wn__hf_sparsity *out);
/* config.json alone from memory; for tests and fuzzing. */
WN_NODISCARD wn_status wn__hf_sparsity_parse(const char *bytes, size_t size, const char *name,
                                             const wn__model_config *config, wn__hf_sparsity *out);
void wn__hf_sparsity_free(wn__hf_sparsity *s);
/* "LAYER=kron:CHAIN", the rule of structure that a model of such factors needs; malloc'ed. */
WN_NODISCARD wn_status wn__hf_kron_rule(const wn__hf_kron *k, char **out);
/* wn__hf_config_write with this member; NULL or nothing listed: without. INVALID names an item that
 * could not be read back. */
WN_NODISCARD wn_status wn__hf_config_write_sparse(const char *dir, const wn__model_config *config,
                                                  const wn__hf_sparsity *sparsity);
/* The same of weights that are stored as dtype, F32 or BF16, which torch_dtype names. */
WN_NODISCARD wn_status wn__hf_config_write_as(const char *dir, const wn__model_config *config,
                                              const wn__hf_sparsity *sparsity, wn_dtype dtype);
/* from/config.json as to/config.json with this member in the place of its own; every other member
 * stays as it is. `config` is what the file means. */
WN_NODISCARD wn_status wn__hf_config_copy_sparse(const char *from, const char *to,
                                                 const wn__model_config *config,
                                                 const wn__hf_sparsity *sparsity);

#endif
