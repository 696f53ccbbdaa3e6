// SPDX-License-Identifier: MIT
/* Model directories to prune: small Llama models of random weights in any dtype, whole or in
 * shards; and masks by search, which share nothing with the library. */
#ifndef TEST_MODEL_DIRS_H
#define TEST_MODEL_DIRS_H

#include "formats/safetensors.h"
#include "kernels/element.h"
#include "prune/layers.h"
#include "unit/base/scratch.h"
#include "unit/base/status.h"
#include <math.h>

static inline wn__model_config small_config(void) {
    return (wn__model_config){.vocab_size = 19,
                              .hidden_size = 16,
                              .intermediate_size = 24,
                              .layers = 2,
                              .heads = 2,
                              .kv_heads = 1,
                              .head_dim = 8,
                              .max_positions = 32,
                              .rms_eps = 1e-5,
                              .rope_theta = 10000,
                              .mlp = WN_MLP_SWIGLU,
                              .init_std = 0.02,
                              .bos = -1};
}

/* Small multiples of 1/64, with many ties; exact in every dtype. */
static inline float entry(size_t tensor, int64_t i) {
    uint64_t h = (uint64_t)i * 0x9E3779B97F4A7C15U + tensor * 0xD1B54A32D192ED03U;
    h ^= h >> 29;
    h *= 0xBF58476D1CE4E5B9U;
    h ^= h >> 32;
    return (float)((int)(h % 127) - 63) / 64;
}

/* Writes "<scratch>/name". shard_bytes 0: one file. change (may be NULL) may alter tensor i. */
typedef void change_fn(const char *tensor, wn_tensor *view);
static inline const char *make_model(void *const *state, const char *name,
                                     const wn__model_config *c, wn_dtype as, uint64_t shard_bytes,
                                     change_fn *change) {
    const char *dir = scratch_path(state, name);
    wn__runtime *rt;
    wn__expected_list list;
    OK(wn__runtime_create(1, NULL, false, &rt));
    OK(wn__expected_make(c, &(const wn__hf_sparsity){0}, rt, &list));
    wn__st_item *items = calloc(list.count, sizeof *items);
    assert_non_null(items);
    for (size_t t = 0; t < list.count; t++) {
        const wn__expected *e = &list.item[t];
        int64_t n = e->shape[0] * (e->ndim == 2 ? e->shape[1] : 1);
        float *value = malloc((size_t)n * sizeof *value);
        assert_non_null(value);
        for (int64_t i = 0; i < n; i++)
            value[i] = entry(t, i);
        items[t] = (wn__st_item){
            .name = e->name, .view = wn__tensor(value, WN_DTYPE_F32, e->ndim, e->shape), .as = as};
        if (change != NULL) change(e->name, &items[t].view);
    }
    OK(wn__dir_make(dir));
    OK(wn__hf_config_write(dir, c));
    OK(wn__hf_weights_write(dir, items, list.count, shard_bytes));
    for (size_t t = 0; t < list.count; t++)
        free(items[t].view.data);
    free(items);
    wn__expected_free(&list);
    wn__runtime_free(rt);
    return dir;
}

/* Values of a tensor, and its bytes. */
typedef struct stored {
    wn_tensor view;
    char *bytes; /* aligned copy */
    size_t size;
} stored;
static inline stored load(const wn__hf_weights *w, const char *name) {
    stored s = {0};
    if (!wn__hf_weights_find(w, name, &s.view)) fail_msg("no tensor %s", name);
    s.size = wn__tensor_bytes(&s.view);
    s.bytes = malloc(s.size + 1);
    assert_non_null(s.bytes);
    memcpy(s.bytes, s.view.data, s.size);
    s.view.data = s.bytes;
    return s;
}

/* Keeps the two of each four of a row by |w|, ties to the lower index. */
static inline bool row_keeps(const wn_tensor *w, int64_t i, int64_t j) {
    int64_t first = j - j % 4, better = 0;
    double own = fabs(wn__get(w, wn__at(w, i, j)));
    for (int64_t k = first; k < first + 4; k++) {
        double other = fabs(wn__get(w, wn__at(w, i, k)));
        better += other > own || (other == own && k < j);
    }
    return better < 2;
}

/* The mask of a tile, bit 4 row + column: every 16-bit number with two bits in each row and column
 * is tried, in the order of the rows' patterns. */
static inline unsigned tile_mask(const wn_tensor *w, int64_t r, int64_t c) {
    static const unsigned rows[] = {0x3, 0x5, 0x9, 0x6, 0xA, 0xC}; // 1100 1010 1001 0110 0101 0011
    unsigned best = 0;
    float most = -1;
    for (int n = 0; n < 6 * 6 * 6 * 6; n++) {
        const unsigned row[] = {rows[n / 216], rows[n / 36 % 6], rows[n / 6 % 6], rows[n % 6]};
        float sum[4] = {0};
        int column[4] = {0};
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < 4; j++) {
                if (!(row[i] >> j & 1)) continue;
                column[j]++;
                sum[i] += (float)fabs(wn__get(w, wn__at(w, r + i, c + j)));
            }
        if (column[0] != 2 || column[1] != 2 || column[2] != 2 || column[3] != 2) continue;
        float all = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        if (all <= most) continue;
        most = all;
        best = row[0] | row[1] << 4 | row[2] << 8 | row[3] << 12;
    }
    return best;
}

static inline bool tile_keeps(const wn_tensor *w, int64_t i, int64_t j) {
    return tile_mask(w, i - i % 4, j - j % 4) >> (4 * (i % 4) + j % 4) & 1;
}

#endif
