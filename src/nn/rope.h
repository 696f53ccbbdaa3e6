// SPDX-License-Identifier: MIT
/* Rotary positions: the frequencies of a configuration and the tables of cosines and sines made of
 * them. */
#ifndef WN_NN_ROPE_H
#define WN_NN_ROPE_H

#include "formats/hf_config.h"
#include "kernels/op.h"

typedef struct wn__rope_tables {
    wn_tensor inv_freq; /* F64 [D/2] */
    wn_tensor cos, sin; /* [P, D/2] */
} wn__rope_tables;

/* Angle per position of pair i < D/2: theta^(-2i/D), changed by the scaling: linear divides it by
 * rope_factor; llama3 (Grattafiori et al. 2024) divides slow ones (wavelength above
 * original/low_freq), keeps fast ones (below original/high_freq) and mixes linearly in the wave
 * count between. */
double wn__rope_frequency(const wn__model_config *c, int64_t i);
/* Room for `positions` positions. */
WN_NODISCARD wn_status wn__rope_tables_alloc(const wn__model_config *c, int64_t positions,
                                             wn_dtype dtype, wn__arena *arena,
                                             wn__rope_tables *out);
/* Fills them. */
WN_NODISCARD wn_status wn__rope_tables_fill(const wn__model_config *c, wn__exec *x,
                                            wn__rope_tables *t);

#endif
