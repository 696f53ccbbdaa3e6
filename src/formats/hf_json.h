// SPDX-License-Identifier: MIT
/* Writing the JSON files of a Hugging Face directory. */
#ifndef WN_FORMATS_HF_JSON_H
#define WN_FORMATS_HF_JSON_H

#include "base/json.h"

struct wn__model_config;
struct wn__hf_sparsity;

/* Writes o, indented by two, as dir/name. Atomic. */
WN_NODISCARD wn_status wn__hf_json_write(const char *dir, const char *name, const wn__json *o);
/* Puts the member of formats/hf_sparsity.h into a config.json; nothing where nothing is listed. */
WN_NODISCARD wn_status wn__hf_json_put_sparsity(wn__json *root, const struct wn__model_config *c,
                                                const struct wn__hf_sparsity *s);

#endif
